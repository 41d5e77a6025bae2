//! What lines become, compared with bytes written by hand or by the older functions.

use std::net::IpAddr;

use mseg_ebpf::packet::{Kind, Packet, parse as headers};

use super::*;
use crate::{
    frames,
    lab::{CLIENT_V4, SERVER_V4},
};

fn bytes(line: &str) -> Vec<u8> {
    parse(line, Direction::In).unwrap_or_else(|error| panic!("{line}: {error:#}")).bytes
}

fn packet(line: &str) -> Packet {
    let mut packet = Packet::default();
    let kind = headers::<[u8]>(&bytes(line), &mut packet).unwrap_or_else(|reason| panic!("{line}: {reason:?}"));
    assert_eq!(kind, Kind::Ip);
    packet
}

#[test]
fn a_plain_packet_is_the_one_that_the_functions_make() {
    let (IpAddr::V4(client), IpAddr::V4(server)) = (CLIENT_V4, SERVER_V4) else { unreachable!("they are IPv4") };
    let mut expected = frames::ethernet(
        SERVER_MAC,
        CLIENT_MAC,
        0x0800,
        &frames::ipv4(client, server, 6, &frames::tcp(40_000, 80, 0x02)),
    );
    // The functions set "don't fragment".
    expected[20..22].copy_from_slice(&[0, 0]);
    expected[24..26].copy_from_slice(&[0, 0]);
    let mut made = bytes("ip c>s id 1 tcp 40000>80 S win 65535");
    made[24..26].copy_from_slice(&[0, 0]);
    assert_eq!(made, expected);
}

#[test]
fn headers_nest_and_lengths_are_right() {
    let made = packet("qinq 5 6 ip c6>s6 ttl 9 ext hop,dst*2,ah,routing4 udp 1>2 data 5");
    assert_eq!((made.protocol, made.hop_limit, made.ipv6), (17, 9, 1));
    assert_eq!((made.source_port, made.destination_port), ([0, 1], [0, 2]));
    assert_eq!(made.transport, 14 + 8 + 40 + 8 + 24 + 24 + 8);
    let made = packet("vlan 5 ip c>s opt nop,record-route,alert frag 0+ id 7 udp 1>2 data 24");
    assert_eq!((made.transport, made.fragment_end), (14 + 4 + 32, 32));
}

#[test]
fn a_segmentation_offload_has_its_headers_once_a_segment_on_the_wire() {
    let frame = parse("ip c>s tcp 1>2 A gso 3x1000", Direction::In).unwrap();
    assert_eq!((frame.bytes.len(), frame.wire_packets(), frame.wire_bytes()), (3054, 3, 3162));
    let frame = parse("ip c>s tcp 1>2 A data 10", Direction::In).unwrap();
    assert_eq!((frame.wire_packets(), frame.wire_bytes()), (1, 64));
}

#[test]
fn a_frame_is_spoilt_as_told() {
    assert_eq!(bytes("ip c>s tcp 1>2 S cut 30").len(), 30);
    assert_eq!(bytes("ip c>s tcp 1>2 S cut -1").len(), 53);
    assert_eq!(bytes("ip c>s tcp 1>2 S pad 6").len(), 60);
    assert_eq!(bytes("ip c>s tcp 1>2 S poke 14 55")[14], 0x55);
    assert_eq!(bytes("ip c>s total 19 ihl 4 tcp 1>2 S")[14..18], [0x44, 0, 0, 19]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "ip c>s",
        "ip c>s6 tcp 1>2 S",
        "ip c>s tcp 1>2 X",
        "ip c>s tcp 1-2 S",
        "ip c>s frag 7 proto 17",
        "ip c6>s6 ext hops udp 1>2",
        "ip c>s udp 1>2 data 1 1",
        "ip c>s udp 1>70000",
        "ip c>s tcp 1>2 S cut 100",
        "hex 0",
    ] {
        assert!(parse(line, Direction::In).is_err(), "{line}");
    }
}
