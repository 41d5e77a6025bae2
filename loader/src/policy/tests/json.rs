//! The JSON form, both ways.

use proptest::prelude::*;

use crate::policy::{Diagnostic, Policy, SCHEMA, arbitrary, parse};

/// What a text in JSON form is, or every error as `LINE:COLUMN MESSAGE; EXPECTED; HELP`.
fn read(json: &str) -> Result<Policy, Vec<String>> {
    let told = |error: Diagnostic| {
        let Diagnostic { line, column, message, expected, help, .. } = error;
        format!("{line}:{column} {message}; {expected}; {}", help.unwrap_or_default())
    };
    parse("json", json).map_err(|errors| errors.plain().into_iter().map(told).collect())
}

/// A rule in JSON, with more keys.
fn rule(more: &str) -> String {
    format!(r#"{{"rules":[{{"name":"a","action":"deny","direction":"in"{more}}}]}}"#)
}

#[test]
fn the_json_form_says_all_of_a_rule() {
    let policy = parse("test", "rule a allow in tcp from 10.0.0.1 to any port 80-81 log").unwrap();
    let json = serde_json::to_value(&policy).unwrap();
    assert_eq!(
        json["rules"][0],
        serde_json::json!({
            "name": "a", "action": "allow", "direction": "in", "protocol": "tcp",
            "from": { "addresses": ["10.0.0.1"], "ports": [] },
            "to": { "addresses": ["any"], "ports": [{ "first": 80, "last": 81 }] },
            "icmp": null, "iface": null, "priority": 1000, "log": true, "audit": false,
        })
    );
    assert_eq!(json["timeouts"]["tcp_established_s"], 86_400);
}

proptest! {
    #[test]
    fn a_policy_is_the_same_by_way_of_json(policy in arbitrary::policy()) {
        for json in [serde_json::to_string(&policy).unwrap(), serde_json::to_string_pretty(&policy).unwrap()] {
            prop_assert_eq!(read(&json), Ok(policy.clone()), "{}", json);
        }
        // From text to JSON and back to the same text.
        let text = policy.to_string();
        let json = serde_json::to_string(&parse("text", &text).unwrap()).unwrap();
        prop_assert_eq!(read(&json).unwrap().to_string(), text);
    }

    #[test]
    fn any_change_of_a_byte_of_json_is_read_or_refused(
        policy in arbitrary::policy(), places in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)
    ) {
        let mut json = serde_json::to_vec_pretty(&policy).unwrap();
        for (place, byte) in places {
            let place = place % json.len();
            json[place] = byte;
        }
        let text = String::from_utf8_lossy(&json);
        if let Ok(read) = parse("changed", &text) {
            prop_assert_eq!(parse("again", &read.to_string()).unwrap(), read);
        }
    }
}

