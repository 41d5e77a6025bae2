//! The committed JSON Schema of the lines, and the manual page about them.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use mseg::view::EventDocument;
use serde_json::Value;

fn in_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(EventDocument<'_>)).unwrap()
}

/// Every string constant of a key named `event`, and every name of a property.
fn collect(schema: &Value, kinds: &mut BTreeSet<String>, keys: &mut BTreeSet<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        keys.extend(properties.keys().cloned());
        kinds.extend(properties.get("event").and_then(|event| event["const"].as_str()).map(str::to_owned));
    }
    let children: Vec<&Value> = match schema {
        Value::Object(object) => object.values().collect(),
        Value::Array(array) => array.iter().collect(),
        _ => Vec::new(),
    };
    children.into_iter().for_each(|child| collect(child, kinds, keys));
}

#[test]
fn the_committed_schema_is_that_of_the_code() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    let path = in_crate("schemas/event.json");
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(in_crate("schemas")).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{} is not what is made now (UPDATE_GOLDEN=1 cargo test -p msegd writes it)",
        path.display()
    );
}

#[test]
fn the_manual_page_tells_every_event_and_every_key() {
    let page = fs::read_to_string(in_crate("../man/msegd.8")).unwrap();
    let (mut kinds, mut keys) = (BTreeSet::new(), BTreeSet::new());
    collect(&schema(), &mut kinds, &mut keys);
    let events = page.lines().skip_while(|line| !line.starts_with(".Sh EVENTS")).skip(1);
    let events: Vec<&str> = events.take_while(|line| !line.starts_with(".Sh")).collect();
    let described: BTreeSet<String> =
        events.iter().filter_map(|line| line.strip_prefix(".It Sy ")).map(str::to_owned).collect();
    assert_eq!(described, kinds);
    let words: BTreeSet<&str> =
        events.iter().filter_map(|line| line.split("Va ").nth(1)?.split_whitespace().next()).collect();
    let untold: Vec<&String> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(untold.is_empty(), "{untold:?}");
}
