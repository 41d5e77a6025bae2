//! mseg-policy(5) says what the parser does.

use mseg_ebpf::abi::policy::timeout;

use crate::policy::{
    Builtins, MAX_BYTES, MAX_DEPTH, MAX_FILES, Protocol, SCHEMA, format, parse,
    words::{DURATION_UNITS, NOT_NAMES, PROTOCOLS, icmp_types},
};

const PAGE: &str = include_str!("../../../../man/mseg-policy.5");

/// Whether the page has the word set as a command word.
fn documents(word: &str) -> bool {
    PAGE.lines().filter(|line| line.starts_with('.')).any(|line| {
        let mut words = line.split_whitespace();
        words.any(|macro_name| macro_name == ".Cm" || macro_name == "Cm") && line.split_whitespace().any(|w| w == word)
    })
}

#[test]
fn every_example_of_the_page_parses() {
    let blocks: Vec<&str> = PAGE
        .split(".Bd -literal")
        .skip(1)
        .map(|rest| {
            let text = rest.split_once('\n').expect("a line end").1;
            text.split_once("\n.Ed").expect("an end of the block").0
        })
        .collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        // Those that name files are of use only where these are.
        if block.contains("include ") {
            assert!(format("mseg-policy(5)", block).unwrap().contains("rule "));
            continue;
        }
        let policy = parse("mseg-policy(5)", block).unwrap();
        assert!(!policy.rules.is_empty());
        assert_eq!(parse("printed", &policy.to_string()).unwrap(), policy);
    }
}

#[test]
fn the_limits_of_files_are_in_the_page() {
    let limits =
        format!("may have {} MiB, and be {MAX_FILES}; a chain of includes may have {MAX_DEPTH} files", MAX_BYTES >> 20);
    assert!(PAGE.contains(&limits), "{limits}");
    assert!(PAGE.contains(&format!(".Li {SCHEMA} .")));
}

#[test]
fn every_word_of_the_language_is_in_the_page() {
    let protocols = PROTOCOLS.iter().map(|(name, _)| *name);
    for word in NOT_NAMES.iter().copied().chain(protocols).chain(Builtins::NAMES).chain(timeout::NAMES) {
        assert!(documents(word), "{word}");
    }
    for (unit, _) in DURATION_UNITS {
        assert!(documents(&unit.to_string()), "{unit}");
    }
}

#[test]
fn types_and_timeouts_are_in_the_page_with_their_numbers() {
    for (name, number) in icmp_types(Protocol::Icmp).iter().chain(icmp_types(Protocol::Icmpv6)) {
        let last = PAGE.contains(&format!(".Cm {name}\n({number})."));
        assert!(last || PAGE.contains(&format!(".Cm {name}\n({number}),")), "{name}");
    }
    for (name, seconds) in timeout::NAMES.iter().zip(timeout::DEFAULTS_S) {
        let entry = PAGE.split(&format!(".It Cm {name}\n")).nth(1).expect(name);
        let line = entry.lines().next().expect("a line");
        let days = (seconds % 86_400 == 0).then(|| format!(": {}d (", seconds / 86_400));
        assert!(line.contains(&days.unwrap_or(format!(": {seconds}s ("))), "{name}: {line}");
    }
}
