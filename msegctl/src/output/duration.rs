//! Durations for people.

use std::fmt;

use mseg::view::Time;

/// How long before `now` it was, in the two largest units: `0s`, `59s`, `3m12s`, `5h0m`, `12d4h`.
pub(crate) fn ago(now: Time, then: Time) -> Ago {
    Ago(u64::try_from(now.0.duration_since(then.0).as_secs()).unwrap_or(0))
}

/// Seconds, as [`ago`] writes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ago(pub(crate) u64);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        match s {
            0..60 => write!(f, "{s}s"),
            60..3_600 => write!(f, "{}m{}s", s / 60, s % 60),
            3_600..86_400 => write!(f, "{}h{}m", s / 3_600, s % 3_600 / 60),
            _ => write!(f, "{}d{}h", s / 86_400, s % 86_400 / 3_600),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn two_units_are_enough() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (192, "3m12s"), (18_000, "5h0m"), (1_051_200, "12d4h")] {
            assert_eq!(Ago(seconds).to_string(), text);
        }
    }

    #[test]
    fn the_future_is_now() {
        assert_eq!(ago(Time(Timestamp::UNIX_EPOCH), Time(Timestamp::MAX)).to_string(), "0s");
    }
}
