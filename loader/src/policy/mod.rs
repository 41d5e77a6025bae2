//! The policy language: its [model](Policy), [reading](parse) and printing (`Display`), and the [evaluation](evaluate)
//! that says what a policy means. `mseg-policy(5)` is the reference of the language.
//!
//! ```
//! let policy = mseg::policy::parse("example", "default in deny\nrule web allow in tcp from any to any port 80,443\n")?;
//! assert_eq!(policy.rules[0].to_string(), "rule web allow in tcp from any to any port 80,443");
//! assert_eq!(mseg::policy::parse("example", &policy.to_string())?, policy);
//! # Ok::<(), mseg::policy::Diagnostics>(())
//! ```

mod address;
#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
mod check;
mod diagnostic;
mod document;
mod edit;
pub mod evaluate;
mod expect;
mod file;
mod format;
mod json;
mod lexer;
mod line;
mod loopback;
mod model;
mod packet;
mod print;
mod problem;
pub(crate) mod sample;
mod source;
mod statement;
#[cfg(test)]
mod tests;
mod value;
mod words;

use std::path::Path;

pub(crate) use address::Sets;
pub use address::{Address, Addresses};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use expect::{Expectation, parse_expectations};
pub use file::PolicyFile;
pub use format::format;
pub use json::{SCHEMA, SHOWN_SCHEMA};
pub(crate) use loopback::LOOPBACK;
pub use model::{
    Action, Builtins, DEFAULT_PRIORITY, Defaults, Define, Direction, Endpoint, IcmpType, Policy, PortRange, Protocol,
    Rule, Selector, Timeouts,
};
pub use packet::{SOURCE_PORT, parse_packet};
pub use source::{MAX_BYTES, MAX_DEPTH, MAX_FILES};

use self::{problem::Problems, source::Sources};
use crate::error::Result;

/// Reads a policy, as text or in its JSON form. `file_name` is what errors call it. Every error is reported; a statement
/// that names another file is one.
pub fn parse(file_name: &str, text: &str) -> Result<Policy, Diagnostics> {
    file::read(Sources::text_only(file_name, text), Problems::default())
}

/// Reads one rule, with or without the word `rule` before it. Whether its sets exist is seen when it is
/// [added](Policy::add_rule).
pub fn parse_rule(text: &str) -> Result<Rule, Diagnostics> {
    let mut problems = Problems::default();
    let rule = statement::parse_rule(text, &mut problems);
    rule.ok_or_else(|| Diagnostics::new(&Sources::text_only("rule", text), problems))
}

/// Reads a policy file and the files that it names; `-` is standard input, to which the current directory is what its
/// directory is to a file.
///
/// # Errors
/// [`Code::InvalidPolicy`](crate::error::Code::InvalidPolicy) with every error of every file; what
/// [`PolicyFile::read`] says if the file itself cannot be read.
pub fn read_file(path: &Path) -> Result<Policy> {
    Ok(PolicyFile::read(path)?.policy()?)
}

/// Reads a policy that may not be UTF-8, which is an error with its place.
pub fn parse_bytes(file_name: &str, bytes: Vec<u8>) -> Result<Policy> {
    Ok(PolicyFile::from_bytes(file_name, bytes).policy()?)
}

/// Reads a file of [assertions](Expectation), `-` for standard input.
///
/// # Errors
/// As [`read_file`].
pub fn read_expectations(path: &Path) -> Result<Vec<Expectation>> {
    PolicyFile::read(path)?.expectations().map_err(|errors| errors.about("the file of assertions"))
}
