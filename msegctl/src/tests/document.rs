//! Every document the program can write, once: what the golden files and the schemas are made of.

use std::{io::Write, ops::ControlFlow};

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};

use super::fixture;
use crate::{
    denied::DeniedRow,
    doctor::Diagnosis,
    explain::ExplainReport,
    mode::ModeReport,
    output::{Format, Output, Report, Row},
    policy::{Applied, Checked, Confirmed, Difference, History, RolledBack, Shown, Tested, fmt::Formatted},
    rule::RuleRow,
    select::Each,
    session::{SessionCount, SessionRow, SessionsDeleted},
    status::StatusReport,
    stop::Stop,
};
use mseg::view::StatsView;

/// How a document is to be written.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) format: Format,
    pub(super) color: bool,
    pub(super) verbose: bool,
    pub(super) header: bool,
}

/// A kind of document.
pub(super) struct Document {
    /// The name of its schema, without the version.
    pub(super) name: &'static str,
    pub(super) schema: fn() -> Schema,
    pub(super) write: fn(&mut Output<'_>) -> Result<(), Stop>,
}

impl Document {
    pub(super) fn render(&self, form: Form) -> String {
        let mut out = Vec::new();
        (self.write)(&mut output(&mut out, form)).unwrap();
        String::from_utf8(out).unwrap()
    }
}

pub(super) fn output(out: &mut dyn Write, form: Form) -> Output<'_> {
    let Form { format, color, verbose, header } = form;
    Output { out, format, header, color, verbose, quiet: false }
}

pub(super) const ALL: &[Document] = &[
    document("session-list", schema_of_listing::<SessionRow<'_>>, |o| {
        let context = fixture::context();
        write_rows(o, fixture::session_rows(&context))
    }),
    document("session", schema_of::<SessionRow<'_>>, |o| {
        let context = fixture::context();
        fixture::session_rows(&context).first().map_or(Ok(()), |row| o.report(row))
    }),
    document("session-count", schema_of::<SessionCount>, |o| o.report(&fixture::count())),
    document("session-delete", schema_of::<SessionsDeleted>, |o| o.report(&fixture::deleted())),
    document("denied-list", schema_of_listing::<DeniedRow<'_>>, |o| {
        let context = fixture::context();
        write_rows(o, fixture::denied_rows(&context))
    }),
    document("rule-list", schema_of_listing::<RuleRow>, |o| {
        let rows = fixture::rule_rows(&fixture::context());
        crate::rule::write_rows(o, rows)
    }),
    document("rule", schema_of::<RuleRow>, |o| {
        fixture::rule_rows(&fixture::context()).first().map_or(Ok(()), |row| o.report(row))
    }),
    document("policy", schema_of::<Shown>, |o| o.report(&fixture::shown())),
    document("policy-apply", schema_of::<Applied>, |o| o.report(&fixture::applied())),
    document("policy-confirm", schema_of::<Confirmed>, |o| o.report(&fixture::confirmed())),
    document("policy-rollback", schema_of::<RolledBack>, |o| o.report(&fixture::rolled_back())),
    document("policy-history", schema_of::<History>, |o| o.report(&fixture::history())),
    document("policy-diff", schema_of::<Difference>, |o| o.report(&fixture::difference())),
    document("policy-fmt", schema_of::<Formatted>, |o| o.report(&Formatted(fixture::shown().policy))),
    document("policy-check", schema_of::<Checked>, |o| o.report(&fixture::checked())),
    document("policy-test", schema_of::<Tested>, |o| o.report(&fixture::tested())),
    document("explain", schema_of::<ExplainReport>, |o| o.report(&fixture::explained())),
    document("mode", schema_of::<ModeReport>, |o| o.report(&fixture::mode())),
    document("stats", schema_of::<StatsView>, |o| o.report(&fixture::stats())),
    document("status", schema_of::<StatusReport>, |o| o.report(&fixture::status(&fixture::context()))),
    document("doctor", schema_of::<Diagnosis>, |o| o.report(&fixture::diagnosis())),
];

const fn document(
    name: &'static str,
    schema: fn() -> Schema,
    write: fn(&mut Output<'_>) -> Result<(), Stop>,
) -> Document {
    Document { name, schema, write }
}

fn write_rows<R: Row>(output: &mut Output<'_>, rows: Vec<R>) -> Result<(), Stop> {
    output.listing(Box::new(|each: Each<'_, R>| {
        let _: ControlFlow<()> = rows.into_iter().try_for_each(each);
        Ok(())
    }))
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

fn schema_of<R: Report>() -> Schema {
    let mut schema = generator().into_root_schema_for::<R>();
    tag(&mut schema, R::SCHEMA);
    schema
}

fn schema_of_listing<R: Row>() -> Schema {
    let mut generator = generator();
    let rows = generator.subschema_for::<Vec<R>>();
    let mut schema = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { R::KEY: rows },
        "required": [R::KEY],
    });
    schema.insert("$defs".into(), generator.take_definitions(true).into());
    tag(&mut schema, R::SCHEMA);
    schema
}

/// Adds the key `schema`, which the renderer adds to every document.
fn tag(schema: &mut Schema, name: &str) {
    let object = schema.ensure_object();
    // A report that is another struct's alone is a reference to that; a document has its keys itself.
    if let Some(serde_json::Value::String(reference)) = object.remove("$ref") {
        let name = reference.trim_start_matches("#/$defs/");
        let definition = object.get_mut("$defs").and_then(|defs| defs.as_object_mut()?.remove(name));
        if let Some(serde_json::Value::Object(definition)) = definition {
            object.extend(definition);
        }
    }
    object.insert("title".into(), name.into());
    let mut properties = serde_json::Map::from_iter([("schema".into(), serde_json::json!({ "const": name }))]);
    if let Some(serde_json::Value::Object(others)) = object.remove("properties") {
        properties.extend(others);
    }
    object.insert("properties".into(), properties.into());
    if let Some(serde_json::Value::Array(required)) = object.get_mut("required") {
        required.insert(0, "schema".into());
    }
}
