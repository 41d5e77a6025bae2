//! What a listing is made of: rows, and columns that say how a row is written.

use std::fmt::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;

/// How a cell stands out on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Heading,
}

/// Where a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// In text and in TSV.
    Always,
    /// In TSV, and in text with `-v`.
    Verbose,
    /// In text alone.
    Text,
    /// In TSV alone.
    Plain,
}

type Cell<R> = fn(&R, &mut dyn Write) -> fmt::Result;

/// A column of the rows `R`.
pub(crate) struct Column<R> {
    /// Header: as it stands in TSV, in capitals in text.
    pub(crate) name: &'static str,
    pub(crate) write: Cell<R>,
    pub(crate) shown: Shown,
    /// Flush right: for numbers, in text.
    pub(crate) right: bool,
    pub(crate) tone: fn(&R) -> Tone,
}

impl<R> Column<R> {
    pub(crate) fn new(shown: Shown, name: &'static str, write: Cell<R>) -> Self {
        Self { name, write, shown, right: false, tone: |_| Tone::Plain }
    }

    pub(crate) fn number(shown: Shown, name: &'static str, write: Cell<R>) -> Self {
        Self { right: true, ..Self::new(shown, name, write) }
    }

    pub(crate) fn tone(self, tone: fn(&R) -> Tone) -> Self {
        Self { tone, ..self }
    }
}

/// A row of a listing; the listing's JSON document is `{"schema": SCHEMA, KEY: [rows]}`.
pub(crate) trait Row: Serialize + JsonSchema + Sized {
    /// Name and version of the document.
    const SCHEMA: &'static str;
    /// The key of the array.
    const KEY: &'static str;

    /// The columns of text and TSV.
    fn columns() -> Vec<Column<Self>>;
}
