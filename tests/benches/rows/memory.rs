//! T12: kernel memory of the maps of a new instance.

use anyhow::{Context, Result};
use mseg_tests::{documents::number, hook::Hook, lab::Lab};
use serde_json::Value;

use crate::{
    measure::Plan,
    report::{Goal, Report},
};

const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn rows(_: &Plan, report: &mut Report) -> Result<()> {
    let lab = Lab::new(Hook::Tcx)?;
    lab.attach(&[])?;
    let stats = lab.stats()?;
    let maps = stats["maps"].as_array().context("no list of maps")?;
    let mut bytes = maps.iter().map(|map| number(map, "/bytes")).collect::<Result<Vec<_>>>()?;
    let sum = bytes.iter().sum::<u64>() as f64 / MIB;
    let mut large: Vec<(&str, Value)> = maps
        .iter()
        .zip(bytes.drain(..))
        .filter(|(_, bytes)| *bytes as f64 > MIB / 10.0)
        .map(|(map, bytes)| (map["name"].as_str().unwrap_or_default(), bytes.into()))
        .collect();
    large.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.as_u64()));
    report.row("T12", "map memory at defaults", sum, "MiB", Some(Goal::at_most(24.0, 24.0)), &large);
    lab.detach_all()
}
