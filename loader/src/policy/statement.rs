//! The statements of the language, one a line.

use std::ops::Range;

use mseg_ebpf::abi::policy::timeout;

use super::{
    lexer::Kind,
    line::Line,
    model::{Action, Builtins, DEFAULT_PRIORITY, Direction, Endpoint, IcmpType, Protocol, Rule, Selector},
    problem::{Problem, Problems},
    value::{ListSite, Member},
    words::{self, CLAUSES},
};

pub(super) const ACTIONS: &[(&str, Action)] = &[("allow", Action::Allow), ("deny", Action::Deny)];
pub(super) const DIRECTIONS: &[(&str, Direction)] =
    &[("in", Direction::In), ("out", Direction::Out), ("both", Direction::Both)];
/// What comes after the action of a rule.
const AFTER_ACTION: &[&str] = &[
    "in", "out", "both", "any", "tcp", "udp", "sctp", "icmp", "icmpv6", "from", "to", "port", "type", "code", "iface",
    "priority", "log", "audit",
];
/// What comes after its direction.
pub(super) const AFTER_DIRECTION: &[&str] = AFTER_ACTION.split_at(3).1;

/// Where the parts of a selector stand.
#[derive(Debug)]
pub(super) struct SelectorSite {
    pub(super) protocol: Range<usize>,
    pub(super) from: ListSite,
    pub(super) to: ListSite,
}

#[derive(Debug)]
pub(super) enum Statement {
    Default { inbound: bool, action: Action },
    Define { name: String, members: Vec<Member> },
    Rule { rule: Rule, site: SelectorSite },
    Builtin { name: &'static str, on: bool },
    Failsafe { selector: Selector, site: SelectorSite },
    Timeout { index: usize, seconds: u32 },
    Include { path: String, span: Range<usize> },
}

/// What became of a line.
pub(super) struct Outcome {
    /// None for an empty line and for one with too little to tell what it is. What is wrong in it is left out.
    pub(super) statement: Option<Statement>,
    /// There are errors: the statement is of no use but for what it names.
    pub(super) failed: bool,
    /// Where the statement says what it is about: its name. None if that is wrong or a guess.
    pub(super) subject: Option<Range<usize>>,
    /// The comment at the end of the line, if the statement before it is complete; may be empty.
    pub(super) comment: Range<usize>,
}

/// Reads a line of the text.
pub(super) fn parse(text: &str, line: Range<usize>, problems: &mut Problems) -> Outcome {
    let end = line.end;
    let mut line = Line::new(text, line, problems);
    let (mut subject, mut statement, mut failed) = (None, None, false);
    if line.kind() != Kind::End {
        statement = read(&mut line, &mut subject);
        failed = !line.end();
    }
    let comment = line.span().start..end;
    Outcome { statement, failed, subject, comment }
}

/// Reads a rule without needing its first word.
pub(super) fn parse_rule(text: &str, problems: &mut Problems) -> Option<Rule> {
    let mut line = Line::new(text, 0..text.len(), problems);
    if line.peek_word() == Some("rule") {
        line.advance();
    }
    let statement = rule(&mut line, &mut None);
    match statement {
        Statement::Rule { rule, .. } if line.end() => Some(rule),
        _ => None,
    }
}

fn read(line: &mut Line<'_, '_>, subject: &mut Option<Range<usize>>) -> Option<Statement> {
    let Some(word) = statement_word(line) else { return unknown(line) };
    line.advance();
    let guessed = line.unsure;
    let span = line.span();
    let statement = match word {
        "default" => {
            let directions = [("in", true), ("out", false)];
            let inbound = line.choice_before("a direction", &directions, &["allow", "deny"]);
            *subject = inbound.map(|_| span);
            let action = line.choice("an action", ACTIONS);
            inbound.zip(action).map(|(inbound, action)| Statement::Default { inbound, action })
        }
        "define" => define(line, subject),
        "rule" => Some(rule(line, subject)),
        "builtin" => {
            let table = Builtins::NAMES.map(|name| (name, name));
            let name = line.choice_before("a built-in rule", &table, &["on", "off"]);
            *subject = name.map(|_| span);
            let on = line.choice("a state", &[("on", true), ("off", false)]);
            name.zip(on).map(|(name, on)| Statement::Builtin { name, on })
        }
        "failsafe" => {
            let (selector, site, _) = selector(line, false);
            Some(Statement::Failsafe { selector, site })
        }
        "include" => {
            let (path, span) = line.path().unwrap_or_default();
            Some(Statement::Include { path, span })
        }
        _ => {
            let table: [(&str, usize); timeout::COUNT] = std::array::from_fn(|index| (timeout::NAMES[index], index));
            let index = line.choice("a timeout", &table);
            *subject = index.map(|_| span);
            let seconds = line.duration();
            index.zip(seconds).map(|(index, seconds)| Statement::Timeout { index, seconds })
        }
    };
    if guessed {
        *subject = None;
    }
    statement
}

/// The first word of the line, or what it was probably meant to be.
fn statement_word(line: &mut Line<'_, '_>) -> Option<&'static str> {
    if let Some("allow" | "deny") = line.peek_word() {
        let help = "a rule begins with `rule` and its name".to_owned();
        line.unexpected("a statement", &words::one_of(words::STATEMENTS.iter().copied()), Some(help));
        return None;
    }
    line.guess("a statement", words::STATEMENTS)
}

