//! SOURCES: how many half-open sessions each source has, about.
//!
//! A source is an address, or of IPv6 the /64 that it is in, which one host has for itself; and where and which way its
//! packets go: what arrives in somebody's name, which anybody can send, must not use up what is granted to what the same
//! address sends from the protected side.
//!
//! Exact counts would cost an insert for every packet of a flood with made-up sources. So of eight sessions one is
//! counted, chosen by a salted hash of its key: the same one when it is opened and when it stops being half-open.
//! What becomes of evicted and expired ones is not seen. So each is counted in the interval in which it expires, to which it
//! moves when a packet keeps it alive, and is forgotten with that interval.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::time::TICK_SHIFT;

/// Entries of SOURCES.
pub const MAX_SOURCES: usize = 2_048;

/// One of so many sessions is counted.
pub const SAMPLE: u32 = 8;

/// log2 of the ticks of an interval: 2^36 ns, 69 s.
pub const INTERVAL_SHIFT: u32 = 36 - TICK_SHIFT;

/// Intervals that are told apart: this one and those to come, 18 minutes. What expires later counts as if it did then.
pub const INTERVALS: usize = 16;

/// The number of a tick's interval; they repeat.
#[inline(always)]
pub const fn interval(tick: u32) -> u32 {
    tick >> INTERVAL_SHIFT
}

/// Index of [`Source::expiring`] for a session that was seen last at the tick `seen`.
#[inline(always)]
pub const fn slot(seen: u32, timeout_ticks: u32) -> u32 {
    const LONGEST: u32 = (INTERVALS as u32 - 1) << INTERVAL_SHIFT;
    let timeout_ticks = if timeout_ticks > LONGEST { LONGEST } else { timeout_ticks };
    interval(seen.wrapping_add(timeout_ticks)) % INTERVALS as u32
}

/// Key of SOURCES.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SourceKey {
    /// Address of the client, IPv4 as v4-mapped; of IPv6 its first half, then zeros.
    pub address: [u8; 16],
    /// The interface of the session's first packet.
    pub ifindex: u32,
    /// The way that went: 0 in, 1 out.
    pub out: u32,
}

impl SourceKey {
    /// The source of a client's address, IPv4 as v4-mapped.
    #[inline(always)]
    pub fn new(address: &[u8; 16], ifindex: u32, out: bool) -> Self {
        // In words, for want of room on the stack.
        let [network, host]: [u64; 2] = zerocopy::transmute!(*address);
        // 0: that of v4-mapped addresses.
        let host = if network == 0 { host } else { 0 };
        let address = zerocopy::transmute!([network, host]);
        Self { address, ifindex, out: out as u32 }
    }
}

/// A value of SOURCES (LRU hash, key: [`SourceKey`]). Written by the programs, without atomics: two CPUs at once may
/// lose a count, which the next interval makes good. Read by nobody else. When full, the least recently used goes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Source {
    /// Sampled sessions that expire in an interval, by its number modulo [`INTERVALS`].
    pub expiring: [u16; INTERVALS],
    /// Their sum.
    pub sampled: u32,
    /// The earliest of these intervals.
    pub interval: u32,
}

impl Source {
    /// Forgets what expired before the interval `now`.
    #[inline(always)]
    pub fn forget(&mut self, now: u32) {
        let passed = now.wrapping_sub(self.interval) & interval(u32::MAX);
        // One behind: another CPU has just begun the next.
        if passed == 0 || passed == interval(u32::MAX) {
            return;
        }
        let mut sampled = 0;
        for slot in 0..INTERVALS {
            let ahead = (slot as u32).wrapping_sub(self.interval) % INTERVALS as u32;
            if ahead < passed {
                self.expiring[slot] = 0;
            }
            sampled += self.expiring[slot] as u32;
        }
        (self.sampled, self.interval) = (sampled, now);
    }

