//! The one renderer: every document leaves through [`Output`], as text, JSON or TSV.

mod column;
mod duration;
mod json;
mod plain;
mod report;
mod rows;
mod text;

use std::io::Write;

pub(crate) use column::{Column, Row, Shown, Tone};
pub(crate) use duration::ago;
pub(crate) use json::document as write_json;
pub(crate) use mseg::escape::escaped;
pub(crate) use report::{Report, Text};
pub(crate) use rows::Source;

use crate::stop::Stop;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json { pretty: bool },
    Plain,
}

/// Standard output, and how it is to be written.
pub(crate) struct Output<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) format: Format,
    pub(crate) header: bool,
    pub(crate) color: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
}

impl Output<'_> {
    /// Writes a listing, row by row.
    pub(crate) fn listing<R: Row>(&mut self, source: Source<'_, R>) -> Result<(), Stop> {
        let style = self.style();
        match self.format {
            Format::Text => text::listing(self.out, style, source),
            Format::Json { pretty } => json::listing(self.out, pretty, source),
            Format::Plain => plain::listing(self.out, self.header, source),
        }
    }

    /// Writes a report.
    pub(crate) fn report<R: Report>(&mut self, report: &R) -> Result<(), Stop> {
        let style = self.style();
        match self.format {
            Format::Text => text::report(self.out, style, report),
            Format::Json { pretty } => json::report(self.out, pretty, report),
            Format::Plain => plain::report(self.out, report),
        }
    }

    /// Writes what is worth a word only to who asked; as text only without `-q`.
    pub(crate) fn unless_quiet<R: Report>(&mut self, report: &R) -> Result<(), Stop> {
        if self.quiet && self.format == Format::Text { Ok(()) } else { self.report(report) }
    }

    /// Writes lines that only text has.
    pub(crate) fn lines<'t>(&mut self, lines: impl IntoIterator<Item = &'t str>) -> Result<(), Stop> {
        lines.into_iter().try_for_each(|line| Ok(writeln!(self.out, "{}", escaped(line))?))
    }

    fn style(&self) -> text::Style {
        text::Style { color: self.color, header: self.header, verbose: self.verbose }
    }
}
