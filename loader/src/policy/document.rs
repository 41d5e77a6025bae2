//! A whole policy: the statements of its files, each about something of its own.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    ops::Range,
};

use super::{
    address::{Address, Addresses},
    check::Check,
    json,
    lexer::Kind,
    line::Line,
    model::{Define, Policy, Selector},
    problem::{Problem, Problems},
    source::{Included, Naming, Sources},
    statement::{self, SelectorSite, Statement},
    value::{ListSite, Member},
    words,
};
use crate::escape::escaped;

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
    broken: BTreeSet<String>,
    /// Something could not be read, and nobody knows which sets it would have defined.
    incomplete: bool,
    /// In the order of the model, each with its file.
    defines: Vec<(usize, ListSite)>,
    rules: Vec<(usize, SelectorSite)>,
    failsafe: Vec<(usize, Selector, SelectorSite)>,
    /// Lists of statements with errors: that their sets exist is checked all the same.
    failed: Vec<(usize, Vec<Address>, ListSite)>,
}

impl<'s> Document<'s> {
    fn new(sources: &'s mut Sources) -> Self {
        Self {
            policy: Policy::default(),
            sources,
            first: HashMap::new(),
            broken: BTreeSet::new(),
            incomplete: false,
            defines: Vec::new(),
            rules: Vec::new(),
            failsafe: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Reads a file of statements. The depth of the recursion is limited by the sources.
    fn file(&mut self, file: usize, problems: &mut Problems) {
        problems.enter(file);
        let text = self.sources.text(file);
        for (line, bytes) in lines(&text) {
            let outcome = statement::parse(&text, bytes, problems);
            let name = outcome.subject.clone().map_or("", |subject| &text[subject]);
            let at = At { file, line, name, subject: outcome.subject.unwrap_or_default() };
            match outcome.statement {
                Some(statement) if outcome.failed => self.add_failed(at, statement, problems),
                Some(statement) => self.add(at, statement, problems),
                None => {}
            }
            if problems.is_full() {
                self.incomplete = true;
                break;
            }
        }
    }

    /// Takes from a statement with errors what others refer to and what it refers to. It is no part of the policy.
    pub(super) fn add_failed(&mut self, at: At<'_>, statement: Statement, problems: &mut Problems) {
        let mut first = |kind| at.name.is_empty() || self.is_first(kind, &at, problems);
        match statement {
            Statement::Define { name, members } => {
                first("set");
                self.define(&at, name, members, true, problems);
            }
            Statement::Rule { rule, site } => {
                first("rule");
                self.failed_selector(at.file, rule.selector, site);
            }
            Statement::Failsafe { selector, site } => self.failed_selector(at.file, selector, site),
            Statement::Include { .. } => self.incomplete = true,
            Statement::Default { .. } => _ = first("default"),
            Statement::Builtin { .. } => _ = first("builtin"),
            Statement::Timeout { .. } => _ = first("timeout"),
        }
    }

    fn failed_selector(&mut self, file: usize, selector: Selector, site: SelectorSite) {
        for (side, site) in [(selector.from, site.from), (selector.to, site.to)] {
            if let Addresses::List(list) = side.addresses {
                self.failed.push((file, list, site));
            }
        }
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
            // What a rule matches is checked all the same.
            && kind != "rule"
        {
            return;
        }
        let At { file, line, .. } = at;
        let policy = &mut self.policy;
        match statement {
            Statement::Default { inbound: true, action } => policy.defaults.inbound = action,
            Statement::Default { inbound: false, action } => policy.defaults.outbound = action,
            Statement::Define { name, members } => self.define(&at, name, members, false, problems),
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
                    false => format!("is there already, in {}:{line}", escaped(self.sources.name(file))),
                };
                problems.push(Problem::found(at.subject.clone(), &format!("a second {kind}"), at.name, label));
                false
            }
        }
    }

    /// Adds a set, with the addresses of its files.
    fn define(&mut self, at: &At<'_>, name: String, members: Vec<Member>, failed: bool, problems: &mut Problems) {
        let (file, line) = (at.file, at.line);
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
        if failed || problems.len() > before {
            self.broken.insert(name);
            self.failed.push((file, addresses, site));
            return;
        }
        self.policy.defines.push(Define { name, members: addresses });
        self.defines.push((file, site));
    }

    fn finish(mut self, problems: &mut Problems) -> Policy {
        let mut check = Check::new(&self.policy, &self.broken, self.incomplete, problems);
        check.defines(&self.defines);
        for (file, list, site) in &self.failed {
            check.failed(*file, list, site);
        }
        for (rule, (file, site)) in self.policy.rules.iter().zip(&self.rules) {
            check.selector(*file, &rule.selector, site);
        }
        for (file, selector, site) in &self.failsafe {
            check.selector(*file, selector, site);
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
        let network = line.filed();
        if line.end() {
            addresses.extend(network.map(Address::Network));
        }
        if problems.is_full() {
            break;
        }
    }
}
