//! T9: established and idle sessions under floods. tests/flood.rs holds the promise; here is the number.

use std::time::Instant;

use anyhow::Result;
use mseg_tests::{
    bed::Bed,
    flood::{self, Shape},
    hook::Hook,
    lab::Lab,
};

use crate::{
    measure::Plan,
    report::{Goal, Report},
};

pub(crate) fn rows(plan: &Plan, report: &mut Report) -> Result<()> {
    for shape in Shape::ALL {
        let lab = Lab::new(Hook::Tcx)?;
        lab.server.run(|| -> Result<()> {
            let bed = Bed::new(&lab)?;
            flood::connect(&bed, plan.established)?;
            let started = Instant::now();
            flood::send(&bed, shape, 0, plan.flood)?;
            let took = started.elapsed().as_secs_f64();
            let lost = flood::lost(&bed, plan.established)?;
            report.row(
                "T9",
                &format!("lost by a flood: {}", shape.name()),
                f64::from(lost),
                "",
                Some(Goal::at_most(0.0, 0.0)),
                &[
                    ("established", plan.established.into()),
                    ("packets", plan.flood.into()),
                    ("seconds", ((took * 10.0).round() / 10.0).into()),
                ],
            );
            Ok(())
        })?;
        lab.detach_all()?;
    }
    Ok(())
}
