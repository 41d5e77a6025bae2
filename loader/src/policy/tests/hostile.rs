//! Nothing makes the parser stumble, or takes long.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::policy::parse;

proptest! {
    #[test]
    fn any_text_parses_or_is_refused_with_places_in_it(text in r"(?s)([ -~\t]|.|\n){0,300}") {
        if let Err(errors) = parse("any", &text) {
            let lines: Vec<&str> = text.split('\n').collect();
            for error in errors.plain() {
                let length = lines[error.line - 1].chars().count();
                prop_assert!((1..=length + 1).contains(&error.column), "{error:?}");
            }
            let shown = errors.to_string();
            prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        }
    }

    #[test]
    fn any_words_of_the_language_parse_or_are_refused(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "default", "define", "rule", "builtin", "failsafe", "timeout", "allow", "deny", "in", "out", "both", "any",
            "tcp", "icmp", "icmpv6", "from", "to", "port", "type", "code", "iface", "priority", "log", "=", "{", "}",
            ",", "#", "\n", "\r\n", "a", "10.0.0.0/8", "::1", "80", "1-2", "1h", "arp", "on", "\0", "\u{fffd}",
        ]), 0..60)
    ) {
        let text = words.join(" ");
        match parse("words", &text) {
            Ok(policy) => prop_assert_eq!(parse("again", &policy.to_string()).unwrap(), policy),
            Err(errors) => prop_assert!(errors.len() > 0 && !errors.to_string().is_empty()),
        }
    }
}

/// Each takes a second at most on an idle machine; anything but linear time would take hours.
#[test]
fn huge_and_hostile_texts_take_linear_time() {
    let line = |text: &str| text.repeat((10 << 20) / text.len());
    let lines = |text: &str| text.repeat((1 << 20) / text.len());
    let sets = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let texts = [
        ("one word", line("x")),
        ("one line of errors", format!("define a = {}", line("1.2.3.4/8,"))),
        ("one line of ports", format!("rule a allow in tcp to any port {}1", line("1,"))),
        ("one line of braces", format!("define a = {}", line("{"))),
        ("commas", line(",")),
        ("zeros", line("\0")),
        ("empty lines", lines("\n")),
        ("wrong lines", lines("rulee\n")),
        ("wrong characters", lines("\u{1b}é\n")),
        ("the same line", lines("rule a allow in tcp from any to any port 80\n")),
        ("a long comment", format!("#{}", line("# "))),
        ("a deep nest", sets(20_000, |n| format!("define s{n} = {{ s{}, 10.0.0.1 }}\n", n + 1))),
        ("a circle", sets(20_000, |n| format!("define s{n} = {{ s{}, s{} }}\n", (n + 1) % 20_000, (n + 2) % 20_000))),
        (
            "doubling",
            sets(1000, |n| format!("define s{} = {{ s{n}, s{n}, s{n}, s{n} }}\n", n + 1)) + "define s0 = 10.0.0.1\n",
        ),
        ("unknown sets", sets(20_000, |n| format!("define s{n} = {{ x{n}, y{n} }}\n"))),
    ];
    for (name, text) in texts {
        let start = Instant::now();
        let result = parse(name, &text);
        let shown = result.as_ref().map_or_else(|errors| errors.to_string().len(), |policy| policy.to_string().len());
        let time = start.elapsed();
        println!("{name}: {time:?}, {shown} bytes shown");
        assert!(time < Duration::from_secs(60), "{name} took {time:?}");
    }
}
