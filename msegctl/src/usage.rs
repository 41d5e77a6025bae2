//! clap's errors as ours.

use clap::error::ErrorKind;
use mseg::error::{Code, Error};

/// A wrong command line: clap's first sentence is the message, its tips and the usage are the hint.
pub(crate) fn error(error: &clap::Error) -> Error {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::new(Code::Usage, "a command is missing").hint("--help lists them");
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let hints: Vec<_> = paragraphs
        .filter(|p| !p.is_empty() && !p.starts_with("For more information"))
        .map(|p| p.strip_prefix("tip: ").map(String::from).unwrap_or(p).replacen("Usage:", "usage:", 1))
        .collect();
    let result = Error::new(Code::Usage, message);
    if hints.is_empty() { result.hint("--help says more") } else { result.hint(hints.join("; ")) }
}
