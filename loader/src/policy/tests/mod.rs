//! The language as a whole: what is accepted, and what is refused and where.

mod files;
mod formatting;
mod hostile;
mod json;
mod manual;
mod packet;
mod recovery;

use proptest::prelude::*;

use super::{
    evaluate::{Cause, Decision, Packet, PacketDirection, evaluate},
    *,
};
use crate::error::{Code, Error};

fn policy(text: &str) -> Policy {
    parse("test", text).unwrap()
}

/// The only error of a text: line, column, message, and what is written at the caret or as help.
fn error(text: &str) -> (usize, usize, String, String) {
    let errors = parse("test", text).unwrap_err().plain();
    assert_eq!(errors.len(), 1, "{text}: {errors:#?}");
    let error = &errors[0];
    let rest = format!("{} {}", error.expected, error.help.as_deref().unwrap_or_default());
    (error.line, error.column, error.message.clone(), rest)
}

/// The canonical text of a rule.
fn canonical(rule: &str) -> String {
    parse_rule(rule).unwrap().to_string()
}

proptest! {
    #[test]
    fn printed_text_parses_to_the_same_policy(policy in arbitrary::policy()) {
        let text = policy.to_string();
        let parsed = parse("printed", &text).map_err(|errors| errors.to_string());
        prop_assert_eq!(parsed, Ok(policy), "{}", text);
    }

    #[test]
    fn a_printed_rule_parses_to_the_same_rule(rule in arbitrary::rule()) {
        let text = rule.to_string();
        prop_assert_eq!(&parse_rule(&text).unwrap(), &rule);
        prop_assert_eq!(&parse_rule(text.strip_prefix("rule ").unwrap()).unwrap(), &rule);
    }
}

#[test]
fn an_empty_text_allows_everything() {
    for text in ["", "\n", "# nothing\n\n   # at all", "\u{feff}", "\r\n"] {
        assert_eq!(policy(text), Policy::default());
    }
    assert_eq!(Policy::default().to_string(), "default in allow\ndefault out allow\n");
}

#[test]
fn the_canonical_text_is_short_and_complete() {
    for (written, printed) in [
        ("web allow in tcp to any port 80", "rule web allow in tcp from any to any port 80"),
        ("rule web allow in tcp from any to any", "rule web allow in tcp"),
        ("a deny both any from {10.0.0.1/32,office} to any # x", "rule a deny both any from 10.0.0.1,office to any"),
        ("a allow in 6 to any port { 80-80, 81 }", "rule a allow in tcp from any to any port 80,81"),
        ("a allow in 47", "rule a allow in 47"),
        ("a allow in icmp type 8 code 0", "rule a allow in icmp type echo-request code 0"),
        ("a allow in icmpv6 type 200", "rule a allow in icmpv6 type 200"),
        ("a log priority 1000 allow", ""),
        (
            "a allow out tcp log priority 5 iface eth0 to 2001:DB8:0::1 port 1 from ::/0 port 2",
            "rule a allow out tcp from ::/0 port 2 to 2001:db8::1 port 1 iface eth0 priority 5 log",
        ),
    ] {
        match parse_rule(written) {
            Ok(rule) => assert_eq!(rule.to_string(), printed, "{written}"),
            Err(_) => assert_eq!(printed, "", "{written}"),
        }
    }
    assert_eq!(canonical(&canonical("a allow in tcp")), "rule a allow in tcp");
}

#[test]
fn durations_are_printed_in_the_largest_whole_unit() {
    let text =
        policy("timeout icmp 120s\ntimeout other 3600s\ntimeout udp-new 90s\ntimeout tcp-established 48h").to_string();
    assert!(
        text.ends_with("timeout tcp-established 2d\ntimeout udp-new 90s\ntimeout icmp 2m\ntimeout other 1h\n"),
        "{text}"
    );
}

#[test]
fn failsafe_lines_replace_the_default_failsafe() {
    assert_eq!(Policy::default().failsafe[0].to_string(), "in tcp from any to any port 22");
    let policy = policy("failsafe in tcp from 10.0.0.0/8 to any port 22\nfailsafe both icmp");
    let lines: Vec<String> = policy.failsafe.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["in tcp from 10.0.0.0/8 to any port 22", "both icmp"]);
}

