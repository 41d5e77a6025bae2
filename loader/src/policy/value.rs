//! The values of the language: names, addresses, ports, numbers, durations.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::Range,
};

use ipnet::IpNet;
use mseg_ebpf::abi::{interface, rule::RESERVED_NAMES, time::MAX_TIMEOUT_S};

use super::{
    address::{Address, Addresses},
    lexer::Kind,
    line::Line,
    model::{PortRange, Protocol},
    problem::Problem,
    words::{self, quote},
};

const QUOTED_OPTIONS: &str = "expected printable characters; `\\\"` for a quote and `\\\\` for a backslash";
const ADDRESS: &str = "an address";
const ADDRESS_OPTIONS: &str = "an address, a CIDR or the name of a set";

/// A member of a set, and where it stands.
#[derive(Clone, Debug)]
pub(super) enum Member {
    Address(Address, Range<usize>),
    /// The addresses in a file, by its path.
    File(String, Range<usize>),
}

/// Where a list of addresses stands.
#[derive(Clone, Debug, Default)]
pub(super) struct ListSite {
    pub(super) whole: Range<usize>,
    /// The sets among its elements: which element it is, and its place.
    pub(super) sets: Vec<(usize, Range<usize>)>,
}

impl ListSite {
    /// Adds the next element; `index` counts all of them.
    pub(super) fn add(&mut self, index: usize, address: &Address, span: Range<usize>) {
        self.whole = if index == 0 { span.clone() } else { self.whole.start..span.end };
        if matches!(address, Address::Set(_)) {
            self.sets.push((index, span));
        }
    }

    /// The place of the set that is this element.
    pub(super) fn set(&self, element: usize) -> Range<usize> {
        let found = self.sets.binary_search_by_key(&element, |(index, _)| *index);
        found.map_or_else(|_| self.whole.clone(), |at| self.sets[at].1.clone())
    }
}

impl Line<'_, '_> {
    /// A name; `kind` is "rule" or "set", and `follows` tells what comes after one.
    pub(super) fn name(
        &mut self,
        kind: &str,
        follows: impl Fn((Kind, &str)) -> bool,
    ) -> Option<(String, Range<usize>)> {
        let what = format!("a {kind} name");
        if let Some(word) = self.peek_word()
            && words::NOT_NAMES.contains(&word)
        {
            let help = format!("`{word}` is a word of the language and cannot be a name; the {kind} name comes first");
            self.unexpected(&what, "", Some(help));
            // Otherwise the name is missing, and the word is one of what comes after it.
            if follows(self.second()) {
                self.advance();
            }
            return None;
        }
        let (word, span) = self.word(&what, "")?;
        if let Some(error) = words::name_error(kind, word) {
            let label = if RESERVED_NAMES.contains(&word) {
                "expected another name".to_owned()
            } else {
                format!("expected a letter, then letters, digits, `_`, `.` or `-`; at most {}", words::MAX_NAME)
            };
            self.wrong(span, error, label);
            return None;
        }
        Some((word.to_owned(), span))
    }

    /// `any`, or a list.
    pub(super) fn addresses(&mut self) -> (Addresses, ListSite) {
        let mut site = ListSite { whole: self.span(), sets: Vec::new() };
        if self.peek_word() == Some("any") {
            let span = self.advance().span;
            if self.kind() != Kind::Comma {
                return (Addresses::Any, site);
            }
            self.wrong(span, "`any` cannot stand in a list", "is every address already");
            self.advance();
        }
        let mut index = 0;
        let list = self.list(|line| {
            let (address, span) = line.address()?;
            site.add(index, &address, span);
            index += 1;
            Some(address)
        });
        (Addresses::List(list), site)
    }

    /// A member of a set.
    pub(super) fn member(&mut self) -> Option<Member> {
        if self.peek_word() != Some("file") {
            return self.address().map(|(address, span)| Member::Address(address, span));
        }
        self.advance();
        self.path().map(|(path, span)| Member::File(path, span))
    }