    /// About how many half-open sessions it has.
    #[inline(always)]
    pub const fn sessions(&self) -> u32 {
        self.sampled.saturating_mul(SAMPLE)
    }

    /// Counts a session of that slot.
    #[inline(always)]
    pub fn add(&mut self, slot: u32) {
        let expiring = &mut self.expiring[slot as usize % INTERVALS];
        if *expiring < u16::MAX {
            *expiring += 1;
            self.sampled = self.sampled.saturating_add(1);
        }
    }

    /// Takes one back.
    #[inline(always)]
    pub fn take(&mut self, slot: u32) {
        let expiring = &mut self.expiring[slot as usize % INTERVALS];
        if *expiring > 0 {
            *expiring -= 1;
            self.sampled = self.sampled.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::time::seconds_to_ticks;

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64_of_ipv6() {
        let source = |text: &str| SourceKey::new(&text.parse::<core::net::Ipv6Addr>().unwrap().octets(), 2, false);
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_ne!(source("::ffff:192.0.2.1"), source("::ffff:192.0.2.2"));
        let address = [1; 16];
        assert_ne!(SourceKey::new(&address, 2, false), SourceKey::new(&address, 2, true));
        assert_ne!(SourceKey::new(&address, 2, false), SourceKey::new(&address, 3, false));
    }

    /// A source that has opened a session with that timeout at `tick`.
    fn opened(tick: u32, timeout_ticks: u32) -> Source {
        let mut source = Source { interval: interval(tick), ..Source::default() };
        source.add(slot(tick, timeout_ticks));
        source
    }

    #[test]
    fn a_session_counts_until_it_expires_and_an_interval_longer_at_most() {
        let length = 1 << INTERVAL_SHIFT;
        // From any point of an interval, also when ticks and intervals begin anew.
        for start in [0, 1, length / 2, length - 1, 0u32.wrapping_sub(length), u32::MAX - length / 3, u32::MAX] {
            for timeout in [1, 30, 60, 120, 600, 1_000].map(seconds_to_ticks) {
                let at = |tick: u32| {
                    let mut source = opened(start, timeout);
                    source.forget(interval(tick));
                    source.sessions()
                };
                assert_eq!(at(start.wrapping_add(timeout)), SAMPLE, "{start} {timeout}");
                assert_eq!(at(start.wrapping_add(timeout + length)), 0, "{start} {timeout}");
                assert_eq!(at(start.wrapping_add(timeout + 1_000 * length)), 0, "{start} {timeout}");
            }
        }
    }

    #[test]
    fn one_that_would_expire_later_than_is_told_apart_counts_for_long() {
        let mut source = opened(0, u32::MAX / 2);
        source.forget(INTERVALS as u32 - 1);
        assert_eq!(source.sessions(), SAMPLE);
        source.forget(INTERVALS as u32);
        assert_eq!(source.sessions(), 0);
    }

    #[test]
    fn a_session_that_is_kept_alive_goes_on_counting() {
        let timeout = seconds_to_ticks(120);
        let mut source = opened(0, timeout);
        let mut seen = 0;
        for _ in 0..100 {
            let now = seen + timeout / 2;
            source.forget(interval(now));
            source.take(slot(seen, timeout));
            source.add(slot(now, timeout));
            seen = now;
            assert_eq!(source.sessions(), SAMPLE);
        }
    }

    #[test]
    fn a_cpu_that_is_behind_forgets_nothing() {
        let mut source = opened(8 << INTERVAL_SHIFT, 1);
        source.forget(7);
        assert_eq!((source.sessions(), source.interval), (SAMPLE, 8));
    }

    #[test]
    fn an_answer_takes_back_what_was_counted_and_never_more() {
        let mut source = opened(0, 1);
        source.take(0);
        assert_eq!(source.sessions(), 0);
        source.take(0);
        assert_eq!(source.sessions(), 0);
        source.add(1);
        source.take(0);
        assert_eq!(source.sessions(), SAMPLE);
    }
}
