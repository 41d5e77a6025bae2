//! Filters against a predicate written out by hand.

use std::collections::BTreeMap;

use mseg_ebpf::abi::session::{FLAG_CLIENT_IS_LOWER, FLAG_DENIED, FLAG_OUT, SessionState, TcpState as AbiTcpState};
use proptest::prelude::*;

use super::*;
use crate::{clock::Clock, view::SessionId};

const CLOCK: Clock = Clock::at(10_000_000_000_000, 1_700_000_000_000_000_000);

fn now() -> Timestamp {
    CLOCK.timestamp(CLOCK.monotonic_ns())
}

fn context() -> Context {
    Context {
        clock: CLOCK,
        rules: BTreeMap::from([(1, "default-in".into()), (64, "web".into())]),
        interfaces: BTreeMap::from([(2, "eth0".into())]),
    }
}

/// Few enough values that criteria hit often.
fn any_session() -> impl Strategy<Value = (SessionKey, Session)> {
    let address = prop::sample::select(vec!["10.0.0.1", "10.0.0.2", "10.1.0.1", "2001:db8::1", "2001:db8:1::1"]);
    let port = prop::sample::select(vec![0u16, 79, 80, 81, 65535]);
    let states = prop::sample::select(vec![
        (SessionState::New, AbiTcpState::SynSent),
        (SessionState::Established, AbiTcpState::Established),
        (SessionState::Closing, AbiTcpState::FinWait),
        (SessionState::Established, AbiTcpState::None),
    ]);
    let protocol = prop::sample::select(vec![1u8, 6, 17, 200]);
    let rule = prop::sample::select(vec![1u32, 64, 99]);
    let ifindex = prop::sample::select(vec![2u32, 3]);
    (address.clone(), port.clone(), address, port, protocol, states, rule, ifindex, 0u8..8, 0u32..2000).prop_map(
        |(one, one_port, other, other_port, protocol, (state, tcp_state), rule, ifindex, flags, idle)| {
            let one = (one.parse().unwrap(), one_port);
            let other = (other.parse().unwrap(), other_port);
            let session = Session {
                rule,
                ifindex,
                state,
                tcp_state,
                flags: flags & (FLAG_CLIENT_IS_LOWER | FLAG_OUT | FLAG_DENIED),
                last_seen_tick: mseg_ebpf::abi::time::tick(CLOCK.monotonic_ns()).wrapping_sub(idle),
                ..Session::default()
            };
            (SessionId::between(protocol, one, other, 0, 0).0, session)
        },
    )
}

/// An option as typed, with what it means, written independently of [`Criterion`].
type Meaning = fn(&Record<'_>) -> bool;
const OPTIONS: [(Field, &str, Meaning); 18] = [
    (Field::Src, "10.0.0.1", |r| r.client.address.to_string() == "10.0.0.1"),
    (Field::Src, "10.0.0.0/16", |r| r.client.address.to_string().starts_with("10.0.")),
    (Field::Dst, "2001:db8::/48", |r| r.server.address.to_string() == "2001:db8::1"),
    (Field::Ip, "10.1.0.1", |r| [r.client, r.server].iter().any(|e| e.address.to_string() == "10.1.0.1")),
    (Field::Sport, "80", |r| r.client.port == 80),
    (Field::Dport, "80-65535", |r| r.server.port >= 80),
    (Field::Dport, "0,79", |r| r.server.port < 80),
    (Field::Port, "81", |r| r.client.port == 81 || r.server.port == 81),
    (Field::Proto, "tcp", |r| r.protocol.0 == 6),
    (Field::Proto, "17,200", |r| r.protocol.0 == 17 || r.protocol.0 == 200),
    (Field::State, "established", |r| r.state == Some(State::Established)),
    (Field::State, "fin-wait", |r| r.tcp_state == Some(TcpState::FinWait)),
    (Field::Verdict, "deny", |r| r.verdict == Verdict::Deny),
    (Field::Rule, "web", |r| r.rule == 64),
    (Field::Rule, "#99", |r| r.rule == 99),
    (Field::Iface, "eth0", |r| r.ifindex == 2),
    (Field::Direction, "out", |r| r.direction == Direction::Out),
    (Field::Since, "1s", |r| r.last_seen.0.as_second() >= 1_700_000_000 - 1),
];

proptest! {
    #[test]
    fn one_flag_repeated_is_or_flags_are_and_negated_must_not_hold(
        (key, session) in any_session(),
        picks in prop::collection::vec((prop::sample::select(OPTIONS.to_vec()), any::<bool>()), 0..5),
    ) {
        let context = context();
        let record = Record::session(&context, &key, &session);
        let mut filter = Filter::default();
        for ((field, value, _), negated) in &picks {
            filter.add(*field, Criterion::parse(*field, value, now()).unwrap(), *negated);
        }

        let mut expected = true;
        for field in Field::ALL {
            let same: Vec<_> = picks.iter().filter(|((f, ..), negated)| f == field && !negated).collect();
            expected &= same.is_empty() || same.iter().any(|((_, _, meaning), _)| meaning(&record));
        }
        for ((_, _, meaning), _) in picks.iter().filter(|(_, negated)| *negated) {
            expected &= !meaning(&record);
        }
        prop_assert_eq!(filter.matches(&record), expected);
        prop_assert_eq!(filter.is_empty(), picks.is_empty());
    }

    #[test]
    fn parsing_a_value_never_panics(field in prop::sample::select(Field::ALL.to_vec()), value in "[-a-z0-9.,:/+ ]{0,30}") {
        let _ = Criterion::parse(field, &value, now());
    }
}

#[test]
fn wrong_values_say_what_was_expected() {
    for (field, value, expected) in [
        (Field::Src, "10.0.0.1/8", "10.0.0.0/8"),
        (Field::Src, "10.0.0", "expected an address"),
        (Field::Dport, "80-79", "ends before it begins"),
        (Field::Dport, "+80", "expected a port"),
        (Field::Dport, "80,", "empty"),
        (Field::Proto, "tpc", "expected a protocol"),
        (Field::State, "open", "syn-sent"),
        (Field::Verdict, "drop", "allow, deny"),
        (Field::Reason, "because", "mseg(7)"),
        (Field::Since, "tomorrow", "expected a time"),
    ] {
        let message = Criterion::parse(field, value, now()).unwrap_err();
        assert!(message.contains(expected), "{field} {value}: {message}");
    }
}
