//! Map entries as the programs could have left them, at a fixed time.

use std::{collections::BTreeMap, net::IpAddr};

use mseg::{
    attach::Mode,
    clock::Clock,
    explain::{self, Explanation},
    generation::{Changes, Role, Waiting},
    policy,
    view::{
        Context, DeniedView, EventsView, FillView, InterfaceView, MapView, PolicyStatus, RuleView, SessionId,
        SessionView, State, StatsView, StatusView, Time, Verdict, WaitingView,
    },
};
use mseg_ebpf::abi::{
    denied::Denied,
    reason::Reason,
    rule::RuleHits,
    session::{self, Session, SessionKey, SessionState, TcpState, Traffic},
    stats::{self, Counter, EventStats},
    time::{seconds_to_ticks, tick},
};

use zerocopy::FromZeros;

use crate::{
    denied::DeniedRow,
    doctor::{Check, Diagnosis},
    explain::ExplainReport,
    mode::ModeReport,
    policy::{
        Applied, Checked, Confirmed, Difference, Failure, GenerationRow, History, RolledBack, Shown, Side, Tested,
    },
    rule::RuleRow,
    session::{Rejudged, SessionCount, SessionRow, SessionsDeleted},
    status::StatusReport,
};

const S: u64 = 1_000_000_000;
const NOW_NS: u64 = 100_000 * S;

pub(super) const POLICY: &str = "\
default in deny
default out allow
builtin arp off
failsafe in tcp from 10.0.0.0/8 to any port 22
failsafe in udp to any port 51820
timeout tcp-established 2h
define office = { 10.1.0.0/16, 2001:db8:1::/48 }
rule web allow in tcp to any port 80,443,8000-8999
rule db allow in tcp from office to 10.0.5.0/24 port 5432 log
rule no-telnet deny out tcp to any port 23 priority 10
rule ping allow in icmp type echo-request
rule uplink allow both udp from any port 53 to any iface eth0
";

pub(super) fn context() -> Context {
    let rules = [(1, "default-in"), (2, "default-out"), (8, "failsafe"), (0, "none"), (64, "web"), (65, "no-telnet")];
    Context {
        clock: Clock::at(NOW_NS, 1_700_000_000_000_000_000),
        rules: rules.map(|(id, name)| (id, name.to_owned())).into(),
        // A name that would clear the terminal.
        interfaces: BTreeMap::from([(2, "eth0".into()), (3, "v\x1b[2Jeth".into())]),
    }
}

fn key(protocol: u8, client: (&str, u16), server: (&str, u16), zone: u16) -> (SessionKey, u8) {
    let side = |(address, port): (&str, u16)| (address.parse::<IpAddr>().unwrap(), port);
    let echo = u8::from(protocol == 1);
    let key = SessionId::between(protocol, side(client), side(server), echo, zone).0;
    let is_lower = key.lower_address == mseg::view::mapped(side(client).0) && key.lower_port == client.1.to_be_bytes();
    (key, if is_lower { session::FLAG_CLIENT_IS_LOWER } else { 0 })
}

