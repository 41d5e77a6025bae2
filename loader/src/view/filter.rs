//! Filters over sessions, denials and events: the same everywhere.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;
use jiff::Timestamp;
use mseg_ebpf::abi::{
    denied::Denied,
    reason::Reason,
    session::{Session, SessionKey},
};

use super::{
    Context, Direction, Endpoint, Protocol, State, TcpState, Time, Verdict, names::names, session::endpoints,
    session::last_seen, since,
};

names! {
    /// What a criterion looks at; the names are those of the command line options.
    pub enum Field {
        /// The client's address.
        Src = "src",
        /// The server's address.
        Dst = "dst",
        /// Either address.
        Ip = "ip",
        /// The client's port.
        Sport = "sport",
        /// The server's port.
        Dport = "dport",
        /// Either port.
        Port = "port",
        /// The protocol.
        Proto = "proto",
        /// The state or TCP sub-state.
        State = "state",
        /// The verdict.
        Verdict = "verdict",
        /// The rule's name.
        Rule = "rule",
        /// The interface's name.
        Iface = "iface",
        /// The direction of the first packet.
        Direction = "direction",
        /// The reason of a denial.
        Reason = "reason",
        /// The time of the last packet.
        Since = "since",
    }
}

/// One test of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Criterion {
    /// The client's address lies in the prefix.
    Src(IpNet),
    /// The server's address lies in the prefix.
    Dst(IpNet),
    /// One of the addresses lies in the prefix.
    Ip(IpNet),
    /// The client's port lies in the range, inclusive.
    Sport(u16, u16),
    /// The server's port lies in the range, inclusive.
    Dport(u16, u16),
    /// One of the ports lies in the range, inclusive.
    Port(u16, u16),
    /// The protocol is this.
    Proto(Protocol),
    /// The state is this.
    State(State),
    /// The TCP sub-state is this.
    TcpState(TcpState),
    /// The verdict is this.
    Verdict(Verdict),
    /// The rule has this name.
    Rule(String),
    /// The interface has this name.
    Iface(String),
    /// The direction is this.
    Direction(Direction),
    /// The reason is this.
    Reason(Reason),
    /// The last packet was seen then or later.
    Since(Time),
}

/// What a filter looks at.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The client (or sender).
    pub client: Endpoint,
    /// The server (or receiver).
    pub server: Endpoint,
    /// Protocol.
    pub protocol: Protocol,
    /// State; `None` where there is none, and no state matches then.
    pub state: Option<State>,
    /// TCP sub-state, likewise.
    pub tcp_state: Option<TcpState>,
    /// Verdict.
    pub verdict: Verdict,
    /// Direction.
    pub direction: Direction,
    /// Rule id; its name is looked up only when asked for.
    pub rule: u32,
    /// Interface index.
    pub ifindex: u32,
    /// Reason of a denial; `None` where there is none, and no reason matches then.
    pub reason: Option<Reason>,
    /// When the last packet was seen.
    pub last_seen: Time,
    /// Where the names are.
    pub context: &'a Context,
}

impl<'a> Record<'a> {
    /// A session as filters see it.
    pub fn session(context: &'a Context, key: &SessionKey, session: &Session) -> Self {
        let (client, server) = endpoints(key, session.flags);
        Self {
            client,
            server,
            protocol: Protocol(key.protocol),
            state: State::of(session.state),
            tcp_state: TcpState::of(session.tcp_state),
            verdict: Verdict::of_flags(session.flags),
            direction: Direction::of_flags(session.flags),
            rule: session.rule,
            ifindex: session.ifindex,
            reason: None,
            last_seen: last_seen(&context.clock, session),
            context,
        }
    }

    /// A denial as filters see it.
    pub fn denied(context: &'a Context, key: &SessionKey, denied: &Denied) -> Self {
        let (client, server) = endpoints(key, denied.flags);
        Self {
            client,
            server,
            protocol: Protocol(key.protocol),
            state: None,
            tcp_state: None,
            verdict: Verdict::Deny,
            direction: Direction::of_flags(denied.flags),
            rule: denied.rule,
            ifindex: denied.ifindex,
            reason: Some(denied.reason),
            last_seen: Time::of(&context.clock, denied.last_ns),
            context,
        }
    }
}

impl Criterion {
    /// The criteria in a value of an option: separated by commas, any of them may hold. `now` is
    /// what [`Field::Since`] counts back from.
    pub fn parse(field: Field, values: &str, now: Timestamp) -> Result<Vec<Self>, String> {
        values.split(',').map(|value| Self::parse_one(field, value, now)).collect()
    }

