//! The committed JSON Schemas: what the code says, and what the documents keep to.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    document::{ALL, Form},
    expect_file, in_crate,
};
use crate::{output::Format, stop::ErrorDocument, warning::WarningDocument};

#[test]
fn the_committed_schemas_are_those_of_the_code() {
    let mut expected = BTreeSet::new();
    let documents = ALL.iter().map(|document| (document.name, (document.schema)()));
    for (name, schema) in documents.chain([
        ("error", schemars::schema_for!(ErrorDocument<'_>)),
        ("warning", schemars::schema_for!(WarningDocument<'_>)),
    ]) {
        let schema = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let name = format!("{name}.json");
        expect_file(&in_crate("schemas").join(&name), &schema);
        expected.insert(name);
    }
    let files = std::fs::read_dir(in_crate("schemas")).unwrap();
    let files: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, expected);
}

#[test]
fn every_document_keeps_to_its_schema() {
    for document in ALL {
        let format = Format::Json { pretty: false };
        let json = document.render(Form { format, color: false, verbose: false, header: true });
        let json: Value = serde_json::from_str(&json).unwrap();
        let schema = serde_json::to_value((document.schema)()).unwrap();
        check(&schema, &schema, &json).unwrap_or_else(|e| panic!("{}: {e}", document.name));
        assert_eq!(json["schema"], format!("mseg.{}/1", document.name));
    }
}

#[test]
fn a_document_that_breaks_its_schema_is_noticed() {
    let schema = serde_json::to_value((ALL[0].schema)()).unwrap();
    for wrong in [r#"{"schema":"mseg.session-list/1"}"#, r#"{"schema":"x","sessions":[]}"#, r#"{"sessions":[{}]}"#] {
        assert!(check(&schema, &schema, &serde_json::from_str(wrong).unwrap()).is_err(), "{wrong}");
    }
}

/// Checks a value by the keywords that our schemas use. Stricter than JSON Schema: every key must be described.
fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{value} {what} {schema}"));
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).ok_or("a reference leads nowhere")?;
        return check(root, target, value);
    }
    if let Some(alternatives) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        if !alternatives.iter().any(|alternative| check(root, alternative, value).is_ok()) {
            return wrong("is none of");
        }
        return Ok(());
    }
    if schema.get("const").is_some_and(|constant| constant != value)
        || schema["enum"].as_array().is_some_and(|values| !values.contains(value))
    {
        return wrong("is not the value of");
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    let typed = match &schema["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !typed {
        return wrong("is not of the type of");
    }
    if let Some(items) = schema.get("items") {
        value.as_array().into_iter().flatten().try_for_each(|item| check(root, items, item))?;
    }
    if let Some(object) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(required) {
                return wrong(&format!("has no {required}, against"));
            }
        }
        for (key, value) in object {
            let others = schema.get("additionalProperties").filter(|others| **others != false);
            match schema["properties"].get(key).or(others) {
                Some(schema) => check(root, schema, value)?,
                None => return wrong(&format!("has {key}, which is not in")),
            }
        }
    }
    Ok(())
}
