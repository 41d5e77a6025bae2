//! Making policies and packets by number, on several threads, and saying what failed.

use std::{
    env,
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow};
use mseg::policy::{
    Policy,
    arbitrary::{Random, boundary_packets, random_packets, random_policy, shrink, spread_policy},
    evaluate::Packet,
};

use crate::{coverage::Coverage, host, program};

/// Threads that have an instance of their own. They wait for the kernel most of the time.
const INSTANCES: u64 = 16;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    first: u64,
    policies: u64,
    packets: usize,
}

/// What went wrong with a policy; with the packet, if it is about one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) packet: Option<Packet>,
    pub(crate) error: anyhow::Error,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { packet: None, error }
    }
}

/// Tries packets on a policy, and counts what they were.
pub(crate) trait Judge {
    fn judge(&mut self, policy: &Policy, packets: &[Packet], coverage: &mut Coverage) -> Result<(), Failure>;
}

/// The policy of a number: few rules mostly, sometimes hundreds.
fn policy(seed: u64, random: &mut Random) -> Policy {
    // In every run that is not very short.
    if seed % 64 == 7 {
        return spread_policy(random);
    }
    let rules = match random.below(100) {
        0..80 => random.below(13),
        80..98 => random.below(60),
        _ => random.below(401),
    };
    random_policy(random, rules)
}

impl Run {
    /// With these numbers of policies and packets unless the environment says others.
    pub(crate) fn from_environment(policies: u64, packets: u64) -> Result<Self> {
        let number = |name: &str, default| match env::var(name) {
            Ok(text) => text.replace('_', "").parse::<u64>().with_context(|| format!("{name}={text} is no number")),
            Err(_) => Ok(default),
        };
        Ok(Self {
            first: number("MSEG_SEED", 0)?,
            policies: number("MSEG_POLICIES", policies)?,
            packets: usize::try_from(number("MSEG_PACKETS", packets)?)?,
        })
    }

    /// The number of the first policy.
    pub(crate) fn first(self) -> u64 {
        self.first
    }

    /// Evaluator and tables.
    pub(crate) fn on_the_host(self) -> Result<()> {
        let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
        self.on_threads(threads, |work| work(&mut host::Host))
    }

    /// Evaluator, tables out of the kernel, and programs.
    pub(crate) fn in_the_kernel(self) -> Result<()> {
        self.on_threads(INSTANCES.min(self.policies.div_ceil(8)), program::with_instance)
    }

    /// Runs `start` on each thread: it makes a judge and gives it to the work.
    fn on_threads(
        self,
        threads: u64,
        start: impl Fn(&mut (dyn FnMut(&mut dyn Judge) -> Result<()> + Send)) -> Result<()> + Sync,
    ) -> Result<()> {
        let began = Instant::now();
        let (next, over, all) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Coverage::default()));
        let work = |judge: &mut dyn Judge| {
            let mut coverage = Coverage::default();
            while !over.load(Relaxed) {
                let number = next.fetch_add(1, Relaxed);
                if number >= self.policies {
                    break;
                }
                self.one(self.first + number, judge, &mut coverage).inspect_err(|_| over.store(true, Relaxed))?;
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).add(&coverage);
            Ok(())
        };
        thread::scope(|scope| -> Result<()> {
            let name = thread::current().name().unwrap_or("test").to_owned();
            let spawn = |_| thread::Builder::new().name(name.clone()).spawn_scoped(scope, || start(&mut { work }));
            let threads: Vec<_> = (0..threads).map(spawn).collect::<io::Result<_>>()?;
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
        })?;
        let coverage = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Past the capture of libtest: what was proven.
        writeln!(io::stderr(), "{coverage}, in {:.1} s", began.elapsed().as_secs_f64())?;
        coverage.is_wide()
    }

    fn one(self, seed: u64, judge: &mut dyn Judge, coverage: &mut Coverage) -> Result<()> {
        // Neighbouring seeds would give numbers that are one step apart.
        let mut random = Random(Random(seed).next());
        let policy = policy(seed, &mut random);
        let mut packets = boundary_packets(&policy, &mut random);
        let more = self.packets.saturating_sub(packets.len());
        packets.extend(random_packets(&policy, &mut random, more));
        let Err(failure) = judge.judge(&policy, &packets, coverage) else {
            return Ok(());
        };
        let small = smallest(&policy, &failure, judge);
        let packet = failure.packet.map_or_else(String::new, |packet| format!("{packet:#?}\n"));
        Err(failure.error.context(format!(
            "policy {seed} (MSEG_SEED={seed} MSEG_POLICIES=1 makes it again), whose smallest part that fails is:\n{small}{packet}"
        )))
    }
}

/// The smallest part of a policy of which one of the judgements is wrong.
pub(crate) fn smallest(policy: &Policy, failure: &Failure, judge: &mut dyn Judge) -> Policy {
    let packets = failure.packet.as_slice();
    shrink(policy, &mut |policy| judge.judge(policy, packets, &mut Coverage::default()).is_err())
}
