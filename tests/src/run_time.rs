//! The kernel's own account of the time that programs take, and the noise of the machine around it.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use crate::bpf;

const OBJ_GET_INFO_BY_FD: i32 = 15;
const ENABLE_STATS: i32 = 32;
const STATS_RUN_TIME: u32 = 0;

/// Where `run_time_ns` and `run_cnt` are in `struct bpf_prog_info`, and as much of it as holds both.
const RUN_TIME: usize = 192;
const RUN_COUNT: usize = 200;
const INFO: usize = 208;

/// While it lives the kernel times every program: two readings of the clock a run, of which one counts as the program's.
///
/// # Errors
/// The kernel's refusal (before 5.8 there is no such command).
pub fn enable() -> io::Result<OwnedFd> {
    bpf::call_for_fd(ENABLE_STATS, &mut [STATS_RUN_TIME])
}

/// What a program took so far, while that was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunTime {
    /// Nanoseconds in all.
    pub nanoseconds: u64,
    /// Runs.
    pub runs: u64,
}

impl RunTime {
    /// Of a program.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn of(program: &OwnedFd) -> io::Result<Self> {
        let mut info = [0_u8; INFO];
        let mut attributes = [program.as_raw_fd().cast_unsigned(), u32::try_from(INFO).unwrap_or(0), 0, 0];
        bpf::put_address(&mut attributes, 2, info.as_mut_ptr().cast_const());
        bpf::call(OBJ_GET_INFO_BY_FD, &mut attributes)?;
        let number = |at: usize| -> io::Result<u64> {
            let bytes = info.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            Ok(u64::from_ne_bytes(bytes.ok_or(io::ErrorKind::UnexpectedEof)?))
        };
        Ok(Self { nanoseconds: number(RUN_TIME)?, runs: number(RUN_COUNT)? })
    }

    /// Nanoseconds of each run since `before`; `None` if there was none.
    pub fn mean_since(self, before: Self) -> Option<f64> {
        let runs = self.runs.checked_sub(before.runs).filter(|&runs| runs > 0)?;
        Some(self.nanoseconds.wrapping_sub(before.nanoseconds) as f64 / runs as f64)
    }
}

/// What this thread has taken of its processor: waiting and other threads do not count.
///
/// # Errors
/// Never on Linux.
pub fn thread_time() -> io::Result<Duration> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?))
}

/// What the programs that this process ran to their end have taken of the processors.
///
/// # Errors
/// Never on Linux.
pub fn children_time() -> io::Result<Duration> {
    // SAFETY: an all-zero one is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes the live value.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let micros = |time: libc::timeval| {
        Duration::from_micros(time.tv_sec.cast_unsigned() * 1_000_000 + time.tv_usec.cast_unsigned())
    };
    Ok(micros(usage.ru_utime) + micros(usage.ru_stime))
}

/// Keeps this thread on the processor it is on, and asks that no ordinary thread interrupts it. What is refused only
/// makes times noisier.
pub fn steady() {
    if let Ok(processor) = nix::sched::sched_getcpu() {
        let _ = steady_on(processor);
    }
}

/// [`steady`] on a chosen processor.
///
/// # Errors
/// The kernel's refusal.
pub fn steady_on(processor: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set)?;
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters are live; 0 is this thread. What it starts is ordinary again.
    let answer =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