#[test]
fn an_error_is_shown_with_file_line_column_caret_and_what_was_meant() {
    let errors = parse("web.policy", "default in deny\nrule web allow in tpc from any to any port 80\n").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "error: expected a protocol, found `tpc`\n \
         --> web.policy:2:19\n  \
         |\n\
         2 | rule web allow in tpc from any to any port 80\n  \
         |                   ^^^ expected `any`, `tcp`, `udp`, `sctp`, `icmp`, `icmpv6` or a number 0 to 255\n  \
         |\n  \
         = help: did you mean `tcp`?\n"
    );
    assert!(errors.render(true).contains('\u{1b}'));
    let error = Error::from(errors);
    assert_eq!(error.code, Code::InvalidPolicy);
    assert!(error.message.starts_with("the policy has 1 error\n"));
}

#[test]
fn a_set_with_a_mistake_of_its_own_is_offered_and_the_one_that_is_defined_is_not() {
    let errors = parse("test", "define offise = 10.0.0.0/33\ndefine offic = { offics }\n").unwrap_err();
    let text = errors.to_string();
    assert!(text.contains("did you mean `offise`?") && !text.contains("did you mean `offic`?"), "{text}");
}

#[test]
fn every_kind_of_mistake_is_named_at_its_place() {
    for (text, column, message, rest) in [
        ("allow in tcp", 1, "expected a statement, found `allow`", "begins with `rule`"),
        ("include \"x\"", 9, "a file is named where none can be read", "only a policy file"),
        ("include x", 9, "expected a path in quotes, found `x`", "write `\"x\"`"),
        ("include", 8, "found the end of the line", "a path in quotes"),
        ("include \"x # \\\"", 9, "the quotes are not closed", ""),
        ("include \"a\\nb\"", 9, "`\\n` cannot stand in quotes", "for a quote"),
        ("include \"\u{7}\"", 9, "`\\u{7}` cannot stand in quotes", "printable"),
        ("inlcude \"x\"", 1, "expected a statement", "did you mean `include`"),
        ("define a = file \"x\"", 17, "a file is named where none can be read", ""),
        ("define a = file x", 17, "expected a path in quotes", ""),
        ("rule a deny in tcp from file \"x\"", 25, "a file cannot stand here", "`define` a set"),
        ("rule a deny in tcp iface \"e\"", 26, "expected an interface, found `\"e\"`", ""),
        ("default both deny", 9, "expected a direction", "`in` or `out`"),
        ("default in dney", 12, "expected an action", "did you mean `deny`"),
        ("default in deny log", 17, "expected the end of the line, found `log`", ""),
        ("rule allow in tcp", 6, "expected a rule name", "name comes first"),
        ("rule arp deny in tcp", 6, "`arp` is the name of a built-in rule", "another name"),
        ("rule 9a deny in tcp", 6, "`9a` is not a rule name", "expected a letter"),
        ("rule \u{1b}[2J deny in tcp", 6, "`\\u{1b}` has no place in a policy", ""),
        (
            "rule a deny in tcp from 10.0.0.1/8",
            25,
            "bits beyond its prefix",
            "`10.0.0.0/8` for the network, `10.0.0.1`",
        ),
        ("rule a deny in tcp from 2001:db8::1/32", 25, "bits beyond its prefix", "`2001:db8::/32`"),
        ("rule a deny in tcp from ::ffff:10.0.0.0/104", 25, "IPv4-mapped", "write `10.0.0.0/8`"),
        ("rule a deny in tcp from 10.0.0.0/33", 25, "`33` is not a prefix length", "0 to 32"),
        ("rule a deny in tcp from 10.0.0.0/255.0.0.0", 25, "not a prefix length", "write `10.0.0.0/8`"),
        ("rule a deny in tcp from 10.0.0.256", 25, "`10.0.0.256` is not an address", ""),
        ("rule a deny in tcp from fe80::1%eth0", 25, "is not an address", "`iface`"),
        ("rule a deny in tcp from 10.0.0.1,any", 34, "`any` cannot stand in a list", ""),
        ("rule a deny in tcp from any,10.0.0.1", 25, "`any` cannot stand in a list", ""),
        ("rule a deny in tcp from { }", 27, "expected an address, found `}`", ""),
        ("rule a deny in tcp from { 10.0.0.1", 35, "found the end of the line", "ends with its line"),
        ("rule a deny in tcp from 10.0.0.1 10.0.0.2", 34, "expected a comma", "a comma stands"),
        ("rule a deny in tcp from offce\ndefine office = 10.0.0.1", 25, "unknown set `offce`", "did you mean `office`"),
        ("rule a deny in tcp port 80", 20, "expected a clause", "`to any port ...`"),
        ("rule a deny in tcp to any port 65536", 32, "`65536` is not a port", "0 to 65535"),
        ("rule a deny in tcp to any port 080", 32, "`080` is not a port", "write `80`"),
        ("rule a deny in tcp to any port 01-080", 32, "`01-080` is not a port", "write `1-80`"),
        ("rule a deny in tcp from 10.0.0.0/08", 25, "`08` is not a prefix length", "write `10.0.0.0/8`"),
        ("rule a deny in tcp to any port 9-3", 32, "the range `9-3` is empty", "write `3-9`"),
        ("rule a deny in tcp to any port any", 32, "expected a port", "leave `port` out"),
        ("rule a deny in icmp to any port 80", 28, "protocol `icmp` has no ports", "`tcp`, `udp` or `sctp`"),
        ("rule a deny in 256", 16, "expected a protocol", "0 to 255"),
        ("rule a deny in udp type 8", 20, "protocol `udp` has no types", "`icmp` or `icmpv6`"),
        ("rule a deny in icmp code 8", 21, "expected a clause", "after its `type`"),
        ("rule a deny in icmp type echo-requets", 26, "is not a type of icmp", "did you mean `echo-request`"),
        ("rule a deny in icmp type 8 code 256", 33, "`256` is not a code", "0 to 255"),
        ("rule a deny in tcp iface a/b", 26, "cannot be the name of an interface", ""),
        ("rule a deny in tcp iface abcdefghijklmnop", 26, "cannot be the name of an interface", "1 to 15"),
        ("rule a deny in tcp priority 65536", 29, "`65536` is not a priority", "0 to 65535"),
        ("rule a deny in tcp log log", 24, "a second `log`", ""),
        ("rule a deny in tcp from 10.0.0.1 to ::1", 37, "no packet can match", "is IPv6, the source is IPv4"),
        ("rule a deny in icmp to ::1", 16, "no packet can match", "write `icmpv6`"),
        ("failsafe in tcp to any port 22 log", 32, "a failsafe rule has no `log`", ""),
        ("builtin apr off", 9, "expected a built-in rule", "did you mean `arp`"),
        ("builtin arp no", 13, "expected a state", "`on` or `off`"),
        ("timeout tcp 1h", 9, "expected a timeout", "`tcp-established`"),
        ("timeout icmp 30", 14, "`30` is not a duration", "write `30s`"),
        ("timeout icmp 1.5h", 14, "`1.5h` is not a duration", "whole number"),
        ("timeout icmp 0s", 14, "out of range", "`1s` to `24d`"),
        ("timeout icmp 25d", 14, "out of range", ""),
        ("define a = a", 12, "a set contains itself", ""),
        ("define a 10.0.0.1", 10, "expected `=`", ""),
        ("define any = 10.0.0.1", 8, "expected a set name", ""),
    ] {
        let (line, at, told, more) = error(text);
        assert_eq!((line, at), (1, column), "{text}: {told}");
        assert!(told.contains(message) && more.contains(rest), "{text}: {told}; {more}");
    }
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_text() {
    let text = "define a = 10.0.0.1/8\nrule x allow in tcp from a to nowhere\nrule y alow in tcp\nrule z deny in tcp to any port 1,x,2,y\n";
    let errors = parse("test", text).unwrap_err().plain();
    let places: Vec<(usize, usize)> = errors.iter().map(|error| (error.line, error.column)).collect();
    // Not that `a` is unknown: its line is wrong, not the rule's.
    assert_eq!(places, [(1, 12), (2, 31), (3, 8), (4, 34), (4, 38)]);
}

#[test]
fn what_may_be_said_once_is_refused_twice() {
    for (text, column) in [
        ("default in deny\ndefault in deny", 9),
        ("rule a deny in tcp\nrule a deny in udp", 6),
        ("define a = 10.0.0.1\ndefine a = 10.0.0.2", 8),
        ("builtin arp off\nbuiltin arp on", 9),
        ("timeout icmp 1s\ntimeout icmp 2s", 9),
    ] {
        let (line, at, message, rest) = error(text);
        assert_eq!((line, at), (2, column), "{text}");
        assert!(message.starts_with("a second ") && rest.contains("in line 1"), "{message}; {rest}");
    }
    policy("define a = 10.0.0.1\nrule a deny in tcp\ndefault in deny\ndefault out deny");
    let errors = parse("test", "rule a deny in tcp\nrule a deny in tcp from nowhere").unwrap_err().plain();
    let places: Vec<usize> = errors.iter().map(|error| error.column).collect();
    assert_eq!(places, [6, 25], "{errors:?}");
}

#[test]
fn sets_may_be_defined_in_any_order_but_not_in_a_circle() {
    let text = "rule r deny in tcp from a\ndefine a = b, 10.0.0.1\ndefine b = { c, c }\ndefine c = 192.0.2.0/24";
    let packet = Packet {
        direction: PacketDirection::In,
        protocol: 6,
        source: "192.0.2.7".parse().unwrap(),
        destination: "10.0.0.9".parse().unwrap(),
        source_port: 1,
        destination_port: 2,
        icmp_type: 0,
        icmp_code: 0,
        interface: "eth0".to_owned(),
    };
    let policy = policy(text);
    let Decision { action: Action::Deny, cause: Cause::Rule(rule), .. } = evaluate(&policy, &packet) else { panic!() };
    assert_eq!(rule.name, "r");
    let (line, column, message, _) =
        error("define a = b\ndefine b = 10.0.0.1, c\ndefine c = a\nrule r deny in tcp to a");
    assert_eq!((line, column), (3, 12), "{message}");
}

#[test]
fn families_are_seen_through_sets() {
    let defines =
        "define four = { 10.0.0.0/8 }\ndefine six = { ::1 }\ndefine nested = six\ndefine mixed = { four, nested }\n";
    for rule in [
        "tcp from four to mixed",
        "tcp from mixed to six",
        "icmp to mixed",
        "icmpv6 to mixed",
        "tcp from nested to six",
    ] {
        policy(&format!("{defines}rule r allow in {rule}"));
    }
    for rule in ["tcp from four to nested", "icmp to nested", "icmpv6 from four"] {
        assert_eq!(error(&format!("{defines}rule r allow in {rule}")).2, "no packet can match", "{rule}");
    }
}

#[test]
fn a_rule_is_added_only_where_it_makes_sense() {
    let mut policy = policy("define office = 10.0.0.0/8\nrule a allow in tcp");
    assert_eq!(policy.add_rule(parse_rule("a deny in tcp").unwrap()).unwrap_err().code, Code::Failed);
    let unknown = policy.add_rule(parse_rule("b deny in tcp from offce").unwrap()).unwrap_err();
    assert_eq!(unknown.code, Code::InvalidPolicy);
    assert_eq!(policy.rules.len(), 1);
    policy.add_rule(parse_rule("b deny in tcp from office").unwrap()).unwrap();
    assert_eq!(policy.remove_rule("a").unwrap().name, "a");
    assert_eq!(policy.remove_rule("a").unwrap_err().code, Code::Failed);
    assert_eq!(policy.rules.len(), 1);
    assert!(parse_rule("a allow in tcp\nb allow in tcp").is_err());
    assert!(parse_rule("").is_err());
}

#[test]
fn bytes_that_are_not_utf8_are_refused_at_their_place() {
    let refused = parse_bytes("bin", b"default in deny\nrule \xff\xfe".to_vec()).unwrap_err();
    assert_eq!(refused.code, Code::InvalidPolicy);
    assert!(refused.message.contains("bin:2:6"), "{}", refused.message);
}

#[test]
fn names_of_files_reach_the_terminal_without_control_characters() {
    let errors = parse("a\u{1b}[2Jb\n", "x").unwrap_err().to_string();
    assert!(!errors.contains('\u{1b}') && errors.contains("a\\u{1b}[2Jb\\n:1:1"), "{errors}");
}

#[test]
fn an_error_in_a_long_line_is_shown_with_the_line_around_it() {
    let long = "192.0.2.1,".repeat(1 << 20);
    let errors = parse("long", &format!("define a = {long}192.0.2.1/8,{long}192.0.2.1")).unwrap_err();
    assert_eq!(errors.plain()[0].column, 12 + long.len());
    let shown = errors.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1], format!(" --> long:1:{}", 12 + long.len()));
    assert!(lines[3].starts_with("1 | ...192.0.2.1,192.0.2.1,") && lines[3].ends_with("..."), "{shown}");
    let caret = lines[4].find('^').unwrap();
    assert_eq!(&lines[3][caret..caret + 11], "192.0.2.1/8", "{shown}");
    assert!(lines.len() < 10 && shown.len() < 500, "{shown}");
}

#[test]
fn an_error_holds_the_places_for_machines() {
    let error = Error::from(parse("x", "default in dney").unwrap_err());
    assert_eq!(
        serde_json::to_value(&error.diagnostics).unwrap(),
        serde_json::json!([{
            "file": "x", "line": 1, "column": 12, "message": "expected an action, found `dney`",
            "expected": "expected `allow` or `deny`", "help": "did you mean `deny`?", "notes": [],
        }])
    );
}
