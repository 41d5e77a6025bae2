//! T1, T2 and T6: packets of established sessions.

use anyhow::{Result, ensure};
use mseg_tests::{
    bed::{Bed, OPEN_PORT, PASSED},
    flows::{Family, Frames, Step},
    hook::Hook,
    lab::Lab,
    run_time,
};

use crate::{
    floor::Floor,
    measure::{self, Contender, Plan, Times},
    report::{Goal, Report, times},
};

const NETWORK: u8 = 10;

/// T1 and T6: one flow, each family, all contenders in the same rounds.
pub(crate) fn hot(plan: &Plan, report: &mut Report) -> Result<()> {
    let lab = Lab::new(Hook::Tcx)?;
    lab.server.run(|| -> Result<()> {
        run_time::steady();
        let (bed, floor) = (Bed::new(&lab)?, Floor::load()?);
        let mut contenders = vec![];
        for family in Family::BOTH {
            bed.establish(family, NETWORK, 0..1)?;
            floor.fill(&bed, family, NETWORK, 0..1)?;
            contenders.extend(contend(&bed, &floor, family));
        }
        let taken = measure::hot(&bed, plan, &mut contenders)?;
        let passed = bed.reason("session")?;
        ensure!(passed >= u64::from(plan.repeat), "the frames belonged to no session: {:#}", bed.lab().stats()?);
        let (four, six) = taken.split_at(CONTENDERS);
        for (family, taken) in Family::BOTH.into_iter().zip([four, six]) {
            row("T1", family, 1, taken, Some(Goal::at_most(1.6, 1.25)), false, report);
        }
        let [four, six] = [four, six].map(|taken| &taken[MSEG]);
        report.row(
            "T6",
            "established, 1 flow: IPv6 over IPv4",
            six.minimum() / four.minimum(),
            "x",
            Some(Goal::at_most(1.2, 1.1)),
            &[("by_median", (six.median() / four.median()).into())],
        );
        Ok(())
    })?;
    lab.detach_all()
}

/// T2: 1,000 flows and many, each family by itself, since the tables have no room for both.
pub(crate) fn spread(plan: &Plan, report: &mut Report) -> Result<()> {
    for family in Family::BOTH {
        let lab = Lab::new(Hook::Tcx)?;
        lab.server.run(|| -> Result<()> {
            run_time::steady();
            let (bed, floor) = (Bed::new(&lab)?, Floor::load()?);
            let mut open = 0;
            for flows in [1_024, plan.many] {
                bed.establish(family, NETWORK, open..flows)?;
                floor.fill(&bed, family, NETWORK, open..flows)?;
                open = flows;
                let mut contenders = contend(&bed, &floor, family);
                let taken = measure::spread(&bed, plan, &mut contenders, flows)?;
                let taken: Vec<Times> = taken.iter().map(|times| times.less(&taken[NOOP])).collect();
                let goal = (flows == plan.many).then_some(Goal::at_most(1.35, 1.15));
                row("T2", family, flows, &taken, goal, true, report);
            }
            Ok(())
        })?;
        lab.detach_all()?;
    }
    Ok(())
}

/// Places in what [`contend`] returns.
const NOOP: usize = 0;
const PARSE: usize = 1;
const LOOK_UP: usize = 2;
const COUNT: usize = 3;
const MSEG: usize = 4;
const CONTENDERS: usize = 5;

fn contend<'a>(bed: &'a Bed<'_>, floor: &'a Floor, family: Family) -> [Contender<'a>; CONTENDERS] {
    let frames = Frames::new(family, NETWORK, OPEN_PORT, Step::Data);
    [&floor.noop, &floor.parse, &floor.look_up, &floor.count, &bed.ingress]
        .map(|program| Contender::new(program, frames.clone(), PASSED))
}

fn row(id: &str, family: Family, flows: u32, taken: &[Times], goal: Option<Goal>, net: bool, report: &mut Report) {
    let [floor, counting, mseg] = [LOOK_UP, COUNT, MSEG].map(|at| &taken[at]);
    let what = format!("established, {flows} flow{}, {}: over floor", if flows == 1 { "" } else { "s" }, family.name());
    let mut details = vec![
        ("mseg", times(mseg)),
        ("floor", times(floor)),
        ("floor_counting", times(counting)),
        ("parse", times(&taken[PARSE])),
    ];
    if !net {
        details.push(("noop", times(&taken[NOOP])));
    }
    details.push(("by_median", (mseg.median() / floor.median()).into()));
    details.push(("over_counting", (mseg.minimum() / counting.minimum()).into()));
    report.row(id, &what, mseg.minimum() / floor.minimum(), "x", goal, &details);
}
