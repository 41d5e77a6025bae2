//! JSON: one object a document, written as it is made.

use std::{cell::RefCell, io};

pub(crate) use mseg::escape::document;
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap, SerializeSeq},
};

use super::{column::Row, report::Report, rows::Source};
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
