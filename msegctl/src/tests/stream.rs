//! Listings of any length, and outputs that fail.

use std::io::{self, Write};

use mseg::{
    error::{Code, Error},
    instance::Options,
};

use super::{
    document::{Form, output},
    fixture,
};
use crate::{
    output::{Format, Output},
    run::Run,
    select::Each,
    session::SessionRow,
    stop::Stop,
};

const FORMATS: [Format; 3] = [Format::Text, Format::Json { pretty: false }, Format::Plain];

fn form(format: Format) -> Form {
    Form { format, color: false, verbose: false, header: true }
}

/// Writes `count` sessions.
fn write(out: &mut dyn Write, format: Format, count: usize) -> Result<(), Stop> {
    let context = fixture::context();
    output(out, form(format)).listing(Box::new(|each: Each<'_, SessionRow<'_>>| {
        let _ = (0..count).try_for_each(|i| each(fixture::session_rows(&context).swap_remove(i % 4)));
        Ok(())
    }))
}

/// Takes a number of bytes, then fails.
struct Limited(usize, io::ErrorKind);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(self.1.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn rows_go_out_before_the_source_ends() {
    for format in FORMATS {
        // The listing would never end; it does because the output fails.
        let mut out = Limited(1_000_000, io::ErrorKind::BrokenPipe);
        assert!(matches!(write(&mut out, format, usize::MAX), Err(Stop::Pipe)), "{format:?}");
    }
}

#[test]
fn text_beyond_the_measured_rows_keeps_its_columns() {
    let mut out = Vec::new();
    write(&mut out, Format::Text, 2_500).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 2_501);
    let widths: std::collections::BTreeSet<_> = text.lines().map(|line| line.len()).collect();
    assert_eq!(widths.len(), 1, "{widths:?}");
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_not() {
    for format in FORMATS {
        let full = write(&mut Limited(100, io::ErrorKind::StorageFull), format, 10);
        assert!(matches!(full, Err(Stop::Error(Error { code: Code::Failed, .. }))), "{format:?}: {full:?}");
        let closed = write(&mut Limited(100, io::ErrorKind::BrokenPipe), format, 10);
        assert!(matches!(closed, Err(Stop::Pipe)), "{format:?}: {closed:?}");
    }
}

#[test]
fn an_error_behind_a_change_says_that_it_holds() {
    let error = |out: &mut dyn Write, quiet, report| {
        let output = Output { quiet, ..output(out, form(Format::Text)) };
        let options = Options { name: "web".to_owned(), ..Options::default() };
        match (Run { output, options }).done(report) {
            Err(Stop::Error(error)) => Some((error.code, error.message, error.hint.unwrap())),
            Err(Stop::Pipe) | Ok(_) => None,
        }
    };
    let full = || Limited(0, io::ErrorKind::StorageFull);
    let (code, message, hint) = error(&mut full(), false, Ok(fixture::confirmed())).unwrap();
    assert_eq!(code, Code::Failed);
    assert!(message.starts_with("the change was made and holds, but"), "{message}");
    assert!(message.contains("cannot write standard output"), "{message}");
    assert_eq!(hint, "`msegctl status --instance web` shows what holds");
    // A buffer would take it, and fail when nobody knows any more what it held.
    assert!(error(&mut io::BufWriter::new(full()), false, Ok(fixture::confirmed())).is_some());
    let unread = Err(Error::failed("cannot read the map"));
    assert!(error(&mut full(), true, unread).unwrap().1.ends_with("cannot read the map"));
    assert!(error(&mut full(), true, Ok(fixture::confirmed())).is_none());
    let closed = &mut Limited(0, io::ErrorKind::BrokenPipe);
    assert!(error(closed, false, Ok(fixture::confirmed())).is_none());
}

#[test]
fn a_source_that_fails_is_what_is_reported() {
    for format in FORMATS {
        let mut out = Vec::new();
        let result = output(&mut out, form(format))
            .listing(Box::new(|_: Each<'_, SessionRow<'_>>| Err(Error::new(Code::Permission, "cannot read the map"))));
        assert!(matches!(result, Err(Stop::Error(Error { code: Code::Permission, .. }))), "{format:?}: {result:?}");
    }
}

#[test]
fn an_empty_listing_is_a_whole_document() {
    let empty = |format| {
        let mut out = Vec::new();
        write(&mut out, format, 0).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(empty(Format::Json { pretty: false }), "{\"schema\":\"mseg.session-list/1\",\"sessions\":[]}\n");
    assert_eq!(empty(Format::Text), "");
    assert_eq!(empty(Format::Plain).lines().count(), 1);
}
