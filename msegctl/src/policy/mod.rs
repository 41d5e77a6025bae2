//! `msegctl policy`.

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
    lockout::{self, Change},
    output::{Report, Text},
    run::{Outcome, Run},
    stop::Stop,
};

pub(crate) fn run(run: &mut Run<'_>, command: &PolicyCommand) -> Result<Outcome, Stop> {
    match command {
        PolicyCommand::Apply { file, force } => apply(run, file, *force),
        PolicyCommand::Check { file } => check(run, file),
        PolicyCommand::Test { file, policy } => test::run(run, file, policy.as_deref()),
        PolicyCommand::Show => show(run),
    }
}

/// What applying did.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Applied {
    /// The active generation.
    pub(crate) generation: u32,
    /// False if that was active already, with the same policy.
    pub(crate) changed: bool,
    /// Rules that are written in it.
    pub(crate) rules: usize,
    /// Entries they were compiled to.
    pub(crate) entries: u32,
}

impl Applied {
    pub(crate) fn new(policy: &Policy, applied: &generation::Applied) -> Self {
        Self {
            generation: applied.generation,
            changed: applied.changed,
            rules: policy.rules.len(),
            entries: applied.entries,
        }
    }
}

impl Report for Applied {
    const SCHEMA: &'static str = "mseg.policy-apply/1";

    fn describe(&self, text: &mut Text, _: bool) {
        let Self { generation, rules, entries, .. } = self;
        text.line(if self.changed {
            format!("generation {generation} is active: {rules} rules in {entries} entries")
        } else {
            format!("nothing to change: generation {generation} is this policy")
        });
    }
}

fn apply(run: &mut Run<'_>, file: &Path, force: bool) -> Result<Outcome, Stop> {
    let policy = policy::read_file(file)?;
    let instance = run.open(Access::Write)?;
    lockout::check(run, &instance, &Change { policy: Some(&policy), force, ..Change::default() })?;
    let applied = generation::apply(&instance, &policy)?;
    run.output.done(&Applied::new(&policy, &applied))?;
    Ok(Outcome::Done)
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
    pub(crate) entries: usize,
}

impl Report for Checked {
    const SCHEMA: &'static str = "mseg.policy-check/1";

    fn describe(&self, text: &mut Text, _: bool) {
        text.line(format!("{}: valid, {} rules in {} entries", self.file, self.rules, self.entries));
    }
}

fn check(run: &mut Run<'_>, file: &Path) -> Result<Outcome, Stop> {
    let policy = policy::read_file(file)?;
    let compiled = compile::compile(&policy, &mut RuleIds::default())?;
    run.output.done(&Checked {
        file: file.display().to_string(),
        valid: true,
        rules: policy.rules.len(),
        entries: compiled.tables.verdicts.len(),
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
    const SCHEMA: &'static str = "mseg.policy/1";

    fn describe(&self, text: &mut Text, _: bool) {
        self.text.lines().for_each(|line| text.line(line));
    }
}

fn show(run: &mut Run<'_>) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let generation = instance.config()?.generation;
    let missing = || Error::failed(format!("generation {generation} is active, but its maps are missing"));
    let header = instance.policy_header(generation)?.ok_or_else(missing)?;
    let policy = generation::current(&instance)?;
    let applied = Time::of_unix_ns(header.applied_unix_ns);
    run.output.report(&Shown { generation, applied, text: policy.to_string(), policy })?;
    Ok(Outcome::Done)
}
