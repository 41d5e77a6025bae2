//! A whole policy: the statements of its files, and what they must agree on with each other.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    ops::Range,
};

use ipnet::IpNet;

use super::{
    address::{Address, Addresses, Sets},
    json,
    lexer::Kind,
    line::Line,
    model::{Define, Policy, Protocol, Selector},
    problem::{Problem, Problems},
    source::{Included, Naming, Sources},
    statement::{self, SelectorSite, Statement},
    value::{ListSite, Member},
    words,
};

const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// Unknown sets for which a similar name is looked for, and names that are compared: each comparison takes a while.
const SUGGESTIONS: usize = 20;
const COMPARED: usize = 1000;

/// Reads the policy of the first of the files and what it includes. The model is of use only if no problem was reported.
pub(super) fn read(sources: &mut Sources, problems: &mut Problems) -> Policy {
    let mut document = Document::new(sources);
    let text = document.sources.text(0);
    if super::file::is_json(&text) {
        json::read(&text, &mut document, problems);
    } else {
        document.file(0, problems);
    }
    document.finish(problems)
}

/// The lines of a text with their numbers, without a byte order mark.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, Range<usize>)> {
    let first = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut next = Some(first);
    (1..).map_while(move |number| {
        let start = next?;
        let length = text[start..].find('\n');
        next = length.map(|length| start + length + 1);
        Some((number, start..length.map_or(text.len(), |length| start + length)))
    })
}

/// Where a statement is, and what it is about.
pub(super) struct At<'a> {
    pub(super) file: usize,
    pub(super) line: usize,
    /// The name of what it is about, and where that stands.
    pub(super) name: &'a str,
    pub(super) subject: Range<usize>,
}

pub(super) struct Document<'s> {
    pub(super) policy: Policy,
    sources: &'s mut Sources,
    /// File and line in which a thing was first said, by what it is and its name.
    first: HashMap<(&'static str, String), (usize, usize)>,
    /// Sets with errors: known, but not what they hold.
    broken: HashSet<String>,
    /// Something could not be read, and nobody knows which sets it would have defined.
    incomplete: bool,
    /// In the order of the model, each with its file.
    defines: Vec<(usize, ListSite)>,
    rules: Vec<(usize, SelectorSite)>,
    failsafe: Vec<(usize, Selector, SelectorSite)>,
}

impl<'s> Document<'s> {
    fn new(sources: &'s mut Sources) -> Self {
        Self {
            policy: Policy::default(),
            sources,
            first: HashMap::new(),
            broken: HashSet::new(),
            incomplete: false,
            defines: Vec::new(),
            rules: Vec::new(),
            failsafe: Vec::new(),
        }
    }

    /// Reads a file of statements. The depth of the recursion is limited by the sources.
    fn file(&mut self, file: usize, problems: &mut Problems) {
        problems.enter(file);
        let text = self.sources.text(file);
        for (line, bytes) in lines(&text) {
            let outcome = statement::parse(&text, bytes, problems);
            let at = At { file, line, name: &text[outcome.subject.clone()], subject: outcome.subject };
            match outcome.statement {
                Some(statement) => self.add(at, statement, problems),
                None => self.broken.extend(outcome.defines),
            }
            if problems.is_full() {
                self.incomplete = true;
                break;
            }
        }
    }

    /// A set of this name has errors, so it is known that it exists but not what it holds.
    pub(super) fn broken_set(&mut self, name: String) {
        self.broken.insert(name);
    }

