//! Reading JSON values as what a policy needs, with everything reported that is wrong.

use std::{fmt::Display, ops::Range};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{
        line::Line,
        problem::{Problem, Problems},
        words::{self, quote},
    },
    value::{Entries, Fields, Value},
};

/// Unknown keys for which a similar one is looked for.
const SUGGESTIONS: usize = 200;

/// Reads values of a text, and reports what is wrong with them.
pub(super) struct Reader<'a, 'p> {
    text: &'a str,
    problems: &'p mut Problems,
    /// A place in the text and its line, from which lines are counted on.
    counted: (usize, usize),
}

impl<'a, 'p> Reader<'a, 'p> {
    pub(super) fn new(text: &'a str, problems: &'p mut Problems) -> Self {
        Self { text, problems, counted: (0, 1) }
    }

    pub(super) fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// The line of a value, from 1.
    pub(super) fn line_of(&mut self, value: Value<'_>) -> usize {
        let (from, line) = if self.counted.0 <= value.start { self.counted } else { (0, 1) };
        let line = line + self.text.as_bytes()[from..value.start].iter().filter(|byte| **byte == b'\n').count();
        self.counted = (value.start, line);
        line
    }

    /// Reports what is wrong with a value.
    pub(super) fn wrong(
        &mut self,
        value: Value<'_>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        self.problems.push(Problem { span: value.span(), message: message.into(), label: label.into(), help });
    }