/// The rest of a line that is no statement: it may still look like the definition of a set.
fn unknown(line: &mut Line<'_, '_>) -> Option<Statement> {
    line.advance();
    let name = line.peek_word();
    let defines = name.is_some() && line.second().0 == Kind::Equals;
    let statement = if defines { define(line, &mut None) } else { None };
    line.skip();
    statement
}

fn define(line: &mut Line<'_, '_>, subject: &mut Option<Range<usize>>) -> Option<Statement> {
    let name = line.name("set", |(kind, _)| kind == Kind::Equals);
    line.equals();
    let members = line.list(Line::member);
    let (name, span) = name?;
    *subject = Some(span);
    Some(Statement::Define { name, members })
}

/// What is wrong has a stand-in, which nobody uses but to look up the sets of the rule.
fn rule(line: &mut Line<'_, '_>, subject: &mut Option<Range<usize>>) -> Statement {
    let name = line.name("rule", |(_, word)| ACTIONS.iter().any(|(action, _)| *action == word));
    let action = line.choice_before("an action", ACTIONS, AFTER_ACTION).unwrap_or(Action::Deny);
    let (selector, site, extra) = selector(line, true);
    let priority = extra.priority.unwrap_or(DEFAULT_PRIORITY);
    let (name, span) = name.unzip();
    *subject = span;
    let name = name.unwrap_or_default();
    Statement::Rule { rule: Rule { name, action, selector, priority, log: extra.log, audit: extra.audit }, site }
}

/// What only a rule may have.
#[derive(Default)]
struct Extra {
    priority: Option<u16>,
    log: bool,
    audit: bool,
}

