//! Reading one line: tokens with one of look-ahead, the reporting of what is wrong with it, and going on behind that.

use std::ops::Range;

use super::{
    lexer::{Kind, Lexer, Token, is_word},
    problem::{Problem, Problems},
    words,
};

/// A line being read. What is wrong is reported where it stands and yields no value, and the line goes on with what
/// comes next, so that all of it is checked. What would only follow from an error before is not reported.
pub(super) struct Line<'a, 'p> {
    lexer: Lexer<'a>,
    ahead: Token,
    /// Where the line begins.
    start: usize,
    problems: &'p mut Problems,
    /// Something was reported: the statement is of no use.
    failed: bool,
    /// The place that was reported last: one error is enough for it.
    reported: Option<usize>,
    /// What is being read is a guess, or something was skipped: what seems to be missing need not be.
    pub(super) unsure: bool,
}

impl<'a, 'p> Line<'a, 'p> {
    pub(super) fn new(text: &'a str, line: Range<usize>, problems: &'p mut Problems) -> Self {
        let start = line.start;
        let mut lexer = Lexer::new(text, line);
        let ahead = lexer.next();
        Self { lexer, ahead, start, problems, failed: false, reported: None, unsure: false }
    }

    pub(super) fn kind(&self) -> Kind {
        self.ahead.kind
    }

