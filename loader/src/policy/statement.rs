//! The statements of the language, one a line.

use std::ops::Range;

use mseg_ebpf::abi::policy::timeout;

use super::{
    lexer::Kind,
    line::{Abort, Line, Step},
    model::{Action, Builtins, DEFAULT_PRIORITY, Direction, Endpoint, IcmpType, Protocol, Rule, Selector},
    problem::{Problem, Problems},
    value::{ListSite, Member},
    words,
};

pub(super) const ACTIONS: &[(&str, Action)] = &[("allow", Action::Allow), ("deny", Action::Deny)];
pub(super) const DIRECTIONS: &[(&str, Direction)] =
    &[("in", Direction::In), ("out", Direction::Out), ("both", Direction::Both)];
const CLAUSES: [&str; 9] = ["from", "to", "port", "type", "code", "iface", "priority", "log", "audit"];

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
    /// None for an empty line and for one with errors.
    pub(super) statement: Option<Statement>,
    /// Where the statement says what it is about: its name.
    pub(super) subject: Range<usize>,
    /// The set that it would define, also if there are errors.
    pub(super) defines: Option<String>,
    /// The comment at the end of the line, if the statement before it is complete; may be empty.
    pub(super) comment: Range<usize>,
}

/// Reads a line of the text.
pub(super) fn parse(text: &str, line: Range<usize>, problems: &mut Problems) -> Outcome {
    let end = line.end;
    let mut line = Line::new(text, line, problems);
    let mut reader = Reader { subject: line.span(), defines: None };
    let mut statement = None;
    if line.kind() != Kind::End {
        statement = reader.statement(&mut line).and_then(|statement| line.end().map(|()| statement)).ok();
    }
    let statement = if line.failed { None } else { statement };
    let comment = line.span().start..end;
    Outcome { statement, subject: reader.subject, defines: reader.defines, comment }
}

/// Reads a rule without needing its first word.
pub(super) fn parse_rule(text: &str, problems: &mut Problems) -> Option<Rule> {
    let mut line = Line::new(text, 0..text.len(), problems);
    if line.peek_word() == Some("rule") {
        line.advance();
    }
    let mut reader = Reader { subject: 0..0, defines: None };
    let statement = reader.rule(&mut line).and_then(|statement| line.end().map(|()| statement));
    match statement {
        Ok(Statement::Rule { rule, .. }) if !line.failed => Some(rule),
        _ => None,
    }
}

struct Reader {
    subject: Range<usize>,
    defines: Option<String>,
}

impl Reader {
    fn statement(&mut self, line: &mut Line<'_, '_>) -> Step<Statement> {
        let Some(word) = line.peek_word() else { return Err(unknown_statement(line)) };
        match word {
            "default" | "define" | "rule" | "builtin" | "failsafe" | "timeout" | "include" => {}
            _ => return Err(unknown_statement(line)),
        }
        line.advance();
        self.subject = line.span();
        match word {
            "default" => {
                let inbound = line.choice("a direction", &[("in", true), ("out", false)])?;
                Ok(Statement::Default { inbound, action: line.choice("an action", ACTIONS)? })
            }
            "define" => self.define(line),
            "rule" => self.rule(line),
            "builtin" => {
                let table = Builtins::NAMES.map(|name| (name, name));
                let name = line.choice("a built-in rule", &table)?;
                Ok(Statement::Builtin { name, on: line.choice("a state", &[("on", true), ("off", false)])? })
            }
            "failsafe" => {
                let (selector, site, _) = selector(line, false)?;
                Ok(Statement::Failsafe { selector, site })
            }
            "include" => line.path().map(|(path, span)| Statement::Include { path, span }),
            _ => {
                let table: [(&str, usize); timeout::COUNT] =
                    std::array::from_fn(|index| (timeout::NAMES[index], index));
                let index = line.choice("a timeout", &table)?;
                Ok(Statement::Timeout { index, seconds: line.duration()? })
            }
        }
    }

    fn define(&mut self, line: &mut Line<'_, '_>) -> Step<Statement> {
        let (name, span) = line.name("set")?;
        self.subject = span;
        self.defines = Some(name.clone());
        line.expect(Kind::Equals, "`=`")?;
        Ok(Statement::Define { name, members: line.list(Line::member)? })
    }

    fn rule(&mut self, line: &mut Line<'_, '_>) -> Step<Statement> {
        let (name, span) = line.name("rule")?;
        self.subject = span;
        let action = line.choice("an action", ACTIONS)?;
        let (selector, site, extra) = selector(line, true)?;
        let priority = extra.priority.unwrap_or(DEFAULT_PRIORITY);
        Ok(Statement::Rule {
            rule: Rule { name, action, selector, priority, log: extra.log, audit: extra.audit },
            site,
        })
    }
}

