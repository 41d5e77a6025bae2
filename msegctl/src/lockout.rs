//! Before a change: would it cut the caller off?

use std::io::{Write, stderr};

pub(crate) use mseg::lockout::Change;
use mseg::{generation::Locked, instance::Instance};
use mseg_ebpf::abi::config::Config;

use crate::{
    output::{Format, escaped, write_json},
    run::Run,
    stop::Stop,
};

/// A warning on standard error.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct WarningDocument<'a> {
    warning: Warning<'a>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Warning<'a> {
    /// What the change takes from the caller, or would.
    message: &'a str,
}

/// Refuses a change that would cut the caller off, unless it is forced, and warns of what else it would take from him.
pub(crate) fn check(run: &Run<'_>, locked: &Locked<'_>, change: &Change<'_>) -> Result<(), Stop> {
    warn(run, mseg::lockout::check(locked.instance(), locked.config(), change)?);
    Ok(())
}

/// Warns of what a change would take from the caller that is not made.
pub(crate) fn preview(run: &Run<'_>, instance: &Instance, config: &Config, change: &Change<'_>) -> Result<(), Stop> {
    // What is refused otherwise is a warning, as what is forced.
    warn(run, mseg::lockout::check(instance, config, &Change { force: true, ..*change })?);
    Ok(())
}

fn warn(run: &Run<'_>, warnings: Vec<String>) {
    for message in warnings {
        let mut err = stderr().lock();
        // There is nowhere left to say that this failed.
        let _ = match run.output.format {
            Format::Json { .. } => {
                let warning = WarningDocument { warning: Warning { message: &message } };
                write_json(&mut err, false, &warning).map_err(std::io::Error::from)
            }
            Format::Text | Format::Plain => writeln!(err, "warning: {}", escaped(&message)),
        };
    }
}
