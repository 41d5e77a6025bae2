//! EVENTS: what the programs report through the ring buffer.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::{
    reason::Reason,
    session::{Session, SessionKey},
};

/// Bytes of the ring.
pub const RING_BYTES: usize = 512 * 1024;

/// What happened. Numbers never change their meaning.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, TryFromBytes, IntoBytes, Immutable, KnownLayout)]
pub enum EventKind {
    /// Not an event.
    Unset = 0,
    /// A session was created.
    SessionOpened = 1,
    /// A TCP session reached CLOSED; [`Event::session`] has its totals.
    SessionClosed = 2,
    /// A session was judged again and its verdict or rule changed.
    SessionRejudged = 3,
    /// A packet was denied, or would have been in enforce mode.
    Denied = 4,
    /// A rule with `audit` matched what a session began with, or what was denied. [`Event::session`] is as of
    /// [`EventKind::Denied`], with that rule; reason and verdict are what the rule alone would have made of it.
    Audited = 5,
}

/// A record of EVENTS (ring buffer). Written by the programs, read by msegd alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// When: nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The session's, or that of the denied packet.
    pub key: SessionKey,
    /// The session as it was after the packet. [`EventKind::Denied`]: the packet's own bytes in `to_server`, and in
    /// `flags` who opened its session, or who sent it if it has none.
    pub session: Session,
    /// [`EventKind::Denied`]: earlier denials of the same flow that made no event.
    pub suppressed: u32,
    /// What happened.
    pub kind: EventKind,
    /// The reason of the packet's verdict.
    pub reason: Reason,
    /// The packet's verdict: [`super::stats::VERDICT_ALLOWED`] and so on.
    pub verdict: u8,
    /// Zero.
    pub reserved: u8,
}

const _: () = assert!(size_of::<Event>() == 136);
