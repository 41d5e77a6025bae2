//! Every error of a statement is reported, and none that only follows from another.

use proptest::prelude::*;

use crate::policy::{self, Diagnostic, arbitrary, parse, parse_bytes, parse_expectations, parse_packet};

/// Where the errors of a text are, as `LINE:COLUMN`.
fn places(text: &str) -> Vec<String> {
    told(&parse("test", text).expect_err(text).plain())
}

fn told(errors: &[Diagnostic]) -> Vec<String> {
    errors.iter().map(|error| format!("{}:{}", error.line, error.column)).collect()
}

#[test]
fn every_mistake_of_a_statement_is_reported_and_no_consequence_of_one() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        (
            "rule r1 alow in tpc from 10.0.0.0/33 to any port 99999 priorty 5",
            &["1:9", "1:17", "1:26", "1:50", "1:56"][..],
        ),
        // What is missing is said where the next word stands.
        ("rule r in tcp to any port 80", &["1:8"]),
        ("rule r allow tcp", &["1:14"]),
        ("rule r allow in from 10.0.0.0/8", &["1:17"]),
        ("rule r alow", &["1:8", "1:12"]),
        ("rule", &["1:5"]),
        ("rule deny deny in tpc", &["1:6", "1:19"]),
        ("rule r allow tpc from 10.0.0.1", &["1:14"]),
        // One word too many.
        ("rule r please allow in tcp", &["1:8"]),
        ("rule r , allow in tcp", &["1:8"]),
        ("rule r allow in tcp form 10.0.0.0/33 prot 80 iface eth0", &["1:21", "1:26", "1:38"]),
        ("rule r allow in tcp frm", &["1:21"]),
        ("rule r allow in tcp xyzzy 1 2 3 to any port x", &["1:21", "1:45"]),
        ("rule r allow in tcp port 80,x log log", &["1:21", "1:29", "1:35"]),
        ("rule r allow in tcp from to any port", &["1:26", "1:37"]),
        ("rule r allow in tcp from 10.0.0.256,any,::1/129,2001:db8::1/32", &["1:26", "1:37", "1:41", "1:49"]),
        (
            "rule r allow in tcp from {10.0.0.256,,::1 ::2, ?} to any port 70000",
            &["1:27", "1:38", "1:43", "1:48", "1:63"],
        ),
        ("rule r allow in tcp from {{10.0.0.1}} to any port 70000", &["1:27", "1:51"]),
        (
            "rule r allow in tcp from 10.0.0.1 10.0.0.2 10.0.0.0/33 to any port 80 443 x",
            &["1:35", "1:44", "1:71", "1:75"],
        ),
        ("rule r allow in tpc to any port x type y", &["1:17", "1:33", "1:40"]),
        ("rule r allow in icmp type eco code 300 priority log", &["1:27", "1:36", "1:49"]),
        ("rule r al\u{f6}w in tcp priority 5\u{f6}", &["1:10", "1:30"]),
        ("failsafe in tpc priority x", &["1:13", "1:17", "1:26"]),
        ("define a := 10.0.0.0/33, file x, 10.0.0.256", &["1:10", "1:13", "1:31", "1:34"]),
        ("define 9 = ::1/129", &["1:8", "1:12"]),
        ("default both dney", &["1:9", "1:14"]),
        ("default deny", &["1:9"]),
        ("builtin apr of", &["1:9", "1:13"]),
        ("timeout imcp 30", &["1:9", "1:14"]),
        ("rul r alow in tcp", &["1:1", "1:7"]),
        ("allow in tpc", &["1:1"]),
        ("rule r alow in tcp from nowhere", &["1:8", "1:25"]),
    ] {
        if places(text) != expected {
            wrong.push(format!("{text} {:?} {expected:?}", places(text)));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn what_has_errors_is_known_all_the_same() {
    for text in [
        "define a = 10.0.0.0/33",
        "define a 10.0.0.1",
        "define a =",
        "defnie a = 10.0.0.1",
        "set a = 10.0.0.1",
        "include a",
    ] {
        let text = format!("{text}\nrule r deny in tcp from a\ndefine b = a, ::1\n");
        assert_eq!(places(&text).len(), 1, "{text}");
    }
    assert_eq!(places("rule a alow in tcp\nrule a deny in tcp"), ["1:8", "2:6"]);
    assert_eq!(places("define a = 1\ndefine a = ::1, b"), ["1:12", "2:8"]);
    let json = r#"{"defines":[{"name":"a","members":["1"]}],"rules":[
        {"name":"r","action":"alow","protocol":"tpc","from":{"addresses":["a","x","1"],"ports":[{"first":1,"last":70000}]}},
        {"name":"r","action":"deny","direction":"in","protocol":"udp","form":{}}]}"#;
    assert_eq!(places(json), ["1:37", "2:9", "2:31", "2:49", "2:79", "2:84", "2:115", "3:17", "3:71"]);
}

