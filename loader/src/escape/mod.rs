//! Keeps characters that steer a terminal out of the output: names come from the kernel, files and arguments.

mod json;

use std::fmt::{self, Write};

pub use self::json::document;

/// Whether a terminal would act on the character, or be misled by it: C0, DEL, C1, line separators and the marks that
/// change the direction of writing.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether the text is printable ASCII, which is quickly seen and nearly always so.
pub(crate) fn is_harmless(text: &str) -> bool {
    text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

/// Passes text on, with `\t`, `\n`, `\r` and `\u{1b}` for what steers.
pub struct Escaped<W>(pub W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_harmless(text) {
            return self.0.write_str(text);
        }
        text.chars()
            .try_for_each(|c| if steers(c) { write!(self.0, "{}", c.escape_default()) } else { self.0.write_char(c) })
    }
}

/// The text with what steers escaped.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing to a string does not fail.
    let _ = Escaped(&mut out).write_str(text);
    out
}

/// Lines with what steers escaped, but for their ends. The last one has one, too.
pub(crate) fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_not_sent() {
        assert_eq!(escaped("eth0"), "eth0");
        assert_eq!(escaped("a\x1b[2Jb\n\t\u{9b}31m\u{7f}"), r"a\u{1b}[2Jb\n\t\u{9b}31m\u{7f}");
        assert_eq!(escaped("\u{202e}txt"), r"\u{202e}txt");
        assert_eq!(escaped("Grüße 日本"), "Grüße 日本");
    }
}
