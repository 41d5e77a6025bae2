//! T3: the first packet of a new flow, all tables full.

use anyhow::{Result, ensure};
use mseg_tests::{
    bed::{Bed, OPEN_PORT, PASSED},
    documents::number,
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

/// Clients that are connected, and new ones.
const CONNECTED: u8 = 10;
const NEW: u8 = 11;
/// More than the tables of half-open sessions hold, and more than the larger table of the floor.
const FILL_SMALL: u32 = 16_384;
const FILL_LARGE: u32 = 160_000;

pub(crate) fn rows(plan: &Plan, report: &mut Report) -> Result<()> {
    let lab = Lab::new(Hook::Tcx)?;
    lab.server.run(|| -> Result<()> {
        run_time::steady();
        let (bed, floor) = (Bed::new(&lab)?, Floor::load()?);
        bed.establish(Family::V4, CONNECTED, 0..plan.established)?;
        floor.fill(&bed, Family::V4, CONNECTED, 0..FILL_LARGE)?;
        let mut contenders = vec![];
        for family in Family::BOTH {
            let mut frames = Frames::new(family, NEW, OPEN_PORT, Step::Syn);
            for program in [&bed.ingress, &floor.insert] {
                bed.for_each(0..FILL_SMALL, |client| {
                    ensure!(bed.run(program, frames.of(client), 1)?.returned == PASSED, "client {client} is refused");
                    Ok(())
                })?;
            }
            for program in [&floor.noop, &floor.insert, &floor.insert_large, &bed.ingress] {
                contenders.push(Contender::new(program, frames.clone(), PASSED).fresh(FILL_SMALL));
            }
        }
        let created = bed.created()?;
        let taken = measure::spread(&bed, plan, &mut contenders, 1)?;
        let runs = u64::from(plan.spread) * plan.rounds as u64 * 2;
        ensure!(bed.created()? == created + runs, "not every packet opened a session: {:#}", lab.stats()?);
        let full = number(&lab.stats()?, "/sessions/half_open")?;
        for (family, taken) in Family::BOTH.into_iter().zip(taken.chunks(4)) {
            let [insert, large, mseg] = [1, 2, 3].map(|at| taken[at].less(&taken[0]));
            report.row(
                "T3",
                &format!("new flow, tables full, {}: over insert", family.name()),
                mseg.minimum() / insert.minimum(),
                "x",
                Some(Goal::at_most(2.2, 1.7)),
                &[
                    ("mseg", times(&mseg)),
                    ("insert", times(&insert)),
                    ("insert_into_large", times(&large)),
                    ("by_median", (mseg.median() / insert.median()).into()),
                    ("over_insert_into_large", (mseg.minimum() / large.minimum()).into()),
                    ("half_open", full.into()),
                ],
            );
        }
        Ok(())
    })?;
    lab.detach_all()
}
