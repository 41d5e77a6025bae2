//! The kernel adapter: the only module that uses aya, bpf(2) or netlink. What it returns are our own types and the
//! one error of the library, with the system's error text and number in it.

pub(crate) mod bpf;
pub(crate) mod channel;
pub(crate) mod clsact;
pub(crate) mod cpu;
pub(crate) mod map;
pub(crate) mod mmap;
pub(crate) mod netlink;
pub mod object;
pub mod ring;
pub(crate) mod second;
pub(crate) mod tcx;
