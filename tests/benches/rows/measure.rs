//! Taking times, so that what is compared meets the same noise: round after round, each contender once in each.
//!
//! *Hot*: one frame, many times in one call (`repeat`), by the processor time of this thread. It includes the call of
//! the program, which is what [`Floor::noop`](super::floor::Floor) takes.
//!
//! *Spread*: many flows, one call a frame, by the kernel's own account of the program. That includes one reading of the
//! clock, so what `noop` takes on the same account is taken off; the caches meanwhile see a system call and a frame's
//! allocation between two packets, about as they do in real traffic.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    bed::Bed,
    flows::Frames,
    run_time::{self, RunTime},
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Only to see that it can be measured.
    pub(crate) quick: bool,
    /// Rounds.
    pub(crate) rounds: usize,
    /// Runs of one contender in one hot round.
    pub(crate) repeat: u32,
    /// Runs of one contender in one spread round, at least.
    pub(crate) spread: u32,
    /// Flows of the largest table.
    pub(crate) many: u32,
    /// Datagrams of one round through a veth pair.
    pub(crate) blast: usize,
    /// Sessions that must survive.
    pub(crate) established: u32,
    /// Packets of a flood.
    pub(crate) flood: u32,
}

/// One program and its frames.
pub(crate) struct Contender<'a> {
    pub(crate) program: &'a OwnedFd,
    pub(crate) frames: Frames,
    /// What it must return.
    pub(crate) returns: i32,
    /// The next client, where each run is of a new one.
    pub(crate) fresh: Option<u32>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(program: &'a OwnedFd, frames: Frames, returns: i32) -> Self {
        Self { program, frames, returns, fresh: None }
    }

    /// Every run is of a new client, from this one on.
    pub(crate) fn fresh(self, from: u32) -> Self {
        Self { fresh: Some(from), ..self }
    }
}

/// Nanoseconds of one run, by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(pub(crate) Vec<f64>);

impl Times {
    pub(crate) fn minimum(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Without what something else takes, at its least.
    pub(crate) fn less(&self, other: &Self) -> Self {
        let off = other.minimum();
        Self(self.0.iter().map(|time| time - off).collect())
    }
}

/// D. E. Knuth's linear congruential generator, of which the upper bits are good: the same numbers in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) const fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Times of one frame of client 0, run again and again.
pub(crate) fn hot(bed: &Bed<'_>, plan: &Plan, contenders: &mut [Contender<'_>]) -> Result<Vec<Times>> {
    let mut times = vec![Times::default(); contenders.len()];
    for _ in 0..plan.rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let frame = contender.frames.of(0);
            let before = run_time::thread_time()?;
            let returned = bed.run(contender.program, frame, plan.repeat)?.returned;
            let took = run_time::thread_time()?.saturating_sub(before);
            ensure!(returned == contender.returns, "a program returned {returned}, expected {}", contender.returns);
            times.0.push(took.as_secs_f64() * 1e9 / f64::from(plan.repeat));
        }
    }
    Ok(times)
}

/// Times of `flows` flows, each frame of another one, in an order that no prefetcher guesses.
pub(crate) fn spread(bed: &Bed<'_>, plan: &Plan, contenders: &mut [Contender<'_>], flows: u32) -> Result<Vec<Times>> {
    // Odd, so that it meets every number below a power of two once.
    const STRIDE: u32 = 40_503;
    let runs = plan.spread.max(flows);
    let _enabled = run_time::enable().context("the kernel does not time programs")?;
    let mut times = vec![Times::default(); contenders.len()];
    for _ in 0..plan.rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let before = RunTime::of(contender.program)?;
            bed.for_each(0..runs, |turn| {
                let client = match &mut contender.fresh {
                    Some(next) => {
                        *next += 1;
                        *next
                    }
                    None => turn.wrapping_mul(STRIDE) % flows,
                };
                let returned = bed.run(contender.program, contender.frames.of(client), 1)?.returned;
                ensure!(returned == contender.returns, "a program returned {returned}, expected {}", contender.returns);
                Ok(())
            })?;
            let mean = RunTime::of(contender.program)?.mean_since(before).context("the kernel timed no run")?;
            times.0.push(mean);
        }
    }
    Ok(times)
}
