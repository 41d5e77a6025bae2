//! Errors as they are found: at bytes of a text, with more of them to come.

use std::{collections::HashMap, ops::Range};

use super::words::quote;

/// Errors that are kept. Reading ends at so many: what goes wrong that often is no policy, and must not fill the memory.
pub(super) const MAX_PROBLEMS: usize = 10_000;

/// An error at a place in the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Problem {
    /// Bytes of the text.
    pub(super) span: Range<usize>,
    pub(super) message: String,
    /// Stands at the caret.
    pub(super) label: String,
    pub(super) help: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { span, message: message.into(), label: label.into(), help: None }
    }

    /// A problem whose message quotes the word there.
    pub(super) fn found(span: Range<usize>, what: &str, word: &str, label: impl Into<String>) -> Self {
        Self::new(span, format!("{what} {}", quote(word)), label)
    }

    /// The bytes there are not UTF-8; a stand-in is read for them.
    pub(super) fn not_utf8(place: usize) -> Self {
        Self::new(place..place + char::REPLACEMENT_CHARACTER.len_utf8(), "the text is not UTF-8", "cannot be read")
    }

    /// Adds what to write instead.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What is wrong so far, each with the number of its file.
#[derive(Debug, Default)]
pub(super) struct Problems {
    file: usize,
    list: Vec<(usize, Problem)>,
    /// By file, where lines begin to be not UTF-8, rising.
    unreadable: HashMap<usize, Vec<usize>>,
}

impl Problems {
    /// What is pushed from now on is of this file.
    pub(super) fn enter(&mut self, file: usize) {
        self.file = file;
    }

    /// Reports the places at which lines of the file begin to be not UTF-8.
    pub(super) fn not_utf8(&mut self, file: usize, places: Vec<usize>) {
        if !places.is_empty() {
            let before = std::mem::replace(&mut self.file, file);
            places.iter().for_each(|place| self.push(Problem::not_utf8(*place)));
            self.file = before;
            self.unreadable.insert(file, places);
        }
    }

    /// The first place in the range of the file that is not UTF-8.
    pub(super) fn unreadable(&self, range: &Range<usize>) -> Option<usize> {
        let places = self.unreadable.get(&self.file)?;
        let next = places.partition_point(|place| *place < range.start);
        places.get(next).copied().filter(|place| *place < range.end)
    }

    pub(super) fn push(&mut self, problem: Problem) {
        if !self.is_full() {
            self.list.push((self.file, problem));
        }
    }

    /// Whether there are so many that reading on makes no sense.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_PROBLEMS
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems from this one on, for a caller that knows their place better.
    pub(super) fn since(&mut self, first: usize) -> impl Iterator<Item = &mut Problem> {
        self.list.iter_mut().skip(first).map(|(_, problem)| problem)
    }

    /// In the order of files and places, each once: a line that is not UTF-8 is so for everyone who reads it.
    pub(super) fn into_list(self) -> Vec<(usize, Problem)> {
        let mut list = self.list;
        list.sort_by_key(|(file, problem)| (*file, problem.span.start));
        list.dedup_by(|(file, problem), (file_before, before)| {
            file == file_before && problem.span == before.span && problem.message == before.message
        });
        list
    }
}
