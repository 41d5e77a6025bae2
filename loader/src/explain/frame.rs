//! The frame of a packet that opens a session.

use std::net::IpAddr;

use mseg_ebpf::packet::{protocol, transport::tcp_flag::SYN};

use crate::policy::evaluate::Packet;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6_LISTENER: [u8; 4] = [130, 131, 132, 143];
const ICMPV6_NEIGHBOUR: std::ops::RangeInclusive<u8> = 133..=137;

/// A frame that carries the packet: for TCP a SYN, for ICMP and ICMPv6 a message as a host on the link sends it. The
/// checksums are left 0, which the programs do not look at.
pub(super) fn of(packet: &Packet) -> Vec<u8> {
    let payload = transport(packet);
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend(ETHERTYPE_IPV4.to_be_bytes());
            let [high, low] = (20 + payload.len() as u16).to_be_bytes();
            frame.extend([0x45, 0, high, low, 0, 1, 0x40, 0, 64, packet.protocol, 0, 0]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
        (source, destination) => {
            frame.extend(ETHERTYPE_IPV6.to_be_bytes());
            frame.extend([0x60, 0, 0, 0]);
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([packet.protocol, hop_limit(packet)]);
            frame.extend(crate::view::mapped(source));
            frame.extend(crate::view::mapped(destination));
        }
    }
    frame.extend(payload);
    frame
}

/// Discovery is heeded only where no router can have forwarded it.
fn hop_limit(packet: &Packet) -> u8 {
    match (packet.protocol, packet.icmp_type) {
        (protocol::ICMPV6, kind) if ICMPV6_NEIGHBOUR.contains(&kind) => 255,
        (protocol::ICMPV6, kind) if ICMPV6_LISTENER.contains(&kind) => 1,
        _ => 64,
    }
}

fn transport(packet: &Packet) -> Vec<u8> {
    let mut ports = [packet.source_port.to_be_bytes(), packet.destination_port.to_be_bytes()].concat();
    match packet.protocol {
        protocol::TCP => {
            ports.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, SYN, 0xff, 0xff, 0, 0, 0, 0]);
            ports
        }
        protocol::UDP => {
            ports.extend([0, 8, 0, 0]);
            ports
        }
        protocol::SCTP => {
            // The verification tag, the checksum, and INIT with its fixed parameters (RFC 9260 section 3.3.2).
            ports.extend([0; 8]);
            ports.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
            ports
        }
        protocol::ICMP | protocol::ICMPV6 => {
            // As long as the longest fixed part there is, that of a redirect.
            let mut message = vec![0; if packet.protocol == protocol::ICMP { 8 } else { 40 }];
            (message[0], message[1]) = (packet.icmp_type, packet.icmp_code);
            message
        }
        _ => Vec::new(),
    }
}
