//! DENIED: the latest denials, one entry a flow.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::{reason::Reason, session::Traffic};

/// Entries of DENIED.
pub const MAX_DENIED: usize = 1_024;

/// At most one event for each entry of DENIED in this time: nanoseconds.
pub const EVENT_INTERVAL_NS: u64 = 1_000_000_000;

/// A value of DENIED (LRU hash, key: [`super::session::SessionKey`]): what was denied, so that a denied packet needs no
/// session. Written by the programs; read and deleted by user space. When full, the least recently used goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Denied {
    /// What was denied since the entry was made, in both directions.
    pub traffic: Traffic,
    /// The first denial: nanoseconds of `CLOCK_MONOTONIC`.
    pub first_ns: u64,
    /// The latest denial.
    pub last_ns: u64,
    /// The latest event about it.
    pub event_ns: u64,
    /// Denials since then that made no event.
    pub suppressed: u32,
    /// The rule of the latest denial ([`super::rule`]).
    pub rule: u32,
    /// The policy generation of the latest denial.
    pub generation: u32,
    /// The interface of the latest denial.
    pub ifindex: u32,
    /// The reason of the latest denial.
    pub reason: Reason,
    /// [`super::session::FLAG_CLIENT_IS_LOWER`] and [`super::session::FLAG_OUT`] of the packet's session, or of its
    /// sender if it has none, as of the latest denial.
    pub flags: u8,
    /// 1 if the policy decided the latest packet itself, and not a session that it decided earlier; else 0.
    pub decided: u16,
    /// Events about it.
    pub events: u32,
}
