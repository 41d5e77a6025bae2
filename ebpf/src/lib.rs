//! What the TC programs and user space share: the map ABI ([`abi`]) and the packet logic that needs no kernel
//! ([`packet`], [`session`], [`policy`]). `no_std`, free of allocation, and tested on the host.
//!
//! Byte order: addresses and ports are big-endian byte arrays, exactly as on the wire; every other number is in the
//! host's order. Times ending in `_ns` are nanoseconds of `CLOCK_MONOTONIC`; a *tick* is 2^20 of them
//! ([`abi::time`]).
#![no_std]

pub mod abi;
pub mod packet;
pub mod policy;
pub mod session;
