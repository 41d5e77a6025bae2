//! Time in maps. The programs read `bpf_ktime_get_coarse_ns` (6 ns a call against 20 for the precise clock; its
//! resolution is one timer interrupt, 1 to 10 ms), which is `CLOCK_MONOTONIC` without the time spent suspended.

/// log2 of the nanoseconds in a tick: 2^20 ns, 1.048576 ms.
pub const TICK_SHIFT: u32 = 20;

/// The longest timeout that can be stored, in seconds (24 days): differences of ticks are compared as `i32`.
pub const MAX_TIMEOUT_S: u32 = 24 * 86_400;

/// Nanoseconds of `CLOCK_MONOTONIC` to ticks, modulo 2^32 (52 days).
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

/// Ticks from `then` to `now`; zero when `then` is later, which happens when two CPUs read the clock in one order and
/// write in the other.
#[inline(always)]
pub const fn ticks_since(now: u32, then: u32) -> u32 {
    let d = now.wrapping_sub(then) as i32;
    if d < 0 { 0 } else { d as u32 }
}

/// log2 of the nanoseconds in the unit of [`super::session::Session::created`]: 2^24 ns, 16.8 ms.
pub const CREATED_SHIFT: u32 = 24;

/// Nanoseconds of `CLOCK_MONOTONIC` to the unit of [`super::session::Session::created`], which overflows after 2.2 years.
#[inline(always)]
pub const fn created(ns: u64) -> u32 {
    (ns >> CREATED_SHIFT) as u32
}

/// And back, 0 to 16.8 ms too early.
#[inline(always)]
pub const fn created_ns(created: u32) -> u64 {
    (created as u64) << CREATED_SHIFT
}