    pub(super) fn add(&mut self, at: At<'_>, statement: Statement, problems: &mut Problems) {
        let kind = match &statement {
            Statement::Default { .. } => Some("default"),
            Statement::Define { .. } => Some("set"),
            Statement::Rule { .. } => Some("rule"),
            Statement::Builtin { .. } => Some("builtin"),
            Statement::Timeout { .. } => Some("timeout"),
            Statement::Failsafe { .. } | Statement::Include { .. } => None,
        };
        if let Some(kind) = kind
            && !self.is_first(kind, &at, problems)
        {
            return;
        }
        let At { file, line, .. } = at;
        let policy = &mut self.policy;
        match statement {
            Statement::Default { inbound: true, action } => policy.defaults.inbound = action,
            Statement::Default { inbound: false, action } => policy.defaults.outbound = action,
            Statement::Define { name, members } => self.define(file, line, name, members, problems),
            Statement::Rule { rule, site } => {
                policy.rules.push(rule);
                self.rules.push((file, site));
            }
            Statement::Builtin { name, on } => {
                if let Some(switch) = policy.builtins.by_name(name) {
                    *switch = on;
                }
            }
            Statement::Failsafe { selector, site } => self.failsafe.push((file, selector, site)),
            Statement::Timeout { index, seconds } => policy.timeouts.0[index] = seconds,
            Statement::Include { path, span } => {
                match self.sources.include(&Naming { file, line, path: &path, span }, problems) {
                    Included::File(included) => self.file(included, problems),
                    Included::Before => {}
                    Included::Failed => self.incomplete = true,
                }
                problems.enter(file);
            }
        }
    }

    /// Whether nothing was said about this before; otherwise that is reported.
    fn is_first(&mut self, kind: &'static str, at: &At<'_>, problems: &mut Problems) -> bool {
        match self.first.entry((kind, at.name.to_owned())) {
            Entry::Vacant(vacant) => {
                vacant.insert((at.file, at.line));
                true
            }
            Entry::Occupied(first) => {
                let (file, line) = *first.get();
                let label = match file == at.file {
                    true => format!("is there already, in line {line}"),
                    false => format!("is there already, in {}:{line}", words::plain(self.sources.name(file))),
                };
                problems.push(Problem::found(at.subject.clone(), &format!("a second {kind}"), at.name, label));
                false
            }
        }
    }

    /// Adds a set, with the addresses of its files.
    fn define(&mut self, file: usize, line: usize, name: String, members: Vec<Member>, problems: &mut Problems) {
        let (mut addresses, mut site) = (Vec::with_capacity(members.len()), ListSite::default());
        let before = problems.len();
        for member in members {
            match member {
                Member::Address(address, span) => {
                    site.add(addresses.len(), &address, span);
                    addresses.push(address);
                }
                Member::File(path, span) => {
                    let naming = Naming { file, line, path: &path, span: span.clone() };
                    let Some(read) = self.sources.set(&naming, problems) else { continue };
                    let (count, wrong) = (addresses.len(), problems.len());
                    problems.enter(read);
                    networks(&self.sources.text(read), &mut addresses, problems);
                    problems.enter(file);
                    if addresses.len() == count && problems.len() == wrong {
                        let message = format!("{} holds no address", words::quote(&path));
                        problems.push(Problem::new(span.clone(), message, "a set has at least one member"));
                    }
                    site.whole = if count == 0 { span } else { site.whole.start..span.end };
                }
            }
        }
        if problems.len() > before {
            self.broken.insert(name);
            return;
        }
        self.policy.defines.push(Define { name, members: addresses });
        self.defines.push((file, site));
    }

    fn finish(mut self, problems: &mut Problems) -> Policy {
        let sets = Sets::new(&self.policy.defines);
        let families = vec![0; self.policy.defines.len()];
        let mut check = Check { broken: &self.broken, incomplete: self.incomplete, families, unknown: 0, problems };
        check.defines(&self.policy, &sets, &self.defines);
        for (rule, (file, site)) in self.policy.rules.iter().zip(&self.rules) {
            check.problems.enter(*file);
            check.selector(&rule.selector, site, &sets);
        }
        for (file, selector, site) in &self.failsafe {
            check.problems.enter(*file);
            check.selector(selector, site, &sets);
        }
        if !self.failsafe.is_empty() {
            self.policy.failsafe = self.failsafe.into_iter().map(|(_, selector, _)| selector).collect();
        }
        self.policy
    }
}

