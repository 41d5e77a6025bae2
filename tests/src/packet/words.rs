//! The words of a line, taken from left to right.

use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// What is left of a line.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// All words of a line.
    pub fn new(line: &'a str) -> Self {
        Self { rest: line.trim() }
    }

    /// The next word, which stays.
    pub fn peek(&self) -> Option<&'a str> {
        self.rest.split_whitespace().next()
    }

    /// The next word; `what` it should be goes into the error.
    ///
    /// # Errors
    /// At the end of the line.
    pub fn take(&mut self, what: &str) -> Result<&'a str> {
        let word = self.peek().with_context(|| format!("{what} is missing at the end"))?;
        self.rest = self.rest.trim_start()[word.len()..].trim_start();
        Ok(word)
    }

    /// Takes the next word if it is this one.
    pub fn accept(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.rest = self.rest.trim_start()[word.len()..].trim_start();
        }
        found
    }

    /// The next word as a number, decimal or after `0x` hexadecimal.
    ///
    /// # Errors
    /// When it is none, or too large.
    pub fn number<T: TryFrom<u64>>(&mut self, what: &str) -> Result<T> {
        number(self.take(what)?, what)
    }

    /// The next word as a pair `A>B`.
    ///
    /// # Errors
    /// When it is none.
    pub fn pair(&mut self, what: &str) -> Result<(&'a str, &'a str)> {
        let word = self.take(what)?;
        word.split_once('>').with_context(|| format!("{what} are written A>B, not {word:?}"))
    }

    /// The next word as bytes in hexadecimal.
    ///
    /// # Errors
    /// When it is none.
    pub fn hex(&mut self, what: &str) -> Result<Vec<u8>> {
        hex(self.take(what)?)
    }

    /// What is left.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// Fails unless every word was taken.
    ///
    /// # Errors
    /// What is left.
    pub fn end(&self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(word) => bail!("cannot make sense of {word:?}"),
        }
    }
}

/// A number, decimal or after `0x` hexadecimal.
///
/// # Errors
/// When it is none, or too large.
pub fn number<T: TryFrom<u64>>(word: &str, what: &str) -> Result<T> {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => u64::from_str(word),
    };
    let value = parsed.with_context(|| format!("{what} is a number, not {word:?}"))?;
    T::try_from(value).ok().with_context(|| format!("{word} is too large for {what}"))
}

/// Bytes in hexadecimal.
///
/// # Errors
/// When it is no even number of digits.
pub fn hex(word: &str) -> Result<Vec<u8>> {
    ensure!(word.len().is_multiple_of(2) && word.is_ascii(), "an odd number of hexadecimal digits: {word:?}");
    let byte = |at| u8::from_str_radix(&word[at..at + 2], 16).with_context(|| format!("not hexadecimal: {word:?}"));
    (0..word.len()).step_by(2).map(byte).collect()
}
