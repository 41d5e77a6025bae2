//! Packets and assertions: the same words as in rules, one value each.

use proptest::prelude::*;

use crate::policy::{
    Action, SOURCE_PORT,
    evaluate::{Packet, PacketDirection},
    parse_expectations, parse_packet,
};

/// The only error of a packet: column, message, and what is written at the caret or as help.
fn error(text: &str) -> (usize, String, String) {
    let errors = parse_packet(text).expect_err(text).plain();
    assert_eq!(errors.len(), 1, "{text}: {errors:#?}");
    let rest = format!("{} {}", errors[0].expected, errors[0].help.as_deref().unwrap_or_default());
    (errors[0].column, errors[0].message.clone(), rest)
}

#[test]
fn a_packet_is_written_as_in_a_rule() {
    let packet = parse_packet("in tcp to 10.0.0.2 port 22 from 10.0.0.1 port 1234 iface eth0 # ssh").unwrap();
    let expected = Packet {
        direction: PacketDirection::In,
        protocol: 6,
        source: [10, 0, 0, 1].into(),
        destination: [10, 0, 0, 2].into(),
        source_port: 1234,
        destination_port: 22,
        icmp_type: 0,
        icmp_code: 0,
        interface: "eth0".to_owned(),
    };
    assert_eq!(packet, expected);
}

#[test]
fn what_may_be_left_out_has_a_default() {
    let packet = parse_packet("out udp from ::1 to ::2 port 53").unwrap();
    assert_eq!((packet.source_port, packet.destination_port, &*packet.interface), (SOURCE_PORT, 53, ""));
    let echo = parse_packet("in icmp from 10.0.0.1 to 10.0.0.2 type echo-request").unwrap();
    assert_eq!((echo.icmp_type, echo.icmp_code, echo.source_port), (8, 0, 0));
}

#[test]
fn a_packet_has_one_value_of_each() {
    for (text, column, message, rest) in [
        ("both tcp from 10.0.0.1 to 10.0.0.2 port 1", 1, "a direction", "`in` or `out`"),
        ("in any from 10.0.0.1 to 10.0.0.2", 4, "one protocol", "name or number"),
        (
            "in arp from 10.0.0.1 to 10.0.0.2",
            4,
            "expected a protocol, found `arp`",
            "expected `tcp`, `udp`, `sctp`, `icmp`",
        ),
        ("in udp from any to 10.0.0.2 port 1", 13, "one address", "IPv4 or IPv6"),
        ("in udp from 10.0.0.0/24 to 10.0.0.2 port 1", 13, "one address", "not a network or a set"),
        ("in udp from office to 10.0.0.2 port 1", 13, "one address", "not a network or a set"),
        ("in udp from 10.0.0.1,10.0.0.3 to 10.0.0.2 port 1", 21, "a clause", "`iface`"),
        ("in udp from 10.0.0.1 to 10.0.0.2 port 1-2", 39, "is not a port", "0 to 65535"),
        ("in udp from 10.0.0.1 from 10.0.0.1 to 10.0.0.2 port 1", 22, "a second `from`", "given already"),
    ] {
        let (at, what, expected) = error(text);
        assert!(at == column && what.contains(message) && expected.contains(rest), "{text}: {at} {what} {expected}");
    }
}

#[test]
fn what_no_packet_can_be_is_refused() {
    for (text, message) in [
        ("in tcp from 10.0.0.1 to 10.0.0.2", "expected `port`"),
        ("in tcp from 10.0.0.1", "expected `to`"),
        ("in tcp to 10.0.0.1 port 1", "expected `from`"),
        ("in icmp from 10.0.0.1 to 10.0.0.2", "expected `type`"),
        ("in tcp from 10.0.0.1 to ::2 port 1", "two families"),
        ("in icmp from ::1 to ::2 type 8", "a protocol of IPv4"),
        ("in icmpv6 from 10.0.0.1 to 10.0.0.2 type 8", "a protocol of IPv6"),
        ("in 43 from ::1 to ::2", "extension header"),
        ("in 47 from ::1 to ::2 port 1", "has no ports"),
        ("in tcp from ::ffff:10.0.0.1 to ::2 port 1", "IPv4-mapped"),
        ("in tcp from 10.0.0.1 to 10.0.0.2 port 1 log", "expected a clause"),
        ("", "expected a direction"),
    ] {
        let errors = parse_packet(text).expect_err(text).to_string();
        assert!(errors.contains(message), "{text}: {errors}");
    }
}

