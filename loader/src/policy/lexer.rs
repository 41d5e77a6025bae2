//! Tokens of one line.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Comma,
    Open,
    Close,
    Equals,
    /// Text in quotes, with them.
    Quoted,
    /// Quotes that are not closed in their line.
    Unclosed,
    /// A word with a character that has no place in a policy.
    Bad,
    /// The end of the line, or the comment that ends it.
    End,
}

/// A token and the bytes of the text it stands in.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// Reads the tokens of a line as they are asked for, so that a line of any length needs no memory.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
    end: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, line: Range<usize>) -> Self {
        Self { text, position: line.start, end: line.end }
    }

    pub(super) fn text(&self, span: &Range<usize>) -> &'a str {
        &self.text[span.clone()]
    }

    pub(super) fn next(&mut self) -> Token {
        let bytes = self.text.as_bytes();
        while self.position < self.end && matches!(bytes[self.position], b' ' | b'\t' | b'\r') {
            self.position += 1;
        }
        let start = self.position;
        let Some(first) = self.text[start..self.end].chars().next() else {
            return Token { kind: Kind::End, span: start..start };
        };
        let (kind, length) = match first {
            '#' => {
                self.position = self.end;
                return Token { kind: Kind::End, span: start..start };
            }
            ',' => (Kind::Comma, 1),
            '{' => (Kind::Open, 1),
            '}' => (Kind::Close, 1),
            '=' => (Kind::Equals, 1),
            '"' => quoted(&bytes[start..self.end]),
            _ => word(&bytes[start..self.end]),
        };
        self.position += length;
        Token { kind, span: start..start + length }
    }
}

/// Whether the byte may be one of a word.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_graphic() && !separates(byte)
}

fn separates(byte: u8) -> bool {
    b",{}=#\"".contains(&byte)
}

/// All up to the next blank or separator, so that one wrong character does not make two words of one.
fn word(bytes: &[u8]) -> (Kind, usize) {
    let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r') || separates(*byte);
    let length = bytes.iter().position(ends).unwrap_or(bytes.len());
    let kind = if bytes[..length].iter().all(|byte| is_word(*byte)) { Kind::Word } else { Kind::Bad };
    (kind, length)
}

/// The token that a quote begins. A backslash makes the next character one of the text.
fn quoted(bytes: &[u8]) -> (Kind, usize) {
    let mut length = 1;
    while let Some(byte) = bytes.get(length) {
        match byte {
            b'"' => return (Kind::Quoted, length + 1),
            b'\\' if length + 1 < bytes.len() => length += 2,
            _ => length += 1,
        }
    }
    (Kind::Unclosed, bytes.trim_ascii_end().len())
}
