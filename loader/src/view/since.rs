//! The times that `--since` takes, and lengths of time.

use jiff::{SignedDuration, Timestamp};

/// A point in time: an RFC 3339 time, or how long before `now`: `90s`, `5m`, `2h`, `1d` and combinations such as
/// `1h30m`, where a day is 24 hours.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = duration(text)
        .ok_or("expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 90s, 5m, 1h30m, 2d")?;
    if ago.is_negative() {
        return Err("the time must lie in the past".into());
    }
    now.checked_sub(ago).map_err(|_| "the time is too long ago".into())
}

/// A length of time: `90s`, `5m`, `2h`, `1d` and combinations such as `1h30m`, where a day is 24 hours.
pub fn duration(text: &str) -> Option<SignedDuration> {
    text.parse::<jiff::Span>().and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_count_back_from_now_and_times_stand_for_themselves() {
        let time = |s| Timestamp::from_second(s).unwrap();
        let now = time(1_700_000_000);
        assert_eq!(parse("90s", now), Ok(time(1_700_000_000 - 90)));
        assert_eq!(parse("1h30m", now), Ok(time(1_700_000_000 - 5400)));
        assert_eq!(parse("2d", now), Ok(time(1_700_000_000 - 172_800)));
        assert_eq!(parse("2023-11-14T22:13:20Z", time(0)), Ok(now));
        for wrong in ["", "5", "yesterday", "-5m", "2023-13-01T00:00:00Z", "19999y"] {
            assert!(parse(wrong, now).is_err(), "{wrong}");
        }
    }
}
