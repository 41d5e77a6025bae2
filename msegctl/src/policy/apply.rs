//! `msegctl policy apply`.

use mseg::{
    error::Result,
    generation::{self, Changes, Named, Prepared, Waiting},
    instance::{Access, Instance},
    policy::{self, Policy},
    view::WaitingView,
};

use crate::{
    cli::ApplyArgs,
    lockout::{self, Change},
    output::{Report, Text, Tone},
    run::{Outcome, Run},
    session::Rejudged,
    stop::Stop,
    warning::warn,
};

/// What applying did, or would do.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Applied {
    /// The active generation.
    pub(crate) generation: u32,
    /// False if that was active already, with the same policy.
    pub(crate) changed: bool,
    /// Whether nothing was done, and this is what would be.
    pub(crate) dry_run: bool,
    /// Rules that are written in it.
    pub(crate) rules: usize,
    /// Entries they were compiled to.
    pub(crate) entries: u32,
    /// What differs from the policy before.
    pub(crate) changes: Changes,
    /// Sessions that are concerned.
    pub(crate) sessions: Rejudged,
    /// The change that waits to be confirmed; null if none does.
    pub(crate) waiting: Option<WaitingView>,
}

impl Applied {
    /// Describes what was done to an instance.
    pub(crate) fn new(
        run: &Run<'_>,
        instance: &Instance,
        policy: &Policy,
        applied: generation::Applied,
        dry_run: bool,
    ) -> Result<Self> {
        let generation::Applied { generation, changed, entries, changes } = applied;
        let context = run.context(instance)?;
        // No session has been judged in a generation that would be new.
        let judged_in = (!(dry_run && changed)).then_some(generation);
        Ok(Self {
            generation,
            changed,
            dry_run,
            rules: policy.rules.len(),
            entries,
            changes,
            sessions: Rejudged::count(instance, &context, judged_in)?,
            waiting: Waiting::of(&instance.config()?).map(|waiting| WaitingView::new(&context, &waiting)),
        })
    }
}

impl Report for Applied {
    const SCHEMA: &'static str = "mseg.policy-apply/1";

    fn describe(&self, text: &mut Text, _: bool) {
        let (generation, extent) = (self.generation, super::extent(self.rules, self.entries));
        text.line(match (self.changed, self.dry_run) {
            (true, false) => format!("generation {generation} is active: {extent}"),
            (true, true) => format!("generation {generation} would be replaced: {extent}"),
            (false, _) => format!("nothing to change: generation {generation} is this policy"),
        });
        if self.changed {
            describe_changes(&self.changes, text);
            self.sessions.describe(text);
        }
        if let Some(waiting) = &self.waiting {
            text.toned_line(waiting.to_string(), Tone::Warn);
        }
    }
}

/// What differs, a line for each kind of statement.
pub(super) fn describe_changes(changes: &Changes, text: &mut Text) {
    for (kind, Named { added, removed, changed }) in [("rules", &changes.rules), ("sets", &changes.sets)] {
        for (what, names) in [("added", added), ("removed", removed), ("changed", changed)] {
            if names.count > 0 {
                text.line(format!("{kind} {what}: {names}"));
            }
        }
    }
    if changes.settings.count > 0 {
        text.line(format!("settings changed: {}", changes.settings));
    }
    if changes.reordered {
        text.line("rules or sets stand in another order");
    }
}

pub(super) fn run(run: &mut Run<'_>, args: &ApplyArgs) -> Result<Outcome, Stop> {
    let policy = policy::read_file(&args.file)?;
    warn(run, &policy.without_effect());
    let report = if args.dry_run {
        let instance = run.open(Access::Read)?;
        let config = instance.config()?;
        lockout::preview(run, &instance, &config, &Change { policy: Some(&policy), ..Change::default() })?;
        let preview = generation::preview(&instance, &config, &policy)?;
        let would = Applied::new(run, &instance, &policy, preview, true)?;
        run.output.unless_quiet(&would)?;
        would
    } else {
        let instance = run.open(Access::Write)?;
        instance.require_pins()?;
        let prepared = Prepared::new(&instance, &policy)?;
        let mut locked = instance.lock()?;
        lockout::check(run, &locked, &Change { policy: Some(&policy), force: args.force, ..Change::default() })?;
        let applied = generation::apply(&mut locked, prepared, args.confirm.time)?;
        run.done(Applied::new(run, &instance, &policy, applied, false))?
    };
    Ok(Outcome::matched(!(args.exit_code && report.changed)))
}
