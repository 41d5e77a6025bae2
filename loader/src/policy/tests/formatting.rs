//! `policy fmt`: canonical, idempotent, and nothing is lost.

use proptest::prelude::*;

use crate::policy::{self, arbitrary, parse};

#[test]
fn statements_become_canonical_and_comments_stay() {
    let written = "\u{feff}\r\n\n\t# the head   \t\r\n#second\n\n\n\ndefault   in  deny#tail\nbuiltin arp on\r\n \n\
        include   \"a b#c\\\"\\\\.policy\"   # why\ndefine x=file\"list\",10.0.0.1/32 , office\n\
        rule a allow in 6 log to any port { 80-80, 81 } priority 1000 # \u{e9}\ttab\n  failsafe in tcp\n\n\n";
    let formatted = "# the head\n#second\n\ndefault in deny  #tail\nbuiltin arp on\n\n\
        include \"a b#c\\\"\\\\.policy\"  # why\ndefine x = { file \"list\", 10.0.0.1, office }\n\
        rule a allow in tcp from any to any port 80,81 log  # \u{e9}\ttab\nfailsafe in tcp\n";
    assert_eq!(policy::format("test", written).unwrap(), formatted);
    assert_eq!(policy::format("test", formatted).unwrap(), formatted);
    for empty in ["", "\n", " \n\t\r\n", "\u{feff}"] {
        assert_eq!(policy::format("test", empty).unwrap(), "");
    }
    assert_eq!(policy::format("test", "#").unwrap(), "#\n");
}

#[test]
fn every_line_that_is_no_statement_is_reported_and_other_files_are_not_read() {
    let errors =
        policy::format("test", "rule a\n# x\nrul b\nrule c deny in tcp from nowhere\ninclude \"/nonexistent\"\n")
            .unwrap_err();
    let places: Vec<_> = errors.plain().iter().map(|error| (error.line, error.column)).collect();
    assert_eq!(places, [(1, 7), (3, 1)]);
    assert!(policy::format("test", " {}").unwrap_err().to_string().contains("JSON form"));
}

/// A line with blanks, comments and spellings that are not canonical.
fn line() -> impl Strategy<Value = String> {
    let statement = proptest::sample::select(vec![
        "",
        "default  in deny",
        "rule a allow in 6 to {10.0.0.0/8,x}  port 80-80",
        "define x={ ::1/128 , file  \"a\\\"#b\" }",
        "include\t\"x y\"",
        "timeout icmp 3600s",
        "failsafe both any",
        "builtin nd off",
    ]);
    let comment = prop_oneof![Just(String::new()), "#[ -~\t\u{e9}]{0,8}"];
    ("[ \t]{0,2}", statement, "[ \t]{0,2}", comment, "\r?").prop_map(|(a, s, b, c, d)| format!("{a}{s}{b}{c}{d}"))
}

proptest! {
    #[test]
    fn what_is_formatted_stays_as_it_is(lines in proptest::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        let once = policy::format("once", &text).unwrap();
        prop_assert_eq!(&policy::format("twice", &once).unwrap(), &once);
        let comments = |text: &str| text.matches('#').count();
        prop_assert_eq!(comments(&once), comments(&text), "{}", once);
    }

    #[test]
    fn a_printed_policy_is_formatted_and_formatting_keeps_its_meaning(policy in arbitrary::policy()) {
        let text = policy.to_string();
        prop_assert_eq!(&policy::format("printed", &text).unwrap(), &text);
        let loose = text.replace(' ', "  ").replace(", ", ",") + "  # end";
        prop_assert_eq!(parse("formatted", &policy::format("loose", &loose).unwrap()).unwrap(), policy);
    }
}

#[test]
fn comments_that_steer_a_terminal_are_refused() {
    for (text, at, what) in [
        ("# a\x1b[2J\n", "1:4", r"`\u{1b}`"),
        ("rule a deny in tcp # x\u{9b}31m\n", "1:23", r"`\u{9b}`"),
        ("default in deny\n#\u{202e}txt\n", "2:2", r"`\u{202e}`"),
        ("# a\rb\n", "1:4", r"`\r`"),
    ] {
        let errors = policy::format("test", text).unwrap_err().plain();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(
            (format!("{}:{}", errors[0].line, errors[0].column), &*errors[0].message),
            (at.to_owned(), &*format!("{what} in a comment steers a terminal"))
        );
    }
    assert_eq!(policy::format("test", "#\ttab, Gr\u{fc}\u{df}e \r\n").unwrap(), "#\ttab, Gr\u{fc}\u{df}e\n");
}
