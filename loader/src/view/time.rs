//! Times in documents.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use mseg_ebpf::abi::time::{TICK_SHIFT, ticks_since};

use crate::clock::Clock;

/// A time: RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(
    /// The time.
    pub Timestamp,
);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time", "description": "RFC 3339, UTC" })
    }
}

impl Time {
    /// The time of nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) fn of(clock: &Clock, monotonic_ns: u64) -> Self {
        Self(clock.timestamp(monotonic_ns))
    }

    /// The time of nanoseconds since 1970 UTC.
    pub fn of_unix_ns(ns: u64) -> Self {
        Self(Timestamp::from_nanosecond(ns.into()).unwrap_or(Timestamp::MAX))
    }

    /// Milliseconds since 1970 UTC, for sorting.
    pub fn rank(self) -> u64 {
        u64::try_from(self.0.as_millisecond()).unwrap_or(0)
    }

    /// [`Self::of`]; `None` for 0, which means never.
    pub(super) fn unless_never(clock: &Clock, monotonic_ns: u64) -> Option<Self> {
        (monotonic_ns != 0).then(|| Self::of(clock, monotonic_ns))
    }
}

/// Ticks since `then`.
pub(super) fn idle_ticks(clock: &Clock, then: u32) -> u32 {
    ticks_since(clock.tick(), then)
}

/// Ticks as nanoseconds.
pub(super) fn ticks_ns(ticks: u32) -> u64 {
    u64::from(ticks) << TICK_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Clock = Clock::at(3_600_000_000_000, 1_700_000_000_000_000_000);

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(Time::of(&NOW, NOW.monotonic_ns()).to_string(), "2023-11-14T22:13:20.000Z");
        assert_eq!(Time::of(&NOW, NOW.monotonic_ns() - 1_500_000_000).to_string(), "2023-11-14T22:13:18.500Z");
    }

    #[test]
    fn zero_is_never() {
        assert_eq!(Time::unless_never(&NOW, 0), None);
    }

    #[test]
    fn ticks_wrap() {
        let now = Clock::at((1 << (32 + TICK_SHIFT)) + (5 << TICK_SHIFT), 0);
        assert_eq!(idle_ticks(&now, u32::MAX), 6);
    }
}
