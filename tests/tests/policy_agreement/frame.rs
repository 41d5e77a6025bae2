//! Frames of the packets that policies are about.

use std::net::IpAddr;

use mseg::policy::{Policy, evaluate::Packet};
use mseg_ebpf::{
    abi::session::SessionKey,
    packet::{self, Kind, transport::ECHO_REPLY},
    session::key,
};
use mseg_tests::{
    frames::{ethernet, ipv4, ipv6, tcp, udp},
    lab::{CLIENT_MAC, SERVER_MAC},
};

/// Bytes on the wire, and the session they would be of.
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) key: SessionKey,
}

/// The frame of a packet; `None` if it is not the policy's rules that decide it.
pub(crate) fn frame(packet: &Packet, policy: &Policy) -> Option<Frame> {
    const SYN: u8 = 2;
    let (from, to) = (packet.source_port, packet.destination_port);
    let payload = match packet.protocol {
        6 => tcp(from, to, SYN),
        17 => udp(from, to, &[]),
        132 => [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 12]].concat(),
        // Type, code, checksum, and for an echo identifier and number.
        1 | 58 => vec![packet.icmp_type, packet.icmp_code, 0, 0, 0, 7, 0, 1],
        _ => vec![0; 16],
    };
    let bytes = match (packet.source, packet.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            ethernet(SERVER_MAC, CLIENT_MAC, 0x0800, &ipv4(from, to, packet.protocol, &payload))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            ethernet(SERVER_MAC, CLIENT_MAC, 0x86dd, &ipv6(from, to, packet.protocol, &payload))
        }
        _ => return None,
    };
    let mut read = packet::Packet::default();
    // Extension headers of IPv6 are no protocols; IPv4 in IPv6 addresses is malformed.
    let is_read = packet::parse::<[u8]>(&bytes, &mut read) == Ok(Kind::Ip) && read.protocol == packet.protocol;
    // Built-in rules, and what opens no session.
    let is_error = policy.builtins.icmp_errors && read.is_icmp_error();
    let is_discovery = read.is_neighbour_discovery() || read.is_listener_discovery();
    if !is_read || is_error || is_discovery || read.echo == ECHO_REPLY {
        return None;
    }
    Some(Frame { bytes, key: key::of(&read, 0).0 })
}
