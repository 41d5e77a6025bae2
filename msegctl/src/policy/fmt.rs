//! `msegctl policy fmt`.

use std::path::Path;

use mseg::{
    error::{Code, Error},
    policy::{self, Policy, PolicyFile},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{replace::replace, schema};
use crate::{
    cli::Format as Arguments,
    output::{Format, Output, Report, Text},
    run::{Outcome, Run},
    stop::Stop,
};

/// A policy in JSON form, as policy files may have it.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Formatted(pub(crate) Policy);

impl Report for Formatted {
    const SCHEMA: &'static str = policy::SCHEMA;

    fn describe(&self, text: &mut Text, _: bool) {
        self.0.to_string().lines().for_each(|line| text.line(line));
    }
}

impl JsonSchema for Formatted {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PolicyForm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema::form()
    }
}

pub(super) fn fmt(run: &mut Run<'_>, arguments: &Arguments) -> Result<Outcome, Stop> {
    let Arguments { file, check, write } = arguments;
    if *write && file == Path::new("-") {
        return Err(usage("standard input cannot be rewritten", "leave --write out").into());
    }
    let source = PolicyFile::read(file)?;
    let to_json = matches!(run.output.format, Format::Json { .. });
    if (*check || *write) && to_json != source.is_json() {
        let (is, hint) = match to_json {
            true => ("text", "leave --json out; without --check and --write it converts"),
            false => ("in JSON form", "add --json; without --check and --write it converts"),
        };
        return Err(usage(&format!("{} is {is}, and would become another form", file.display()), hint).into());
    }
    let formatted = match (to_json, source.is_json()) {
        (true, _) => json(&run.output, source.policy().map_err(Error::from)?)?,
        (false, true) => source.policy().map_err(Error::from)?.to_string(),
        (false, false) => source.formatted().map_err(Error::from)?,
    };
    let changes = formatted != source.text();
    if !check && !write {
        run.output.out.write_all(formatted.as_bytes())?;
        return Ok(Outcome::Done);
    }
    if changes && *write {
        replace(file, formatted.as_bytes())?;
    }
    if changes && !run.output.quiet && !to_json {
        let state = if *write { "formatted" } else { "not formatted" };
        run.output.lines([&*format!("{}: {state}", file.display())])?;
    }
    Ok(if changes && *check { Outcome::Nothing } else { Outcome::Done })
}

fn usage(message: &str, hint: &str) -> Error {
    Error::new(Code::Usage, message).hint(hint)
}

/// The document, compact or indented as the output is.
fn json(output: &Output<'_>, policy: Policy) -> Result<String, Stop> {
    let mut bytes = Vec::new();
    Output { out: &mut bytes, ..*output }.report(&Formatted(policy))?;
    String::from_utf8(bytes).map_err(|error| Error::failed(error.to_string()).into())
}
