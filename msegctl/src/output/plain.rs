//! TSV for scripts without a JSON parser: no alignment, no colour, full precision.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use serde_json::Value;

use mseg::escape::Escaped;

use super::{
    column::{Column, Row, Shown},
    report::Report,
    rows::{Source, for_each},
};
use crate::stop::Stop;

/// Writes a listing: a header unless `header` is false, then one line a row.
pub(super) fn listing<R: Row>(out: &mut dyn Write, header: bool, source: Source<'_, R>) -> Result<(), Stop> {
    let columns: Vec<Column<R>> = R::columns().into_iter().filter(|c| c.shown != Shown::Text).collect();
    if header {
        let names: Vec<_> = columns.iter().map(|c| c.name).collect();
        writeln!(out, "{}", names.join("\t"))?;
    }
    let mut line = String::new();
    for_each(source, |row| {
        line.clear();
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                line.push('\t');
            }
            // Writing to a string does not fail.
            let _ = (column.write)(&row, &mut Escaped(&mut line));
        }
        line.push('\n');
        Ok(out.write_all(line.as_bytes())?)
    })
}

/// Writes a report: one line a value, its path of keys (`packets.seen`, `interfaces.0.name`) before it. Null is empty.
pub(super) fn report<R: Report>(out: &mut dyn Write, report: &R) -> Result<(), Stop> {
    let value = serde_json::to_value(report).map_err(io::Error::from)?;
    Ok(flatten(out, &mut String::new(), &value)?)
}

fn flatten(out: &mut dyn Write, path: &mut String, value: &Value) -> io::Result<()> {
    let mut below = |out: &mut dyn Write, key: &str, value: &Value| {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        let result = flatten(out, path, value);
        path.truncate(length);
        result
    };
    match value {
        Value::Object(map) => map.iter().try_for_each(|(key, value)| below(out, key, value)),
        Value::Array(values) => values.iter().enumerate().try_for_each(|(i, v)| below(out, &i.to_string(), v)),
        scalar => {
            let mut line = String::new();
            let text = match scalar {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let _ = write!(Escaped(&mut line), "{text}");
            writeln!(out, "{path}\t{line}")
        }
    }
}
