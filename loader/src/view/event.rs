//! Events as documents: what msegd writes, one a line.

use mseg_ebpf::abi::{
    event::{Event, EventKind},
    reason::Reason,
    session::{Session, SessionState, TcpState},
    stats::VERDICT_DENIED,
};

use crate::attach::Mode;

use super::{
    Context, RuleAction, SessionView, Time,
    flow::{Fields, FlowView},
    last_seen,
    names::names,
};

/// The schema of every event.
const SCHEMA: &str = "mseg.event/1";

/// A line of the event log.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventDocument<'a> {
    #[schemars(extend("const" = SCHEMA))]
    schema: &'static str,
    /// When it happened.
    pub time: Time,
    /// What.
    #[serde(flatten)]
    pub event: EventView<'a>,
}

/// What happened.
///
/// `number` counts the records of an instance from 1, without a gap, in the order in which the kernel made them. Two
/// lines with one number are the same event, written again after the reader was killed.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventView<'a> {
    /// A session was created.
    SessionOpened {
        /// The event's number.
        number: u64,
        /// The session after its first packet.
        #[serde(flatten)]
        session: Box<SessionView<'a>>,
        /// Why it got its verdict.
        reason: &'static str,
    },
    /// A session ended; it has its totals.
    SessionClosed {
        /// The event's number.
        number: u64,
        /// The session at its end.
        #[serde(flatten)]
        session: Box<SessionView<'a>>,
        /// How it ended.
        why: CloseCause,
        /// Milliseconds from the first packet to the last.
        duration_ms: u64,
    },
    /// A session was judged again, and its verdict or its rule changed.
    SessionRejudged {
        /// The event's number.
        number: u64,
        /// The session with its new verdict and rule.
        #[serde(flatten)]
        session: Box<SessionView<'a>>,
        /// Why it got its verdict.
        reason: &'static str,
    },
    /// A packet was denied. At most one of these a second for each flow.
    Denied(DeniedEvent<'a>),
    /// A rule with `audit` matched; what comes after it decided.
    Audited(AuditedEvent<'a>),
    /// A record that is none of the above.
    Unreadable {
        /// The event's number.
        number: u64,
        /// The bytes of the record.
        bytes: u64,
    },
    /// Events were lost because the ring was full.
    Lost {
        /// How many since the last line that told a total.
        count: u64,
        /// How many since the instance was made.
        total: u64,
    },
    /// Another policy generation became the active one: it was applied or gone back to, or a change was undone.
    PolicyChanged {
        /// Its number.
        generation: u32,
    },
    /// The mode became another one: it was set, or a change was undone.
    ModeChanged {
        /// What becomes of denied packets.
        mode: Mode,
    },
    /// The reader started.
    Started(Started<'a>),
    /// The reader ended of its own accord.
    Stopped(Stopped),
}

/// What a rule with `audit` would have decided of the first packet of a session, or of one that is denied.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct AuditedEvent<'a> {
    /// The event's number.
    pub number: u64,
    /// The session, with the rule.
    #[serde(flatten)]
    pub flow: FlowView<'a>,
    /// What it would have done.
    pub action: RuleAction,
    /// The packet's bytes with the Ethernet header.
    pub bytes: u64,
}

/// A denied packet.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct DeniedEvent<'a> {
    /// The event's number.
    pub number: u64,
    /// The packet.
    #[serde(flatten)]
    pub flow: FlowView<'a>,
    /// Why it was denied.
    pub reason: &'static str,
    /// Whether it was dropped; in observe mode it passes.
    pub dropped: bool,
    /// Its bytes with the Ethernet header.
    pub bytes: u64,
    /// Earlier denials of the same flow that made no event.
    pub suppressed: u32,
}

/// The state in which a reader begins.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Started<'a> {
    /// The instance.
    pub instance: &'a str,
    /// The version of the reader.
    pub version: &'static str,
    /// The active policy generation; 0: none yet.
    pub generation: u32,
    /// What becomes of denied packets.
    pub mode: Mode,
    /// Events put into the ring since the instance was made.
    pub submitted: u64,
    /// Events lost since the instance was made.
    pub lost: u64,
    /// Events in the ring, which come next.
    pub unread: u64,
}