pub(super) fn sessions() -> Vec<(SessionKey, Session)> {
    let seen = |seconds_ago: u64| tick(NOW_NS - seconds_ago * S);
    let (web, web_flags) = key(6, ("192.0.2.77", 40_000), ("10.0.5.1", 443), 0);
    let (dns, dns_flags) = key(17, ("2001:db8::1", 5353), ("2001:db8:1::53", 53), 3);
    let (ping, ping_flags) = key(1, ("10.0.5.1", 7), ("192.0.2.77", 7), 0);
    let (odd, odd_flags) = key(200, ("10.0.5.1", 0), ("198.51.100.7", 0), 0);
    vec![
        (
            web,
            Session {
                to_server: Traffic { packets: 12, bytes: 3_456 },
                to_client: Traffic { packets: 10, bytes: 1_234_567 },
                created: tick(NOW_NS - 192 * S),
                last_seen_tick: seen(2),
                timeout_ticks: seconds_to_ticks(7_200),
                rule: 64,
                generation: 7,
                ifindex: 2,
                state: SessionState::Established,
                tcp_state: TcpState::Established,
                flags: web_flags,
                ..Session::default()
            },
        ),
        (
            dns,
            Session {
                to_server: Traffic { packets: 1, bytes: 80 },
                created: tick(NOW_NS - 5 * S),
                last_seen_tick: seen(5),
                timeout_ticks: seconds_to_ticks(30),
                rule: 1,
                generation: 7,
                ifindex: 3,
                state: SessionState::New,
                flags: dns_flags | session::FLAG_DENIED,
                ..Session::default()
            },
        ),
        (
            ping,
            Session {
                to_server: Traffic { packets: 3, bytes: 294 },
                to_client: Traffic { packets: 3, bytes: 294 },
                created: tick(NOW_NS - 90_000 * S),
                last_seen_tick: seen(0),
                timeout_ticks: seconds_to_ticks(30),
                rule: 99,
                generation: 6,
                ifindex: 9,
                state: SessionState::Established,
                flags: ping_flags | session::FLAG_OUT,
                ..Session::default()
            },
        ),
        (
            odd,
            Session {
                created: tick(NOW_NS),
                last_seen_tick: seen(0),
                timeout_ticks: seconds_to_ticks(600),
                rule: 2,
                generation: 7,
                ifindex: 2,
                state: SessionState::New,
                flags: odd_flags | session::FLAG_OUT | session::FLAG_PICKED_UP,
                ..Session::default()
            },
        ),
    ]
}

pub(super) fn session_rows(context: &Context) -> Vec<SessionRow<'_>> {
    let now = context.now();
    sessions().iter().map(|(key, s)| SessionRow { session: SessionView::new(context, key, s), now }).collect()
}

pub(super) fn denied_rows(context: &Context) -> Vec<DeniedRow<'_>> {
    let (telnet, flags) = key(6, ("203.0.113.9", 51_000), ("10.0.5.1", 23), 0);
    let denied = Denied {
        traffic: Traffic { packets: 4, bytes: 240 },
        first_ns: NOW_NS - 3_700 * S,
        last_ns: NOW_NS - S / 2,
        event_ns: NOW_NS - S,
        suppressed: 1,
        rule: 65,
        generation: 7,
        ifindex: 2,
        reason: Reason::RuleDeny,
        flags,
        decided: 1,
        events: 1,
    };
    let (not_ip, _) = key(0, ("::", 0), ("::", 0), 0);
    let frame = Denied { reason: Reason::NotIp, rule: 0, ..denied };
    let now = context.now();
    [(telnet, denied), (not_ip, frame)]
        .iter()
        .map(|(key, denied)| DeniedRow { denied: DeniedView::new(context, key, denied), now })
        .collect()
}

pub(super) fn rule_rows(context: &Context) -> Vec<RuleRow> {
    let mut hits = vec![RuleHits::default(); 66];
    hits[64] = RuleHits { sessions: 3, packets: 120, bytes: 99_000, last_hit_ns: NOW_NS - 2 * S };
    hits[8] = RuleHits { sessions: 1, packets: 10, bytes: 1_000, last_hit_ns: NOW_NS - 7_300 * S };
    let policy = policy::parse("fixture", POLICY).unwrap();
    let views = RuleView::all(context, &policy, &hits).into_iter();
    views.map(|rule| RuleRow { rule, now: context.now(), continues: false }).collect()
}

