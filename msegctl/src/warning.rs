//! Warnings: on standard error, with `-j` one JSON object a line.

use std::io::{Write, stderr};

use crate::{
    output::{Format, escaped, write_json},
    run::Run,
};

/// A warning on standard error.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct WarningDocument<'a> {
    warning: Warning<'a>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Warning<'a> {
    /// What the change takes from the caller, or would; or what of a policy has no effect.
    message: &'a str,
}

pub(crate) fn warn(run: &Run<'_>, warnings: &[String]) {
    for message in warnings {
        let mut err = stderr().lock();
        // There is nowhere left to say that this failed.
        let _ = match run.output.format {
            Format::Json { .. } => {
                let warning = WarningDocument { warning: Warning { message } };
                write_json(&mut err, false, &warning).map_err(std::io::Error::from)
            }
            Format::Text | Format::Plain => writeln!(err, "warning: {}", escaped(message)),
        };
    }
}
