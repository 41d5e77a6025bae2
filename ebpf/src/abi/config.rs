//! CONFIG: the switches that change while traffic flows.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Decide, count and report, drop nothing.
pub const MODE_OBSERVE: u32 = 0;
/// Drop what is denied.
pub const MODE_ENFORCE: u32 = 1;

/// A TCP packet of no known session is judged as if it opened one until [`Config::grace_until_ns`], then denied.
pub const MIDSTREAM_GRACE: u32 = 0;
/// A TCP packet of no known session is denied.
pub const MIDSTREAM_STRICT: u32 = 1;
/// A TCP packet of no known session is always judged as if it opened one.
pub const MIDSTREAM_PICKUP: u32 = 2;

/// The value of CONFIG (array, one entry, `BPF_F_MMAPABLE`).
///
/// User space changes one field at a time by an atomic store through a shared mapping, never by a map update, which
/// would copy the whole value and could be seen half done. The programs only read. Fields are naturally aligned for
/// that reason.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Config {
    /// The active policy generation; its maps are in slot `generation % POLICY_SLOTS`. 0: none yet, and everything
    /// that needs a policy is denied.
    pub generation: u32,
    /// [`MODE_OBSERVE`] or [`MODE_ENFORCE`]; any other value enforces.
    pub mode: u32,
    /// `MIDSTREAM_*`; any other value is strict.
    pub midstream: u32,
    /// Zero.
    pub reserved: u32,
    /// End of the grace period for packets of unknown TCP sessions: nanoseconds of `CLOCK_MONOTONIC`.
    pub grace_until_ns: u64,
}
