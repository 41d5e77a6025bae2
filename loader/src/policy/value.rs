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
    line::{Abort, Line, Step},
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

/// What stands for a value that was refused.
fn stand_in() -> Address {
    Address::Set(String::new())
}

impl Line<'_, '_> {
    /// A name; `kind` is "rule" or "set".
    pub(super) fn name(&mut self, kind: &str) -> Step<(String, Range<usize>)> {
        let what = format!("a {kind} name");
        if let Some(word) = self.peek_word()
            && words::NOT_NAMES.contains(&word)
        {
            let help = format!("`{word}` is a word of the language and cannot be a name; the {kind} name comes first");
            return Err(self.unexpected(&what, "", Some(help)));
        }
        let (word, span) = self.word(&what, "")?;
        if let Some(error) = words::name_error(kind, word) {
            let label = if RESERVED_NAMES.contains(&word) {
                "expected another name".to_owned()
            } else {
                format!("expected a letter, then letters, digits, `_`, `.` or `-`; at most {}", words::MAX_NAME)
            };
            self.wrong(span.clone(), error, label);
        }
        Ok((word.to_owned(), span))
    }

    /// `any`, or a list.
    pub(super) fn addresses(&mut self) -> Step<(Addresses, ListSite)> {
        let mut site = ListSite { whole: self.span(), sets: Vec::new() };
        if self.peek_word() == Some("any") {
            let span = self.advance().span;
            if self.kind() == Kind::Comma {
                self.wrong(span, "`any` cannot stand in a list", "is every address already");
                self.advance();
                self.list(Self::address)?;
            }
            return Ok((Addresses::Any, site));
        }
        let mut index = 0;
        let list = self.list(|line| {
            let (address, span) = line.address()?;
            site.add(index, &address, span);
            index += 1;
            Ok(address)
        })?;
        Ok((Addresses::List(list), site))
    }

    /// A member of a set.
    pub(super) fn member(&mut self) -> Step<Member> {
        if self.peek_word() != Some("file") {
            return self.address().map(|(address, span)| Member::Address(address, span));
        }
        self.advance();
        self.path().map(|(path, span)| Member::File(path, span))
    }

    /// The path of a file, in quotes.
    pub(super) fn path(&mut self) -> Step<(String, Range<usize>)> {
        if self.kind() != Kind::Quoted {
            let help = self.peek_word().map(|word| format!("write `\"{}\"`", quote(word).trim_matches('`')));
            return Err(self.unexpected("a path in quotes", "", help));
        }
        let (text, span) = self.token();
        match unquoted(text) {
            Ok(path) => Ok((path, span)),
            Err(bad) => {
                self.wrong(span, format!("{} cannot stand in quotes", quote(bad)), QUOTED_OPTIONS);
                Err(Abort)
            }
        }
    }

    /// An element of a list of addresses and its place.
    pub(super) fn address(&mut self) -> Step<(Address, Range<usize>)> {
        let (word, span) = self.word(ADDRESS, ADDRESS_OPTIONS)?;
        if word == "any" {
            self.wrong(span.clone(), "`any` cannot stand in a list", "is every address already");
            return Ok((stand_in(), span));
        }
        if word == "file" {
            let help = "`define` a set of the file, and name the set";
            self.wrong_help(span, "a file cannot stand here", "expected an address, a CIDR or the name of a set", help);
            return Err(Abort);
        }
        let named = word.starts_with(|first: char| first.is_ascii_alphabetic()) && !word.contains([':', '/']);
        if !named {
            return Ok((self.network(word, &span, ADDRESS_OPTIONS).map_or_else(stand_in, Address::Network), span));
        }
        if let Some(error) = words::name_error("set", word) {
            self.wrong(span.clone(), error, format!("expected {ADDRESS_OPTIONS}"));
        }
        Ok((Address::Set(word.to_owned()), span))
    }

