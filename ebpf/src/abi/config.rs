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
    /// About how many half-open sessions one source may have; 0 for any number.
    pub half_open_per_source: u32,
    /// End of the grace period for packets of unknown TCP sessions: nanoseconds of `CLOCK_MONOTONIC`.
    pub grace_until_ns: u64,
    /// A random number that no packet can guess, for [`super::source`] and for the mark of packets that were counted.
    pub salt: u32,
    /// `MARKS_*`: what packets are marked for.
    pub marks: u32,
    /// When a change is undone that nobody confirmed: nanoseconds of `CLOCK_MONOTONIC`, 0 if none waits. From then on
    /// [`Self::fallback_generation`] and [`Self::fallback_mode`] hold, whatever the fields above say, and no process is
    /// needed for that. It is stored after the fallbacks and before the change.
    pub deadline_ns: u64,
    /// The generation that holds after [`Self::deadline_ns`].
    pub fallback_generation: u32,
    /// The mode that holds after [`Self::deadline_ns`].
    pub fallback_mode: u32,
    /// When a host interface was attached last: nanoseconds of `CLOCK_MONOTONIC`. A connection that was not seen since may
    /// have gone on unseen, so its windows are learnt anew.
    pub attached_ns: u64,
    /// The generation that was active before [`Self::generation`] without having to be confirmed: what `policy rollback`
    /// returns to. Only user space reads it; 0, or the active generation itself: not known.
    pub previous_generation: u32,
    /// Rule ids below it have been given to rules, so that no other rule gets one of them while a session or a denial may
    /// remember it; 0: none were. Only user space reads it.
    pub next_rule: u32,
    /// Entries of SESSIONS that user space has put in (adopted), added to atomically.
    pub adopted_sessions: u64,
    /// Entries of CLOSING that user space has put in.
    pub adopted_closing: u64,
    /// Entries of DATAGRAMS that user space has put in.
    pub adopted_datagrams: u64,
    /// Entries of SESSIONS that user space has deleted.
    pub deleted_sessions: u64,
    /// Entries of CLOSING that user space has deleted.
    pub deleted_closing: u64,
    /// Entries of DATAGRAMS that user space has deleted.
    pub deleted_datagrams: u64,
    /// Entries of HALF_OPEN that user space has deleted.
    pub deleted_half_open: u64,
}

impl Config {
    /// Whether a change waited for a confirmation that did not come in time.
    #[inline(always)]
    pub const fn is_overdue(deadline_ns: u64, now_ns: u64) -> bool {
        deadline_ns != 0 && now_ns >= deadline_ns
    }

    /// What holds at `now_ns` of `CLOCK_MONOTONIC`: the same, but with a change undone that nobody confirmed.
    pub const fn in_force(mut self, now_ns: u64) -> Self {
        if Self::is_overdue(self.deadline_ns, now_ns) {
            (self.generation, self.mode, self.deadline_ns) = (self.fallback_generation, self.fallback_mode, 0);
        }
        self
    }
}

/// [`Config::marks`]: for nothing.
pub const MARKS_NONE: u32 = 0;
/// [`Config::marks`]: a packet may pass several attached interfaces of the host, and is to be counted at one.
pub const MARKS_COUNTED: u32 = 1;
/// [`Config::marks`]: but one is attached, and what leaves there may have arrived there, and be forwarded by an interface
/// above it: a VLAN's, a bridge's, a macvlan.
pub const MARKS_ARRIVED: u32 = 2;

/// Default of [`Config::half_open_per_source`]: an eighth of HALF_OPEN.
pub const HALF_OPEN_PER_SOURCE: u32 = super::session::MAX_HALF_OPEN as u32 / 8;
