//! `msegctl explain`.

use mseg::{
    attach::Mode,
    error::{Code, Error},
    explain::{self, Explanation, Matching},
    instance::Access,
    policy,
    view::{RuleAction, Verdict},
};

use crate::{
    cli::ExplainArgs,
    mode,
    output::{Report, Text, Tone},
    run::{Outcome, Run},
    stop::Stop,
};

/// Rules that text shows without `-v`; JSON has all.
const SHOWN: usize = 10;

/// Why a packet gets its verdict.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(crate) struct ExplainReport {
    pub(crate) explanation: Explanation,
}

/// How a verdict stands out.
pub(crate) const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Allow => Tone::Good,
        Verdict::Deny => Tone::Bad,
    }
}

impl Report for ExplainReport {
    const SCHEMA: &'static str = "mseg.explain/1";

    fn describe(&self, text: &mut Text, verbose: bool) {
        let it = &self.explanation;
        text.field("packet", &it.packet.text);
        text.toned_field("verdict", it.verdict, tone(it.verdict));
        text.field("rule", &it.rule);
        text.field("reason", it.reason);
        match it.generation {
            Some(generation) => text.field("generation", generation),
            None => text.field("generation", "none: a candidate"),
        }
        if let Some(mode) = it.mode {
            let passes = mode == Mode::Observe && it.verdict == Verdict::Deny;
            let what = if passes { "observe: it passes, and is reported" } else { mode.name() };
            text.toned_field("mode", what, mode::tone(mode));
        }
        text.field("decided by", it.decided_by);
        let plain = |cell: &dyn ToString| (cell.to_string(), Tone::Plain);
        let steps = it.steps.iter().map(|step| vec![plain(&step.step), plain(&step.result)]);
        text.table(&["step", "result"], steps.collect());
        rules(text, "audited by", &it.audited, verbose);
        rules(text, "would match next", &it.next, verbose);
    }
}

fn rules(text: &mut Text, header: &'static str, rules: &[Matching], verbose: bool) {
    let shown = if verbose { rules.len() } else { SHOWN };
    let rows = rules.iter().take(shown).map(|rule| {
        let tone = tone(if rule.action == RuleAction::Allow { Verdict::Allow } else { Verdict::Deny });
        vec![(rule.text.clone(), tone)]
    });
    text.table(&[header], rows.collect());
    if rules.len() > shown {
        text.line(format!("and {} more; -v shows all", rules.len() - shown));
    }
}

pub(crate) fn run(run: &mut Run<'_>, arguments: &ExplainArgs) -> Result<Outcome, Stop> {
    let mut packet = policy::parse_packet(&arguments.packet.join(" ")).map_err(|errors| {
        let text = errors.render(false);
        Error::new(Code::Usage, format!("that is not a packet\n{}", text.trim_end()))
            .hint("write `in tcp from 10.0.0.1 to 10.0.0.2 port 22`; msegctl(8) has the grammar")
    })?;
    if let Some(name) = &arguments.iface {
        if !packet.interface.is_empty() && packet.interface != *name {
            let message = format!("--iface {name} and `iface {}` are two interfaces", packet.interface);
            return Err(Error::new(Code::Usage, message).hint("leave one of them out").into());
        }
        packet.interface.clone_from(name);
    }
    let explanation = match &arguments.policy {
        Some(file) => explain::by_policy(&policy::read_file(file)?, &packet)?,
        None => explain::by_program(&run.open(Access::Read)?, &packet, arguments.role)?,
    };
    run.output.report(&ExplainReport { explanation })?;
    Ok(Outcome::Done)
}