    /// An address or network in a file of them.
    pub(super) fn filed(&mut self) -> Step<Option<IpNet>> {
        const OPTIONS: &str = "one address or CIDR a line";
        let (word, span) = self.word(ADDRESS, OPTIONS)?;
        Ok(self.network(word, &span, OPTIONS))
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
                    match mask {
                        Some(length) if longest == 32 => {
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
    pub(super) fn ports(&mut self) -> Step<Vec<PortRange>> {
        if self.peek_word() == Some("any") {
            let help = "leave `port` out: every port is the default".to_owned();
            return Err(self.unexpected("a port", "", Some(help)));
        }
        self.list(|line| {
            const OPTIONS: &str = "a number 0 to 65535 or a range as `8000-8999`";
            let (word, span) = line.word("a port", OPTIONS)?;
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let port = |text| decimal(text).and_then(|port| u16::try_from(port).ok());
            Ok(match (port(first), port(last)) {
                (Some(first), Some(last)) if first <= last => PortRange { first, last },
                (Some(first), Some(last)) => {
                    let message = format!("the range {} is empty", quote(word));
                    line.wrong_help(span, message, "expected the lower port first", format!("write `{last}-{first}`"));
                    PortRange { first: last, last: first }
                }
                _ => {
                    line.wrong(span, format!("{} is not a port", quote(word)), format!("expected {OPTIONS}"));
                    PortRange { first: 0, last: 0 }
                }
            })
        })
    }

    pub(super) fn protocol(&mut self) -> Step<Protocol> {
        let word = self.peek_word().unwrap_or_default();
        if let Some((_, protocol)) = words::PROTOCOLS.iter().find(|(name, _)| *name == word) {
            self.advance();
            return Ok(*protocol);
        }
        if let Some(number) = decimal(word).and_then(|number| u8::try_from(number).ok()) {
            self.advance();
            return Ok(Protocol::from_number(number));
        }
        let names = || words::PROTOCOLS.iter().map(|(name, _)| *name);
        let listed: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        let help = self.did_you_mean(names());
        Err(self.unexpected("a protocol", &format!("{} or a number 0 to 255", listed.join(", ")), help))
    }

    /// The type of an ICMP or ICMPv6 message.
    pub(super) fn icmp_type(&mut self, protocol: Protocol) -> Step<u8> {
        let names = words::icmp_types(protocol);
        let (word, span) = self.word("a type", "the name of a type or a number 0 to 255")?;
        if let Some((_, number)) = names.iter().find(|(name, _)| *name == word) {
            return Ok(*number);
        }
        if let Some(number) = decimal(word).and_then(|number| u8::try_from(number).ok()) {
            return Ok(number);
        }
        // Without an ICMP protocol that was reported already.
        if !names.is_empty() {
            let label = "expected the name of a type or a number 0 to 255".to_owned();
            let message = format!("{} is not a type of {}", quote(word), protocol.name());
            let help = self.meant(word, names.iter().map(|(name, _)| *name));
            self.report(Problem { span, message, label, help });
        }
        Ok(0)
    }

    /// A number up to `max`; `what` names it.
    pub(super) fn number(&mut self, what: &str, max: u16) -> Step<u16> {
        let options = || format!("a number 0 to {max}");
        let Some(word) = self.peek_word() else { return Err(self.unexpected(what, &options(), None)) };
        let span = self.advance().span;
        match decimal(word).and_then(|number| u16::try_from(number).ok()).filter(|number| *number <= max) {
            Some(number) => Ok(number),
            None => {
                self.wrong(span, format!("{} is not {what}", quote(word)), format!("expected {}", options()));
                Ok(0)
            }
        }
    }

    /// A name the kernel would take for an interface.
    pub(super) fn interface(&mut self) -> Step<String> {
        const LONGEST: usize = interface::NAME_LEN - 1;
        let (word, span) = self.word("an interface", "the name of an interface")?;
        if word.len() > LONGEST || word.contains(['/', ':']) || word == "." || word == ".." {
            let message = format!("{} cannot be the name of an interface", quote(word));
            self.wrong(span, message, format!("expected 1 to {LONGEST} characters, none of them `/` or `:`"));
        }
        Ok(word.to_owned())
    }

    /// A duration in seconds.
    pub(super) fn duration(&mut self) -> Step<u32> {
        const OPTIONS: &str = "a whole number with a unit: `30s`, `10m`, `2h` or `1d`";
        let (word, span) = self.word("a duration", OPTIONS)?;
        let unit = words::DURATION_UNITS.iter().find(|(unit, _)| word.ends_with(*unit));
        let number = unit.and_then(|(_, length)| Some((decimal(&word[..word.len() - 1])?, u64::from(*length))));
        match number {
            None => {
                let message = format!("{} is not a duration", quote(word));
                match decimal(word) {
                    Some(_) => {
                        let help = format!("write `{}s` for seconds", quote(word).trim_matches('`'));
                        self.wrong_help(span, message, "the unit is missing", help);
                    }
                    None => self.wrong(span, message, format!("expected {OPTIONS}")),
                }
                Ok(1)
            }
            Some((number, length)) => {
                let seconds = u64::from(number) * length;
                if seconds == 0 || seconds > u64::from(MAX_TIMEOUT_S) {
                    let message = format!("{} is out of range", quote(word));
                    self.wrong(span, message, format!("expected `1s` to `{}d`", MAX_TIMEOUT_S / 86_400));
                    return Ok(1);
                }
                Ok(u32::try_from(seconds).unwrap_or(MAX_TIMEOUT_S))
            }
        }
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

/// Decimal digits and nothing else.
fn decimal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
