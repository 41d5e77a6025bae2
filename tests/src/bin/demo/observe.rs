//! Watching a real interface: attached in observe mode, so nothing is dropped, and detached at the end.

use std::time::Duration;

use anyhow::{Context, Result};
use mseg_tests::{
    bpffs::Mounts,
    documents::expect,
    hook::Attached,
    interface,
    namespace::Namespace,
    process::{Place, Ran},
    programs::Programs,
};

use crate::{interrupt, narrator::Narrator};

const WATCH: Duration = Duration::from_secs(5);

/// Shows an interface of this machine.
pub(crate) fn run(narrator: &mut Narrator, name: &str) -> Result<()> {
    interface::index(name)?;
    let (network, mounts) = (Namespace::current()?, Mounts::new(Programs::get()?.all())?);
    let place = Place { network: &network, mounts: &mounts, user: None };
    let before = Attached::to(&network, name)?;
    narrator.begin();
    let shown = show(narrator, place, name);
    // Also after a failure or Ctrl-C. The pins are private to this demo: an mseg in use here is not touched.
    let detached =
        if mounts.pins()?.is_empty() { Ok(None) } else { place.run("mseg-loader", &["detach", "--all"]).map(Some) };
    shown?;
    if let Some(ran) = detached? {
        narrator.ran(ran)?;
    }
    let after = Attached::to(&network, name)?;
    let same = if after == before { Ok(()) } else { Err(anyhow::anyhow!("{before:?} became {after:?}")) };
    narrator.claim(&format!("what is attached to {name} is as before"), same)?;
    narrator.finish()
}

fn show(narrator: &mut Narrator, place: Place<'_>, name: &str) -> Result<()> {
    let run = |program: &str, arguments: &[&str]| -> Result<Ran> { place.run(program, arguments) };
    narrator.chapter(&format!("Observe {name}: every packet is judged and counted, none is dropped"))?;
    narrator.ran(run("mseg-loader", &["attach", name])?)?;
    narrator.say(&format!("... watching for {} seconds ...", WATCH.as_secs()))?;
    interrupt::sleep(WATCH)?;
    narrator.ran(run("msegctl", &["status"])?)?;
    let sessions = run("msegctl", &["session", "list", "--sort", "bytes", "--limit", "20"])?;
    if sessions.status.code() == Some(1) {
        narrator.say("\nThere was no session in that time.")?;
    } else {
        narrator.ran(sessions)?;
    }
    narrator.ran(run("msegctl", &["stats", "show"])?)?;
    let stats = run("msegctl", &["-j", "stats", "show"])?.ok()?.json().context("statistics")?;
    narrator.claim("no packet was dropped", expect(&stats, "/packets/denied", 0))
}
