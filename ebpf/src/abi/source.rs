//! SOURCES: how many half-open sessions each source has, about.
//!
//! A source is an address, or of IPv6 the /64 that it is in, which one host has for itself; and where and which way its
//! packets go: what arrives in somebody's name, which anybody can send, must not use up what is granted to what the same
//! address sends from the protected side.
//!
//! Exact counts would cost an insert for every packet of a flood with made-up sources. So of eight sessions one is
//! counted, chosen by a salted hash of its key: the same one when it is opened and when it stops being half-open.
//! What becomes of evicted and expired ones is not seen; they are forgotten after two intervals, by when the timeouts of
//! half-open sessions are over.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::time::TICK_SHIFT;

/// Entries of SOURCES.
pub const MAX_SOURCES: usize = 2_048;

/// One of so many sessions is counted.
pub const SAMPLE: u32 = 8;

/// log2 of the ticks of an interval: 2^36 ns, 69 s.
pub const INTERVAL_SHIFT: u32 = 36 - TICK_SHIFT;

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
/// lose a count, which two intervals forget. Read by nobody else. When full, the least recently used goes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Source {
    /// Sampled sessions opened in this interval, less those answered.
    pub current: u32,
    /// The same of the interval before.
    pub previous: u32,
    /// The interval of `current`: ticks, shifted by [`INTERVAL_SHIFT`].
    pub interval: u32,
    /// Zero.
    pub reserved: u32,
}

impl Source {
    /// The same, seen in `interval`.
    #[inline(always)]
    pub const fn at(self, interval: u32) -> Self {
        match interval.wrapping_sub(self.interval) {
            // Also one behind: another CPU has just begun the next.
            0 | u32::MAX => self,
            1 => Self { interval, current: 0, previous: self.current, reserved: 0 },
            _ => Self { interval, current: 0, previous: 0, reserved: 0 },
        }
    }

    /// About how many half-open sessions it has.
    #[inline(always)]
    pub const fn sessions(self) -> u32 {
        self.current.saturating_add(self.previous).saturating_mul(SAMPLE)
    }

    /// The same with one more.
    #[inline(always)]
    pub const fn opened(self) -> Self {
        Self { current: self.current.saturating_add(1), ..self }
    }

    /// The same with one less.
    #[inline(always)]
    pub const fn answered(self) -> Self {
        if self.current > 0 {
            Self { current: self.current - 1, ..self }
        } else {
            Self { previous: self.previous.saturating_sub(1), ..self }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_source_is_forgotten_after_two_intervals() {
        let source = Source { interval: 7, ..Source::default() }.opened().opened();
        assert_eq!(source.sessions(), 2 * SAMPLE);
        assert_eq!(source.at(8).sessions(), 2 * SAMPLE);
        assert_eq!(source.at(8).opened().sessions(), 3 * SAMPLE);
        assert_eq!(source.at(9).sessions(), 0);
    }

    #[test]
    fn a_cpu_that_is_behind_forgets_nothing() {
        let source = Source { interval: 8, ..Source::default() }.opened();
        assert_eq!(source.at(7).opened().sessions(), 2 * SAMPLE);
        assert_eq!(source.at(7).interval, 8);
    }

    #[test]
    fn an_answer_takes_back_what_was_counted_and_never_more() {
        let source = Source::default().opened();
        assert_eq!(source.answered().sessions(), 0);
        assert_eq!(source.answered().answered().sessions(), 0);
        assert_eq!(source.at(1).answered().sessions(), 0);
    }
}
