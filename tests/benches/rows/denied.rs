//! T5: packets that the policy denies.

use anyhow::{Result, ensure};
use mseg_tests::{
    bed::{Bed, CLOSED_PORT, DROPPED, OPEN_PORT, PASSED},
    flows::{Family, Frames, Step},
    hook::Hook,
    lab::Lab,
    run_time,
};

use crate::{
    floor::Floor,
    measure::{self, Contender, Plan},
    report::{Goal, Report, times},
};

const NETWORK: u8 = 10;

pub(crate) fn rows(plan: &Plan, report: &mut Report) -> Result<()> {
    let lab = Lab::new(Hook::Tcx)?;
    lab.server.run(|| -> Result<()> {
        run_time::steady();
        let (bed, floor) = (Bed::new(&lab)?, Floor::load()?);
        let (created, denied) = (bed.created()?, bed.reason("default-deny")?);
        let mut contenders = vec![];
        for family in Family::BOTH {
            floor.fill(&bed, family, NETWORK, 0..1)?;
            let known = Frames::new(family, NETWORK, OPEN_PORT, Step::Data);
            contenders.push(Contender::new(&floor.look_up, known, PASSED));
            contenders.extend(contend(&bed, &floor, family));
        }
        let taken = measure::hot(&bed, plan, &mut contenders)?;
        for (family, taken) in Family::BOTH.into_iter().zip(taken.chunks(3)) {
            let [floor, noop, mseg] = [0, 1, 2].map(|at| &taken[at]);
            report.row(
                "T5",
                &format!("denied, 1 flow, {}", family.name()),
                mseg.minimum(),
                "ns",
                Some(Goal::at_most(300.0, 150.0)),
                &[
                    ("mseg", times(mseg)),
                    ("floor", times(floor)),
                    ("noop", times(noop)),
                    ("over_floor", (mseg.minimum() / floor.minimum()).into()),
                ],
            );
        }
        let mut runs = u64::from(plan.repeat);
        for flows in [1_024, plan.many] {
            let mut contenders: Vec<_> =
                Family::BOTH.into_iter().flat_map(|family| contend(&bed, &floor, family)).collect();
            let taken = measure::spread(&bed, plan, &mut contenders, flows)?;
            for (family, taken) in Family::BOTH.into_iter().zip(taken.chunks(2)) {
                let mseg = taken[1].less(&taken[0]);
                let what = format!("denied, {flows} flows, {}", family.name());
                report.row("T5", &what, mseg.minimum(), "ns", None, &[("mseg", times(&mseg))]);
            }
            runs += u64::from(plan.spread.max(flows));
        }
        let runs = runs * plan.rounds as u64 * 2;
        ensure!(bed.created()? == created, "a denied packet made a session: {:#}", lab.stats()?);
        ensure!(bed.reason("default-deny")? == denied + runs, "not every packet was denied: {:#}", lab.stats()?);
        report.row("T5", "sessions made by denied packets", 0.0, "", None, &[("packets", runs.into())]);
        Ok(())
    })?;
    lab.detach_all()
}

fn contend<'a>(bed: &'a Bed<'_>, floor: &'a Floor, family: Family) -> [Contender<'a>; 2] {
    let frames = Frames::new(family, NETWORK, CLOSED_PORT, Step::Syn);
    [Contender::new(&floor.noop, frames.clone(), PASSED), Contender::new(&bed.ingress, frames, DROPPED)]
}
