//! JSON whose strings steer no terminal either.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::{is_harmless, steers};

/// Writes one object and a newline.
///
/// # Errors
/// Those of the writer.
pub fn document(out: &mut dyn io::Write, pretty: bool, value: &impl Serialize) -> serde_json::Result<()> {
    // JSON is written in very many small pieces, which a virtual call each would make twice as slow.
    let mut out = io::BufWriter::with_capacity(64 * 1024, out);
    if pretty {
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Safe(PrettyFormatter::new())))?;
    } else {
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Safe(CompactFormatter)))?;
    }
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(serde_json::Error::io)
}

/// A formatter that also escapes what JSON allows in strings and terminals act on: DEL, C1, marks of direction.
struct Safe<F>(F);

/// Passes methods on to the inner formatter.
macro_rules! delegate {
    ($($method:ident($($arg:ident: $type:ty),*);)+) => {
        $(fn $method<W: ?Sized + io::Write>(&mut self, writer: &mut W, $($arg: $type),*) -> io::Result<()> {
            self.0.$method(writer, $($arg),*)
        })+
    };
}

impl<F: Formatter> Formatter for Safe<F> {
    delegate! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if is_harmless(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| steers(*c)) {
            write!(writer, "{}\\u{:04x}", &rest[..at], u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_steers_a_terminal_is_escaped_in_strings() {
        let mut out = Vec::new();
        super::document(&mut out, false, &["a\x1b[2J\u{9b}31m\u{202e}", "Grüße"]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "[\"a\\u001b[2J\\u009b31m\\u202e\",\"Grüße\"]\n");
    }
}
