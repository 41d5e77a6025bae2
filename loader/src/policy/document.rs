//! A whole text: its lines, and what they must agree on with each other.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    ops::Range,
};

use ipnet::IpNet;

use super::{
    address::{Address, Addresses, Sets},
    diagnostic::{Problem, found},
    model::{Policy, Protocol, Selector},
    statement::{self, SelectorSite, Statement},
    words,
};

const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// Unknown sets for which a similar name is looked for, and names that are compared: each comparison takes a while.
const SUGGESTIONS: usize = 20;
const COMPARED: usize = 1000;

#[derive(Default)]
struct Document<'a> {
    policy: Policy,
    /// Line in which a thing was first said, by what it is and its name.
    first: HashMap<(&'static str, &'a str), usize>,
    /// Sets with errors: known, but not what they hold.
    broken: HashSet<String>,
    defines: Vec<Vec<Range<usize>>>,
    rules: Vec<SelectorSite>,
    failsafe: Vec<(Selector, SelectorSite)>,
}

/// Reads a text. The model is of use only if no problem was reported.
pub(super) fn read(text: &str, problems: &mut Vec<Problem>) -> Policy {
    let mut document = Document::default();
    let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    for number in 1.. {
        let length = text[start..].find('\n');
        let end = length.map_or(text.len(), |length| start + length);
        let outcome = statement::parse(text, start..end, problems);
        match outcome.statement {
            Some(statement) => document.add(text, number, statement, outcome.subject, problems),
            None => document.broken.extend(outcome.defines),
        }
        if length.is_none() {
            break;
        }
        start = end + 1;
    }
    document.finish(problems)
}

impl<'a> Document<'a> {
    fn add(
        &mut self,
        text: &'a str,
        number: usize,
        statement: Statement,
        subject: Range<usize>,
        problems: &mut Vec<Problem>,
    ) {
        let kind = match &statement {
            Statement::Default { .. } => "default",
            Statement::Define { .. } => "set",
            Statement::Rule { .. } => "rule",
            Statement::Builtin { .. } => "builtin",
            Statement::Timeout { .. } => "timeout",
            Statement::Failsafe { .. } => "failsafe",
        };
        let name = &text[subject.clone()];
        if kind != "failsafe" {
            match self.first.entry((kind, name)) {
                Entry::Occupied(first) => {
                    let label = format!("is there already, in line {}", first.get());
                    problems.push(found(subject, &format!("a second {kind}"), name, label));
                    return;
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(number);
                }
            }
        }
        let policy = &mut self.policy;
        match statement {
            Statement::Default { inbound: true, action } => policy.defaults.inbound = action,
            Statement::Default { inbound: false, action } => policy.defaults.outbound = action,
            Statement::Define { define, members } => {
                policy.defines.push(define);
                self.defines.push(members);
            }
            Statement::Rule { rule, site } => {
                policy.rules.push(rule);
                self.rules.push(site);
            }
            Statement::Builtin { name, on } => {
                if let Some(switch) = policy.builtins.by_name(name) {
                    *switch = on;
                }
            }
            Statement::Failsafe { selector, site } => self.failsafe.push((selector, site)),
            Statement::Timeout { index, seconds } => policy.timeouts.0[index] = seconds,
        }
    }

    fn finish(mut self, problems: &mut Vec<Problem>) -> Policy {
        let sets = Sets::new(&self.policy.defines);
        let mut check =
            Check { broken: &self.broken, families: vec![0; self.policy.defines.len()], unknown: 0, problems };
        check.defines(&self.policy, &sets, &self.defines);
        for (rule, site) in self.policy.rules.iter().zip(&self.rules) {
            check.selector(&rule.selector, site, &sets);
        }
        for (selector, site) in &self.failsafe {
            check.selector(selector, site, &sets);
        }
        if !self.failsafe.is_empty() {
            self.policy.failsafe = self.failsafe.into_iter().map(|(selector, _)| selector).collect();
        }
        self.policy
    }
}

