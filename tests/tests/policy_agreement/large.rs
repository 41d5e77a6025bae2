//! Policies of thousands of rules: compiled or refused, in bounded time and memory.

use std::{
    fs,
    io::{self, Write},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mseg::{
    compile::{RuleIds, compile},
    error::Code,
    policy::arbitrary::{Random, random_policy},
};
use nix::time::{ClockId, clock_gettime};

/// The rules of the largest.
const RULES: usize = 5000;

/// Compiles policies for so long, and says which took longest.
pub(crate) fn compiled_or_refused(seed: u64, time: Duration) -> Result<()> {
    let (mut slowest, mut compiled, mut refused) = ((Duration::ZERO, 0, 0), 0, 0);
    let began = Instant::now();
    for seed in seed.. {
        if began.elapsed() > time {
            break;
        }
        let mut random = Random(Random(seed).next());
        let rules = random.below(RULES);
        let policy = random_policy(&mut random, rules);
        let started = processor_time()?;
        match compile(&policy, &mut RuleIds::new()) {
            Ok(_) => compiled += 1,
            Err(error) => {
                ensure!(error.code == Code::InvalidPolicy && error.message.contains('`'), "policy {seed}: {error}");
                refused += 1;
            }
        }
        slowest = slowest.max((processor_time()?.saturating_sub(started), seed, rules));
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).context("no VmHWM")?;
    let (longest, seed, rules) = slowest;
    writeln!(
        io::stderr(),
        "{compiled} policies were compiled, {refused} refused; the slowest, {seed} with {rules} rules, took {longest:?} of a processor; {memory}"
    )?;
    Ok(())
}

/// This thread's: a busy machine makes nothing slower.
fn processor_time() -> Result<Duration> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?))
}
