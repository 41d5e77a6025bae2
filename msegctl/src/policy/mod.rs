//! `msegctl policy`.

mod apply;
mod diff;
pub(crate) mod fmt;
mod history;
mod replace;
mod schema;
mod test;

use std::path::Path;

use mseg::{
    compile::{self, RuleIds},
    error::{Error, Result},
    generation,
    instance::Access,
    policy::{self, Policy},
    view::Time,
};

#[cfg(test)]
pub(crate) use test::{Failure, Tested};

use crate::{
    cli::PolicyCommand,
    output::{Report, Text},
    run::{Outcome, Run},
    stop::Stop,
    warning::warn,
};

pub(crate) use apply::Applied;
#[cfg(test)]
pub(crate) use diff::{Difference, Side};
pub(crate) use history::confirm;
#[cfg(test)]
pub(crate) use history::{Confirmed, GenerationRow, History, RolledBack};

pub(crate) fn run(run: &mut Run<'_>, command: &PolicyCommand) -> Result<Outcome, Stop> {
    match command {
        PolicyCommand::Apply(args) => apply::run(run, args),
        PolicyCommand::Confirm => confirm(run),
        PolicyCommand::Rollback(args) => history::rollback(run, args),
        PolicyCommand::History => history::history(run),
        PolicyCommand::Diff { policy, other } => diff::run(run, policy, *other),
        PolicyCommand::Check { file } => check(run, file),
        PolicyCommand::Fmt(arguments) => fmt::fmt(run, arguments),
        PolicyCommand::Test { file, policy } => test::run(run, file, policy.as_deref()),
        PolicyCommand::Show { generation } => show(run, *generation),
    }
}

/// A policy that is valid.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Checked {
    /// The file.
    pub(crate) file: String,
    /// True; what is not valid is an error.
    pub(crate) valid: bool,
    /// Rules that are written in it.
    pub(crate) rules: usize,
    /// Entries they compile to.
    pub(crate) entries: u32,
}

impl Report for Checked {
    const SCHEMA: &'static str = "mseg.policy-check/1";

    fn describe(&self, text: &mut Text, _: bool) {
        text.line(format!("{}: valid, {}", self.file, extent(self.rules, self.entries)));
    }
}

/// `1 rule in 5 entries`.
pub(crate) fn extent(rules: usize, entries: u32) -> String {
    let rules = if rules == 1 { "1 rule".to_owned() } else { format!("{rules} rules") };
    let entries = if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
    format!("{rules} in {entries}")
}

fn check(run: &mut Run<'_>, file: &Path) -> Result<Outcome, Stop> {
    let policy = policy::read_file(file)?;
    let compiled = compile::compile(&policy, &mut RuleIds::default())?;
    warn(run, &policy.without_effect());
    run.output.unless_quiet(&Checked {
        file: file.display().to_string(),
        valid: true,
        rules: policy.rules.len(),
        entries: compiled.tables.header.verdicts,
    })?;
    Ok(Outcome::Done)
}

/// The active policy.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Shown {
    /// Its generation.
    pub(crate) generation: u32,
    /// When it was applied.
    pub(crate) applied: Time,
    /// In the policy language; can be applied again.
    pub(crate) text: String,
    /// In parts.
    #[schemars(schema_with = "schema::policy")]
    pub(crate) policy: Policy,
}

impl Report for Shown {
    const SCHEMA: &'static str = policy::SHOWN_SCHEMA;

    fn describe(&self, text: &mut Text, _: bool) {
        self.text.lines().for_each(|line| text.line(line));
    }
}

fn show(run: &mut Run<'_>, generation: Option<u32>) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let generation = generation.map_or_else(|| Ok(instance.config()?.generation), Ok::<_, Error>)?;
    let generation::Proven { header, text, policy } = generation::read(&instance, generation)?;
    let applied = Time::of_unix_ns(header.applied_unix_ns);
    run.output.report(&Shown { generation, applied, text, policy })?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_rule_is_no_rules() {
        assert_eq!(super::extent(1, 6), "1 rule in 6 entries");
        assert_eq!(super::extent(0, 1), "0 rules in 1 entry");
    }
}