/// Adds the addresses of a set's file: one a line.
fn networks(text: &str, addresses: &mut Vec<Address>, problems: &mut Problems) {
    for (_, bytes) in lines(text) {
        let mut line = Line::new(text, bytes, problems);
        if line.kind() == Kind::End {
            continue;
        }
        // What is wrong with the line is reported.
        if let Ok(network) = line.filed()
            && line.end().is_ok()
        {
            addresses.extend(network.map(Address::Network));
        }
        if problems.is_full() {
            break;
        }
    }
}

/// The checks that need every set.
struct Check<'a> {
    broken: &'a HashSet<String>,
    incomplete: bool,
    /// Families of each set's members.
    families: Vec<u8>,
    unknown: usize,
    problems: &'a mut Problems,
}

impl Check<'_> {
    fn defines(&mut self, policy: &Policy, sets: &Sets<'_>, sites: &[(usize, ListSite)]) {
        let (order, cycles) = sets.order();
        for index in order {
            let (file, site) = &sites[index];
            self.problems.enter(*file);
            self.families[index] = self.list(&policy.defines[index].members, site, sets);
        }
        for cycle in cycles {
            let define = &policy.defines[cycle.define];
            let (file, site) = &sites[cycle.define];
            let span = site.set(cycle.member);
            let member = define.members[cycle.member].to_string();
            let problem = if member == define.name {
                Problem::found(span, "a set contains itself:", &member, "is the set that is defined here")
            } else {
                Problem::found(span, "sets contain each other:", &member, format!("contains `{}` in turn", define.name))
            };
            self.problems.enter(*file);
            self.problems.push(problem);
            // What it holds is unknown; nothing more is to be said about it.
            self.families[cycle.define] = IPV4 | IPV6;
        }
    }

    /// The families in a list, with every unknown set reported.
    fn list(&mut self, list: &[Address], site: &ListSite, sets: &Sets<'_>) -> u8 {
        let mut families = 0;
        for (element, address) in list.iter().enumerate() {
            families |= match address {
                Address::Network(IpNet::V4(_)) => IPV4,
                Address::Network(IpNet::V6(_)) => IPV6,
                Address::Set(name) => match sets.index(name) {
                    // In a cycle, the set is not reached yet.
                    Some(index) if self.families[index] == 0 => IPV4 | IPV6,
                    Some(index) => self.families[index],
                    None => {
                        if !self.incomplete && !self.broken.contains(name) {
                            self.unknown_set(name, site.set(element), sets);
                        }
                        IPV4 | IPV6
                    }
                },
            };
        }
        families
    }

    fn unknown_set(&mut self, name: &str, span: Range<usize>, sets: &Sets<'_>) {
        self.unknown += 1;
        let mut problem = Problem::found(span, "unknown set", name, "no `define` makes it");
        if self.unknown <= SUGGESTIONS {
            problem.help =
                words::similar(name, sets.names().take(COMPARED)).map(|meant| format!("did you mean `{meant}`?"));
        }
        self.problems.push(problem);
    }

    /// Unknown sets, and whether any packet can match.
    fn selector(&mut self, selector: &Selector, site: &SelectorSite, sets: &Sets<'_>) {
        let mut side = |addresses: &Addresses, within: &ListSite| match addresses {
            Addresses::Any => IPV4 | IPV6,
            Addresses::List(list) => self.list(list, within, sets),
        };
        let from = side(&selector.from.addresses, &site.from);
        let to = side(&selector.to.addresses, &site.to);
        let (protocol, needs) = match selector.protocol {
            Protocol::Icmp => (IPV4, "`icmp` is of IPv4; write `icmpv6` for IPv6"),
            Protocol::Icmpv6 => (IPV6, "`icmpv6` is of IPv6; write `icmp` for IPv4"),
            _ => (IPV4 | IPV6, ""),
        };
        let (span, label) = if from & to == 0 {
            (site.to.whole.clone(), format!("is {}, the source is {}", family(to), family(from)))
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