#[test]
fn what_is_left_out_is_the_default() {
    for empty in ["{}", " \n\t{ }\n", "\u{feff}{}", r#"{"rules":[],"defines":[]}"#, r#"{"schema":"mseg.policy-fmt/1"}"#]
    {
        assert_eq!(read(empty), Ok(Policy::default()), "{empty}");
    }
    assert_eq!(read(&rule(r#","protocol":"tcp""#)).unwrap(), parse("text", "rule a deny in tcp").unwrap());
    let short = rule(r#","protocol":"tcp","to":{"ports":[{"first":1,"last":2}]},"icmp":null,"iface":null"#);
    assert_eq!(read(&short).unwrap(), parse("text", "rule a deny in tcp to any port 1-2").unwrap());
    let escaped = rule(r#","protocol":"t\u0063p","from":{"addresses":["10.0.0.0\/8"]}"#);
    assert_eq!(read(&escaped).unwrap(), parse("text", "rule a deny in tcp from 10.0.0.0/8").unwrap());
}

#[test]
fn what_shows_a_policy_is_read_as_the_policy() {
    let policy = parse("text", "default in deny\nrule a deny in tcp").unwrap();
    let form = serde_json::to_string(&policy).unwrap();
    let shown = format!(r#"{{"schema":"mseg.policy/1","generation":3,"applied":"x","text":"no","policy":{form}}}"#);
    assert_eq!(read(&shown), Ok(policy));
    let errors = read(&shown.replace("policy/1", "policy/2")).unwrap_err();
    assert!(errors[0].starts_with("1:12 expected a schema, found `mseg.policy/2`"), "{errors:?}");
    assert!(read(&format!(r#"{{"schema":"{SCHEMA}","policy":{form}}}"#)).is_err());
}

#[test]
fn every_mistake_is_named_at_its_place() {
    let protocol = |more: &str| rule(&format!(r#","protocol":"tcp"{more}"#));
    for (json, place, message, rest) in [
        ("{", "1:1", "the JSON is wrong: EOF", ""),
        ("{} x", "1:4", "the JSON is wrong: trailing characters", ""),
        ("{\n \"rules\": [],\n}", "3:1", "the JSON is wrong: key must be a string", ""),
        (r#"{"rule":[]}"#, "1:2", "a policy has no key `rule`", "did you mean `rules`"),
        (r#"{"rules":[],"rules":[]}"#, "1:13", "a second `rules`", ""),
        (r#"{"rules":{}}"#, "1:10", "expected a list of rules, found an object", "expected a list"),
        (r#"{"rules":[1]}"#, "1:11", "expected a rule, found a number", "expected an object"),
        (r#"{"schema":"x"}"#, "1:12", "expected a schema, found `x`", SCHEMA),
        (r#"{"defaults":{"in":"dney"}}"#, "1:20", "expected an action, found `dney`", "did you mean `deny`"),
        (r#"{"defaults":{"in":null}}"#, "1:19", "expected an action, found null", "expected a string"),
        (r#"{"builtins":{"apr":true}}"#, "1:14", "built-in rules has no key `apr`", "did you mean `arp`"),
        (r#"{"builtins":{"arp":"on"}}"#, "1:20", "expected `true` or `false`, found a string", ""),
        (r#"{"timeouts":{"icmp_s":0}}"#, "1:23", "`0` is out of range", "1 to 2"),
        (r#"{"timeouts":{"icmp_s":1.5}}"#, "1:23", "`1.5` is out of range", "a whole number"),
        (r#"{"timeouts":{"icmp_s":"1h"}}"#, "1:23", "found a string", "expected a number"),
        (r#"{"failsafe":[]}"#, "1:13", "there is no failsafe rule", "leave `failsafe` out"),
        (
            r#"{"failsafe":[{"direction":"in","protocol":"tcp","log":true}]}"#,
            "1:49",
            "a failsafe rule has no key `log`",
            "",
        ),
        (r#"{"defines":[{"name":"a","members":[]}]}"#, "1:35", "the set is empty", "at least one"),
        (r#"{"defines":[{"name":"a","members":["a"]}]}"#, "1:36", "a set contains itself", ""),
        (r#"{"defines":[{"name":"a","members":["10.0.0.1/8"]}]}"#, "1:37", "has bits beyond", "write `10.0.0.0/8`"),
        (r#"{"defines":[{"name":"a","members":["10.0.0.1 "]}]}"#, "1:36", "is not an address", "and nothing else"),
        (r#"{"defines":[{"name":"a","members":["10.0.0.1#"]}]}"#, "1:36", "is not an address", "and nothing else"),
        (r#"{"defines":[{"name":"a","members":[""]}]}"#, "1:36", "is not an address", ""),
        (r#"{"defines":[{"name":"a","members":["file"]}]}"#, "1:37", "a file cannot stand here", ""),
        (r#"{"defines":[{"name":"any","members":["::1"]}]}"#, "1:22", "expected a set name", ""),
        (&rule(""), "1:11", "the key `protocol` is missing", ""),
        (&protocol(r#","form":1"#), "1:73", "a rule has no key `form`", "did you mean `from`"),
        (&protocol(r#","from":{"addresses":["offce"]}"#), "1:94", "unknown set `offce`", ""),
        (&protocol(r#","from":{"addresses":[]}"#), "1:93", "no address can match", "[\"any\"]"),
        (&protocol(r#","from":{"addresses":["any","::1"]}"#), "1:95", "`any` cannot stand in a list", ""),
        (&protocol(r#","to":{"ports":[{"first":2,"last":1}]}"#), "1:88", "the range 2 to 1 is empty", "lower"),
        (&protocol(r#","to":{"ports":[{"first":65536,"last":1}]}"#), "1:97", "`65536` is out of range", "0 to 65535"),
        (&protocol(r#","icmp":{"type":8}"#), "1:80", "protocol `tcp` has no types", ""),
        (&protocol(r#","iface":"a\nb""#), "1:81", "`\\n` has no place", "the name of an interface"),
        (&protocol(r#","iface":"a\u001bb""#), "1:81", "has no place in a policy", ""),
        (&protocol(r#","name":"b""#), "1:73", "a second `name`", ""),
        (
            &rule(r#","protocol":"icmp","to":{"ports":[{"first":1,"last":1}]}"#),
            "1:89",
            "protocol `icmp` has no ports",
            "",
        ),
    ] {
        let errors = read(json).unwrap_err();
        assert_eq!(errors.len(), 1, "{json}: {errors:#?}");
        assert!(errors[0].starts_with(&format!("{place} ")), "{json}: {errors:#?} is not at {place}");
        assert!(errors[0].contains(message) && errors[0].contains(rest), "{json}: {errors:#?}");
    }
}

#[test]
fn all_errors_of_json_are_reported_and_a_second_rule_names_the_line_of_the_first() {
    let json = r#"{
        "rules": [
            { "name": "a", "action": "alow", "direction": "in", "protocol": "tpc" },
            { "name": "b", "action": "deny", "direction": "in", "protocol": "tcp" },
            { "name": "b", "action": "deny", "direction": "in", "protocol": "tcp" }
        ],
        "defines": [ { "name": "x", "members": ["::1/0"] } ]
    }"#;
    let errors = read(json).unwrap_err();
    let places: Vec<&str> = errors.iter().map(|error| error.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["3:39", "3:78", "5:23", "7:50"], "{errors:#?}");
    assert!(errors[2].contains("a second rule `b`; is there already, in line 4"), "{errors:#?}");
}