    fn parse_one(field: Field, value: &str, now: Timestamp) -> Result<Self, String> {
        if value.is_empty() {
            return Err("a value is empty".into());
        }
        Ok(match field {
            Field::Src => Self::Src(prefix(value)?),
            Field::Dst => Self::Dst(prefix(value)?),
            Field::Ip => Self::Ip(prefix(value)?),
            Field::Sport => ports(value, Self::Sport)?,
            Field::Dport => ports(value, Self::Dport)?,
            Field::Port => ports(value, Self::Port)?,
            Field::Proto => Self::Proto(value.parse()?),
            Field::State => state(value)?,
            Field::Verdict => Self::Verdict(value.parse()?),
            Field::Rule => Self::Rule(value.into()),
            Field::Iface => Self::Iface(value.into()),
            Field::Direction => Self::Direction(value.parse()?),
            Field::Reason => Self::Reason(reason(value)?),
            Field::Since => Self::Since(Time(since::parse(value, now)?)),
        })
    }

    /// Whether the record passes the test.
    pub fn matches(&self, record: &Record<'_>) -> bool {
        let (client, server) = (&record.client, &record.server);
        match self {
            Self::Src(net) => net.contains(&client.address),
            Self::Dst(net) => net.contains(&server.address),
            Self::Ip(net) => net.contains(&client.address) || net.contains(&server.address),
            Self::Sport(low, high) => (*low..=*high).contains(&client.port),
            Self::Dport(low, high) => (*low..=*high).contains(&server.port),
            Self::Port(low, high) => (*low..=*high).contains(&client.port) || (*low..=*high).contains(&server.port),
            Self::Proto(protocol) => record.protocol == *protocol,
            Self::State(state) => record.state == Some(*state),
            Self::TcpState(state) => record.tcp_state == Some(*state),
            Self::Verdict(verdict) => record.verdict == *verdict,
            Self::Rule(name) => record.context.rule(record.rule) == *name,
            Self::Iface(name) => record.context.interface(record.ifindex) == *name,
            Self::Direction(direction) => record.direction == *direction,
            Self::Reason(reason) => record.reason == Some(*reason),
            Self::Since(time) => record.last_seen >= *time,
        }
    }
}

/// Criteria combined: those of one field are alternatives, fields are all required, and what is negated must not hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// One list of alternatives for each field.
    wanted: Vec<(Field, Vec<Criterion>)>,
    unwanted: Vec<Criterion>,
}

impl Filter {
    /// Adds one option's criteria.
    pub fn add(&mut self, field: Field, criteria: Vec<Criterion>, negated: bool) {
        if negated {
            self.unwanted.extend(criteria);
        } else if let Some((_, alternatives)) = self.wanted.iter_mut().find(|(f, _)| *f == field) {
            alternatives.extend(criteria);
        } else {
            self.wanted.push((field, criteria));
        }
    }

    /// Whether nothing was added, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty()
    }

    /// Whether the record passes.
    pub fn matches(&self, record: &Record<'_>) -> bool {
        self.wanted.iter().all(|(_, alternatives)| alternatives.iter().any(|c| c.matches(record)))
            && !self.unwanted.iter().any(|c| c.matches(record))
    }
}

fn prefix(text: &str) -> Result<IpNet, String> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => {
            text.parse::<IpNet>().map_err(|_| "expected an address or prefix, such as 10.0.0.0/8 or 2001:db8::1")?
        }
    };
    if net.trunc() != net {
        return Err(format!("bits are set beyond the prefix length: {} is meant?", net.trunc()));
    }
    Ok(net)
}

fn ports(text: &str, criterion: fn(u16, u16) -> Criterion) -> Result<Criterion, String> {
    let wrong = || String::from("expected a port, or a range such as 8000-8999");
    let number = |text: &str| {
        // `u16::from_str` also takes a plus sign.
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten().ok_or_else(wrong)
    };
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (number(low)?, number(high)?);
    if low > high {
        return Err("the range ends before it begins".into());
    }
    Ok(criterion(low, high))
}

fn state(text: &str) -> Result<Criterion, String> {
    // `established` is the name of both; they differ for TCP only while nothing is wrong, so the wider one is meant.
    State::from_str(text).map(Criterion::State).or_else(|_| TcpState::from_str(text).map(Criterion::TcpState)).map_err(
        |_| {
            let names = State::ALL
                .iter()
                .map(|s| s.name())
                .chain(TcpState::ALL.iter().filter(|s| **s != TcpState::Established).map(|s| s.name()));
            format!("expected one of {}", names.collect::<Vec<_>>().join(", "))
        },
    )
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::ALL
        .iter()
        .copied()
        .find(|reason| reason.name() == text)
        .ok_or_else(|| "not a reason; mseg(7) lists them".into())
}

#[cfg(test)]
mod tests;
