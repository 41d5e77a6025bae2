//! The referee's view of transport headers.

use etherparse::{Icmpv4Slice, Icmpv6Slice, TcpHeaderSlice, TcpOptionElement, UdpHeaderSlice, err::tcp};
use mseg_ebpf::{
    abi::reason::Reason,
    packet::{
        Fragment, Packet, discovery,
        transport::{ECHO_REPLY, ECHO_REQUEST, NO_SCALE, SCALE},
    },
};

use crate::referee::Ip;

/// Reads the transport header.
pub(crate) fn read(ip: Ip<'_>) -> Result<Packet, Reason> {
    let Ip { packet, rest, gso } = ip;
    if packet.fragment == Fragment::Later {
        return later(packet);
    }
    match (packet.protocol, packet.ipv6) {
        (6, _) => tcp(packet, rest),
        (17, _) => udp(packet, rest, gso),
        (132, _) => sctp(packet, rest),
        (1, 0) => icmp(packet, rest),
        (58, 1) => icmpv6(packet, rest),
        _ if packet.fragment == Fragment::First && rest.is_empty() => Err(Reason::FragmentTiny),
        _ => Ok(packet),
    }
}

fn later(packet: Packet) -> Result<Packet, Reason> {
    let within = match packet.protocol {
        6 => packet.fragment_start < 20,
        132 => packet.fragment_start < 16,
        _ => false,
    };
    if within { Err(Reason::FragmentTiny) } else { Ok(packet) }
}

fn short(packet: &Packet) -> Reason {
    if packet.fragment == Fragment::First { Reason::FragmentTiny } else { Reason::TransportShort }
}

fn tcp(mut packet: Packet, rest: &[u8]) -> Result<Packet, Reason> {
    let header = TcpHeaderSlice::from_slice(rest).map_err(|error| match error {
        _ if rest.len() < 20 => short(&packet),
        tcp::HeaderSliceError::Len(_) if packet.fragment == Fragment::First => Reason::FragmentTiny,
        _ => Reason::TcpDataOffset,
    })?;
    let [syn, fin, rst, ack, urg] = [header.syn(), header.fin(), header.rst(), header.ack(), header.urg()];
    let sane = match (syn, fin, rst) {
        (true, false, false) => !(ack && urg),
        (false, true, false) => ack,
        (false, false, true) => !urg,
        (false, false, false) => ack,
        _ => false,
    };
    if !sane {
        return Err(Reason::TcpFlags);
    }
    packet.source_port = header.source_port().to_be_bytes();
    packet.destination_port = header.destination_port().to_be_bytes();
    let bits = [fin, syn, rst, header.psh(), ack, urg, header.ece(), header.cwr()];
    packet.tcp_flags = bits.iter().enumerate().map(|(at, &bit)| u8::from(bit) << at).sum();
    packet.tcp_sequence = header.sequence_number();
    packet.tcp_acknowledgement = header.acknowledgment_number();
    packet.tcp_window = header.window_size();
    packet.tcp_length = (rest.len() - header.slice().len()) as u32 + u32::from(syn) + u32::from(fin);
    packet.payload = packet.transport + header.slice().len() as u16;
    if syn {
        packet.tcp_scale = scale(header.options());
    }
    Ok(packet)
}

/// The window scale option. etherparse stops at options it knows of another length; a TCP stack does not, so those are
/// stepped over here.
fn scale(mut options: &[u8]) -> u8 {
    let mut scale = NO_SCALE;
    while let [kind, rest @ ..] = options {
        options = match kind {
            0 => break,
            1 => rest,
            _ => {
                let Some(length @ 2..) = rest.first().map(|&length| usize::from(length)) else { break };
                let Some(option) = options.get(..length) else { break };
                let element = etherparse::TcpOptionsIterator::from_slice(option).next();
                if let Some(Ok(TcpOptionElement::WindowScale(shift))) = element {
                    // The last one counts.
                    scale = SCALE + shift.min(14);
                }
                &options[length..]
            }
        };
    }
    scale
}

