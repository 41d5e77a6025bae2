//! What is wrong with a policy, for people as rustc shows it, and for machines.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    problem::{Problem, Problems},
    source::Sources,
};
use crate::{
    error::{Code, Error},
    escape::escaped,
};

/// Errors that are shown in full; more are only counted.
const SHOWN: usize = 100;

/// Bytes that are shown of a line which is longer, about: a window around the error.
const WINDOW: usize = 120;

/// An error and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// The file's name as it was given; that of an included file begins with the directory it is relative to.
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
    /// What else belongs to it: from where the file was included.
    pub notes: Vec<String>,
}

/// Every error of a policy, at least one.
#[derive(Clone)]
pub struct Diagnostics {
    errors: Vec<Shown>,
    /// There were so many that no more was read.
    more: bool,
}

#[derive(Clone)]
struct Shown {
    diagnostic: Diagnostic,
    /// The line, or a window of it.
    source: String,
    /// The error's bytes in `source`.
    span: Range<usize>,
    /// Whether `source` is less than the line.
    cut: bool,
}

impl Diagnostics {
    pub(super) fn new(sources: &Sources, problems: Problems) -> Self {
        let more = problems.is_full();
        let mut list = problems.into_list();
        let mut errors = Vec::with_capacity(list.len());
        for same_file in list.chunk_by_mut(|(a, _), (b, _)| a == b) {
            let file = same_file[0].0;
            place(sources, file, same_file.iter_mut().map(|(_, problem)| std::mem::take(problem)), &mut errors);
        }
        Self { errors, more }
    }

    /// Number of errors.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Every error: file by file as they were read, and in the order of each text.
    pub fn plain(&self) -> Vec<Diagnostic> {
        self.errors.iter().map(|shown| shown.diagnostic.clone()).collect()
    }

    /// The errors as text, each ended by a line end; the first hundred in full.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for (index, shown) in self.errors.iter().take(SHOWN).enumerate() {
            if index > 0 {
                text.push('\n');
            }
            shown.render(&renderer, &mut text);
        }
        if self.len() > SHOWN {
            text.push_str(&format!("\nand {} more errors\n", self.len() - SHOWN));
        }
        if self.more {
            text.push_str("\nthe rest was not read: there are too many errors\n");
        }
        text
    }
}

impl Shown {
    fn render(&self, renderer: &Renderer, text: &mut String) {
        for (number, line) in renderer.render(&[self.group()]).lines().enumerate() {
            // A window has no file of its own, and the renderer leaves a line for its name.
            if !(self.cut && number == 3 && line.contains(":::")) {
                text.push_str(line);
                text.push('\n');
            }
        }
    }

    fn group(&self) -> Group<'_> {
        let Diagnostic { file, line, column, message, expected, help, notes } = &self.diagnostic;
        let annotation = AnnotationKind::Primary.span(self.span.clone()).label(expected.as_str());
        let snippet = Snippet::source(self.source.as_str()).line_start(*line).annotation(annotation);
        let title = Level::ERROR.primary_title(message.as_str());
        let mut group = if self.cut {
            // The renderer would count the column in the window.
            title.element(Origin::path(file.as_str()).line(*line).char_column(*column)).element(snippet)
        } else {
            title.element(snippet.path(file.as_str()))
        };
        for note in notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        match help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }
}

/// Adds the problems of a file, which stand in the order of its text, in one pass over it.
fn place(sources: &Sources, file: usize, problems: impl Iterator<Item = Problem>, errors: &mut Vec<Shown>) {
    let text = &*sources.text(file);
    let name = escaped(sources.name(file));
    let chain = sources.chain(file).map(|(name, line)| format!("included from {}:{line}", escaped(name)));
    let chain: Vec<String> = chain.collect();
    let (mut line, mut within) = (1, 0..line_end(text, 0));
    let (mut column, mut counted) = (1, 0);
    for problem in problems {
        let start = problem.span.start;
        while start > within.end && within.end < text.len() {
            let next = within.end + 1;
            (line, within) = (line + 1, next..line_end(text, next));
            (column, counted) = (1, next);
        }
        column += text[counted..start].chars().count();
        counted = start;
        let span = start - within.start..problem.span.end - within.start;
        let (source, span, cut) = window(&text[within.clone()], span);
        let Problem { message, label: expected, help, .. } = problem;
        let (file, notes) = (name.clone(), chain.clone());
        errors.push(Shown {
            diagnostic: Diagnostic { file, line, column, message, expected, help, notes },
            source,
            span,
            cut,
        });
    }
}

fn line_end(text: &str, start: usize) -> usize {
    text[start..].find('\n').map_or(text.len(), |length| start + length)
}

/// The line, or as much of it around the span as is worth showing. What a span has beyond its line is left out.
fn window(line: &str, span: Range<usize>) -> (String, Range<usize>, bool) {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let span = span.start.min(line.len())..span.end.min(line.len());
    let (mut from, mut to) = (0, line.len());
    if line.len() > WINDOW {
        from = line.floor_char_boundary(span.start.saturating_sub(WINDOW / 3));
        to = line.ceil_char_boundary((from + WINDOW).min(line.len()));
    }
    let (before, after) = (if from > 0 { "..." } else { "" }, if to < line.len() { "..." } else { "" });
    // The renderer knows the control characters of one byte only. The stand-in has two bytes as well.
    let c1 = |character| matches!(character, '\u{80}'..='\u{9f}');
    let shown = format!("{before}{}{after}", line[from..to].replace(c1, "\u{b7}"));
    let moved = |offset: usize| offset.min(to) - from + before.len();
    (shown, moved(span.start)..moved(span.end), from > 0 || to < line.len())
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
    pub(super) fn about(self, what: &str) -> Error {
        let errors = match self.len() {
            1 => "1 error".to_owned(),
            number => format!("{number} errors"),
        };
        let mut error =
            Error::new(Code::InvalidPolicy, format!("{what} has {errors}\n{}", self.render(false).trim_end()));
        error.diagnostics = self.errors.into_iter().map(|shown| shown.diagnostic).collect();
        error
    }
}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        diagnostics.about("the policy")
    }
}