    /// The value that is the text. What is not JSON is reported.
    pub(super) fn whole(&mut self) -> Option<Value<'a>> {
        let json = self.text.strip_prefix('\u{feff}').unwrap_or(self.text);
        match serde_json::from_str(json) {
            Ok(raw) => Some(self.value(raw)),
            Err(error) => {
                // Its column counts bytes, and may be one beyond the line.
                let before = self.text.len() - json.len();
                let line = json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
                let offset = before + line + error.column().saturating_sub(1);
                let start = self.text.floor_char_boundary(offset);
                let end = self.text[start..].chars().next().map_or(start, |found| start + found.len_utf8());
                if let Some(place) = self.problems.unreadable(&(start..end)) {
                    self.problems.push(Problem::not_utf8(place));
                    return None;
                }
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                self.problems.push(Problem::new(start..end, format!("the JSON is wrong: {message}"), "not JSON"));
                None
            }
        }
    }

    fn value<'v>(&self, raw: &'v RawValue) -> Value<'v> {
        let raw = raw.get();
        Value { raw, start: raw.as_ptr().addr() - self.text.as_ptr().addr() }
    }

    /// Whether the value is an object with this key.
    pub(super) fn has_key(&self, value: Value<'_>, key: &str) -> bool {
        let entries = serde_json::from_str::<Entries<'_>>(value.raw);
        entries.is_ok_and(|entries| entries.0.iter().any(|(name, _)| self.value(name).is_string(key)))
    }

    /// The keys of an object. Unknown keys, and those that come twice, are reported.
    pub(super) fn object<'v>(&mut self, value: Value<'v>, what: &str, keys: &[&str]) -> Option<Fields<'v>> {
        // None means that something is reported, and so it is.
        if self.problems.is_full() {
            return None;
        }
        let Ok(entries) = serde_json::from_str::<Entries<'_>>(value.raw) else {
            self.unexpected(value, what, "an object");
            return None;
        };
        let mut list = Vec::with_capacity(entries.0.len());
        for (key, value) in entries.0 {
            if self.problems.is_full() {
                break;
            }
            let (key, value) = (self.value(key), self.value(value));
            let Some(name) = key.decoded() else { continue };
            if !keys.contains(&&*name) {
                let help = words::similar(&name, keys.iter().copied()).filter(|_| self.problems.len() < SUGGESTIONS);
                let help = help.map(|meant| format!("did you mean `{meant}`?"));
                let label = format!("expected {}", words::one_of(keys.iter().copied()));
                self.wrong(key, format!("{what} has no key {}", quote(&name)), label, help);
            } else if list.iter().any(|(known, _)| *known == name) {
                self.wrong(key, format!("a second {}", quote(&name)), "is given already", None);
            } else {
                list.push((name, value));
            }
        }
        Some(Fields { whole: value, list })
    }

    /// The value of a key that must be there.
    pub(super) fn required<'v>(&mut self, fields: &Fields<'v>, key: &str) -> Option<Value<'v>> {
        let value = fields.get(key);
        if value.is_none() {
            // The whole object may have many lines.
            let brace = Value { raw: &fields.whole.raw[..1], start: fields.whole.start };
            self.wrong(brace, format!("the key `{key}` is missing"), format!("expected `{key}` in this object"), None);
        }
        value
    }

    /// The elements of a list.
    pub(super) fn array<'v>(&mut self, value: Value<'v>, what: &str) -> Vec<Value<'v>> {
        match serde_json::from_str::<Vec<&RawValue>>(value.raw) {
            Ok(list) => list.into_iter().map(|raw| self.value(raw)).collect(),
            Err(_) => {
                self.unexpected(value, what, "a list");
                Vec::new()
            }
        }
    }

    pub(super) fn boolean(&mut self, value: Value<'_>) -> Option<bool> {
        let boolean = serde_json::from_str(value.raw).ok();
        if boolean.is_none() {
            self.unexpected(value, "`true` or `false`", "a boolean");
        }
        boolean
    }

    /// A whole number of the range.
    pub(super) fn number<T>(&mut self, value: Value<'_>, least: T, most: T) -> Option<T>
    where
        T: for<'de> Deserialize<'de> + PartialOrd + Display,
    {
        let number = serde_json::from_str(value.raw).ok().filter(|number| (&least..=&most).contains(&number));
        if number.is_none() {
            let what = format!("a whole number {least} to {most}");
            if value.kind() == "a number" {
                let message = format!("{} is out of range", quote(value.raw));
                self.wrong(value, message, format!("expected {what}"), None);
            } else {
                self.unexpected(value, &what, "a number");
            }
        }
        number
    }

    /// A string that is one of the words of a table.
    pub(super) fn choice<T: Copy>(&mut self, value: Value<'_>, what: &str, table: &[(&str, T)]) -> Option<T> {
        self.string(value, what, |line| line.choice(what, table))
    }

    /// A string that holds what a line of text would hold here, and nothing else.
    pub(super) fn string<T>(
        &mut self,
        value: Value<'_>,
        what: &str,
        read: impl FnOnce(&mut Line<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        if self.problems.is_full() {
            return None;
        }
        if let Some(place) = self.problems.unreadable(&value.span()) {
            self.problems.push(Problem::not_utf8(place));
            return None;
        }
        let before = self.problems.len();
        let result = match (value.plain(), value.decoded()) {
            (Some(""), _) => None,
            (Some(plain), _) => {
                let start = value.start + 1;
                one(self.text, start..start + plain.len(), self.problems, read)
            }
            (None, Some(text)) => {
                let result = one(&text, 0..text.len(), self.problems, read);
                // With escapes, places within the string are not those of the text.
                self.problems.since(before).for_each(|problem| problem.span = value.span());
                result
            }
            (None, None) => {
                self.unexpected(value, what, "a string");
                return None;
            }
        };
        if result.is_none() && self.problems.len() == before {
            let message = format!("{} is not {what}", quote(value.raw));
            self.wrong(value, message, format!("expected {what} and nothing else"), None);
        }
        result.filter(|_| self.problems.len() == before)
    }

    fn unexpected(&mut self, value: Value<'_>, what: &str, kind: &str) {
        // The first character stands for all of it: it may have many lines.
        let first = Value { raw: value.raw.get(..1).unwrap_or(value.raw), ..value };
        let shown = if value.kind().starts_with("an object") || value.is_array() { first } else { value };
        self.wrong(shown, format!("expected {what}, found {}", value.kind()), format!("expected {kind}"), None);
    }
}

/// What a whole range of a text says. None without a report if it holds what a line of text would skip.
fn one<T>(
    text: &str,
    range: Range<usize>,
    problems: &mut Problems,
    read: impl FnOnce(&mut Line<'_, '_>) -> Option<T>,
) -> Option<T> {
    if text[range.clone()].contains([' ', '\t', '\r', '#']) {
        return None;
    }
    let mut line = Line::new(text, range, problems);
    let value = read(&mut line);
    if line.end() { value } else { None }
}