    /// The path of a file, in quotes.
    pub(super) fn path(&mut self) -> Option<(String, Range<usize>)> {
        if self.kind() != Kind::Quoted {
            let help = self.peek_word().map(|word| format!("write `\"{}\"`", quote(word).trim_matches('`')));
            self.unexpected("a path in quotes", "", help);
            if matches!(self.kind(), Kind::Word | Kind::Bad | Kind::Unclosed) {
                self.advance();
            }
            return None;
        }
        let (text, span) = self.token();
        match unquoted(text) {
            Ok(path) => Some((path, span)),
            Err(bad) => {
                self.wrong(span, format!("{} cannot stand in quotes", quote(bad)), QUOTED_OPTIONS);
                None
            }
        }
    }

    /// An element of a list of addresses and its place.
    pub(super) fn address(&mut self) -> Option<(Address, Range<usize>)> {
        if self.at_clause() {
            self.unexpected(ADDRESS, ADDRESS_OPTIONS, None);
            return None;
        }
        let (word, span) = self.word(ADDRESS, ADDRESS_OPTIONS)?;
        if word == "any" {
            self.wrong(span, "`any` cannot stand in a list", "is every address already");
            return None;
        }
        if word == "file" {
            let help = "`define` a set of the file, and name the set";
            self.wrong_help(span, "a file cannot stand here", "expected an address, a CIDR or the name of a set", help);
            if self.kind() == Kind::Quoted {
                self.advance();
            }
            return None;
        }
        let named = word.starts_with(|first: char| first.is_ascii_alphabetic()) && !word.contains([':', '/']);
        if !named {
            let network = self.network(word, &span, ADDRESS_OPTIONS)?;
            return Some((Address::Network(network), span));
        }
        if let Some(error) = words::name_error("set", word) {
            self.wrong(span, error, format!("expected {ADDRESS_OPTIONS}"));
            return None;
        }
        Some((Address::Set(word.to_owned()), span))
    }

    /// Whether a value is missing: the next word begins another clause, and is no element of a list.
    fn at_clause(&self) -> bool {
        self.peek_word().is_some_and(|word| words::CLAUSES.contains(&word))
            && !matches!(self.second().0, Kind::Comma | Kind::Close)
    }

    /// An address or network in a file of them.
    pub(super) fn filed(&mut self) -> Option<IpNet> {
        const OPTIONS: &str = "one address or CIDR a line";
        let (word, span) = self.word(ADDRESS, OPTIONS)?;
        self.network(word, &span, OPTIONS)
    }