/// The account with which a reader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Stopped {
    /// Why it ended.
    pub why: StopCause,
    /// Events from the kernel that this reader wrote.
    pub written: u64,
    /// Events put into the ring since the instance was made.
    pub submitted: u64,
    /// Events lost since the instance was made.
    pub lost: u64,
    /// Events left in the ring for the next reader.
    pub unread: u64,
}

names! {
    /// How a session ended.
    pub enum CloseCause {
        /// Both sides closed it.
        Fin = "fin",
        /// A side reset it.
        Reset = "reset",
        /// It was idle longer than its timeout, as its next packet found.
        Expired = "expired",
    }
}

names! {
    /// Why a reader ended.
    pub enum StopCause {
        /// A signal asked it to.
        Signal = "signal",
        /// It had read what there was, as it was asked to.
        Once = "once",
        /// The instance was removed.
        Removed = "removed",
    }
}

impl CloseCause {
    /// From a session as it ended.
    pub fn of(session: &Session) -> Self {
        match (session.state, session.tcp_state) {
            (SessionState::Closed, TcpState::Close) => Self::Reset,
            (SessionState::Closed, _) => Self::Fin,
            _ => Self::Expired,
        }
    }
}

impl<'a> EventDocument<'a> {
    /// A line that is not about a record: it happens now.
    pub fn now(context: &Context, event: EventView<'a>) -> Self {
        Self { schema: SCHEMA, time: context.now(), event }
    }

    /// Describes a record. `context` must be [`Context::at`] its time, so that what is relative to now is right.
    pub fn of(context: &'a Context, number: u64, event: &Event) -> Self {
        let session = || Box::new(SessionView::new(context, &event.key, &event.session));
        let reason = event.reason.name();
        let view = match event.kind {
            EventKind::SessionOpened => EventView::SessionOpened { number, session: session(), reason },
            EventKind::SessionRejudged => EventView::SessionRejudged { number, session: session(), reason },
            EventKind::SessionClosed => EventView::SessionClosed {
                number,
                session: session(),
                why: CloseCause::of(&event.session),
                duration_ms: duration_ms(context, &event.session),
            },
            EventKind::Denied => EventView::Denied(DeniedEvent::new(context, number, event)),
            EventKind::Audited => EventView::Audited(AuditedEvent::new(context, number, event)),
            EventKind::Unset => EventView::Unreadable { number, bytes: size_of::<Event>() as u64 },
        };
        Self { schema: SCHEMA, time: context.time(event.time_ns), event: view }
    }
}

impl<'a> DeniedEvent<'a> {
    fn new(context: &'a Context, number: u64, event: &Event) -> Self {
        Self {
            number,
            flow: flow(context, event),
            reason: event.reason.name(),
            dropped: u32::from(event.verdict) == VERDICT_DENIED,
            bytes: event.session.to_server.bytes,
            suppressed: event.suppressed,
        }
    }
}

impl<'a> AuditedEvent<'a> {
    fn new(context: &'a Context, number: u64, event: &Event) -> Self {
        Self {
            number,
            flow: flow(context, event),
            action: if event.reason == Reason::RuleDeny { RuleAction::Deny } else { RuleAction::Allow },
            bytes: event.session.to_server.bytes,
        }
    }
}

/// The flow of an event about a packet.
fn flow<'a>(context: &'a Context, event: &Event) -> FlowView<'a> {
    let Session { flags, ifindex, rule, generation, .. } = event.session;
    FlowView::new(context, &event.key, Fields { flags, ifindex, rule, generation })
}

