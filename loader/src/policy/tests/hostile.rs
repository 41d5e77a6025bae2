//! Nothing makes the parser stumble, or takes long. `PROPTEST_CASES=1000000 cargo test --release -p mseg-loader hostile`
//! looks for what does.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::policy::{self, Diagnostics, parse, parse_bytes};

/// Each error has a place in the text, and what is shown of it does not steer a terminal.
fn have_places(errors: &Diagnostics, text: &str) -> Result<(), TestCaseError> {
    let lines: Vec<&str> = text.split('\n').collect();
    for error in errors.plain() {
        let length = lines[error.line - 1].chars().count();
        prop_assert!((1..=length + 1).contains(&error.column), "{error:?}");
    }
    let shown = errors.to_string();
    prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    Ok(())
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused_with_places_in_it(text in r"(?s)([ -~\t]|.|\n){0,300}") {
        if let Err(errors) = parse("any", &text) {
            have_places(&errors, &text)?;
        }
        if let Err(errors) = policy::format("any", &text) {
            have_places(&errors, &text)?;
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Err(error) = parse_bytes("bytes", bytes) {
            prop_assert!(!error.diagnostics.is_empty());
            let shown = error.message;
            prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        }
        // After a brace it is JSON.
        if let Err(errors) = parse("json", &format!("{{{text}")) {
            have_places(&errors, &format!("{{{text}"))?;
        }
    }

    #[test]
    fn any_words_of_the_language_parse_or_are_refused(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "default", "define", "rule", "builtin", "failsafe", "timeout", "allow", "deny", "in", "out", "both", "any",
            "tcp", "icmp", "icmpv6", "from", "to", "port", "type", "code", "iface", "priority", "log", "audit", "=",
            "{", "}", ",", "#", "include", "file", "\"", "\"x\"", "\\", "\"/dev/null\"", "\n", "\r\n", "a", "10.0.0.0/8", "::1", "80", "1-2", "1h", "arp", "on", "\0", "\u{fffd}",
        ]), 0..60)
    ) {
        let text = words.join(" ");
        match parse("words", &text) {
            Ok(policy) => prop_assert_eq!(parse("again", &policy.to_string()).unwrap(), policy),
            Err(errors) => have_places(&errors, &text)?,
        }
        if let Ok(formatted) = policy::format("words", &text) {
            prop_assert_eq!(policy::format("again", &formatted).unwrap(), formatted);
        }
    }

    #[test]
    fn any_words_of_json_are_read_or_refused(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ":", ",", "\"rules\"", "\"defines\"", "\"name\"", "\"a\"", "\"members\"", "\"::1\"", "null",
            "\"policy\"", "\"failsafe\"", "\"direction\"", "\"in\"", "\"protocol\"", "\"tcp\"", "1", "-1", "1e9", "true",
            "\"\\u0000\"", "\"\\ud800\"", "\"\"", "\n", "\"to\"", "\"ports\"", "\"first\"", "\"from\"", "\"addresses\"",
        ]), 0..40)
    ) {
        let text = format!("{{{}", words.concat());
        match parse("words", &text) {
            Ok(policy) => prop_assert_eq!(parse("again", &policy.to_string()).unwrap(), policy),
            Err(errors) => have_places(&errors, &text)?,
        }
    }
}

/// Each takes three seconds at most on an idle machine; anything but linear time would take hours.
#[test]
fn huge_and_hostile_texts_take_linear_time() {
    let line = |text: &str| text.repeat((10 << 20) / text.len());
    let lines = |text: &str| text.repeat((1 << 20) / text.len());
    let sets = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let texts = [
        ("one word", line("x")),
        ("one line of errors", format!("define a = {}", line("1.2.3.4/8,"))),
        ("one line of ports", format!("rule a allow in tcp to any port {}1", lines("1,"))),
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
        ("a rule a port", sets(65_536, |n| format!("rule p{n} allow in tcp to any port {n}\n"))),
        ("100,000 rules", sets(100_000, |n| format!("rule r{n} deny in udp from ::1 to any port {}\n", n % 65_536))),
        ("names of control characters", lines("rule \u{1b}[31m\u{9b}\u{7f} deny in tcp\ndefine \u{7} = ::1\n")),
        ("quotes", line("\"")),
        ("open quotes", lines("include \"\\\n")),
        ("JSON: lists in lists", format!("{{\"rules\":{}", line("["))),
        ("JSON: whole lists in lists", format!("{{\"rules\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20))),
        ("JSON: objects in objects", format!("{{\"policy\":{}", line("{\"policy\":"))),
        ("JSON: one string", format!("{{\"rules\":[\"{}\"]}}", line("x"))),
        ("JSON: escapes", format!("{{\"defines\":[{{\"name\":\"a\",\"members\":[\"{}\"]}}]}}", line("\\u001b"))),
        ("JSON: wrong rules", format!("{{\"rules\":[{}1]}}", line("{\"nmae\":1},"))),
        (
            "JSON: wrong addresses",
            format!("{{\"defines\":[{{\"name\":\"a\",\"members\":[{}1]}}]}}", line("\"1.2.3.4/8\",")),
        ),
        ("JSON: the same key", format!("{{{}\"rules\":[]}}", line("\"rules\":[],"))),
        ("unknown sets", sets(20_000, |n| format!("define s{n} = {{ x{n}, y{n} }}\n"))),
    ];
    for (name, text) in texts {
        let start = Instant::now();
        let result = parse(name, &text);
        let shown = result.as_ref().map_or_else(|errors| errors.to_string().len(), |policy| policy.to_string().len());
        let formatted = policy::format(name, &text);
        assert!(result.is_err() || formatted.is_ok() || name.starts_with("JSON"), "{name}");
        let time = start.elapsed();
        println!("{name}: {time:?}, {shown} bytes shown");
        assert!(time < Duration::from_secs(60), "{name} took {time:?}");
    }
}

/// Every byte is as likely as any other, or most are of the language.
#[test]
fn ten_megabytes_of_garbage_are_refused() {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let any: Vec<u8> = std::iter::repeat_with(&mut random).take(10 << 20).collect();
    let likely: Vec<u8> =
        any.iter().map(|byte| b"rule define=include\"{},#\n 10.:/"[usize::from(*byte) % 31]).collect();
    for (name, bytes) in [("any", any), ("likely", likely)] {
        let start = Instant::now();
        let error = parse_bytes(name, bytes).unwrap_err();
        println!("{name}: {:?}, {}", start.elapsed(), error.message.lines().next().unwrap_or_default());
        assert!(error.message.len() < 1 << 20 && error.diagnostics.len() <= 10_000);
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}
