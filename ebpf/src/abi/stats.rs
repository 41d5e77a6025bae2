//! STATS and EVENT_STATS: per-CPU counters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::reason;

/// The packet went on.
pub const VERDICT_ALLOWED: u32 = 0;
/// The packet was dropped.
pub const VERDICT_DENIED: u32 = 1;
/// The packet would have been dropped, but the mode is observe.
pub const VERDICT_OBSERVED: u32 = 2;
/// Number of verdicts.
pub const VERDICTS: u32 = 3;

/// Entries of STATS.
pub const COUNTERS: u32 = VERDICTS * reason::LIMIT;

/// The index in STATS of a verdict (`VERDICT_*`) with a reason.
#[inline(always)]
pub const fn index(verdict: u32, reason: reason::Reason) -> u32 {
    verdict * reason::LIMIT + reason as u32
}

/// A value of STATS (per-CPU array, [`index`]). Each packet adds to exactly one: their sum is the packets seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes with the Ethernet header, as the interface counts them.
    pub bytes: u64,
}

/// The value of EVENT_STATS (per-CPU array, one entry): what became of sessions and events.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EventStats {
    /// Events put into the ring.
    pub submitted: u64,
    /// Events lost because the ring was full.
    pub lost: u64,
    /// Sessions created.
    pub sessions_created: u64,
    /// Sessions that reached CLOSED.
    pub sessions_closed: u64,
    /// Sessions found expired by a packet and opened anew.
    pub sessions_expired: u64,
    /// Sessions promoted from HALF_OPEN to SESSIONS: entries put there.
    pub sessions_promoted: u64,
    /// Entries the programs removed from SESSIONS, be it to put them into another table.
    pub sessions_removed: u64,
    /// Entries the programs put into CLOSING.
    pub closing_added: u64,
    /// Entries the programs removed from CLOSING, likewise.
    pub closing_removed: u64,
    /// Sessions promoted from HALF_OPEN to DATAGRAMS.
    pub datagrams_promoted: u64,
    /// Entries the programs removed from DATAGRAMS.
    pub datagrams_removed: u64,
    /// Entries the programs removed from HALF_OPEN, by promotion or otherwise.
    pub half_open_removed: u64,
    /// TCP packets that open nothing and belong to no session, whatever became of them.
    pub midstream_misses: u64,
    /// Sessions judged again because the policy had changed.
    pub sessions_rejudged: u64,
}