pub(super) fn stats() -> StatsView {
    let mut counters = vec![Counter::default(); stats::COUNTERS as usize];
    for (verdict, reason, packets) in [
        (stats::VERDICT_ALLOWED, Reason::Session, 1_000),
        (stats::VERDICT_ALLOWED, Reason::RuleAllow, 20),
        (stats::VERDICT_DENIED, Reason::DefaultDeny, 7),
        (stats::VERDICT_OBSERVED, Reason::TcpMidstream, 3),
    ] {
        counters[stats::index(verdict, reason) as usize] = Counter { packets, bytes: packets * 100 };
    }
    let events = EventStats {
        submitted: 30,
        lost: 1,
        sessions_created: 20,
        sessions_closed: 10,
        sessions_expired: 2,
        sessions_promoted: 15,
        sessions_rejudged: 4,
        sessions_removed: 6,
        closing_added: 5,
        closing_removed: 2,
        datagrams_promoted: 3,
        datagrams_removed: 1,
        half_open_removed: 18,
        midstream_misses: 3,
    };
    let map = |name: &str, entries, max_entries, bytes| MapView { name: name.into(), entries, max_entries, bytes };
    let maps = vec![map("META", None, 1, 4_096), map("SESSIONS", Some(5), 104_448, 19_660_800)];
    StatsView::new(&counters, &events, &FromZeros::new_zeroed(), (5, 1), maps)
}

pub(super) fn status(context: &Context) -> StatusReport {
    let interface = |name: &str, ifindex, attached, here, zone| InterfaceView {
        name: name.into(),
        ifindex,
        role: if zone == 0 { "host" } else { "workload" },
        hook: if here { "tcx" } else { "clsact" },
        zone,
        attached,
        here,
        since: context.time(NOW_NS - 86_400 * S),
    };
    let status = StatusView {
        instance: "default".into(),
        path: "/sys/fs/bpf/mseg/default".into(),
        loader_version: "0.1.0".into(),
        mode: Mode::Enforce,
        midstream: "grace",
        grace_until: Some(context.time(NOW_NS + 60 * S)),
        waiting: waiting_view(waiting(7, Mode::Enforce)),
        policy: Some(PolicyStatus { generation: 7, applied: context.time(NOW_NS - 60 * S), rules: 5, entries: 12 }),
        interfaces: vec![
            interface("eth0", 2, Some(true), true, 0),
            interface("v\x1b[2Jeth", 3, Some(false), true, 1),
            interface("eth1", 4, None, false, 2),
        ],
        sessions: FillView { active: 5, entries: 6, max_entries: 104_448 },
        closing: FillView { active: 1, entries: 3, max_entries: 3_072 },
        datagrams: FillView { active: 2, entries: 2, max_entries: 8_192 },
        half_open: FillView { active: 1, entries: 8_000, max_entries: 8_192 },
        pressure: stats().pressure,
        events: EventsView { submitted: 30, lost: 1 },
    };
    StatusReport { status, now: context.now() }
}

pub(super) fn diagnosis() -> Diagnosis {
    Diagnosis::new(vec![
        Check::ok("kernel", "Linux 6.12.0, attaches by TCX"),
        Check::warn("events", "30 submitted, 1 lost", "the ring was full when they came: is msegd running?"),
        Check::fail("loaded", "map SESSIONS:\n  key size 44, not 40", "mseg-loader upgrade"),
    ])
}

pub(super) fn shown() -> Shown {
    let policy = policy::parse("fixture", POLICY).unwrap();
    let applied = Time::of_unix_ns(1_700_000_000_000_000_000);
    Shown { generation: 7, applied, text: policy.to_string(), policy }
}

/// A policy that [`POLICY`] takes the place of.
const FORMER: &str = "\
default in deny
define office = { 10.1.0.0/16 }
timeout icmp 10s
rule web allow in tcp to any port 80
rule old allow in udp to any port 53
";

fn canonical(text: &str) -> String {
    policy::parse("fixture", text).unwrap().to_string()
}

fn waiting(generation: u32, mode: Mode) -> Waiting {
    let deadline_ns = NOW_NS + 58 * S - S / 2;
    Waiting { deadline_ns, generation, mode, fallback_generation: 7, fallback_mode: Mode::Observe }
}

