//! Why a command ends early, and the one place where that becomes text and an exit code.

use std::io::{self, Write};

use mseg::{error::Error, policy::Diagnostic};

use crate::output::{escaped, write_json};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed.
    Error(Error),
    /// The reader of standard output has gone; nothing is wrong.
    Pipe,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Errors of writing to standard output; nothing else here does input or output.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::Error(Error::system("write standard output", &error)),
        }
    }
}

impl Stop {
    /// Says so on standard error, as text or as one line of JSON, and returns the exit code.
    pub(crate) fn report(&self, err: &mut dyn Write, json: bool) -> u8 {
        match self {
            Self::Pipe => 0,
            Self::Error(error) => {
                // There is nowhere left to say that this failed.
                let _ = if json { report_json(err, error) } else { report_text(err, error) };
                error.code as u8
            }
        }
    }
}

/// An error on standard error.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct ErrorBody<'a> {
    /// What kind of failure it is; each has an exit code of its own.
    code: &'static str,
    /// What failed and why.
    message: &'a str,
    /// What to do about it; null if that is not known.
    hint: Option<&'a str>,
    /// The places, if it is about the text of a policy, else none; the message tells of them, too.
    diagnostics: &'a [Diagnostic],
}

fn report_json(err: &mut dyn Write, error: &Error) -> io::Result<()> {
    let error = ErrorBody {
        code: error.code.name(),
        message: &error.message,
        hint: error.hint.as_deref(),
        diagnostics: &error.diagnostics,
    };
    Ok(write_json(err, false, &ErrorDocument { error })?)
}

fn report_text(err: &mut dyn Write, error: &Error) -> io::Result<()> {
    // An invalid policy's message is a text of several lines: file, line, caret and all.
    let lines = |text: &str| text.lines().map(escaped).collect::<Vec<_>>().join("\n");
    writeln!(err, "error: {}", lines(&error.message))?;
    error.hint.as_deref().map_or(Ok(()), |hint| writeln!(err, "hint: {}", lines(hint)))
}
