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

#[test]
fn what_the_reader_refuses_the_schema_of_the_form_refuses() {
    let form = ALL.iter().find(|document| document.name == "policy-fmt").unwrap();
    let schema = serde_json::to_value((form.schema)()).unwrap();
    let rule = |name: &str, more: &str| {
        format!(r#""rules":[{{"name":"{name}","action":"deny","direction":"in","protocol":"icmp"{more}}}]"#)
    };
    let named = |length: usize| rule(&"n".repeat(length), "");
    let longest = mseg_ebpf::abi::rule::NAME_LEN - 1;
    let cases = [
        (rule("a.b-c_d", r#","icmp":{"type":8,"code":255}"#), true),
        (rule("a", r#","icmp":{"type":8,"code":256}"#), false),
        (rule("a", r#","icmp":{"type":8,"code":-1}"#), false),
        (rule("a", r#","icmp":{"type":256}"#), false),
        (rule("a", r#","from":{"addresses":[]}"#), false),
        (rule("a", r#","priority":65536"#), false),
        (named(longest), true),
        (named(longest + 1), false),
        (rule("", ""), false),
        (rule("1a", ""), false),
        (rule("a b", ""), false),
        (r#""defines":[{"name":"s","members":["10.0.0.1"]}]"#.to_owned(), true),
        (r#""defines":[{"name":"s","members":[]}]"#.to_owned(), false),
        (r#""defines":[{"name":"s:t","members":["10.0.0.1"]}]"#.to_owned(), false),
        (r#""timeouts":{"udp_new_s":1}"#.to_owned(), true),
        (r#""timeouts":{"udp_new_s":0}"#.to_owned(), false),
        (r#""failsafe":[]"#.to_owned(), false),
    ];
    for (part, valid) in cases {
        let text = format!(r#"{{"schema":"mseg.policy-fmt/1",{part}}}"#);
        let read = mseg::policy::parse("test", &text);
        assert_eq!(read.is_ok(), valid, "{text}: {read:?}");
        let checked = check(&schema, &schema, &serde_json::from_str(&text).unwrap());
        assert_eq!(checked.is_ok(), valid, "{text}: {checked:?}");
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
    let out_of_range = value.as_i64().is_some_and(|number| {
        schema["minimum"].as_i64().is_some_and(|least| number < least)
            || schema["maximum"].as_i64().is_some_and(|most| number > most)
    });
    let few = |items: &Vec<Value>| schema["minItems"].as_u64().is_some_and(|least| (items.len() as u64) < least);
    // The one pattern that is looked at: of a name.
    let is_name = |text: &str| {
        let rest = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(rest)
    };
    let misnamed = |text: &str| {
        schema["maxLength"].as_u64().is_some_and(|most| text.chars().count() as u64 > most)
            || schema["pattern"] == "^[A-Za-z][A-Za-z0-9_.-]*$" && !is_name(text)
    };
    if out_of_range || value.as_array().is_some_and(few) || value.as_str().is_some_and(misnamed) {
        return wrong("is not within");
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
