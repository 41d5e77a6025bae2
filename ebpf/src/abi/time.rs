//! Time in maps. The programs read `bpf_ktime_get_coarse_ns` (6 ns a call against 20 for the precise clock; its
//! resolution is one timer interrupt, 1 to 10 ms), which is `CLOCK_MONOTONIC` without the time spent suspended.

/// log2 of the nanoseconds in a tick: 2^24 ns, 16.8 ms.
pub const TICK_SHIFT: u32 = 24;

/// The longest timeout that can be stored, in seconds (24 days): little against the 2.2 years after which ticks repeat.
pub const MAX_TIMEOUT_S: u32 = 24 * 86_400;

/// A time that seems to be yet to come was read by another CPU, or is compared with a reading of the clock that is no
/// older than this: ticks of an hour. Any other is of long ago.
const LATEST: u32 = seconds_to_ticks(3_600);

/// Nanoseconds of `CLOCK_MONOTONIC` to ticks, modulo 2^32 (2.2 years).
#[inline(always)]
pub const fn tick(ns: u64) -> u32 {
    (ns >> TICK_SHIFT) as u32
}

/// Whole seconds to ticks, rounded up; at most [`MAX_TIMEOUT_S`] seconds.
#[inline(always)]
pub const fn seconds_to_ticks(seconds: u32) -> u32 {
    let seconds = if seconds > MAX_TIMEOUT_S { MAX_TIMEOUT_S } else { seconds };
    ((seconds as u64 * 1_000_000_000).div_ceil(1 << TICK_SHIFT)) as u32
}

/// Ticks from `then` to `now`; zero when `then` is a little later, which happens when two CPUs read the clock in one
/// order and write in the other, or when the clock was read once for a long list.
#[inline(always)]
pub const fn ticks_since(now: u32, then: u32) -> u32 {
    let since = now.wrapping_sub(then);
    if since > u32::MAX - LATEST { 0 } else { since }
}

/// Whether something may have happened unseen to what was last seen at the tick `seen`, since not every interface was
/// attached before `attached_ns`. In doubt it may: both times are known to a tick.
#[inline(always)]
pub const fn may_have_missed(now_ns: u64, seen: u32, attached_ns: u64) -> bool {
    ticks_since(tick(now_ns), seen) as u64 >= now_ns.saturating_sub(attached_ns) >> TICK_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NS: u64 = 86_400_000_000_000;
    const SECOND_NS: u64 = 1_000_000_000;
    /// Long after boot.
    const NOW_NS: u64 = 3_000 * DAY_NS;

    #[test]
    fn what_was_seen_once_grows_old_and_never_young_again_for_two_years() {
        let mut before = 0;
        for days in 1..=830 {
            let age = ticks_since(tick(NOW_NS), tick(NOW_NS - days * DAY_NS));
            assert!(age > before, "{days} days");
            before = age;
        }
    }

    #[test]
    fn only_what_is_yet_to_come_within_an_hour_is_of_now() {
        let from_now = |seconds| ticks_since(tick(NOW_NS), tick(NOW_NS + seconds * SECOND_NS));
        assert_eq!([from_now(0), from_now(1), from_now(3_599)], [0; 3]);
        assert!(from_now(3_700) > seconds_to_ticks(MAX_TIMEOUT_S));
        // Also where ticks begin anew.
        assert_eq!(ticks_since(u32::MAX, 3), 0);
        assert_eq!(ticks_since(3, u32::MAX), 4);
    }

    #[test]
    fn nothing_is_missed_however_long_ago_the_last_attach_was() {
        for days in [1, 25, 26, 27, 40, 52, 53, 79, 400, 832, 834, 2_000] {
            let attached_ns = NOW_NS - days * DAY_NS;
            for seconds in [0, 1, 60, 86_000] {
                let seen = tick(NOW_NS - seconds * SECOND_NS);
                assert!(!may_have_missed(NOW_NS, seen, attached_ns), "{days} days, {seconds} seconds");
            }
        }
    }

    #[test]
    fn what_was_seen_before_the_attach_may_have_gone_on_unseen() {
        let attached_ns = NOW_NS - 10 * SECOND_NS;
        let missed = |ns| may_have_missed(NOW_NS, tick(ns), attached_ns);
        assert!(missed(attached_ns - 20 * DAY_NS) && missed(attached_ns - SECOND_NS) && missed(attached_ns));
        assert!(!missed(attached_ns + SECOND_NS) && !missed(NOW_NS) && !missed(NOW_NS + SECOND_NS));
        // The clock of the programs lags behind.
        assert!(may_have_missed(NOW_NS, tick(NOW_NS), NOW_NS + 4_000_000));
    }
}
