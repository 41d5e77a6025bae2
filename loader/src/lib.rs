//! The user-space library of mseg: the only code that touches pins, aya and bpf(2) ([`kernel`], [`instance`]), the
//! policy language ([`policy`]) and its compiler ([`compile`]), and typed reading of what the programs write.

pub mod clock;
pub mod error;
pub mod instance;
pub mod kernel;
