//! The user-space library of mseg: the only code that touches pins, aya and bpf(2) ([`kernel`], [`instance`]), the
//! policy language ([`policy`]) and its compiler ([`compile`]), and typed reading of what the programs write, also as
//! documents ([`view`]).

pub mod adopt;
pub mod attach;
pub mod cli;
pub mod clock;
pub mod compile;
pub mod error;
pub mod escape;
pub mod explain;
pub mod generation;
pub mod instance;
pub mod kernel;
pub mod lockout;
pub mod log;
pub mod policy;
pub mod view;
