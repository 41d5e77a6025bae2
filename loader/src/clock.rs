//! The kernel's times as wall-clock times.

use std::time::Duration;

use jiff::Timestamp;
use mseg_ebpf::abi::time::{TICK_SHIFT, tick, ticks_since};
use nix::time::{ClockId, clock_gettime};

use crate::error::{Error, Result};

/// The offset between the clock of the maps and UTC, as of one moment.
///
/// The maps hold `CLOCK_MONOTONIC`, which stands still while the machine is suspended: times from before a suspend
/// come out late by its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    monotonic_ns: u64,
    realtime_ns: i128,
}

/// Nanoseconds of `CLOCK_MONOTONIC` now.
pub fn monotonic_ns() -> Result<u64> {
    read(ClockId::CLOCK_MONOTONIC).map(|ns| u64::try_from(ns).unwrap_or(0))
}

fn read(clock: ClockId) -> Result<i128> {
    let time = clock_gettime(clock).map_err(|e| Error::system("read the clock", &e.into()))?;
    Ok(i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
}

impl Clock {
    /// Reads both clocks.
    pub fn now() -> Result<Self> {
        let monotonic_ns = monotonic_ns()?;
        Ok(Self { monotonic_ns, realtime_ns: read(ClockId::CLOCK_REALTIME)? })
    }

    /// A moment on both clocks: nanoseconds of `CLOCK_MONOTONIC`, and since 1970 UTC.
    pub const fn at(monotonic_ns: u64, realtime_ns: i128) -> Self {
        Self { monotonic_ns, realtime_ns }
    }

    /// When this was made: nanoseconds of `CLOCK_MONOTONIC`.
    pub const fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns
    }

    /// When this was made, in ticks.
    pub const fn tick(&self) -> u32 {
        tick(self.monotonic_ns)
    }

    /// A time of `CLOCK_MONOTONIC`, in nanoseconds, as UTC. What no calendar holds becomes its end.
    pub fn timestamp(&self, ns: u64) -> Timestamp {
        let utc = self.realtime_ns + i128::from(ns) - i128::from(self.monotonic_ns);
        Timestamp::from_nanosecond(utc).unwrap_or(if utc < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }

    /// When a tick of the last two years began, as UTC.
    pub fn tick_timestamp(&self, then: u32) -> Timestamp {
        let age = u64::from(ticks_since(self.tick(), then));
        self.timestamp((self.monotonic_ns >> TICK_SHIFT).saturating_sub(age) << TICK_SHIFT)
    }

    /// How long ago a time of `CLOCK_MONOTONIC` was; zero if it is yet to come.
    pub const fn age(&self, ns: u64) -> Duration {
        Duration::from_nanos(self.monotonic_ns.saturating_sub(ns))
    }

    /// RFC 3339 in UTC with milliseconds, as in every document: `2026-01-02T03:04:05.678Z`.
    pub fn rfc3339(&self, ns: u64) -> String {
        format!("{:.3}", self.timestamp(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { monotonic_ns: 10_000_000_000, realtime_ns: 1_700_000_000_000_000_000 };

    #[test]
    fn a_second_ago_is_a_second_ago() {
        assert_eq!(CLOCK.rfc3339(9_000_000_000), "2023-11-14T22:13:19.000Z");
        assert_eq!(CLOCK.age(9_000_000_000), Duration::from_secs(1));
        assert_eq!(CLOCK.age(11_000_000_000), Duration::ZERO);
    }

    #[test]
    fn a_tick_is_the_time_it_was_taken_at() {
        let years = Clock::at(10 * 365 * 86_400_000_000_000, CLOCK.realtime_ns);
        for clock in [CLOCK, years] {
            for ago in [0, 1_000_000_000, 7_000_000_000] {
                let ns = clock.monotonic_ns - ago;
                let early = clock.timestamp(ns).duration_since(clock.tick_timestamp(tick(ns)));
                assert!((0..=17).contains(&early.as_millis()), "{early:?}");
            }
        }
    }
}