    fn network(&mut self, word: &str, span: &Range<usize>, options: &str) -> Option<IpNet> {
        let (address, length) = match word.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (word, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            let message = format!("{} is not an address", quote(word));
            if word.contains('%') {
                self.wrong_help(span.clone(), message, "no zone is allowed here", "name the interface by `iface`");
            } else {
                self.wrong(span.clone(), message, format!("expected {options}"));
            }
            return None;
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => longest,
            Some(text) => match decimal(text).and_then(|length| u8::try_from(length).ok()).filter(|l| *l <= longest) {
                Some(length) => length,
                None => {
                    let message = format!("{} is not a prefix length", quote(text));
                    let mask = text.parse::<Ipv4Addr>().ok().and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok());
                    let label = format!("expected a number 0 to {longest} after `/`");
                    match mask.or_else(|| decimal(text.trim_start_matches('0')).and_then(|n| u8::try_from(n).ok())) {
                        Some(length) if length <= longest && (mask.is_none() || longest == 32) => {
                            self.wrong_help(span.clone(), message, label, format!("write `{address}/{length}`"));
                        }
                        _ => self.wrong(span.clone(), message, label),
                    }
                    return None;
                }
            },
        };
        let network = IpNet::new(address, length).ok()?;
        if let IpAddr::V6(v6) = address
            && let Some(v4) = v6.to_ipv4_mapped()
            && length >= 96
        {
            let v4 = Address::Network(IpNet::new(v4.into(), length - 96).ok()?.trunc());
            let message = format!("{} is an IPv4-mapped IPv6 address", quote(word));
            self.wrong_help(span.clone(), message, "no packet has such an address", format!("write `{v4}`"));
            return None;
        }
        if network != network.trunc() {
            let message = format!("{} has bits beyond its prefix length", quote(word));
            let help = format!("write `{}` for the network, `{address}` for the host", network.trunc());
            self.wrong_help(span.clone(), message, "not a network", help);
            return None;
        }
        Some(network)
    }

    /// A list of ports and ranges.
    pub(super) fn ports(&mut self) -> Vec<PortRange> {
        if self.peek_word() == Some("any") {
            let help = "leave `port` out: every port is the default".to_owned();
            self.unexpected("a port", "", Some(help));
            self.advance();
            return Vec::new();
        }
        self.list(Self::port)
    }

    fn port(&mut self) -> Option<PortRange> {
        const OPTIONS: &str = "a number 0 to 65535 or a range as `8000-8999`";
        if self.at_clause() {
            self.unexpected("a port", OPTIONS, None);
            return None;
        }
        let (word, span) = self.word("a port", OPTIONS)?;
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let port = |text| decimal(text).and_then(|port| u16::try_from(port).ok());
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => return Some(PortRange { first, last }),
            (Some(first), Some(last)) => {
                let message = format!("the range {} is empty", quote(word));
                self.wrong_help(span, message, "expected the lower port first", format!("write `{last}-{first}`"));
            }
            _ => self.not_a_number(span, word, "a port", OPTIONS, 65_535),
        }
        None
    }

    /// `any` is whether that may stand for all of them. It is read in either case, so that it can be refused by name.
    pub(super) fn protocol(&mut self, any: bool) -> Option<Protocol> {
        let offered = words::PROTOCOLS.iter().filter(|(_, protocol)| any || *protocol != Protocol::Any);
        let names = offered.map(|(name, _)| *name).collect::<Vec<_>>();
        let listed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let options = format!("{} or a number 0 to 255", listed.join(", "));
        self.field("a protocol", &options, &names, &words::CLAUSES, |word| {
            let number = || decimal(word).and_then(|number| u8::try_from(number).ok()).map(Protocol::from_number);
            words::PROTOCOLS.iter().find(|(name, _)| *name == word).map(|(_, protocol)| *protocol).or_else(number)
        })
    }

    /// The type of a message; of ICMP or ICMPv6 if the protocol is not known.
    pub(super) fn icmp_type(&mut self, protocol: Option<Protocol>) -> Option<u8> {
        const OPTIONS: &str = "the name of a type or a number 0 to 255";
        if self.at_clause() {
            self.unexpected("a type", OPTIONS, None);
            return None;
        }
        let (word, span) = self.word("a type", OPTIONS)?;
        let either = [Protocol::Icmp, Protocol::Icmpv6];
        let names = || {
            let of = protocol.as_ref().map_or(&either[..], std::slice::from_ref);
            of.iter().flat_map(|protocol| words::icmp_types(*protocol))
        };
        let named = names().find(|(name, _)| *name == word).map(|(_, number)| *number);
        let number = named.or_else(|| decimal(word).and_then(|number| u8::try_from(number).ok()));
        // Without an ICMP protocol that was reported already.
        if number.is_none() && names().next().is_some() {
            let message = format!("{} is not a type of {}", quote(word), protocol.unwrap_or(Protocol::Icmp).name());
            let offered = without_zeros(word).filter(|offered| offered.parse::<u8>().is_ok());
            let help = offered.map(|offered| format!("write `{offered}`"));
            let help = help.or_else(|| self.meant(word, names().map(|(name, _)| *name)));
            self.report(Problem { span, message, label: format!("expected {OPTIONS}"), help });
        }
        number
    }

    /// A number up to `max`; `what` names it.
    pub(super) fn number(&mut self, what: &str, max: u16) -> Option<u16> {
        let options = format!("a number 0 to {max}");
        if self.at_clause() {
            self.unexpected(what, &options, None);
            return None;
        }
        let (word, span) = self.word(what, &options)?;
        let number = decimal(word).and_then(|number| u16::try_from(number).ok()).filter(|number| *number <= max);
        if number.is_none() {
            self.not_a_number(span, word, what, &options, max);
        }
        number
    }

    /// A number with leading zeros may be meant as octal: it is refused, and its decimal reading offered.
    fn not_a_number(&mut self, span: Range<usize>, word: &str, what: &str, options: &str, max: u16) {
        let (message, label) = (format!("{} is not {what}", quote(word)), format!("expected {options}"));
        let help = without_zeros(word).filter(|offered| {
            let numbers: Option<Vec<u32>> = offered.split('-').map(decimal).collect();
            numbers.is_some_and(|numbers| numbers.is_sorted() && numbers.iter().all(|n| *n <= u32::from(max)))
        });
        self.report(Problem { span, message, label, help: help.map(|offered| format!("write `{offered}`")) });
    }

    /// A name the kernel would take for an interface.
    pub(super) fn interface(&mut self) -> Option<String> {
        const LONGEST: usize = interface::NAME_LEN - 1;
        let (word, span) = self.word("an interface", "the name of an interface")?;
        if word.len() > LONGEST || word.contains(['/', ':']) || word == "." || word == ".." {
            let message = format!("{} cannot be the name of an interface", quote(word));
            self.wrong(span, message, format!("expected 1 to {LONGEST} characters, none of them `/` or `:`"));
            return None;
        }
        Some(word.to_owned())
    }

    /// A duration in seconds.
    pub(super) fn duration(&mut self) -> Option<u32> {
        const OPTIONS: &str = "a whole number with a unit: `30s`, `10m`, `2h` or `1d`";
        let (word, span) = self.word("a duration", OPTIONS)?;
        let unit = words::DURATION_UNITS.iter().find(|(unit, _)| word.ends_with(*unit));
        let number = unit.and_then(|(_, length)| Some((decimal(&word[..word.len() - 1])?, u64::from(*length))));
        let Some((number, length)) = number else {
            let message = format!("{} is not a duration", quote(word));
            match decimal(word) {
                Some(_) => {
                    let help = format!("write `{}s` for seconds", quote(word).trim_matches('`'));
                    self.wrong_help(span, message, "the unit is missing", help);
                }
                None => {
                    let offered = without_zeros(word).filter(|offered| {
                        let digits = offered.strip_suffix(|unit: char| unit.is_ascii_alphabetic());
                        digits.is_some_and(|digits| decimal(digits).is_some_and(|number| number > 0))
                    });
                    let help = offered.map(|offered| format!("write `{offered}`"));
                    self.report(Problem { span, message, label: format!("expected {OPTIONS}"), help });
                }
            }
            return None;
        };
        let seconds = u64::from(number) * length;
        if seconds == 0 || seconds > u64::from(MAX_TIMEOUT_S) {
            let message = format!("{} is out of range", quote(word));
            self.wrong(span, message, format!("expected `1s` to `{}d`", MAX_TIMEOUT_S / 86_400));
            return None;
        }
        u32::try_from(seconds).ok()
    }
}

/// The text in quotes without them, or what has no place there.
fn unquoted(quoted: &str) -> Result<String, &str> {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                other => return Err(&inner[at..other.map_or(inner.len(), |(at, bad)| at + bad.len_utf8())]),
            },
            bad if bad.is_control() => return Err(&inner[at..at + bad.len_utf8()]),
            other => text.push(other),
        }
    }
    Ok(text)
}

/// A word without the leading zeros of its numbers; `None` if it has none.
fn without_zeros(word: &str) -> Option<String> {
    let trimmed = |digits: &str| match digits.trim_start_matches('0') {
        rest if rest.starts_with(|first: char| first.is_ascii_digit()) => rest.to_owned(),
        rest => format!("{}{rest}", if digits.len() > rest.len() { "0" } else { "" }),
    };
    let offered = word.split('-').map(trimmed).collect::<Vec<_>>().join("-");
    (offered != word).then_some(offered)
}

/// Decimal digits without leading zeros, and nothing else.
fn decimal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    let digits = digits && (text == "0" || !text.starts_with('0'));
    digits.then(|| text.parse().ok()).flatten()
}