fn waiting_view(waiting: Waiting) -> Option<WaitingView> {
    Some(WaitingView::new(&context(), &waiting))
}

const REJUDGED: Rejudged = Rejudged { live: 120, to_rejudge: 118 };

pub(super) fn applied() -> Applied {
    Applied {
        generation: 8,
        changed: true,
        dry_run: false,
        rules: 5,
        entries: 12,
        changes: Changes::between(&canonical(FORMER), &canonical(POLICY)),
        sessions: REJUDGED,
        waiting: waiting_view(waiting(8, Mode::Observe)),
    }
}

pub(super) fn confirmed() -> Confirmed {
    waiting(8, Mode::Observe).into()
}

pub(super) fn rolled_back() -> RolledBack {
    RolledBack {
        generation: 7,
        mode: Mode::Observe,
        changed: true,
        undone: Some("policy"),
        changes: Changes::between(&canonical(POLICY), &canonical(FORMER)),
        sessions: REJUDGED,
        waiting: None,
    }
}

pub(super) fn history() -> History {
    let row = |generation, rules, state| GenerationRow {
        generation,
        applied: Time::of_unix_ns(1_700_000_000_000_000_000 + u64::from(generation) * S),
        rules,
        entries: 12,
        bytes: 135_168,
        state,
    };
    History {
        generations: vec![row(8, 5, Role::Unconfirmed), row(7, 2, Role::Fallback), row(6, 1, Role::Kept)],
        waiting: waiting_view(waiting(8, Mode::Observe)),
    }
}

pub(super) fn difference() -> Difference {
    let side = |generation, file: Option<&str>, text| Side { generation, file: file.map(String::from), text };
    Difference::new(side(Some(7), None, canonical(FORMER)), side(None, Some("v\x1b[2J.mseg"), canonical(POLICY)))
}

pub(super) fn checked() -> Checked {
    Checked { file: "policy.mseg".into(), valid: true, rules: 5, entries: 12 }
}

pub(super) fn mode() -> ModeReport {
    ModeReport { mode: Mode::Enforce, waiting: waiting_view(waiting(7, Mode::Enforce)) }
}

pub(super) fn count() -> SessionCount {
    SessionCount { count: 4 }
}

pub(super) fn deleted() -> SessionsDeleted {
    SessionsDeleted { deleted: 1, missing: vec![SessionId(sessions()[1].0)] }
}

pub(super) fn explained() -> ExplainReport {
    let more = "rule tried deny in tcp to any port 5432 priority 5 audit\nrule rest deny in tcp priority 2000\n";
    let policy = policy::parse("fixture", &format!("{POLICY}{more}")).unwrap();
    let packet = policy::parse_packet("in tcp from 10.1.2.3 to 10.0.5.1 port 5432 iface eth0").unwrap();
    let explanation = explain::by_policy(&policy, &packet).unwrap();
    let (id, _) = key(6, ("10.1.2.3", 49_152), ("10.0.5.1", 5432), 0);
    let session = explain::LiveSession {
        id: SessionId(id),
        state: Some(State::Established),
        rule: explanation.rule.clone(),
        verdict: explanation.verdict,
        generation: 7,
    };
    let (generation, mode) = (Some(7), Some(Mode::Observe));
    let decided_by = explain::Judge::Program;
    ExplainReport { explanation: Explanation { generation, mode, decided_by, session: Some(session), ..explanation } }
}

pub(super) fn tested() -> Tested {
    let failure = Failure {
        line: 3,
        text: "expect deny in tcp from 10.0.0.1 to 10.0.0.2 port 22 by no-ssh".into(),
        verdict: Verdict::Allow,
        rule: "failsafe".into(),
        reason: "builtin",
    };
    Tested { file: "tests.mseg".into(), generation: Some(7), passed: 2, failed: 1, failures: vec![failure] }
}
