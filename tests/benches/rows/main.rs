//! What mseg measures itself by, as ratios from one run on one machine: see README.md beside this folder.
//!
//!     cargo bench -p mseg-tests                        every row, and target/mseg-bench.json
//!     cargo bench -p mseg-tests -- T1 T6               these alone
//!     cargo bench -p mseg-tests -- --quick             only to see that it can be measured
//!     cargo bench -p mseg-tests -- --flood 10000000    the whole flood of T9
//!     cargo bench -p mseg-tests -- --json FILE --rounds 31

mod against;
mod applies;
mod denied;
mod established;
mod flood;
mod floor;
mod fresh;
mod growth;
mod measure;
mod memory;
mod nftables;
mod reads;
mod report;
mod rule_sets;
mod throughput;

use std::{env, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use mseg_tests::privilege;

use measure::Plan;
use report::Report;

/// A group of rows, and what measures them.
type Group = (&'static [&'static str], fn(&Plan, &mut Report) -> Result<()>);

const GROUPS: [Group; 10] = [
    (&["T1", "T6"], established::hot),
    (&["T2"], established::spread),
    (&["T3"], fresh::rows),
    (&["T4"], growth::rows),
    (&["T11"], applies::rows),
    (&["T5"], denied::rows),
    (&["T7"], throughput::rows),
    (&["T8"], against::rows),
    (&["T9"], flood::rows),
    (&["T12"], memory::rows),
];

/// What the command line asks for.
struct Arguments {
    plan: Plan,
    rows: Vec<String>,
    json: PathBuf,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Some(arguments) = arguments(env::args().skip(1))? else {
        return Ok(());
    };
    if !privilege::can_run_kernel_tests() {
        return Ok(());
    }
    let mut report = Report::default();
    for (ids, measure) in GROUPS {
        let wanted = arguments.rows.is_empty() || ids.iter().any(|id| arguments.rows.iter().any(|row| row == id));
        if wanted {
            measure(&arguments.plan, &mut report).with_context(|| format!("cannot measure {}", ids.join(", ")))?;
        }
    }
    let document = report.document(arguments.plan.quick, arguments.plan.rounds);
    fs::write(&arguments.json, format!("{document:#}\n"))
        .with_context(|| format!("cannot write {}", arguments.json.display()))?;
    println!("\nwritten to {}", arguments.json.display());
    Ok(())
}

/// `None` when this is not run by `cargo bench`: `cargo test --benches` runs it too, and measures nothing.
fn arguments(mut given: impl Iterator<Item = String>) -> Result<Option<Arguments>> {
    let target =
        env::current_exe()?.ancestors().nth(3).context("this executable is not in a target directory")?.to_owned();
    let full = Plan {
        quick: false,
        rounds: 15,
        repeat: 100_000,
        spread: 16_384,
        many: 65_536,
        blast: 100_000,
        established: 100_000,
        flood: 1_000_000,
    };
    let quick = Plan {
        quick: true,
        rounds: 3,
        repeat: 10_000,
        spread: 2_048,
        many: 8_192,
        blast: 20_000,
        established: 10_000,
        flood: 50_000,
    };
    let mut arguments = Arguments { plan: full, rows: vec![], json: target.join("mseg-bench.json") };
    let (mut by_cargo, mut rounds, mut flood) = (false, None, None);
    while let Some(argument) = given.next() {
        let mut value = || given.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => by_cargo = true,
            "--quick" => arguments.plan = quick,
            "--json" => arguments.json = value()?.into(),
            "--rounds" => rounds = Some(value()?.parse().context("--rounds needs a number")?),
            "--flood" => flood = Some(value()?.parse().context("--flood needs a number")?),
            row if GROUPS.iter().any(|(ids, _)| ids.contains(&row)) => arguments.rows.push(argument),
            other => bail!("unknown argument {other}; see the head of tests/benches/rows/main.rs"),
        }
    }
    arguments.plan.rounds = rounds.unwrap_or(arguments.plan.rounds);
    arguments.plan.flood = flood.unwrap_or(arguments.plan.flood);
    Ok(by_cargo.then_some(arguments))
}
