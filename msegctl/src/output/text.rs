//! Text for people: aligned columns, bold headers, colours where wanted.

use std::io::Write;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets::NOTHING};

use mseg::escape::{Escaped, escaped};

use super::{
    column::{Column, Row, Shown, Tone},
    report::{Block, Report, Text},
    rows::{Source, for_each},
};
use crate::stop::Stop;

/// Rows by which the widths of columns are chosen. They are held; those after them are written as they come, however
/// many, and a longer cell then shifts its line.
const MEASURED_ROWS: usize = 1_000;

/// Blanks between columns.
const GAP: usize = 2;

/// How text is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) color: bool,
    pub(super) header: bool,
    pub(super) verbose: bool,
}

/// Writes a listing; the header only if there is a row.
pub(super) fn listing<R: Row>(out: &mut dyn Write, style: Style, source: Source<'_, R>) -> Result<(), Stop> {
    let columns: Vec<Column<R>> = R::columns()
        .into_iter()
        .filter(|c| match c.shown {
            Shown::Always | Shown::Text => true,
            Shown::Verbose => style.verbose,
            Shown::Plain => false,
        })
        .collect();
    let mut table = Columns::new(columns.iter().map(|c| (c.name.to_uppercase(), c.right)).collect(), style);
    for_each(source, |row| {
        let cells = columns.iter().map(|column| {
            let mut cell = String::new();
            // Writing to a string does not fail.
            let _ = (column.write)(&row, &mut Escaped(&mut cell));
            (cell, (column.tone)(&row))
        });
        table.push(out, cells.collect())
    })?;
    table.finish(out)
}

/// Writes a report.
pub(super) fn report<R: Report>(out: &mut dyn Write, style: Style, report: &R) -> Result<(), Stop> {
    let mut text = Text::default();
    report.describe(&mut text, style.verbose);
    for (i, block) in text.blocks.into_iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        match block {
            Block::Fields(fields) => {
                let mut table = Columns::new(vec![Default::default(); 2], Style { header: false, ..style });
                for field in fields {
                    table.push(out, field.map(|(cell, tone)| (escaped(&cell), tone)).to_vec())?;
                }
                table.finish(out)?;
            }
            Block::Table(header, rows) => {
                let header = header.iter().map(|name| match name.strip_prefix('>') {
                    Some(name) => (name.to_uppercase(), true),
                    None => (name.to_uppercase(), false),
                });
                let mut table = Columns::new(header.collect(), style);
                for row in rows {
                    table.push(out, row.into_iter().map(|(cell, tone)| (escaped(&cell), tone)).collect())?;
                }
                table.finish(out)?;
            }
            Block::Lines(lines) => lines.iter().try_for_each(|(line, tone)| {
                let (before, after) = escapes(style.color, *tone);
                writeln!(out, "{before}{}{after}", escaped(line))
            })?,
        }
    }
    Ok(())
}

type Line = Vec<(String, Tone)>;

/// Aligned columns: the first rows laid out by comfy-table, which must hold all it lays out; the rest to its widths.
struct Columns {
    header: Vec<(String, bool)>,
    style: Style,
    /// Rows held back until the widths are known; `None` from then on.
    held: Option<Vec<Line>>,
    widths: Vec<usize>,
}

impl Columns {
    fn new(header: Vec<(String, bool)>, style: Style) -> Self {
        Self { header, style, held: Some(Vec::new()), widths: Vec::new() }
    }

    fn push(&mut self, out: &mut dyn Write, line: Line) -> Result<(), Stop> {
        let Some(held) = &mut self.held else {
            return self.write(out, &line);
        };
        held.push(line);
        if held.len() == MEASURED_ROWS { self.finish(out) } else { Ok(()) }
    }

    /// Writes what is held.
    fn finish(&mut self, out: &mut dyn Write) -> Result<(), Stop> {
        let held = self.held.take().unwrap_or_default();
        if held.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if self.style.color {
            table.enforce_styling().style_text_only();
        } else {
            table.force_no_tty();
        }
        if self.style.header {
            table.set_header(self.header.iter().map(|(name, _)| cell(name, Tone::Heading)));
        }
        table.add_rows(held.iter().map(|line| line.iter().map(|(text, tone)| cell(text, *tone))));
        for (column, (_, right)) in table.column_iter_mut().zip(&self.header) {
            column.set_padding((0, GAP as u16));
            column.set_cell_alignment(if *right { CellAlignment::Right } else { CellAlignment::Left });
        }
        self.widths = table.column_max_content_widths().into_iter().map(usize::from).collect();
        Ok(writeln!(out, "{}", table.trim_fmt())?)
    }

    /// Writes a row after the held ones, to their widths.
    fn write(&self, out: &mut dyn Write, line: &Line) -> Result<(), Stop> {
        let mut text = String::new();
        for (i, (((cell, tone), width), (_, right))) in line.iter().zip(&self.widths).zip(&self.header).enumerate() {
            let padding = width.saturating_sub(cell.chars().count());
            let (blanks_before, blanks_after) = if *right { (padding, 0) } else { (0, padding) };
            text.extend(std::iter::repeat_n(' ', blanks_before));
            let (before, after) = escapes(self.style.color, *tone);
            text.push_str(before);
            text.push_str(cell);
            text.push_str(after);
            if i + 1 < line.len() {
                text.extend(std::iter::repeat_n(' ', blanks_after + GAP));
            }
        }
        Ok(writeln!(out, "{}", text.trim_end_matches(' '))?)
    }
}

fn cell(text: &str, tone: Tone) -> Cell {
    let cell = Cell::new(text);
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Warn => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Heading => cell.add_attribute(Attribute::Bold),
    }
}

/// What is written before and after a text that stands out.
fn escapes(color: bool, tone: Tone) -> (&'static str, &'static str) {
    color.then(|| escape_code(tone)).flatten().map_or(("", ""), |code| (code, "\x1b[0m"))
}

fn escape_code(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Good => Some("\x1b[32m"),
        Tone::Warn => Some("\x1b[33m"),
        Tone::Bad => Some("\x1b[31m"),
        Tone::Heading => Some("\x1b[1m"),
    }
}
