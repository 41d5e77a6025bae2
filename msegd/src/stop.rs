//! Why the program ends early, and the one place where that becomes text and an exit code.

use std::io::{self, Write};

use mseg::error::Error;

/// Why the program ends early.
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

fn report_json(err: &mut dyn Write, error: &Error) -> io::Result<()> {
    let document = serde_json::json!({
        "error": { "code": error.code.name(), "message": error.message, "hint": error.hint }
    });
    writeln!(err, "{document}")
}

fn report_text(err: &mut dyn Write, error: &Error) -> io::Result<()> {
    writeln!(err, "error: {}", visible(&error.message))?;
    error.hint.as_deref().map_or(Ok(()), |hint| writeln!(err, "hint: {}", visible(hint)))
}

/// Without what would steer a terminal: names of files are in here.
fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { visible.extend(c.escape_default()) } else { visible.push(c) }
    }
    visible
}
