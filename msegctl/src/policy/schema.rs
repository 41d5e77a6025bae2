//! The JSON Schema of a policy's parts.

use mseg_ebpf::abi::policy::timeout;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// The schema of [`mseg::policy::Policy`], which has its own way of serialising.
pub(super) fn policy(_: &mut SchemaGenerator) -> Schema {
    let action = json!({ "enum": ["allow", "deny"] });
    let addresses = |what: &str| json!({ "type": "array", "items": { "type": "string" }, "description": what });
    let number = |most: u32| json!({ "type": "integer", "minimum": 0, "maximum": most });
    let port = object([("first", number(65_535)), ("last", number(65_535))]);
    let endpoint = object([
        ("addresses", addresses("Addresses, networks and names of sets, or any")),
        ("ports", json!({ "type": "array", "items": port, "description": "Inclusive ranges; none for every port" })),
    ]);
    let icmp = object([("type", number(255)), ("code", json!({ "type": ["integer", "null"] }))]);
    let selector = [
        ("direction", json!({ "enum": ["in", "out", "both"] })),
        ("protocol", json!({ "type": "string", "description": "Its name, its number as a string, or any" })),
        ("from", endpoint.clone()),
        ("to", endpoint),
        ("icmp", json!({ "anyOf": [icmp, { "type": "null" }] })),
        ("iface", json!({ "type": ["string", "null"], "description": "Name; null for any" })),
    ];
    let boolean = json!({ "type": "boolean" });
    let rule = object(
        [("name", json!({ "type": "string" })), ("action", action.clone())]
            .into_iter()
            .chain(selector.clone())
            .chain([("priority", number(65_535)), ("log", boolean.clone()), ("audit", boolean)]),
    );
    let builtins = mseg::policy::Builtins::NAMES.map(|name| (name.replace('-', "_"), json!({ "type": "boolean" })));
    let seconds = number(mseg_ebpf::abi::time::MAX_TIMEOUT_S);
    let timeouts = timeout::NAMES.map(|name| (format!("{}_s", name.replace('-', "_")), seconds.clone()));
    let define =
        object([("name", json!({ "type": "string" })), ("members", addresses("Addresses, networks and sets"))]);
    let mut policy = object([
        ("defaults", object([("in", action.clone()), ("out", action)])),
        ("builtins", object(builtins)),
        ("failsafe", array(object(selector))),
        ("timeouts", object(timeouts)),
        ("defines", array(define)),
        ("rules", array(rule)),
    ]);
    policy["description"] = "The policy in parts".into();
    policy.try_into().unwrap_or_else(|_| json_schema!({}))
}

fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// An object that has all of these keys.
fn object<K: Into<String>>(keys: impl IntoIterator<Item = (K, Value)>) -> Value {
    let properties: Map<String, Value> = keys.into_iter().map(|(key, schema)| (key.into(), schema)).collect();
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}
