//! JSON: one object a document, written as it is made.

use std::{
    cell::RefCell,
    io::{self, Write as _},
};

use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap, SerializeSeq},
};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::{
    column::Row,
    escape::{is_harmless, steers},
    report::Report,
    rows::Source,
};
use crate::stop::Stop;

/// Writes a report as one object and a newline.
pub(super) fn report<R: Report>(out: &mut dyn io::Write, pretty: bool, report: &R) -> Result<(), Stop> {
    #[derive(Serialize)]
    struct Tagged<'a, R> {
        schema: &'static str,
        #[serde(flatten)]
        report: &'a R,
    }
    document(out, pretty, &Tagged { schema: R::SCHEMA, report }).map_err(|e| io::Error::from(e).into())
}

/// Writes a listing as one object and a newline; each row goes out as the source hands it over.
pub(super) fn listing<R: Row>(out: &mut dyn io::Write, pretty: bool, source: Source<'_, R>) -> Result<(), Stop> {
    let failure = RefCell::new(None);
    let listing = Listing { source: RefCell::new(Some(source)), failure: &failure };
    match document(out, pretty, &listing) {
        Ok(()) => Ok(()),
        Err(error) => Err(failure.take().unwrap_or_else(|| io::Error::from(error).into())),
    }
}

/// Writes one object and a newline.
pub(crate) fn document(out: &mut dyn io::Write, pretty: bool, value: &impl Serialize) -> serde_json::Result<()> {
    // JSON is written in very many small pieces, which a virtual call each would make twice as slow.
    let mut out = io::BufWriter::with_capacity(64 * 1024, out);
    if pretty {
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Safe(PrettyFormatter::new())))?;
    } else {
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Safe(CompactFormatter)))?;
    }
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(serde_json::Error::io)
}

/// The document of a listing, with the rows still in their source.
struct Listing<'a, 's, R> {
    source: RefCell<Option<Source<'s, R>>>,
    /// Why the source stopped: serde's error cannot carry it.
    failure: &'a RefCell<Option<Stop>>,
}

impl<R: Row> Serialize for Listing<'_, '_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", R::SCHEMA)?;
        map.serialize_key(R::KEY)?;
        map.serialize_value(&Elements(self))?;
        map.end()
    }
}

struct Elements<'a, 'b, 's, R>(&'a Listing<'b, 's, R>);

impl<R: Row> Serialize for Elements<'_, '_, '_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        let mut failed = None;
        if let Some(source) = self.0.source.take() {
            let result = source(&mut |row| match seq.serialize_element(&row) {
                Ok(()) => std::ops::ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    std::ops::ControlFlow::Break(())
                }
            });
            if let Err(error) = result {
                *self.0.failure.borrow_mut() = Some(error.into());
                return Err(S::Error::custom("the listing could not be read"));
            }
        }
        match failed {
            Some(error) => Err(error),
            None => seq.end(),
        }
    }
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
