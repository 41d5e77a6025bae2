//! `msegctl policy history`, `confirm` and `rollback`.

use mseg::{
    attach::Mode,
    error::Result,
    generation::{self, Changes, Kept, Role, Waiting},
    instance::{Access, Instance},
    view::{Time, WaitingView},
};

use super::apply::describe_changes;
use crate::{
    cli::RollbackArgs,
    lockout::{self, Change},
    output::{Report, Text, Tone},
    run::{Outcome, Run},
    session::Rejudged,
    stop::Stop,
};

/// A generation that is kept.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct GenerationRow {
    /// Its number.
    pub(crate) generation: u32,
    /// When it was applied.
    pub(crate) applied: Time,
    /// Rules that are written in it.
    pub(crate) rules: usize,
    /// Entries they were compiled to.
    pub(crate) entries: u32,
    /// Bytes of its maps in the kernel.
    pub(crate) bytes: u64,
    /// What it is good for.
    pub(crate) state: Role,
}

impl From<Kept> for GenerationRow {
    fn from(kept: Kept) -> Self {
        Self {
            generation: kept.generation,
            applied: Time::of_unix_ns(kept.header.applied_unix_ns),
            rules: kept.rules,
            entries: kept.header.verdicts,
            bytes: kept.bytes,
            state: kept.role,
        }
    }
}

/// The generations that are kept, the latest first.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct History {
    /// The generations.
    pub(crate) generations: Vec<GenerationRow>,
    /// The change that waits to be confirmed; null if none does.
    pub(crate) waiting: Option<WaitingView>,
}

impl Report for History {
    const SCHEMA: &'static str = "mseg.policy-history/1";

    fn describe(&self, text: &mut Text, _: bool) {
        let plain = |text: &dyn ToString| (text.to_string(), Tone::Plain);
        let rows = self.generations.iter().map(|row| {
            let tone = match row.state {
                Role::Active => Tone::Good,
                Role::Unconfirmed => Tone::Warn,
                Role::Fallback | Role::Previous | Role::Kept => Tone::Plain,
            };
            vec![
                plain(&row.generation),
                plain(&row.applied),
                plain(&row.rules),
                plain(&row.entries),
                plain(&row.bytes),
                (row.state.name().into(), tone),
            ]
        });
        text.table(&[">generation", "applied", ">rules", ">entries", ">bytes", "state"], rows.collect());
        if let Some(waiting) = &self.waiting {
            text.toned_line(waiting.to_string(), Tone::Warn);
        }
    }
}

pub(super) fn history(run: &mut Run<'_>) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let context = run.context(&instance)?;
    let waiting = Waiting::of(&instance.config()?).map(|waiting| WaitingView::new(&context, &waiting));
    let generations = generation::history(&instance)?.into_iter().map(GenerationRow::from).collect();
    run.output.report(&History { generations, waiting })?;
    Ok(Outcome::Done)
}

/// A change that does not wait any more.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Confirmed {
    /// What was changed: `policy` or `mode`.
    pub(crate) change: &'static str,
    /// The active generation.
    pub(crate) generation: u32,
    /// The mode.
    pub(crate) mode: Mode,
    /// What is confirmed, for people.
    #[serde(skip)]
    pub(crate) what: String,
}

impl From<Waiting> for Confirmed {
    fn from(waiting: Waiting) -> Self {
        Self {
            change: if waiting.is_policy() { "policy" } else { "mode" },
            generation: waiting.generation,
            mode: waiting.mode,
            what: waiting.what(),
        }
    }
}

impl Report for Confirmed {
    const SCHEMA: &'static str = "mseg.policy-confirm/1";

    fn describe(&self, text: &mut Text, _: bool) {
        text.line(format!("{} is confirmed", self.what));
    }
}

pub(crate) fn confirm(run: &mut Run<'_>) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Write)?;
    let confirmed = generation::confirm(&mut instance.lock()?)?;
    run.done(Ok(Confirmed::from(confirmed)))?;
    Ok(Outcome::Done)
}

/// What going back did.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct RolledBack {
    /// The active generation.
    pub(crate) generation: u32,
    /// The mode.
    pub(crate) mode: Mode,
    /// Whether another generation was active before.
    pub(crate) changed: bool,
    /// What waited to be confirmed and was undone, `policy` or `mode`; null if nothing did.
    pub(crate) undone: Option<&'static str>,
    /// What differs from the policy before.
    pub(crate) changes: Changes,
    /// Sessions that are concerned.
    pub(crate) sessions: Rejudged,
    /// The change that waits to be confirmed; null if none does.
    pub(crate) waiting: Option<WaitingView>,
}

impl RolledBack {
    fn new(run: &Run<'_>, instance: &Instance, done: generation::RolledBack) -> Result<Self> {
        let context = run.context(instance)?;
        let config = instance.config()?;
        Ok(Self {
            generation: done.generation,
            mode: Mode::from_value(config.mode),
            changed: done.changed,
            undone: done.undone.map(|waiting| Confirmed::from(waiting).change),
            changes: done.changes,
            sessions: Rejudged::count(instance, &context, Some(done.generation))?,
            waiting: Waiting::of(&config).map(|waiting| WaitingView::new(&context, &waiting)),
        })
    }
}

impl Report for RolledBack {
    const SCHEMA: &'static str = "mseg.policy-rollback/1";

    fn describe(&self, text: &mut Text, _: bool) {
        let Self { generation, mode, .. } = self;
        text.line(match (self.undone, self.changed) {
            (Some("mode"), _) => format!("mode {} holds again", mode.name()),
            (_, true) => format!("generation {generation} is active again"),
            (_, false) => format!("nothing to change: generation {generation} is active"),
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

pub(super) fn rollback(run: &mut Run<'_>, args: &RollbackArgs) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Write)?;
    let mut locked = instance.lock()?;
    if let Some(policy) = generation::rollback_policy(&locked, args.generation)? {
        // What is undone, is undone with its mode.
        let mode = locked.waiting().map(|waiting| waiting.fallback_mode);
        lockout::check(run, &locked, &Change { policy: Some(&policy), mode, force: args.force })?;
    }
    let done = generation::rollback(&mut locked, args.generation, args.confirm.time)?;
    run.done(RolledBack::new(run, &instance, done))?;
    Ok(Outcome::Done)
}
