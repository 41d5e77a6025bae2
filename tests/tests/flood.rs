//! 100,000 established and idle sessions survive any flood. `MSEG_FLOOD` is how many packets each flood has; the
//! promise is made for ten million.

use std::env;

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    bed::Bed,
    documents::expect,
    flood::{self, Shape},
    hook::Hook,
    lab::Lab,
    privilege, require_root,
};

const ESTABLISHED: u32 = 100_000;
/// More than the session tables hold, so that a flood which could push sessions out would.
const PACKETS: u32 = 150_000;

/// One flood after the other over the same sessions.
fn survive(shapes: &[Shape]) -> Result<()> {
    require_root!();
    let packets = match env::var("MSEG_FLOOD") {
        Ok(text) => text.parse().context("MSEG_FLOOD needs a number of packets")?,
        Err(_) => PACKETS,
    };
    let hook = if privilege::kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact };
    Lab::test(hook, |lab| {
        lab.server.run(|| {
            let bed = Bed::new(lab)?;
            flood::connect(&bed, ESTABLISHED)?;
            expect(&lab.stats()?, "/sessions/active", ESTABLISHED)?;
            let mut from = 0;
            for &shape in shapes {
                from = flood::send(&bed, shape, from, packets)?;
                let lost = flood::lost(&bed, ESTABLISHED)?;
                let sessions = &lab.stats()?["sessions"];
                ensure!(lost == 0, "{shape:?}: {lost} of {ESTABLISHED} are lost after {packets} packets: {sessions:#}");
            }
            Ok(())
        })
    })
}

#[test]
fn established_sessions_survive_syns_that_nobody_answers() -> Result<()> {
    survive(&[Shape::Syn])
}

#[test]
fn established_sessions_survive_syns_and_more_of_the_same_clients() -> Result<()> {
    survive(&[Shape::SynAndMore])
}

#[test]
fn established_sessions_survive_datagrams_that_nobody_answers() -> Result<()> {
    survive(&[Shape::Datagram])
}

#[test]
fn established_sessions_survive_syns_that_the_host_answers() -> Result<()> {
    survive(&[Shape::SynAnswered])
}

#[test]
fn established_sessions_survive_datagrams_that_the_host_answers() -> Result<()> {
    survive(&[Shape::DatagramAnswered, Shape::DatagramsAnswered])
}

#[test]
fn established_sessions_survive_denied_packets() -> Result<()> {
    survive(&[Shape::Denied])
}