/// The checks that need every set.
struct Check<'a> {
    broken: &'a HashSet<String>,
    /// Families of each set's members.
    families: Vec<u8>,
    unknown: usize,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn defines(&mut self, policy: &Policy, sets: &Sets<'_>, sites: &[Vec<Range<usize>>]) {
        let (order, cycles) = sets.order();
        for index in order {
            let define = &policy.defines[index];
            self.families[index] = self.list(&define.members, &sites[index], sets);
        }
        for cycle in cycles {
            let define = &policy.defines[cycle.define];
            let span = sites[cycle.define][cycle.member].clone();
            let member = define.members[cycle.member].to_string();
            let problem = if member == define.name {
                found(span, "a set contains itself:", &member, "is the set that is defined here")
            } else {
                found(span, "sets contain each other:", &member, format!("contains `{}` in turn", define.name))
            };
            self.problems.push(problem);
            // What it holds is unknown; nothing more is to be said about it.
            self.families[cycle.define] = IPV4 | IPV6;
        }
    }

    /// The families in a list, with every unknown set reported.
    fn list(&mut self, list: &[Address], spans: &[Range<usize>], sets: &Sets<'_>) -> u8 {
        let mut families = 0;
        for (address, span) in list.iter().zip(spans) {
            families |= match address {
                Address::Network(IpNet::V4(_)) => IPV4,
                Address::Network(IpNet::V6(_)) => IPV6,
                Address::Set(name) => match sets.index(name) {
                    // In a cycle, the set is not reached yet.
                    Some(index) if self.families[index] == 0 => IPV4 | IPV6,
                    Some(index) => self.families[index],
                    None => {
                        if !self.broken.contains(name) {
                            self.unknown_set(name, span, sets);
                        }
                        IPV4 | IPV6
                    }
                },
            };
        }
        families
    }

    fn unknown_set(&mut self, name: &str, span: &Range<usize>, sets: &Sets<'_>) {
        self.unknown += 1;
        let mut problem = found(span.clone(), "unknown set", name, "no `define` makes it");
        if self.unknown <= SUGGESTIONS {
            problem.help =
                words::similar(name, sets.names().take(COMPARED)).map(|meant| format!("did you mean `{meant}`?"));
        }
        self.problems.push(problem);
    }

    /// Unknown sets, and whether any packet can match.
    fn selector(&mut self, selector: &Selector, site: &SelectorSite, sets: &Sets<'_>) {
        let mut side = |addresses: &Addresses, spans: &[Range<usize>]| match addresses {
            Addresses::Any => IPV4 | IPV6,
            Addresses::List(list) => self.list(list, spans, sets),
        };
        let from = side(&selector.from.addresses, &site.from);
        let to = side(&selector.to.addresses, &site.to);
        let (protocol, needs) = match selector.protocol {
            Protocol::Icmp => (IPV4, "`icmp` is of IPv4; write `icmpv6` for IPv6"),
            Protocol::Icmpv6 => (IPV6, "`icmpv6` is of IPv6; write `icmp` for IPv4"),
            _ => (IPV4 | IPV6, ""),
        };
        let whole = |spans: &[Range<usize>]| match (spans.first(), spans.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => site.protocol.clone(),
        };
        let (span, label) = if from & to == 0 {
            (whole(&site.to), format!("is {}, the source is {}", family(to), family(from)))
        } else if from & to & protocol == 0 {
            (site.protocol.clone(), format!("is not of {}, which the addresses are", family(from & to)))
        } else {
            return;
        };
        let help = (from & to != 0).then(|| needs.to_owned());
        self.problems.push(Problem { span, message: "no packet can match".to_owned(), label, help });
    }
}

fn family(families: u8) -> &'static str {
    match families {
        IPV4 => "IPv4",
        IPV6 => "IPv6",
        _ => "both",
    }
}