    /// Where the next token stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.ahead.span.clone()
    }

    /// The next token, if it is a word.
    pub(super) fn peek_word(&self) -> Option<&'a str> {
        (self.ahead.kind == Kind::Word).then(|| self.lexer.text(&self.ahead.span))
    }

    /// The token behind the next.
    pub(super) fn second(&self) -> (Kind, &'a str) {
        let token = self.lexer.clone().next();
        (token.kind, self.lexer.text(&token.span))
    }

    /// The next token and where it stands, whatever it is.
    pub(super) fn token(&mut self) -> (&'a str, Range<usize>) {
        let span = self.advance().span;
        (self.lexer.text(&span), span)
    }

    pub(super) fn advance(&mut self) -> Token {
        let next = self.lexer.next();
        std::mem::replace(&mut self.ahead, next)
    }

    /// Whether there are so many errors that reading on makes no sense: one line may hold any number.
    pub(super) fn is_full(&self) -> bool {
        self.problems.is_full()
    }

    pub(super) fn report(&mut self, problem: Problem) {
        self.failed = true;
        if self.reported.replace(problem.span.start) != Some(problem.span.start) {
            self.problems.push(problem);
        }
    }

    /// Reports a wrong value at `span`.
    pub(super) fn wrong(&mut self, span: Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.report(Problem::new(span, message, label));
    }

    /// Reports a wrong value at `span` and what to write instead.
    pub(super) fn wrong_help(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Problem::new(span, message, label).help(help));
    }

    /// Reports that the next token is not `what` ("a protocol"), of which `options` says more.
    pub(super) fn unexpected(&mut self, what: &str, options: &str, help: Option<String>) {
        let missing = self.kind() == Kind::End || self.peek_word().is_some_and(|word| words::CLAUSES.contains(&word));
        if self.is_full() || self.unsure && missing {
            self.failed = true;
            return;
        }
        let span = self.span();
        let label = format!("expected {}", if options.is_empty() { what } else { options });
        let message = match self.kind() {
            Kind::End => format!("expected {what}, found the end of the line"),
            Kind::Unclosed => "the quotes are not closed".to_owned(),
            Kind::Bad => return self.bad(span, label),
            _ => format!("expected {what}, found {}", words::quote(self.lexer.text(&span))),
        };
        self.report(Problem { span, message, label, help });
    }

    /// Reports the first character of a word that has no place in one.
    fn bad(&mut self, word: Range<usize>, label: String) {
        let mut characters = self.lexer.text(&word).char_indices();
        let bad = characters.find(|(_, character)| !u8::try_from(*character).is_ok_and(is_word));
        let (at, bad) = bad.unwrap_or((0, char::REPLACEMENT_CHARACTER));
        let at = word.start + at;
        let problem = match self.problems.unreadable(&(self.start..word.end)) {
            Some(place) if bad == char::REPLACEMENT_CHARACTER => Problem::not_utf8(place),
            _ => {
                let message = format!("{} has no place in a policy", words::quote(bad.encode_utf8(&mut [0; 4])));
                Problem::new(at..at + bad.len_utf8(), message, label)
            }
        };
        self.report(problem);
    }

    /// The next word and where it stands.
    pub(super) fn word(&mut self, what: &str, options: &str) -> Option<(&'a str, Range<usize>)> {
        if let Some(word) = self.peek_word() {
            return Some((word, self.advance().span));
        }
        self.unexpected(what, options, None);
        // A wrong value; anything else is of what comes next.
        if matches!(self.kind(), Kind::Bad | Kind::Quoted | Kind::Unclosed) {
            self.advance();
        }
        None
    }

    /// One of the words of a table, with nothing to come that could stand in its place.
    pub(super) fn choice<T: Copy>(&mut self, what: &str, table: &[(&str, T)]) -> Option<T> {
        self.choice_before(what, table, &[])
    }

    /// One of the words of a table. Anything else is reported, with what was probably meant; if it is one of the words
    /// that come later, it is left to them.
    pub(super) fn choice_before<T: Copy>(&mut self, what: &str, table: &[(&str, T)], later: &[&str]) -> Option<T> {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        let value = |word: &str| table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        self.field(what, &words::one_of(names.iter().copied()), &names, later, value)
    }

    /// The value of a word in its place; see [`choice_before`](Self::choice_before).
    pub(super) fn field<T>(
        &mut self,
        what: &str,
        options: &str,
        names: &[&str],
        later: &[&str],
        value: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if let Some(value) = self.peek_word().and_then(&value) {
            self.advance();
            return Some(value);
        }
        let help = self.did_you_mean(names.iter().copied());
        let missing = self.peek_word().is_some_and(|word| {
            let number = !later.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
            let slip = || help.is_none() && self.meant(word, later.iter().copied()).is_some();
            later.contains(&word) || number || slip()
        });
        self.unexpected(what, options, help);
        if missing || self.kind() == Kind::End {
            return None;
        }
        self.advance();
        // Of two words, the first may be one too many.
        let value = self.peek_word().and_then(&value);
        if value.is_some() {
            self.advance();
        }
        value
    }

    /// The word among these that the next is or probably is, which is left there. A slip is reported.
    pub(super) fn guess<'c>(&mut self, what: &str, words: &[&'c str]) -> Option<&'c str> {
        if let Some(found) = self.peek_word().and_then(|found| words.iter().find(|word| **word == found)) {
            return Some(found);
        }
        let meant = self.peek_word().and_then(|found| self.similar(found, words.iter().copied()));
        let help = meant.map(|meant| format!("did you mean `{meant}`?"));
        self.unexpected(what, &words::one_of(words.iter().copied()), help);
        self.unsure = true;
        meant
    }

    /// What was probably meant by the next word.
    pub(super) fn did_you_mean<'c>(&self, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
        self.meant(self.peek_word()?, candidates)
    }

    pub(super) fn meant<'c>(&self, word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
        self.similar(word, candidates).map(|meant| format!("did you mean `{meant}`?"))
    }

    /// For the first errors only: comparing words takes longer than all else.
    pub(super) fn similar<'c>(&self, word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
        const SUGGESTIONS: usize = 200;
        if self.problems.len() >= SUGGESTIONS { None } else { words::similar(word, candidates) }
    }

    /// The `=` between a name and what it stands for.
    pub(super) fn equals(&mut self) {
        if self.kind() != Kind::Equals {
            self.unexpected("`=`", "", None);
            if self.second().0 == Kind::Equals {
                self.advance();
            }
        }
        if self.kind() == Kind::Equals {
            self.advance();
        }
    }

    /// Whether all of the line was read and right. More than was read is reported.
    pub(super) fn end(&mut self) -> bool {
        if self.kind() != Kind::End {
            self.unexpected("the end of the line", "", None);
        }
        let unreadable = self.problems.unreadable(&(self.start..self.span().start));
        if let Some(place) = unreadable {
            self.report(Problem::not_utf8(place));
        }
        !self.failed
    }

    /// Leaves the rest of the line out.
    pub(super) fn skip(&mut self) {
        self.skip_to(&[]);
    }

    /// Leaves out what comes before one of these words.
    pub(super) fn skip_to(&mut self, words: &[&str]) {
        self.unsure = true;
        while self.kind() != Kind::End && !self.peek_word().is_some_and(|word| words.contains(&word)) {
            self.advance();
        }
    }

    /// Elements with commas between them, perhaps in braces. Wrong ones are left out.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Vec<T> {
        let braces = self.kind() == Kind::Open;
        if braces {
            self.advance();
        }
        let (mut items, mut commas) = (Vec::new(), true);
        let mut opened = false;
        while !self.is_full() {
            let value = item(self);
            if value.is_none() && self.skip_to_element(&mut opened) {
                continue;
            }
            items.extend(value);
            if self.kind() == Kind::Comma {
                self.advance();
            } else if self.at_element(braces) {
                // Who writes no comma writes none in all of the list.
                if std::mem::take(&mut commas) {
                    let help = "a comma stands between the elements of a list".to_owned();
                    let what = if braces { "`,` or `}`" } else { "a comma or the end of the list" };
                    self.unexpected(what, "", Some(help));
                }
            } else {
                break;
            }
        }
        if braces && self.kind() != Kind::Close {
            let help = (self.kind() == Kind::End).then(|| "a statement ends with its line".to_owned());
            self.unexpected("`,` or `}`", "", help);
        }
        // A brace within braces is reported where it opens.
        while (braces || opened) && self.kind() == Kind::Close {
            self.advance();
            if !opened {
                break;
            }
        }
        items
    }

    /// Leaves out what can be no element, which is reported. Whether an element comes next, which is to be read then.
    fn skip_to_element(&mut self, opened: &mut bool) -> bool {
        let mut skipped = false;
        while matches!(self.kind(), Kind::Open | Kind::Equals | Kind::Quoted | Kind::Unclosed) {
            *opened |= self.advance().kind == Kind::Open;
            skipped = true;
        }
        skipped && self.at_element(true)
    }

    /// Whether the next token is an element of a list for want of a better place.
    fn at_element(&self, braces: bool) -> bool {
        match self.kind() {
            Kind::Bad => true,
            Kind::Word => {
                let word = self.peek_word().unwrap_or_default();
                let value = word.starts_with(|first: char| first.is_ascii_digit()) || word.contains([':', '/']);
                value || braces && !words::CLAUSES.contains(&word)
            }
            _ => false,
        }
    }
}
