//! The JSON Schema of a policy's parts.

use mseg::policy::{Builtins, Timeouts};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// The schema of [`mseg::policy::Policy`], which has its own way of serialising: every key is there.
pub(super) fn policy(_: &mut SchemaGenerator) -> Schema {
    schema(true)
}

/// The schema of what is read: what has a default may be left out, and there is nothing else.
pub(super) fn form() -> Schema {
    schema(false)
}

fn schema(whole: bool) -> Schema {
    let object = |keys: Vec<(&str, Value)>| object(keys, whole);
    let action = json!({ "enum": ["allow", "deny"] });
    let addresses =
        |what: &str| json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "description": what });
    let number = |most: u32| json!({ "type": "integer", "minimum": 0, "maximum": most });
    let name = || json!({ "type": "string", "pattern": NAME_PATTERN, "maxLength": MAX_NAME });
    let port = object(vec![("first", number(65_535)), ("last", number(65_535))]);
    let endpoint = object(vec![
        ("addresses", addresses("Addresses, networks and names of sets, or any")),
        ("ports", json!({ "type": "array", "items": port, "description": "Inclusive ranges; none for every port" })),
    ]);
    let icmp = object(vec![
        ("type", number(255)),
        ("code", json!({ "type": ["integer", "null"], "minimum": 0, "maximum": 255 })),
    ]);
    let selector = vec![
        ("direction", json!({ "enum": ["in", "out", "both"] })),
        ("protocol", json!({ "type": "string", "description": "Its name, its number as a string, or any" })),
        ("from", endpoint.clone()),
        ("to", endpoint),
        ("icmp", json!({ "anyOf": [icmp, { "type": "null" }] })),
        ("iface", json!({ "type": ["string", "null"], "description": "Name; null for any" })),
    ];
    let boolean = json!({ "type": "boolean" });
    let mut rule = vec![("name", name()), ("action", action.clone())];
    rule.extend(selector.clone());
    rule.extend([("priority", number(65_535)), ("log", boolean.clone()), ("audit", boolean.clone())]);
    let builtins = Builtins::json_keys();
    let builtins = builtins.iter().map(|key| (key.as_str(), boolean.clone())).collect();
    let timeouts = Timeouts::json_keys();
    let seconds = json!({ "type": "integer", "minimum": 1, "maximum": mseg_ebpf::abi::time::MAX_TIMEOUT_S });
    let timeouts = timeouts.iter().map(|key| (key.as_str(), seconds.clone())).collect();
    let define = vec![("name", name()), ("members", addresses("Addresses, networks and sets"))];
    let mut policy = object(vec![
        ("defaults", object(vec![("in", action.clone()), ("out", action)])),
        ("builtins", object(builtins)),
        ("failsafe", json!({ "type": "array", "items": object(selector), "minItems": 1 })),
        ("timeouts", object(timeouts)),
        ("defines", array(object(define))),
        ("rules", array(object(rule))),
    ]);
    policy["description"] = "The policy in parts".into();
    policy.try_into().unwrap_or_else(|_| json_schema!({}))
}

fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// What a name of a rule or set is. The words that are none are left to the reader.
const NAME_PATTERN: &str = "^[A-Za-z][A-Za-z0-9_.-]*$";
/// Its longest, in characters.
const MAX_NAME: usize = mseg_ebpf::abi::rule::NAME_LEN - 1;

/// What a reader of the JSON form insists on.
const REQUIRED: [&str; 8] = ["name", "action", "direction", "protocol", "members", "first", "last", "type"];

/// An object of these keys: all of them, or those that have no default and nothing else.
fn object(keys: Vec<(&str, Value)>, whole: bool) -> Value {
    let properties: Map<String, Value> = keys.into_iter().map(|(key, schema)| (key.to_owned(), schema)).collect();
    let required = properties.keys().filter(|key| whole || REQUIRED.contains(&key.as_str()));
    let required: Vec<Value> = required.cloned().map(Value::from).collect();
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    if !whole {
        object["additionalProperties"] = false.into();
    }
    object
}
