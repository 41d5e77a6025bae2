//! `msegctl mode`.

use std::time::Duration;

use mseg::{
    attach::Mode,
    error::Result,
    generation::{self, Waiting},
    instance::{Access, Instance},
    view::WaitingView,
};

use crate::{
    cli::ModeCommand,
    lockout::{self, Change},
    output::{Report, Text, Tone},
    policy,
    run::{Outcome, Run},
    stop::Stop,
};

/// The mode.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct ModeReport {
    /// What becomes of denied packets.
    pub(crate) mode: Mode,
    /// The change that waits to be confirmed; null if none does.
    pub(crate) waiting: Option<WaitingView>,
}

impl Report for ModeReport {
    const SCHEMA: &'static str = "mseg.mode/1";

    fn describe(&self, text: &mut Text, _: bool) {
        text.line(self.mode.name());
        if let Some(waiting) = &self.waiting {
            text.toned_line(waiting.to_string(), Tone::Warn);
        }
    }
}

/// Enforcing is what a mode is for; observing is a state to leave.
pub(crate) fn tone(mode: Mode) -> Tone {
    match mode {
        Mode::Enforce => Tone::Good,
        Mode::Observe => Tone::Warn,
    }
}

pub(crate) fn run(run: &mut Run<'_>, command: &ModeCommand) -> Result<Outcome, Stop> {
    match command {
        ModeCommand::Show => {
            let instance = run.open(Access::Read)?;
            let report = read(run, &instance)?;
            run.output.report(&report)?;
            Ok(Outcome::Done)
        }
        ModeCommand::Set { mode, confirm, force } => set(run, *mode, confirm.time, *force),
        ModeCommand::Confirm => policy::confirm(run),
    }
}

fn set(run: &mut Run<'_>, mode: Mode, confirm: Option<Duration>, force: bool) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Write)?;
    let mut locked = instance.lock()?;
    lockout::check(run, &locked, &Change { mode: Some(mode), force, ..Change::default() })?;
    generation::set_mode(&mut locked, mode, confirm)?;
    run.done(read(run, &instance))?;
    Ok(Outcome::Done)
}

fn read(run: &Run<'_>, instance: &Instance) -> Result<ModeReport> {
    let config = instance.config()?;
    let context = run.context(instance)?;
    let waiting = Waiting::of(&config).map(|waiting| WaitingView::new(&context, &waiting));
    Ok(ModeReport { mode: Mode::from_value(config.mode), waiting })
}