#[test]
fn assertions_and_packets_are_read_on_behind_an_error() {
    let text = "expct dney in tpc form 10.0.0.1/8 to 10.0.0.256 port x by\n";
    let errors = parse_expectations("test", text).unwrap_err().plain();
    assert_eq!(told(&errors), ["1:1", "1:7", "1:15", "1:19", "1:24", "1:38", "1:54"]);
    let errors = parse_packet("both tcp to any").unwrap_err().plain();
    assert_eq!(told(&errors), ["1:1", "1:13", "1:16"]);
}

#[test]
fn what_is_not_utf8_is_reported_line_by_line_with_all_other_errors() {
    let text = b"default in dney # \xff \xff\n# caf\xe9\nrule r\xff\xfe alow in tcp\nrule s allow in tcp from a, b\ndefine a = ::1 # \xe9\n";
    let error = parse_bytes("bin", text.to_vec()).unwrap_err();
    let expected = ["1:12", "1:19", "2:6", "3:7", "3:10", "4:29", "5:18"];
    assert_eq!(told(&error.diagnostics), expected, "{}", error.message);
    assert_eq!(error.message.matches("the text is not UTF-8").count(), 4);
    let json = b"{\"rules\":[{\"name\":\"a\xff\",\"action\":\"alow\",\"direction\":\"in\",\"protocol\":\"tcp\"}]}";
    assert_eq!(told(&parse_bytes("json", json.to_vec()).unwrap_err().diagnostics), ["1:21", "1:34"]);
    let many = b"# \xff\n".repeat(1 << 20);
    let error = parse_bytes("many", many).unwrap_err();
    assert_eq!(error.diagnostics.len(), 10_000);
    assert!(error.message.contains("and 9900 more errors") && error.message.contains("the rest was not read"));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("main"), "include \"latin1\"\nrule r deny in tcp from a, b\n").unwrap();
    std::fs::write(directory.path().join("latin1"), b"define a = ::1 # \xe9\nrule s alow in tcp\n").unwrap();
    let error = policy::read_file(&directory.path().join("main")).unwrap_err();
    assert_eq!(told(&error.diagnostics), ["2:28", "1:18", "2:8"], "{}", error.message);
}

proptest! {
    /// Text in quotes stands for nothing that a printed policy has.
    #[test]
    fn each_corrupted_statement_has_an_error_and_no_other_has(
        policy in arbitrary::policy(), chosen in proptest::collection::vec((any::<usize>(), any::<usize>()), 1..6)
    ) {
        let text = policy.to_string();
        let mut lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
        let mut corrupted = std::collections::BTreeSet::new();
        for (line, token) in chosen {
            let number = line % lines.len();
            let count = lines[number].len();
            // Sets are asked for by their names, and a name that is gone is missed elsewhere.
            if lines[number][0] == "define" && token % count < 2 {
                continue;
            }
            lines[number][token % count] = "\"?\"";
            corrupted.insert(number + 1);
        }
        let text = lines.iter().map(|words| words.join(" ") + "\n").collect::<String>();
        let errors = parse("corrupted", &text).err().map(|errors| errors.plain()).unwrap_or_default();
        let found: std::collections::BTreeSet<usize> = errors.iter().map(|error| error.line).collect();
        prop_assert_eq!(found, corrupted, "{}", text);
    }

    #[test]
    fn every_wrong_value_of_a_statement_has_an_error_at_its_place(wrong in proptest::collection::vec(any::<bool>(), 10)) {
        let words = "rule a allow in tcp from 10.0.0.1,::1 port 80,81 to 10.0.0.2,::2 port 5,7 iface eth0 priority 5";
        let values = ["allow", "in", "tcp", "10.0.0.1", "::1", "80", "81", "::2", "7", "eth0"];
        let (mut text, mut expected) = (words.to_owned(), Vec::new());
        for (value, wrong) in values.iter().zip(wrong) {
            let at = text.find(value).unwrap();
            if wrong {
                text.replace_range(at..at + value.len(), "/:");
            }
        }
        expected.extend(text.match_indices("/:").map(|(at, _)| format!("1:{}", at + 1)));
        let found = parse("test", &text).err().map(|errors| told(&errors.plain())).unwrap_or_default();
        prop_assert_eq!(found, expected, "{}", text);
    }
}
