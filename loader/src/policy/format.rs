//! `policy fmt`: the text of one file in canonical form, with its comments, and with the files it names left where they
//! are.

use std::fmt::Write;

use super::{
    diagnostic::Diagnostics,
    document::lines,
    problem::{Problem, Problems},
    source::Sources,
    statement,
};
use crate::escape::steers;

/// The canonical text of one file: each statement as the policy prints it, in its place, with its comment two blanks
/// behind it; comments of their own lines from the first column on; one blank line where there were several, none at
/// the start and the end. Other files are not read, and whether sets exist is not asked.
///
/// # Errors
/// Every line that is no statement; a comment that would steer the terminal it is printed on; a policy in JSON form.
pub fn format(file_name: &str, text: &str) -> Result<String, Diagnostics> {
    read(file_name, text, Problems::default())
}

/// [`format()`] of a text of which some problems are known.
pub(super) fn read(file_name: &str, text: &str, mut problems: Problems) -> Result<String, Diagnostics> {
    let mut out = String::with_capacity(text.len());
    if super::file::is_json(text) {
        let at = text.find('{').unwrap_or_default();
        problems.push(Problem::new(at..at + 1, "the policy is in JSON form", "expected text"));
    } else {
        let mut blank = false;
        for (_, line) in lines(text) {
            let outcome = statement::parse(text, line, &mut problems);
            if outcome.failed {
                if problems.is_full() {
                    break;
                }
                continue;
            }
            let comment = text[outcome.comment.clone()].trim_end_matches([' ', '\t', '\r']);
            if let Some((at, steering)) = comment.char_indices().find(|(_, c)| *c != '\t' && steers(*c)) {
                let span = outcome.comment.start + at..outcome.comment.start + at + steering.len_utf8();
                let message = format!("`{}` in a comment steers a terminal", steering.escape_default());
                problems.push(Problem::new(span, message, "has no place in what is printed"));
                if problems.is_full() {
                    break;
                }
                continue;
            }
            if outcome.statement.is_none() && comment.is_empty() {
                blank = !out.is_empty();
                continue;
            }
            if std::mem::take(&mut blank) {
                out.push('\n');
            }
            // Writing to a string does not fail.
            let _ = match (&outcome.statement, comment) {
                (Some(statement), "") => writeln!(out, "{statement}"),
                (Some(statement), comment) => writeln!(out, "{statement}  {comment}"),
                (None, comment) => writeln!(out, "{comment}"),
            };
        }
    }
    match problems.is_empty() {
        true => Ok(out),
        false => Err(Diagnostics::new(&Sources::text_only(file_name, text), problems)),
    }
}
