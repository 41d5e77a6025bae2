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
mod diagnostic;
mod document;
mod edit;
pub mod evaluate;
mod lexer;
mod line;
mod model;
mod print;
pub(crate) mod sample;
mod statement;
#[cfg(test)]
mod tests;
mod value;
mod words;

use std::{fs::File, io::Read, path::Path};

pub(crate) use address::Sets;
pub use address::{Address, Addresses};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use model::{
    Action, Builtins, DEFAULT_PRIORITY, Defaults, Define, Direction, Endpoint, IcmpType, Policy, PortRange, Protocol,
    Rule, Selector, Timeouts,
};

use crate::error::{Code, Error, Result};

/// Bytes of a policy file that are read; more is refused. A policy that can be applied is much smaller.
pub const MAX_FILE: u64 = 64 << 20;

/// Reads a policy. `file_name` is what errors call it. Every error of the text is reported.
pub fn parse(file_name: &str, text: &str) -> Result<Policy, Diagnostics> {
    let mut problems = Vec::new();
    let policy = document::read(text, &mut problems);
    if problems.is_empty() { Ok(policy) } else { Err(Diagnostics::new(file_name, text, problems)) }
}

/// Reads one rule, with or without the word `rule` before it. Whether its sets exist is seen when it is
/// [added](Policy::add_rule).
pub fn parse_rule(text: &str) -> Result<Rule, Diagnostics> {
    let mut problems = Vec::new();
    match statement::parse_rule(text, &mut problems) {
        Some(rule) => Ok(rule),
        None => Err(Diagnostics::new("rule", text, problems)),
    }
}

/// Reads a policy file, `-` for standard input.
///
/// # Errors
/// [`Code::InvalidPolicy`] with every error of the text; [`Code::Failed`] or [`Code::Permission`] if it cannot be read.
pub fn read_file(path: &Path) -> Result<Policy> {
    let mut bytes = Vec::new();
    let (name, read) = if path == Path::new("-") {
        ("standard input".into(), std::io::stdin().take(MAX_FILE + 1).read_to_end(&mut bytes))
    } else {
        let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
        (path.to_string_lossy(), read)
    };
    read.map_err(|error| Error::file("read", path, &error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::new(Code::InvalidPolicy, format!("{name} is larger than {} MiB", MAX_FILE >> 20)));
    }
    parse_bytes(&name, bytes)
}

/// Reads a policy that may not be UTF-8, which is an error with its place.
pub fn parse_bytes(file_name: &str, bytes: Vec<u8>) -> Result<Policy> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(parse(file_name, &text)?),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let problem = diagnostic::Problem {
                span: valid..text[valid..].chars().next().map_or(valid, |bad| valid + bad.len_utf8()),
                message: "the text is not UTF-8".to_owned(),
                label: "cannot be read".to_owned(),
                help: None,
            };
            Err(Diagnostics::new(file_name, &text, vec![problem]).into())
        }
    }
}
