//! `msegctl mode`.

use mseg::{attach::Mode, error::Result, instance::Access};

use crate::{
    cli::ModeCommand,
    lockout::{self, Change},
    output::{Report, Text, Tone},
    run::{Outcome, Run},
    stop::Stop,
};

/// The mode.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct ModeReport {
    /// What becomes of denied packets.
    pub(crate) mode: Mode,
}

impl Report for ModeReport {
    const SCHEMA: &'static str = "mseg.mode/1";

    fn describe(&self, text: &mut Text, _: bool) {
        text.line(self.mode.name());
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
            let mode = Mode::from_value(run.open(Access::Read)?.config()?.mode);
            run.output.report(&ModeReport { mode })?;
        }
        ModeCommand::Set { mode, force } => {
            let instance = run.open(Access::Write)?;
            let _lock = instance.lock()?;
            lockout::check(run, &instance, &Change { mode: Some(*mode), force: *force, ..Change::default() })?;
            instance.set_mode(mode.value())?;
            run.output.done(&ModeReport { mode: *mode })?;
        }
    }
    Ok(Outcome::Done)
}
