//! The one error type of the library: what failed, why, what to do, and the exit code.

use std::{fmt, io, path::Path};

use crate::policy::Diagnostic;

/// What kind of failure it is; the number is the exit code of every program of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It failed, or nothing matched, or there is a difference.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Nothing is loaded under this instance.
    NotLoaded = 3,
    /// A capability or a file permission is missing.
    Permission = 4,
    /// The policy is invalid.
    InvalidPolicy = 5,
    /// The pinned maps are of another layout.
    Abi = 6,
    /// The change would cut off the caller.
    Lockout = 7,
}

impl Code {
    /// The name in JSON errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotLoaded => "not-loaded",
            Self::Permission => "permission",
            Self::InvalidPolicy => "invalid-policy",
            Self::Abi => "abi-mismatch",
            Self::Lockout => "lockout",
        }
    }
}

/// A failure, as a person reads it.
#[derive(Debug)]
pub struct Error {
    /// Kind and exit code.
    pub code: Code,
    /// What failed and why; the system's error text and number are already in it.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The places, if it is about a policy's text. The message tells of them, too.
    pub diagnostics: Vec<Diagnostic>,
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, diagnostics: Vec::new() }
    }

    /// [`Code::Failed`] without a hint.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Failed, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What was to be changed is changed, and only telling of it failed; `show` is the command that does.
    #[must_use]
    pub fn of_telling(self, show: &str) -> Self {
        let message = format!("the change was made and holds, but what it did cannot be told: {}", self.message);
        Self { message, ..self }.hint(format!("`{show}` shows what holds"))
    }

    /// A failed system call: `what` reads "cannot WHAT". EPERM and EACCES become [`Code::Permission`].
    pub fn system(what: impl fmt::Display, error: &io::Error) -> Self {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        Self::new(if denied { Code::Permission } else { Code::Failed }, format!("cannot {what}: {error}"))
    }

    /// A failed system call on a file or pin.
    pub fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        Self::system(format_args!("{what} {}", path.display()), error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