/// From the direction to the end of the line. Clauses stand in any order, each once.
fn selector(line: &mut Line<'_, '_>, of_rule: bool) -> (Selector, SelectorSite, Extra) {
    let direction = line.choice_before("a direction", DIRECTIONS, AFTER_DIRECTION);
    let mut site = SelectorSite { protocol: line.span(), from: ListSite::default(), to: ListSite::default() };
    let protocol = line.protocol(true);
    let mut selector = Selector {
        direction: direction.unwrap_or(Direction::Both),
        protocol: protocol.unwrap_or(Protocol::Any),
        from: Endpoint::default(),
        to: Endpoint::default(),
        icmp: None,
        interface: None,
    };
    let mut extra = Extra::default();
    let mut given: Vec<&str> = Vec::new();
    while line.kind() != Kind::End && !line.is_full() {
        let (word, span) = (line.peek_word().unwrap_or_default(), line.span());
        let clause = match word {
            "port" | "code" if line.unsure => word,
            "from" | "to" | "type" | "iface" | "priority" | "log" | "audit" => {
                line.unsure = false;
                if given.contains(&word) {
                    line.report(Problem::found(span.clone(), "a second", word, "is given already"));
                }
                given.push(word);
                word
            }
            _ => match unknown_clause(line, of_rule) {
                Some(clause) => clause,
                None => continue,
            },
        };
        if !of_rule && ["priority", "log", "audit"].contains(&clause) {
            line.wrong(span.clone(), format!("a failsafe rule has no `{clause}`"), "only a `rule` has it");
        }
        line.advance();
        match clause {
            "from" => (selector.from, site.from) = endpoint(line, protocol),
            "to" => (selector.to, site.to) = endpoint(line, protocol),
            "port" => drop(line.ports()),
            "type" => selector.icmp = icmp(line, span, protocol),
            "code" => drop(line.number("a code", 255)),
            "iface" => selector.interface = line.interface(),
            "priority" => extra.priority = line.number("a priority", u16::MAX),
            "log" => extra.log = true,
            _ => extra.audit = true,
        }
    }
    (selector, site, extra)
}

/// Reports what is no clause. Returns the one that was probably meant; without one, all up to the next is skipped.
fn unknown_clause(line: &mut Line<'_, '_>, of_rule: bool) -> Option<&'static str> {
    let word = line.peek_word().unwrap_or_default();
    let meant = line.similar(word, CLAUSES);
    let help = match word {
        "port" => Some("name the side first: `from any port ...` or `to any port ...`".to_owned()),
        "code" => Some("a code stands after its `type`".to_owned()),
        _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
            Some("a comma stands between the elements of a list".to_owned())
        }
        _ => meant.map(|meant| format!("did you mean `{meant}`?")),
    };
    let known = if of_rule { &CLAUSES[..] } else { &CLAUSES[..6] };
    let clauses = known.iter().copied().filter(|clause| !["port", "code"].contains(clause));
    line.unexpected("a clause or the end of the line", &words::one_of(clauses), help);
    line.unsure = true;
    if meant.is_none() {
        line.skip_to(&CLAUSES);
    }
    meant
}

/// The addresses and ports after `from` or `to`.
fn endpoint(line: &mut Line<'_, '_>, protocol: Option<Protocol>) -> (Endpoint, ListSite) {
    let (addresses, site) = line.addresses();
    let mut ports = Vec::new();
    if line.peek_word() == Some("port") {
        let span = line.advance().span;
        no_ports(line, span, protocol);
        ports = line.ports();
    }
    (Endpoint { addresses, ports }, site)
}

/// Reports a `port` of a protocol that has none.
pub(super) fn no_ports(line: &mut Line<'_, '_>, span: Range<usize>, protocol: Option<Protocol>) {
    if let Some(protocol) = protocol.filter(|protocol| !protocol.has_ports()) {
        let message = format!("protocol `{}` has no ports", protocol.name());
        line.wrong(span, message, "needs `tcp`, `udp` or `sctp`");
    }
}

/// What is after `type`, which stands at `span`.
pub(super) fn icmp(line: &mut Line<'_, '_>, span: Range<usize>, protocol: Option<Protocol>) -> Option<IcmpType> {
    if let Some(protocol) = protocol.filter(|protocol| !matches!(protocol, Protocol::Icmp | Protocol::Icmpv6)) {
        let message = format!("protocol `{}` has no types", protocol.name());
        line.wrong(span, message, "needs `icmp` or `icmpv6`");
    }
    let number = line.icmp_type(protocol);
    let mut code = None;
    if line.peek_word() == Some("code") {
        line.advance();
        code = line.number("a code", 255).and_then(|code| u8::try_from(code).ok());
    }
    Some(IcmpType { number: number?, code })
}