fn udp(mut packet: Packet, rest: &[u8], gso: bool) -> Result<Packet, Reason> {
    let header = UdpHeaderSlice::from_slice(rest).map_err(|_| short(&packet))?;
    let fits = match usize::from(header.length()) {
        0 => gso,
        1..8 => false,
        length => length <= rest.len() || packet.fragment == Fragment::First,
    };
    if !fits {
        return Err(Reason::UdpLength);
    }
    packet.source_port = header.source_port().to_be_bytes();
    packet.destination_port = header.destination_port().to_be_bytes();
    packet.payload = packet.transport + 8;
    Ok(packet)
}

/// etherparse knows no SCTP: ports as in all of them, and a common header with a chunk's.
fn sctp(mut packet: Packet, rest: &[u8]) -> Result<Packet, Reason> {
    let [s0, s1, d0, d1, _, _, _, _, _, _, _, _, _, _, _, _, ..] = *rest else {
        return Err(short(&packet));
    };
    (packet.source_port, packet.destination_port) = ([s0, s1], [d0, d1]);
    Ok(packet)
}

fn echo(packet: &mut Packet, echo: u8, id: [u8; 4]) {
    packet.echo = echo;
    packet.source_port = [id[0], id[1]];
    packet.destination_port = packet.source_port;
}

fn icmp(mut packet: Packet, rest: &[u8]) -> Result<Packet, Reason> {
    if rest.len() < 8 {
        return Err(short(&packet));
    }
    // etherparse refuses timestamps of another length, in which nothing is read here but this.
    let (kind, code, id) = match Icmpv4Slice::from_slice(rest) {
        Ok(message) => (message.type_u8(), message.code_u8(), message.bytes5to8()),
        Err(_) => (rest[0], rest[1], [0; 4]),
    };
    (packet.icmp_type, packet.icmp_code, packet.tcp_length) = (kind, code, rest.len() as u32);
    match kind {
        8 => echo(&mut packet, ECHO_REQUEST, id),
        0 => echo(&mut packet, ECHO_REPLY, id),
        _ => {}
    }
    Ok(packet)
}

fn icmpv6(mut packet: Packet, rest: &[u8]) -> Result<Packet, Reason> {
    // Errors and echoes have 8 bytes at least, others may have 4; etherparse wants 8 of all.
    let (kind, code, id) = match (Icmpv6Slice::from_slice(rest), rest) {
        (Ok(message), _) => (message.type_u8(), message.code_u8(), message.bytes5to8()),
        (Err(_), [kind @ 130..=255, code, _, _, ..]) => (*kind, *code, [0; 4]),
        (Err(_), _) => return Err(short(&packet)),
    };
    (packet.icmp_type, packet.icmp_code, packet.tcp_length) = (kind, code, rest.len() as u32);
    match kind {
        128 => echo(&mut packet, ECHO_REQUEST, id),
        129 => echo(&mut packet, ECHO_REPLY, id),
        _ => {}
    }
    if packet.discovery != discovery::BARRED {
        packet.discovery = discovery_of(&packet, rest.len());
    }
    Ok(packet)
}

fn discovery_of(packet: &Packet, length: usize) -> u8 {
    let source = packet.source.map(u64::to_ne_bytes).concat();
    let link_local = source[0] == 0xfe && source[1] & 0xc0 == 0x80;
    let unspecified = source.iter().all(|&byte| byte == 0);
    // Type, hop limit, whether the length may be, whether the source may be, and what it is.
    let table = [
        (133, 255, length >= 8, true, discovery::NEIGHBOUR),
        (134, 255, length >= 16, link_local, discovery::NEIGHBOUR),
        (135, 255, length >= 24, true, discovery::NEIGHBOUR),
        (136, 255, length >= 24, true, discovery::NEIGHBOUR),
        (137, 255, length >= 40, link_local, discovery::NEIGHBOUR),
        (130, 1, length == 24 || length >= 28, link_local, discovery::LISTENER),
        (131, 1, length >= 24, link_local || unspecified, discovery::LISTENER),
        (132, 1, length >= 24, link_local || unspecified, discovery::LISTENER),
        (143, 1, length >= 8, link_local || unspecified, discovery::LISTENER),
    ];
    let row = table.iter().find(|row| row.0 == packet.icmp_type);
    match row {
        Some(&(_, hops, true, true, kind)) if packet.hop_limit == hops && packet.icmp_code == 0 => kind,
        _ => discovery::NONE,
    }
}
