//! T4 and T11: what it costs to have many rules: for each new session, to apply them, and in memory.
//!
//! All sizes of one kind are applied to one instance, each a generation of its own, and the rounds switch between them.
//! So the programs, the tables of sessions and their noise are the same, and only the rules differ.

use std::{
    fs, io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mseg::{
    compile::{RuleIds, compile},
    generation,
    instance::{Access, Instance, Options},
    policy,
};
use mseg_ebpf::abi::config::Config;
use mseg_tests::{
    bed::{Bed, PASSED},
    bpf,
    bpffs::BPFFS,
    hook::Hook,
    lab::Lab,
    run_time::{self, RunTime},
};
use serde_json::{Value, json};

use crate::{
    floor::Floor,
    measure::{Plan, Random, Times},
    reads,
    report::{Goal, Report, times},
    rule_sets::{Kind, Packet, RuleSet},
};

const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
const GROWTH: Goal = Goal::at_most(1.3, 1.15);
/// Seconds for 10,000 rules, and for 100,000.
const APPLIED: [(usize, Goal); 2] = [(10_000, Goal::at_most(1.0, 1.0)), (100_000, Goal::at_most(5.0, 5.0))];

/// Rules that are in use at a time, of however many: those of the smallest set, and more of them.
const FEW: usize = SIZES[0];
const BUSY: usize = 1_000;

/// More than the tables of half-open sessions hold.
const FILL: usize = 16_384;

/// One rule set, applied.
struct Applied {
    size: usize,
    packets: Vec<Packet>,
    /// Of [`BUSY`] of the rules, spread over all of them.
    busy: Vec<Packet>,
    generation: u32,
    look_ups: (f64, u32),
    compile: Duration,
    library: Duration,
    /// Of `msegctl policy apply`: by the clock, and of the processors.
    command: (Duration, Duration),
    entries: u32,
    bytes: u64,
}

pub(crate) fn rows(plan: &Plan, report: &mut Report) -> Result<()> {
    let (kinds, sizes) = match plan.quick {
        true => (&[Kind::Hosts, Kind::Nested][..], &SIZES[..2]),
        false => (&Kind::ALL[..], &SIZES[..]),
    };
    reads::rows(report);
    println!(
        "T4   {:<17} {:>7} {:>9} {:>4} {:>8} {:>8} {:>7} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8} {:>9}",
        "rules",
        "number",
        "look-ups",
        "most",
        "ns",
        "median",
        "ratio",
        "",
        "1,000 ns",
        "ratio",
        "all ns",
        "ratio",
        "compile",
        "library",
        "msegctl",
        "its CPU",
        "KiB"
    );
    for kind in kinds {
        let lab = Lab::new(Hook::Tcx)?;
        lab.server.run(|| one(&lab, *kind, sizes, plan, report)).with_context(|| format!("rules: {}", kind.name()))?;
        lab.detach_all()?;
    }
    Ok(())
}

fn one(lab: &Lab, kind: Kind, sizes: &[usize], plan: &Plan, report: &mut Report) -> Result<()> {
    let (bed, floor) = (Bed::new(lab)?, Floor::load()?);
    let mut applied = vec![];
    for (size, tried) in sizes.iter().zip(apply(lab, kind, sizes)?) {
        match tried {
            Ok(set) => applied.push(set),
            Err(error) => {
                println!("     {:<17} {size:>7} REFUSED: {error}", kind.name());
                report.note(
                    "T4",
                    &format!("{}: {size} rules, refused", kind.name()),
                    f64::NAN,
                    "",
                    None,
                    &[("error", error.into())],
                );
            }
        }
    }
    let taken = run_time_of(lab, &bed, &floor, plan, &applied)?;
    let base = &taken[0];
    for (set, taken) in applied.iter().zip(&taken) {
        let size = &set.size;
        let ratios = taken.over(base);
        let goal = (*size == 100_000).then_some(GROWTH);
        let seconds = |time: Duration| time.as_secs_f64();
        println!(
            "     {:<17} {size:>7} {:>9.2} {:>4} {:>8.0} {:>8.0} {:>7.2} {:>8} {:>9.0} {:>9.2} {:>9.0} {:>9.2} {:>9.3} {:>9.3} {:>8.3} {:>8.3} {:>9}",
            kind.name(),
            set.look_ups.0,
            set.look_ups.1,
            taken.few.minimum(),
            taken.few.median(),
            ratios.few,
            goal.map_or("", |goal| goal.reached(ratios.few)),
            taken.busy.minimum(),
            ratios.busy,
            taken.all.minimum(),
            ratios.all,
            seconds(set.compile),
            seconds(set.library),
            seconds(set.command.0),
            seconds(set.command.1),
            set.bytes / 1024,
        );
        let row = |in_use: &str| format!("new flow, {size} rules over {FEW}, {in_use} in use: {}", kind.name());
        report.note(
            "T4",
            &row(&format!("the same {FEW}")),
            ratios.few,
            "x",
            goal,
            &[
                ("rules", (*size).into()),
                ("look_ups", json!({"mean": set.look_ups.0, "most": set.look_ups.1})),
                ("mseg", times(&taken.few)),
                ("by_median", (taken.few.median() / base.few.median()).into()),
                ("verdicts", set.entries.into()),
                ("map_bytes", set.bytes.into()),
            ],
        );
        for (in_use, ratio, own) in [("1,000", ratios.busy, &taken.busy), ("all", ratios.all, &taken.all)] {
            report.note("T4", &row(in_use), ratio, "x", None, &[("rules", (*size).into()), ("mseg", times(own))]);
        }
        let goal = APPLIED.iter().find(|(of, _)| of == size).map(|(_, goal)| *goal);
        report.note(
            "T11",
            &format!("apply {size} rules: {}", kind.name()),
            seconds(set.command.0),
            "s",
            goal,
            &[
                ("msegctl_cpu_s", rounded(set.command.1)),
                ("library_s", rounded(set.library)),
                ("compile_s", rounded(set.compile)),
            ],
        );
    }
    Ok(())
}

fn rounded(time: Duration) -> Value {
    ((time.as_secs_f64() * 1e4).round() / 1e4).into()
}

/// Applies every size by msegctl, then by the library, so that at last all are kept. A refusal is not an error.
fn apply(lab: &Lab, kind: Kind, sizes: &[usize]) -> Result<Vec<Result<Applied, String>>> {
    let mut commands = vec![];
    for size in sizes {
        // Another policy than the one that the library applies, or it would have nothing to do.
        let text = format!("{}timeout icmp 31s\n", RuleSet::new(kind, *size).text);
        let path = lab.policy(&text)?;
        let (before, started) = (run_time::children_time()?, Instant::now());
        let ran = lab.run("msegctl", &["policy", "apply", path])?;
        commands.push((started.elapsed(), run_time::children_time()?.saturating_sub(before)));
        ensure!(matches!(ran.status.code(), Some(0 | 5)), "cannot apply {size} rules:\n{ran}");
    }
    sizes.iter().zip(commands).map(|(size, command)| by_library(lab, kind, *size, command)).collect()
}

fn by_library(lab: &Lab, kind: Kind, size: usize, command: (Duration, Duration)) -> Result<Result<Applied, String>> {
    let RuleSet { text, packets } = RuleSet::new(kind, size);
    let policy = policy::parse("bench", &text)?;
    let started = Instant::now();
    let compiled = match compile(&policy, &mut RuleIds::new()) {
        Ok(compiled) => compiled,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let compile = started.elapsed();
    let counts: Option<Vec<u32>> = packets
        .iter()
        .map(|packet| compiled.tables.look_up(&packet.tuple()).filter(|answer| answer.verdict.is_some()))
        .map(|answer| Some(answer?.look_ups))
        .collect();
    let counts = counts.context("no rule matches a packet of its own")?;
    let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    let look_ups = (mean, counts.iter().copied().max().unwrap_or(0));
    let (library, applied) = lab.mounts.run(|| {
        let started = Instant::now();
        let applied = Instance::open(&Options::default(), Access::Write)
            .and_then(|instance| generation::apply(&mut instance.lock()?, &policy, None));
        (started.elapsed(), applied)
    });
    let applied = applied?;
    let bytes = lab.mounts.run(|| memory(applied.generation))?;
    let (generation, entries) = (applied.generation, applied.entries);
    let busy = packets.iter().step_by(packets.len().div_ceil(BUSY)).copied().collect();
    Ok(Ok(Applied { size, packets, busy, generation, look_ups, compile, library, command, entries, bytes }))
}

/// Bytes of a generation's maps.
fn memory(generation: u32) -> Result<u64> {
    let mut bytes = 0;
    for pin in fs::read_dir(format!("{BPFFS}/mseg/default/policy/{generation}"))? {
        bytes += bpf::map_field(&bpf::open_pin(&pin?.path())?, "memlock")?;
    }
    Ok(bytes)
}

/// What a new flow takes by one rule set, by how many of its rules are in use.
#[derive(Clone, Default)]
struct Taken {
    /// [`FEW`], the same in every set.
    few: Times,
    /// [`BUSY`], spread over all.
    busy: Times,
    /// All.
    all: Times,
}

/// Likewise, over a new flow of the smallest set with the same use.
struct Ratios {
    few: f64,
    busy: f64,
    all: f64,
}

impl Taken {
    fn over(&self, base: &Self) -> Ratios {
        let ratio = |own: &Times, base: &Times| own.minimum() / base.minimum();
        // All of the smallest set's rules are in use with few.
        Ratios {
            few: ratio(&self.few, &base.few),
            busy: ratio(&self.busy, &base.few),
            all: ratio(&self.all, &base.few),
        }
    }
}

fn run_time_of(lab: &Lab, bed: &Bed<'_>, floor: &Floor, plan: &Plan, sets: &[Applied]) -> Result<Vec<Taken>> {
    let config = lab.mounts.run(|| bpf::open_pin(format!("{BPFFS}/mseg/default/maps/CONFIG").as_ref()))?;
    run_time::steady();
    let mut draw = Draw { random: Random(1), turn: 0 };
    for set in sets {
        activate(&config, set.generation)?;
        draw.run(bed, &bed.ingress, &set.packets, FILL)?;
    }
    let _enabled = run_time::enable().context("the kernel does not time programs")?;
    let mut timed = |program: &OwnedFd, packets: &[Packet], strict: bool| -> Result<f64> {
        let (before, created) = (RunTime::of(program)?, if strict { bed.created()? } else { 0 });
        draw.run(bed, program, packets, plan.spread as usize)?;
        let mean = RunTime::of(program)?.mean_since(before).context("the kernel timed no run")?;
        let opened = if strict { bed.created()? - created } else { 0 };
        ensure!(!strict || opened * 1_000 > u64::from(plan.spread) * 999, "{opened} of {} sessions", plan.spread);
        Ok(mean)
    };
    let mut noop = Times::default();
    let mut taken = vec![Taken::default(); sets.len()];
    for round in 0..plan.rounds {
        noop.0.push(timed(&floor.noop, &sets[0].packets, false)?);
        for (set, taken) in sets.iter().zip(&mut taken) {
            activate(&config, set.generation)?;
            taken.all.0.push(timed(&bed.ingress, &set.packets, round == 0)?);
            taken.busy.0.push(timed(&bed.ingress, &set.busy, false)?);
        }
        // One set after the other, so that what the caches hold of a set is not of other packets.
        for (set, taken) in sets.iter().zip(&mut taken) {
            activate(&config, set.generation)?;
            taken.few.0.push(timed(&bed.ingress, &sets[0].packets, false)?);
        }
    }
    let less =
        |taken: &Taken| Taken { few: taken.few.less(&noop), busy: taken.busy.less(&noop), all: taken.all.less(&noop) };
    Ok(taken.iter().map(less).collect())
}

/// Makes a kept generation the active one.
fn activate(config: &OwnedFd, generation: u32) -> io::Result<()> {
    let mut value = bpf::look_up(config, 0, size_of::<Config>())?;
    value[..4].copy_from_slice(&generation.to_ne_bytes());
    bpf::update(config, 0, &value)
}

/// Draws rules at random, and no flow again before it is forgotten.
struct Draw {
    random: Random,
    turn: u32,
}

impl Draw {
    fn run(&mut self, bed: &Bed<'_>, program: &OwnedFd, packets: &[Packet], runs: usize) -> Result<()> {
        bed.for_each(0..runs as u32, |_| {
            self.turn += 1;
            let packet = &packets[self.random.below(packets.len())];
            let frame = packet.frame(1_024 + (self.turn % 60_000) as u16);
            let returned = bed.run(program, &frame, 1)?.returned;
            if returned != PASSED {
                bail!(
                    "{packet:?} of turn {} is not passed: {returned}, {:#}",
                    self.turn,
                    bed.lab().stats()?["reasons"]
                );
            }
            Ok(())
        })
    }
}