/// From the first packet to the last, not to when the end was noticed.
fn duration_ms(context: &Context, session: &Session) -> u64 {
    let first = Time(context.clock.tick_timestamp(session.created)).rank();
    last_seen(&context.clock, session).rank().saturating_sub(first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mseg_ebpf::abi::{
        reason::Reason,
        session::{FLAG_CLIENT_IS_LOWER, SessionKey, Traffic},
        stats::VERDICT_OBSERVED,
        time::{seconds_to_ticks, tick},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::{clock::Clock, view::mapped};

    const NOW_NS: u64 = 3_600_000_000_000;

    fn context() -> Context {
        Context {
            clock: Clock::at(NOW_NS, 1_700_000_000_000_000_000),
            rules: BTreeMap::from([(71, "web".to_owned())]),
            interfaces: BTreeMap::from([(7, "eth0".to_owned())]),
        }
    }

    fn event(kind: EventKind) -> Event {
        Event {
            time_ns: NOW_NS - 2_000_000_000,
            key: SessionKey {
                lower_address: mapped([192, 0, 2, 1].into()),
                higher_address: mapped([192, 0, 2, 2].into()),
                lower_port: 40_000_u16.to_be_bytes(),
                higher_port: 80_u16.to_be_bytes(),
                protocol: 6,
                ..SessionKey::default()
            },
            session: Session {
                to_server: Traffic { packets: 5, bytes: 500 },
                created: tick(NOW_NS - 12_000_000_000),
                last_seen_tick: tick(NOW_NS - 2_000_000_000),
                timeout_ticks: seconds_to_ticks(10),
                rule: 71,
                generation: 3,
                ifindex: 7,
                state: SessionState::Closed,
                tcp_state: TcpState::TimeWait,
                flags: FLAG_CLIENT_IS_LOWER,
                ..Session::default()
            },
            suppressed: 9,
            kind,
            reason: Reason::RuleDeny,
            verdict: VERDICT_OBSERVED as u8,
            reserved: 0,
        }
    }

    fn line(kind: EventKind) -> Value {
        let mut context = context();
        context.at(event(kind).time_ns);
        serde_json::to_value(EventDocument::of(&context, 41, &event(kind))).unwrap()
    }

    #[test]
    fn a_closed_session_tells_its_totals_duration_and_cause() {
        let line = line(EventKind::SessionClosed);
        assert_eq!(line["schema"], "mseg.event/1");
        assert_eq!(line["event"], "session-closed");
        assert_eq!(line["time"], "2023-11-14T22:13:18.000Z");
        assert_eq!(line["number"], 41);
        assert_eq!(line["id"], "tcp-192.0.2.1-40000-192.0.2.2-80");
        assert_eq!(line["client"], json!({ "address": "192.0.2.1", "port": 40_000 }));
        assert_eq!(line["to_server"], json!({ "packets": 5, "bytes": 500 }));
        assert_eq!(line["rule"], "web");
        assert_eq!(line["interface"], "eth0");
        assert_eq!(line["why"], "fin");
        let duration = line["duration_ms"].as_u64().unwrap();
        assert!((9_998..=10_017).contains(&duration), "{duration}");
    }

    #[test]
    fn what_is_relative_to_now_is_relative_to_the_event() {
        assert_eq!(line(EventKind::SessionOpened)["expires_in_s"], 10);
    }

    #[test]
    fn a_denial_tells_who_why_and_how_many_more() {
        let line = line(EventKind::Denied);
        assert_eq!(line["event"], "denied");
        assert_eq!(line["reason"], "rule-deny");
        assert_eq!(line["suppressed"], 9);
        assert_eq!(line["dropped"], false);
        assert_eq!(line["bytes"], 500);
        assert_eq!(line["server"], json!({ "address": "192.0.2.2", "port": 80 }));
    }

    #[test]
    fn every_end_of_a_session_has_its_cause() {
        let session = |state, tcp_state| Session { state, tcp_state, ..Session::default() };
        for (state, tcp_state, cause) in [
            (SessionState::Closed, TcpState::TimeWait, CloseCause::Fin),
            (SessionState::Closed, TcpState::Close, CloseCause::Reset),
            (SessionState::Established, TcpState::Established, CloseCause::Expired),
            (SessionState::Established, TcpState::None, CloseCause::Expired),
            (SessionState::Closing, TcpState::FinWait, CloseCause::Expired),
        ] {
            assert_eq!(CloseCause::of(&session(state, tcp_state)), cause);
        }
    }
}