#[test]
fn assertions_are_read_with_their_lines() {
    let text = "\u{feff}# about ssh\n\n  expect deny in tcp from 10.0.0.1 to 10.0.0.2 port 22 by no-ssh # why\r\n\
                expect allow out 47 from ::1 to ::2";
    let read = parse_expectations("test", text).unwrap();
    assert_eq!(read.iter().map(|e| (e.line, e.action)).collect::<Vec<_>>(), [(3, Action::Deny), (4, Action::Allow)]);
    assert_eq!(read[0].text, "expect deny in tcp from 10.0.0.1 to 10.0.0.2 port 22 by no-ssh");
    assert_eq!((read[0].rule.as_deref(), read[1].rule.as_deref()), (Some("no-ssh"), None));
    assert_eq!(parse_expectations("test", "# none\n").unwrap(), []);
}

#[test]
fn every_wrong_assertion_is_reported() {
    let text = "expect allow in tcp from 10.0.0.1 to 10.0.0.2 port 22\n\
                exspect allow in tcp from 10.0.0.1 to 10.0.0.2 port 22\n\
                expect drop in tcp from 10.0.0.1 to 10.0.0.2 port 22\n\
                expect deny in tcp from 10.0.0.1/8 to 10.0.0.2 port 99999\n\
                expect deny in tcp from 10.0.0.1 to 10.0.0.2 port 22 by\n\
                expect deny in tcp from 10.0.0.1 to 10.0.0.2 port 22 by a b\n";
    let errors = parse_expectations("test", text).unwrap_err().plain();
    let places: Vec<_> = errors.iter().map(|error| (error.line, error.column)).collect();
    assert_eq!(places, [(2, 1), (3, 8), (4, 25), (4, 53), (5, 56), (6, 59)], "{errors:#?}");
}

fn packet() -> impl Strategy<Value = Packet> {
    let protocol = prop_oneof![Just(6), Just(17), Just(132), Just(1), 61u8..=130];
    let ends = (any::<u64>(), any::<u64>(), any::<u16>(), any::<u16>());
    (any::<bool>(), any::<bool>(), protocol, ends, any::<u8>(), any::<u8>(), "(eth[0-9])?").prop_map(
        |(inbound, ipv6, protocol, (source, destination, source_port, destination_port), kind, code, interface)| {
            let protocol = if ipv6 && protocol == 1 { 58 } else { protocol };
            let address = |number: u64| match ipv6 {
                false => std::net::Ipv4Addr::from(number as u32).into(),
                true => std::net::Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(number)).into(),
            };
            let (ports, icmp) = ([6, 17, 132].contains(&protocol), [1, 58].contains(&protocol));
            Packet {
                direction: if inbound { PacketDirection::In } else { PacketDirection::Out },
                protocol,
                source: address(source),
                destination: address(destination),
                source_port: if ports { source_port } else { 0 },
                destination_port: if ports { destination_port } else { 0 },
                icmp_type: if icmp { kind } else { 0 },
                icmp_code: if icmp { code } else { 0 },
                interface,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_printed_packet_parses_to_the_same_packet(packet in packet()) {
        let text = packet.to_string();
        prop_assert_eq!(parse_packet(&text).map_err(|errors| errors.to_string()), Ok(packet), "{}", text);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(text in "\\PC{0,80}") {
        let _ = parse_packet(&text);
        let _ = parse_expectations("test", &format!("expect allow {text}"));
    }
}
