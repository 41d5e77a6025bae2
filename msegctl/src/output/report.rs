//! A document of one object, and how it reads as text.

use schemars::JsonSchema;
use serde::Serialize;

use super::column::Tone;

/// One object: `{"schema": SCHEMA, ...}`; in TSV one line a value, with the path of keys before it.
pub(crate) trait Report: Serialize + JsonSchema {
    /// Name and version of the document.
    const SCHEMA: &'static str;

    /// The text for people; `verbose` is `-v`.
    fn describe(&self, text: &mut Text, verbose: bool);
}

/// Text for people, in blocks with an empty line between them.
#[derive(Default)]
pub(crate) struct Text {
    pub(super) blocks: Vec<Block>,
}

pub(super) enum Block {
    /// Names with values.
    Fields(Vec<[(String, Tone); 2]>),
    /// A few rows under a header; columns whose header begins with `>` are flush right.
    Table(Vec<&'static str>, Vec<Vec<(String, Tone)>>),
    /// Lines as they are.
    Lines(Vec<(String, Tone)>),
}

impl Text {
    /// Adds a name and its value.
    pub(crate) fn field(&mut self, name: impl Into<String>, value: impl ToString) {
        self.toned_field(name, value, Tone::Plain);
    }

    /// Adds a name and its value, which stands out.
    pub(crate) fn toned_field(&mut self, name: impl Into<String>, value: impl ToString, tone: Tone) {
        let field = [(name.into(), Tone::Plain), (value.to_string(), tone)];
        match self.blocks.last_mut() {
            Some(Block::Fields(fields)) => fields.push(field),
            _ => self.blocks.push(Block::Fields(vec![field])),
        }
    }

    /// Adds a table; none without rows. Only for a handful of rows: listings are for more.
    pub(crate) fn table(&mut self, header: &[&'static str], rows: Vec<Vec<(String, Tone)>>) {
        if !rows.is_empty() {
            self.blocks.push(Block::Table(header.to_vec(), rows));
        }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, line: impl Into<String>) {
        self.toned_line(line, Tone::Plain);
    }

    /// Adds a line, which stands out.
    pub(crate) fn toned_line(&mut self, line: impl Into<String>, tone: Tone) {
        let line = (line.into(), tone);
        match self.blocks.last_mut() {
            Some(Block::Lines(lines)) => lines.push(line),
            _ => self.blocks.push(Block::Lines(vec![line])),
        }
    }
}
