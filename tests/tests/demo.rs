//! The demo itself: it succeeds, can be interrupted, and says clearly what it needs.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    bpffs::Mounts, daemon::Daemon, hook::Attached, namespace::Namespace, process::Place, programs::Programs,
    require_root, wait::eventually,
};
use nix::sys::signal::{Signal, kill};

struct Machine {
    network: Namespace,
    mounts: Mounts,
}

impl Machine {
    /// A host of its own, with the demo beside the programs, as cargo builds them.
    fn new() -> Result<Self> {
        let demo = PathBuf::from(env!("CARGO_BIN_EXE_demo"));
        let programs = [Programs::get()?.all(), &[demo]].concat();
        Ok(Self { network: Namespace::new()?, mounts: Mounts::new(&programs)? })
    }

    fn place(&self) -> Place<'_> {
        Place { network: &self.network, mounts: &self.mounts, user: None }
    }
}

#[test]
fn tour_succeeds_within_30_seconds() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let began = Instant::now();
    let ran = machine.place().run("demo", &[])?.ok()?;
    ensure!(began.elapsed().as_secs() < 30, "it took {:?}", began.elapsed());
    ensure!(ran.stdout.contains("$ mseg-loader attach") && ran.stdout.contains("claims checked"), "{ran}");
    ensure!(machine.mounts.pins()?.is_empty());
    Ok(())
}

#[test]
fn tour_ends_when_interrupted_and_takes_its_daemon_along() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let tour = Daemon::start(machine.place(), "demo", &[])?;
    let printed = |what: &str| tour.lines().iter().any(|line| line.contains(what));
    eventually(|| {
        ensure!(printed("$ msegd"), "not that far: {:?} {}", tour.lines(), tour.complaints());
        Ok(())
    })?;
    kill(tour.pid(), Signal::SIGINT)?;
    let status = tour.wait().context("it does not end")?;
    ensure!(status.code() == Some(130), "{status}");
    ensure!(machine.mounts.pins()?.is_empty());
    Ok(())
}

#[test]
fn observing_an_interface_leaves_it_as_it_was() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let ran = machine.place().run("demo", &["lo"])?.ok()?;
    ensure!(ran.stdout.contains("no packet was dropped"), "{ran}");
    ensure!(Attached::to(&machine.network, "lo")? == Attached::default());
    machine.place().run("demo", &["nosuch0"])?.exits(1)?.complains(&["nosuch0"])?;
    Ok(())
}

#[test]
fn without_privilege_it_says_so() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let nobody = Place { user: Some(65_534), ..machine.place() };
    nobody.run("demo", &[])?.exits(4)?.complains(&["root", "sudo"])?;
    machine.place().run("demo", &["one", "two"])?.exits(2)?.complains(&["usage"])?;
    Ok(())
}
