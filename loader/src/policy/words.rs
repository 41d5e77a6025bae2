//! The words of the language, and what to offer for one that is none.

use mseg_ebpf::abi::rule::RESERVED_NAMES;

use super::model::Protocol;

/// First words of a line.
pub(super) const STATEMENTS: &[&str] = &["default", "define", "rule", "builtin", "failsafe", "timeout", "include"];

/// First words of the clauses of a rule, and those that stand within one.
pub(super) const CLAUSES: [&str; 9] = ["from", "to", "port", "type", "code", "iface", "priority", "log", "audit"];

/// Words that may not name a set or a rule, so that a forgotten name is noticed where it is missing.
pub(super) const NOT_NAMES: &[&str] = &[
    "default", "define", "rule", "builtin", "failsafe", "timeout", "allow", "deny", "in", "out", "both", "any", "from",
    "to", "port", "type", "code", "iface", "priority", "log", "audit", "file", "include",
];

/// Units of durations in seconds, rising.
pub(super) const DURATION_UNITS: [(char, u32); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// Protocols with a name.
pub(super) const PROTOCOLS: &[(&str, Protocol)] = &[
    ("any", Protocol::Any),
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("sctp", Protocol::Sctp),
    ("icmp", Protocol::Icmp),
    ("icmpv6", Protocol::Icmpv6),
];

/// ICMP types, by nftables' names.
const ICMP_TYPES: &[(&str, u8)] = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];

/// ICMPv6 types, by nftables' names.
const ICMPV6_TYPES: &[(&str, u8)] = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

/// The named types of a protocol; empty if it has none.
pub(super) const fn icmp_types(protocol: Protocol) -> &'static [(&'static str, u8)] {
    match protocol {
        Protocol::Icmp => ICMP_TYPES,
        Protocol::Icmpv6 => ICMPV6_TYPES,
        _ => &[],
    }
}

pub(super) fn icmp_type_name(protocol: Protocol, number: u8) -> Option<&'static str> {
    icmp_types(protocol).iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// Longest name of a set or rule, in bytes.
pub(super) const MAX_NAME: usize = mseg_ebpf::abi::rule::NAME_LEN - 1;

/// Why a word cannot be a name; `kind` is "rule" or "set".
pub(super) fn name_error(kind: &str, word: &str) -> Option<String> {
    if NOT_NAMES.contains(&word) {
        return Some(format!("`{word}` is a word of the language and cannot name a {kind}"));
    }
    if kind == "rule" && RESERVED_NAMES.contains(&word) {
        return Some(format!("`{word}` is the name of a built-in rule"));
    }
    let valid = word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if !valid {
        return Some(format!("{} is not a {kind} name", quote(word)));
    }
    (word.len() > MAX_NAME).then(|| format!("the {kind} name {} has {} characters", quote(word), word.len()))
}

/// `a`, `b` or `c`.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}

/// The word in quotes, cut when long, with nothing a terminal could act on.
pub(super) fn quote(word: &str) -> String {
    const SHOWN: usize = 48;
    let shown = word.chars().take(SHOWN).fold(String::new(), |mut shown, character| {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
        shown
    });
    let rest = if word.chars().nth(SHOWN).is_some() { "..." } else { "" };
    format!("`{shown}{rest}`")
}

/// The candidate that was probably meant; of two equally near, the longer: more is forgotten than typed too much.
pub(super) fn similar<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_NAME {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, candidate)| (*distance, std::cmp::Reverse(candidate.len())))
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_one_key_is_recognised() {
        for (word, meant) in [("tpc", "tcp"), ("udpp", "udp"), ("TCP", "tcp"), ("icmp6", "icmpv6"), ("rul", "rule")] {
            let candidates = PROTOCOLS.iter().map(|(name, _)| *name).chain(STATEMENTS.iter().copied());
            assert_eq!(similar(word, candidates), Some(meant), "{word}");
        }
        assert_eq!(similar("xyz", STATEMENTS.iter().copied()), None);
    }

    #[test]
    fn quoted_words_hold_no_control_characters() {
        assert_eq!(quote("a\u{1b}[31m"), "`a\\u{1b}[31m`");
        assert_eq!(quote(&"x".repeat(100)), format!("`{}...`", "x".repeat(48)));
    }
}
