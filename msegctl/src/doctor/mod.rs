//! `msegctl doctor`: everything that can be wrong, from the machine up to the active policy. Works without an
//! instance, too.

mod instance;
mod machine;

use mseg::error::{Code, Error, Result};

use crate::{
    output::{Report, Text, Tone},
    run::{Outcome, Run},
    stop::Stop,
};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// As it should be.
    Ok,
    /// Works, but somebody should look at it.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing that was checked.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Check {
    /// What.
    pub(crate) name: &'static str,
    /// How it came out.
    pub(crate) status: Grade,
    /// What was found.
    pub(crate) message: String,
    /// What to do; null if nothing is.
    pub(crate) hint: Option<String>,
}

impl Check {
    fn new(name: &'static str, status: Grade, message: impl Into<String>) -> Self {
        Self { name, status, message: message.into(), hint: None }
    }

    pub(crate) fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Grade::Ok, message)
    }

    pub(crate) fn warn(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(name, Grade::Warn, message) }
    }

    pub(crate) fn fail(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(name, Grade::Fail, message) }
    }

    /// A check that ended in an error.
    pub(crate) fn error(name: &'static str, error: Error) -> Self {
        Self { hint: error.hint, ..Self::new(name, Grade::Fail, error.message) }
    }
}

/// All checks.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Diagnosis {
    /// The worst of the checks.
    pub(crate) status: Grade,
    /// The checks, in the order in which things need each other.
    pub(crate) checks: Vec<Check>,
}

impl Diagnosis {
    pub(crate) fn new(checks: Vec<Check>) -> Self {
        let has = |grade| checks.iter().any(|check| check.status == grade);
        let status = if has(Grade::Fail) {
            Grade::Fail
        } else if has(Grade::Warn) {
            Grade::Warn
        } else {
            Grade::Ok
        };
        Self { status, checks }
    }
}

impl Report for Diagnosis {
    const SCHEMA: &'static str = "mseg.doctor/1";

    fn describe(&self, text: &mut Text, _: bool) {
        let mut rows = Vec::new();
        for check in &self.checks {
            let plain = |text: &str| (text.to_owned(), Tone::Plain);
            let (grade, tone) = match check.status {
                Grade::Ok => ("ok", Tone::Good),
                Grade::Warn => ("warn", Tone::Warn),
                Grade::Fail => ("fail", Tone::Bad),
            };
            // A message of several lines goes on below itself, and what to do stands last.
            let hint = check.hint.iter().flat_map(|hint| hint.lines()).map(|line| format!("-> {line}"));
            let mut lines = check.message.lines().map(String::from).chain(hint);
            rows.push(vec![(grade.to_owned(), tone), plain(check.name), plain(&lines.next().unwrap_or_default())]);
            rows.extend(lines.map(|line| vec![plain(""), plain(""), plain(&line)]));
        }
        text.table(&["status", "check", "found"], rows);
    }
}

pub(crate) fn run(run: &mut Run<'_>) -> Result<Outcome, Stop> {
    let mut checks = machine::checks(&run.options);
    checks.extend(instance::checks(&run.options)?);
    let diagnosis = Diagnosis::new(checks);
    run.output.report(&diagnosis)?;
    Ok(Outcome::matched(diagnosis.status != Grade::Fail))
}

/// Errors that are about the command line end doctor itself: there is nothing to check.
fn is_usage(error: &Error) -> bool {
    error.code == Code::Usage
}
