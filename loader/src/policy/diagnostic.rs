//! What is wrong with a policy, shown as rustc shows it.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::words::quote;
use crate::error::{Code, Error};

/// Errors that are shown in full; more are only counted.
const SHOWN: usize = 100;

/// A line longer than this many bytes is not shown with its error.
const LONGEST_SHOWN_LINE: usize = 2000;

/// An error at a place in the text.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Bytes of the text.
    pub(super) span: Range<usize>,
    pub(super) message: String,
    /// Stands at the caret.
    pub(super) label: String,
    pub(super) help: Option<String>,
}

/// One error, for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was expected there.
    pub expected: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Every error of a policy's text, at least one.
#[derive(Clone)]
pub struct Diagnostics {
    file: String,
    text: String,
    problems: Vec<Placed>,
}

#[derive(Clone)]
struct Placed {
    problem: Problem,
    line: usize,
    column: usize,
    /// The line's bytes in the text.
    within: Range<usize>,
}

impl Diagnostics {
    pub(super) fn new(file: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        Self { file: file.chars().flat_map(visible).collect(), text: text.to_owned(), problems: place(text, problems) }
    }

    /// Number of errors.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Every error, in the order of the text.
    pub fn plain(&self) -> Vec<Diagnostic> {
        self.problems
            .iter()
            .map(|placed| Diagnostic {
                file: self.file.clone(),
                line: placed.line,
                column: placed.column,
                message: placed.problem.message.clone(),
                expected: placed.problem.label.clone(),
                help: placed.problem.help.clone(),
            })
            .collect()
    }

    /// The errors as text, each ended by a line end; the first hundred in full.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for (index, placed) in self.problems.iter().take(SHOWN).enumerate() {
            if index > 0 {
                text.push('\n');
            }
            text.push_str(&renderer.render(&[self.group(placed)]));
            text.push('\n');
        }
        if self.len() > SHOWN {
            text.push_str(&format!("\nand {} more errors\n", self.len() - SHOWN));
        }
        text
    }

    fn group<'a>(&'a self, placed: &'a Placed) -> Group<'a> {
        let problem = &placed.problem;
        let title = Level::ERROR.primary_title(problem.message.as_str());
        let group = if placed.within.len() <= LONGEST_SHOWN_LINE {
            // Only the line: rendering takes time in proportion to its source, and there may be many errors.
            let start = placed.within.start;
            let span = problem.span.start - start..problem.span.end - start;
            // The renderer knows the control characters of one byte only. The stand-in has two bytes as well.
            let c1 = |character| matches!(character, '\u{80}'..='\u{9f}');
            let snippet = Snippet::source(self.text[placed.within.clone()].replace(c1, "\u{b7}"))
                .path(self.file.as_str())
                .line_start(placed.line)
                .annotation(AnnotationKind::Primary.span(span).label(problem.label.as_str()));
            title.element(snippet)
        } else {
            let origin = Origin::path(self.file.as_str()).line(placed.line).char_column(placed.column);
            title.element(origin).element(Level::NOTE.message(problem.label.as_str()))
        };
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }
}

/// A control character would reach the terminal.
fn visible(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control();
    escaped.then(|| character.escape_default()).into_iter().flatten().chain((!escaped).then_some(character))
}

/// Lines and columns of problems that stand in the order of the text, in one pass over it.
fn place(text: &str, problems: Vec<Problem>) -> Vec<Placed> {
    let (mut line, mut within) = (1, 0..line_end(text, 0));
    let (mut column, mut counted) = (1, 0);
    problems
        .into_iter()
        .map(|problem| {
            while problem.span.start > within.end && within.end < text.len() {
                let start = within.end + 1;
                (line, within) = (line + 1, start..line_end(text, start));
                (column, counted) = (1, start);
            }
            column += text[counted..problem.span.start].chars().count();
            counted = problem.span.start;
            let end = within.end - usize::from(text[within.clone()].ends_with('\r'));
            Placed { line, column, within: within.start..end, problem }
        })
        .collect()
}

fn line_end(text: &str, start: usize) -> usize {
    text[start..].find('\n').map_or(text.len(), |length| start + length)
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// The error of a text that is `what`: "the policy".
    pub(super) fn about(&self, what: &str) -> Error {
        let errors = match self.len() {
            1 => "1 error".to_owned(),
            number => format!("{number} errors"),
        };
        Error::new(Code::InvalidPolicy, format!("{what} has {errors}\n{}", self.render(false).trim_end()))
    }
}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        diagnostics.about("the policy")
    }
}

/// A problem whose message quotes the word there.
pub(super) fn found(span: Range<usize>, what: &str, word: &str, label: impl Into<String>) -> Problem {
    Problem { span, message: format!("{what} {}", quote(word)), label: label.into(), help: None }
}