fn unknown_statement(line: &mut Line<'_, '_>) -> Abort {
    let help = match line.peek_word() {
        Some("allow" | "deny") => Some("a rule begins with `rule` and its name".to_owned()),
        _ => line.did_you_mean(words::STATEMENTS.iter().copied()),
    };
    line.unexpected("a statement", &words::one_of(words::STATEMENTS.iter().copied()), help)
}

/// What only a rule may have.
#[derive(Default)]
struct Extra {
    priority: Option<u16>,
    log: bool,
    audit: bool,
}

/// From the direction to the end of the line. Clauses stand in any order, each once.
fn selector(line: &mut Line<'_, '_>, of_rule: bool) -> Step<(Selector, SelectorSite, Extra)> {
    let direction = line.choice("a direction", DIRECTIONS)?;
    let mut site = SelectorSite { protocol: line.span(), from: ListSite::default(), to: ListSite::default() };
    let protocol = line.protocol()?;
    let (mut from, mut to) = (None, None);
    let mut selector = Selector {
        direction,
        protocol,
        from: Endpoint::default(),
        to: Endpoint::default(),
        icmp: None,
        interface: None,
    };
    let mut extra = Extra::default();
    while line.kind() != Kind::End {
        let (word, span) = (line.peek_word().unwrap_or_default(), line.span());
        let again = match word {
            "from" => from.is_some(),
            "to" => to.is_some(),
            "type" => selector.icmp.is_some(),
            "iface" => selector.interface.is_some(),
            "priority" => extra.priority.is_some(),
            "log" => extra.log,
            "audit" => extra.audit,
            _ => false,
        };
        if again {
            line.report(Problem::found(span.clone(), "a second", word, "is given already"));
        }
        match word {
            "from" => (from, site.from) = endpoint(line, protocol)?,
            "to" => (to, site.to) = endpoint(line, protocol)?,
            "type" => selector.icmp = Some(icmp(line, protocol)?),
            "iface" => {
                line.advance();
                selector.interface = Some(line.interface()?);
            }
            "priority" | "log" | "audit" if !of_rule => {
                let message = format!("a failsafe rule has no `{word}`");
                line.wrong(span, message, "only a `rule` has it");
                return Err(Abort);
            }
            "priority" => {
                line.advance();
                extra.priority = Some(line.number("a priority", u16::MAX)?);
            }
            "log" => {
                line.advance();
                extra.log = true;
            }
            "audit" => {
                line.advance();
                extra.audit = true;
            }
            _ => return Err(unknown_clause(line, of_rule)),
        }
    }
    (selector.from, selector.to) = (from.unwrap_or_default(), to.unwrap_or_default());
    Ok((selector, site, extra))
}

fn unknown_clause(line: &mut Line<'_, '_>, of_rule: bool) -> Abort {
    let word = line.peek_word().unwrap_or_default();
    let help = match word {
        "port" => Some("name the side first: `from any port ...` or `to any port ...`".to_owned()),
        "code" => Some("a code stands after its `type`".to_owned()),
        _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
            Some("a comma stands between the elements of a list".to_owned())
        }
        _ => line.did_you_mean(CLAUSES),
    };
    let known = if of_rule { &CLAUSES[..] } else { &CLAUSES[..6] };
    let clauses = known.iter().copied().filter(|clause| !["port", "code"].contains(clause));
    line.unexpected("a clause or the end of the line", &words::one_of(clauses), help)
}

/// `from` or `to` with the addresses and ports after it.
fn endpoint(line: &mut Line<'_, '_>, protocol: Protocol) -> Step<(Option<Endpoint>, ListSite)> {
    line.advance();
    let (addresses, site) = line.addresses()?;
    let mut ports = Vec::new();
    if line.peek_word() == Some("port") {
        let span = line.advance().span;
        if !protocol.has_ports() {
            let message = format!("protocol `{}` has no ports", protocol.name());
            line.wrong(span, message, "needs `tcp`, `udp` or `sctp`");
        }
        ports = line.ports()?;
    }
    Ok((Some(Endpoint { addresses, ports }), site))
}

/// `type` with what is after it.
pub(super) fn icmp(line: &mut Line<'_, '_>, protocol: Protocol) -> Step<IcmpType> {
    let span = line.advance().span;
    if !matches!(protocol, Protocol::Icmp | Protocol::Icmpv6) {
        let message = format!("protocol `{}` has no types", protocol.name());
        line.wrong(span, message, "needs `icmp` or `icmpv6`");
    }
    let number = line.icmp_type(protocol)?;
    let mut code = None;
    if line.peek_word() == Some("code") {
        line.advance();
        code = u8::try_from(line.number("a code", 255)?).ok();
    }
    Ok(IcmpType { number, code })
}
