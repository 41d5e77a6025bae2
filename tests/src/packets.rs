//! IP packets of either family, complete with their checksums, so that a real stack takes them.

use std::net::{IpAddr, SocketAddr};

use crate::{
    frames::ethernet,
    lab::{CLIENT_MAC, SERVER_MAC},
};

/// IP protocol numbers, and those of IPv6's extension headers.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// What a TCP header says, its ports and checksum aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags, byte 13.
    pub flags: u8,
    /// Window, not scaled.
    pub window: u16,
}

/// A TCP segment without options.
pub fn tcp(from: SocketAddr, to: SocketAddr, segment: Segment, payload: &[u8]) -> Vec<u8> {
    tcp_with(from, to, segment, &[], payload)
}

/// A TCP segment with options, of which there is a multiple of four bytes, 40 at most.
pub fn tcp_with(from: SocketAddr, to: SocketAddr, segment: Segment, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(15);
    let mut bytes = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    bytes.extend(segment.sequence.to_be_bytes());
    bytes.extend(segment.acknowledgement.to_be_bytes());
    bytes.extend([words << 4, segment.flags]);
    bytes.extend(segment.window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    bytes.extend(payload);
    summed(from.ip(), to.ip(), protocol::TCP, bytes, 16)
}

/// A UDP datagram.
pub fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let header = [from.port(), to.port(), length, 0].map(u16::to_be_bytes).concat();
    summed(from.ip(), to.ip(), protocol::UDP, [&header[..], payload].concat(), 6)
}

/// An ICMP or ICMPv6 message: type, code, the four bytes after the checksum, and what follows.
pub fn icmp(from: IpAddr, to: IpAddr, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let bytes = [&[kind, code, 0, 0][..], &rest, payload].concat();
    summed(from, to, icmp_of(from), bytes, 2)
}

/// The number of ICMP in a family.
pub fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }
}

/// An IP packet around a transport header and its payload: no options, no fragment, hop limit 64.
pub fn ip(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => crate::frames::ipv4(from, to, protocol, payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
            let header = [0x60, 0, 0, 0, length[0], length[1], protocol, 64];
            [&header[..], &from.octets(), &to.octets(), payload].concat()
        }
        _ => Vec::new(),
    }
}

/// The frame in which the lab's client sends an IP packet to its server.
pub fn to_server(packet: &[u8]) -> Vec<u8> {
    ethernet(SERVER_MAC, CLIENT_MAC, kind(packet), packet)
}

/// The frame in which the lab's server sends an IP packet to its client.
pub fn to_client(packet: &[u8]) -> Vec<u8> {
    ethernet(CLIENT_MAC, SERVER_MAC, kind(packet), packet)
}

fn kind(packet: &[u8]) -> u16 {
    if packet.first().is_some_and(|byte| byte >> 4 == 6) { 0x86dd } else { 0x0800 }
}

/// Makes an IPv4 header's checksum right again.
pub fn resum(packet: &mut [u8]) {
    let length = usize::from(packet[0] & 15) * 4;
    packet[10..12].copy_from_slice(&[0; 2]);
    let sum = checksum(&packet[..length.min(packet.len())]).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
}

/// `bytes` with the checksum of a transport header at `at`, over its pseudo-header.
fn summed(from: IpAddr, to: IpAddr, protocol: u8, mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut all = match (from, to) {
        // ICMP over IPv4 has no pseudo-header.
        (IpAddr::V4(_), _) if protocol == protocol::ICMP => Vec::new(),
        (IpAddr::V4(from), IpAddr::V4(to)) => [&from.octets()[..], &to.octets(), &[0, protocol], &length[2..]].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, protocol]].concat()
        }
        _ => Vec::new(),
    };
    all.extend(&bytes);
    let sum = match checksum(&all) {
        0 if protocol == protocol::UDP => 0xffff,
        sum => sum,
    };
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The Internet checksum.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}
