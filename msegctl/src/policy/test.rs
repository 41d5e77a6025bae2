//! `msegctl policy test`: assertions about a policy.

use std::path::Path;

use mseg::{
    error::{Code, Error},
    explain, generation,
    instance::Access,
    policy::{self, Action, Expectation, Policy},
    view::Verdict,
};

use crate::{
    output::{Report, Text},
    run::{Outcome, Run},
    stop::Stop,
};

/// What came of a file of assertions.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Tested {
    /// The file.
    pub(crate) file: String,
    /// The generation of the active policy; null for a policy file.
    pub(crate) generation: Option<u32>,
    /// Assertions that hold.
    pub(crate) passed: usize,
    /// Assertions that do not.
    pub(crate) failed: usize,
    /// Those, in the order of the file.
    pub(crate) failures: Vec<Failure>,
}

/// An assertion that does not hold.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Failure {
    /// Its line in the file, from 1.
    pub(crate) line: usize,
    /// The assertion.
    pub(crate) text: String,
    /// What becomes of the packet instead.
    pub(crate) verdict: Verdict,
    /// The rule that decides, or the reserved name of what else does; `none` if the policy was not asked.
    pub(crate) rule: String,
    /// Why, by the names of the counters.
    pub(crate) reason: &'static str,
}

impl Report for Tested {
    const SCHEMA: &'static str = "mseg.policy-test/1";

    fn describe(&self, text: &mut Text, _: bool) {
        for Failure { line, text: assertion, verdict, rule, reason } in &self.failures {
            text.line(format!("{}:{line}: {assertion}", self.file));
            text.line(format!("    but it is {verdict} by {rule} ({reason})"));
        }
        let Self { passed, failed, .. } = self;
        text.line(match failed {
            0 => format!("{}: all {passed} assertions hold", self.file),
            _ => format!("{}: {failed} of {} assertions do not hold", self.file, passed + failed),
        });
    }
}

/// Tests a policy file or the active policy, as it is rebuilt from the maps: that the program decides like the evaluator
/// was checked when it was applied.
pub(super) fn run(run: &mut Run<'_>, file: &Path, candidate: Option<&Path>) -> Result<Outcome, Stop> {
    let expectations = policy::read_expectations(file)?;
    if expectations.is_empty() {
        let error =
            Error::new(Code::InvalidPolicy, format!("{} holds no assertion: nothing was tested", file.display()));
        return Err(error.hint("write one a line, as `expect deny in tcp from ADDRESS to ADDRESS port PORT`").into());
    }
    let (policy, generation) = match candidate {
        Some(candidate) => (policy::read_file(candidate)?, None),
        None => {
            let instance = run.open(Access::Read)?;
            let generation = instance.config()?.generation;
            (generation::policy(&instance, generation)?, Some(generation))
        }
    };
    let failures: Vec<Failure> = expectations.iter().filter_map(|expected| fails(&policy, expected)).collect();
    let tested = Tested {
        file: file.display().to_string(),
        generation,
        passed: expectations.len() - failures.len(),
        failed: failures.len(),
        failures,
    };
    run.output.report(&tested)?;
    Ok(Outcome::matched(tested.failed == 0))
}

fn fails(policy: &Policy, expected: &Expectation) -> Option<Failure> {
    let answer = explain::answer(policy, &expected.packet);
    let holds = answer.allow == (expected.action == Action::Allow)
        && expected.rule.as_ref().is_none_or(|rule| *rule == answer.rule);
    (!holds).then(|| Failure {
        line: expected.line,
        text: expected.text.clone(),
        verdict: answer.verdict(),
        rule: answer.rule,
        reason: answer.reason.name(),
    })
}
