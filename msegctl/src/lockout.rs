//! Before a change: would it cut the caller off?

use std::io::{Write, stderr};

use mseg::instance::Instance;
pub(crate) use mseg::lockout::Change;

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
pub(crate) fn check(run: &Run<'_>, instance: &Instance, change: &Change<'_>) -> Result<(), Stop> {
    for message in mseg::lockout::check(instance, change)? {
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
    Ok(())
}
