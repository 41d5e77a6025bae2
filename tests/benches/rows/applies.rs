//! T11: what else is there while large policies come and go: late wake-ups on each processor, and maps that stay.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use mseg::{
    generation,
    instance::{Access, Instance, Options},
    policy::{self, Policy},
};
use mseg_tests::{bed::Bed, bpf, bpffs::BPFFS, hook::Hook, lab::Lab, run_time, wait::eventually};
use serde_json::{Value, json};

use crate::{
    measure::Plan,
    report::Report,
    rule_sets::{Kind, RuleSet},
};

/// Between two wake-ups.
const TICK: Duration = Duration::from_micros(500);

pub(crate) fn rows(plan: &Plan, report: &mut Report) -> Result<()> {
    let (rules, large, small) = if plan.quick { (1_000, 4, 10) } else { (100_000, 20, 100) };
    let lab = Lab::new(Hook::Tcx)?;
    lab.server.run(|| -> Result<()> {
        let _bed = Bed::new(&lab)?;
        lab.mounts.run(|| -> Result<()> {
            stalls(rules, large, report)?;
            leaks(small, report)
        })
    })?;
    lab.detach_all()
}

/// Late wake-ups of a thread on each processor that goes before all others, without and with applies.
fn stalls(rules: usize, applies: usize, report: &mut Report) -> Result<()> {
    let policies = variants(RuleSet::new(Kind::Both, rules).text)?;
    // As many as there are slots, so that each apply below frees one of that size.
    (0..4).try_for_each(|turn| apply(&policies, turn))?;
    let stop = AtomicBool::new(false);
    let (busy, took) = thread::scope(|scope| -> Result<_> {
        let watch = scope.spawn(|| watch(&stop));
        let started = Instant::now();
        let applied = (0..applies).try_for_each(|turn| apply(&policies, turn));
        let took = started.elapsed();
        // The last one freed goes after the apply has ended.
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        applied?;
        Ok((watch.join().map_err(|_| anyhow!("a thread panicked"))??, took))
    })?;
    let stop = AtomicBool::new(false);
    let idle = thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&stop));
        thread::sleep(took + Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        watch.join().map_err(|_| anyhow!("a thread panicked"))?
    })?;
    let applies = applies as f64;
    let most = |late: &Late| late.most.as_secs_f64() * 1e6;
    report.row(
        "T11",
        &format!("latest wake-up while {applies} x {rules} rules are applied"),
        most(&busy),
        "us",
        None,
        &[
            ("applying", busy.document()),
            ("not_applying", idle.document()),
            ("seconds_an_apply", (took.as_secs_f64() / applies).into()),
        ],
    );
    Ok(())
}

/// A policy twice, different in one line, so that each apply has something to do.
fn variants(text: String) -> Result<[Policy; 2]> {
    Ok([policy::parse("bench", &text)?, policy::parse("bench", &format!("{text}timeout icmp 31s\n"))?])
}

fn apply(policies: &[Policy; 2], turn: usize) -> Result<()> {
    let instance = Instance::open(&Options::default(), Access::Write)?;
    ensure!(generation::apply(&mut instance.lock()?, &policies[turn % 2], None)?.changed, "nothing was applied");
    Ok(())
}

/// How late wake-ups were.
#[derive(Default)]
struct Late {
    most: Duration,
    /// Of 1 ms and more.
    of_1_ms: u32,
    all: u32,
    sum: Duration,
}

impl Late {
    fn document(&self) -> Value {
        let mean = self.sum.as_secs_f64() * 1e6 / f64::from(self.all.max(1));
        let most = self.most.as_secs_f64() * 1e6;
        json!({"most_us": most.round(), "mean_us": (mean * 10.0).round() / 10.0, "over_1_ms": self.of_1_ms, "wake_ups": self.all})
    }
}

/// Until `stop`, on all processors.
fn watch(stop: &AtomicBool) -> Result<Late> {
    let watch = |processor: usize| -> Result<Late> {
        run_time::steady_on(processor).context("cannot go before other threads")?;
        let mut late = Late::default();
        while !stop.load(Ordering::Relaxed) {
            let asleep = Instant::now();
            thread::sleep(TICK);
            let by = asleep.elapsed().saturating_sub(TICK);
            late.most = late.most.max(by);
            late.of_1_ms += u32::from(by >= Duration::from_millis(1));
            late.all += 1;
            late.sum += by;
        }
        Ok(late)
    };
    let mut all = Late::default();
    thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..thread::available_parallelism()?.get())
            .map(|processor| scope.spawn(move || watch(processor)))
            .collect();
        for thread in threads {
            let late = thread.join().map_err(|_| anyhow!("a thread panicked"))??;
            all.most = all.most.max(late.most);
            all.of_1_ms += late.of_1_ms;
            all.all += late.all;
            all.sum += late.sum;
        }
        Ok(())
    })?;
    Ok(all)
}

/// Maps of generations that are gone must be gone, and those that stay as large as ever.
fn leaks(applies: usize, report: &mut Report) -> Result<()> {
    let policies = variants(RuleSet::new(Kind::Both, 1_000).text)?;
    (0..4).try_for_each(|turn| apply(&policies, turn))?;
    let (before, mut ids) = kept()?;
    for turn in 0..applies {
        apply(&policies, turn)?;
        ids.extend(kept()?.1);
    }
    let (after, now) = kept()?;
    ids.sort_unstable();
    ids.dedup();
    let living = || ids.iter().filter(|id| !now.contains(id) && bpf::map_lives(**id)).count();
    // The kernel frees them some time after the last use.
    let left = eventually(|| match living() {
        0 => Ok(0),
        some => Err(anyhow!("{some} maps are still there")),
    });
    report.row(
        "T11",
        &format!("maps left behind by {applies} applies"),
        left.unwrap_or_else(|_| living()) as f64,
        "",
        Some(crate::report::Goal::at_most(0.0, 0.0)),
        &[("maps_made", ids.len().into()), ("kept_bytes_before", before.into()), ("kept_bytes_after", after.into())],
    );
    Ok(())
}

/// Bytes and ids of the maps of all kept generations.
fn kept() -> Result<(u64, Vec<u32>)> {
    let (mut bytes, mut ids) = (0, vec![]);
    for generation in fs::read_dir(format!("{BPFFS}/mseg/default/policy"))? {
        for pin in fs::read_dir(generation?.path())? {
            let map = bpf::open_pin(&pin?.path())?;
            bytes += bpf::map_field(&map, "memlock")?;
            ids.push(u32::try_from(bpf::map_field(&map, "map_id")?)?);
        }
    }
    Ok((bytes, ids))
}
