//! Reading one line: tokens with one of look-ahead, and the reporting of what is wrong with it.

use std::ops::Range;

use super::{
    lexer::{Kind, Lexer, Token},
    problem::{Problem, Problems},
    words,
};

/// The rest of the line makes no sense; the reason is reported already.
#[derive(Debug)]
pub(super) struct Abort;

pub(super) type Step<T> = Result<T, Abort>;

/// A line being read. A wrong value is reported and a stand-in returned, so that the rest of the line is checked too;
/// a wrong structure ends the line with [`Abort`].
pub(super) struct Line<'a, 'p> {
    lexer: Lexer<'a>,
    ahead: Token,
    problems: &'p mut Problems,
    /// Something was reported: the statement is of no use.
    pub(super) failed: bool,
}

impl<'a, 'p> Line<'a, 'p> {
    pub(super) fn new(text: &'a str, line: Range<usize>, problems: &'p mut Problems) -> Self {
        let mut lexer = Lexer::new(text, line);
        let ahead = lexer.next();
        Self { lexer, ahead, problems, failed: false }
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

    /// The next token and where it stands, whatever it is.
    pub(super) fn token(&mut self) -> (&'a str, Range<usize>) {
        let span = self.advance().span;
        (self.lexer.text(&span), span)
    }

    pub(super) fn advance(&mut self) -> Token {
        let next = self.lexer.next();
        std::mem::replace(&mut self.ahead, next)
    }

    pub(super) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.failed = true;
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
    pub(super) fn unexpected(&mut self, what: &str, options: &str, help: Option<String>) -> Abort {
        let span = self.span();
        let label = format!("expected {}", if options.is_empty() { what } else { options });
        let message = match self.kind() {
            Kind::End => format!("expected {what}, found the end of the line"),
            Kind::Unclosed => "the quotes are not closed".to_owned(),
            Kind::Bad => format!("{} has no place in a policy", words::quote(self.lexer.text(&span))),
            _ => format!("expected {what}, found {}", words::quote(self.lexer.text(&span))),
        };
        self.report(Problem { span, message, label, help });
        Abort
    }

    /// The next word and where it stands.
    pub(super) fn word(&mut self, what: &str, options: &str) -> Step<(&'a str, Range<usize>)> {
        match self.peek_word() {
            Some(word) => Ok((word, self.advance().span)),
            None => Err(self.unexpected(what, options, None)),
        }
    }

    /// One of the words of a table. Anything else ends the line, with what was probably meant.
    pub(super) fn choice<T: Copy>(&mut self, what: &str, table: &[(&str, T)]) -> Step<T> {
        if let Some(word) = self.peek_word()
            && let Some((_, value)) = table.iter().find(|(name, _)| *name == word)
        {
            self.advance();
            return Ok(*value);
        }
        let names = || table.iter().map(|(name, _)| *name);
        let help = self.did_you_mean(names());
        Err(self.unexpected(what, &words::one_of(names()), help))
    }

    /// What was probably meant by the next word.
    pub(super) fn did_you_mean<'c>(&self, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
        self.meant(self.peek_word()?, candidates)
    }

    /// For the first errors only: comparing words takes longer than all else.
    pub(super) fn meant<'c>(&self, word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
        const SUGGESTIONS: usize = 200;
        if self.problems.len() >= SUGGESTIONS {
            return None;
        }
        let meant = words::similar(word, candidates)?;
        Some(format!("did you mean `{meant}`?"))
    }

    pub(super) fn expect(&mut self, kind: Kind, what: &str) -> Step<()> {
        if self.kind() != kind {
            return Err(self.unexpected(what, "", None));
        }
        self.advance();
        Ok(())
    }

    pub(super) fn end(&mut self) -> Step<()> {
        if self.kind() == Kind::End { Ok(()) } else { Err(self.unexpected("the end of the line", "", None)) }
    }

    /// Elements with commas between them, perhaps in braces.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Step<T>) -> Step<Vec<T>> {
        let braces = self.kind() == Kind::Open;
        if braces {
            self.advance();
        }
        let mut items = vec![item(self)?];
        while self.kind() == Kind::Comma {
            // One line may hold any number of errors.
            if self.problems.is_full() {
                return Err(Abort);
            }
            self.advance();
            items.push(item(self)?);
        }
        if braces {
            if self.kind() != Kind::Close {
                let help = (self.kind() == Kind::End).then(|| "a statement ends with its line".to_owned());
                return Err(self.unexpected("`,` or `}`", "", help));
            }
            self.advance();
        }
        Ok(items)
    }
}
