//! How a message is put into IP packets: plainly, with options or extension headers, in fragments, or damaged.

use std::net::IpAddr;

use mseg_tests::{
    middlebox::Random,
    packets::{self, protocol},
};

use crate::{rules::SCTP, sctp};

/// A message on the wire.
pub(crate) struct Shaped {
    pub(crate) packets: Vec<Vec<u8>>,
    pub(crate) datagram: Option<usize>,
    pub(crate) what: String,
}

/// Puts it into packets; `id` is of no other datagram.
pub(crate) fn packets(
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    message: Vec<u8>,
    id: usize,
    random: &mut Random,
) -> Shaped {
    let plain = |message: &[u8], what: &str| Shaped {
        packets: vec![packets::ip(from, to, protocol, message)],
        datagram: None,
        what: what.to_owned(),
    };
    match random.below(12) {
        0..5 => plain(&message, "plain"),
        5 if from.is_ipv4() => with_options(plain(&message, ""), random),
        5 | 6 if from.is_ipv6() => with_extensions(from, to, protocol, &message, random),
        6..9 => in_fragments(from, to, protocol, &message, id, random),
        9 => damaged(plain(&message, ""), random),
        10 => {
            let mut wrong = message;
            let last = wrong.len().wrapping_sub(1);
            if let Some(byte) = wrong.get_mut(last) {
                *byte ^= 0x55;
            }
            plain(&wrong, "with a wrong checksum")
        }
        _ => {
            let cut = random.below(message.len() + 1);
            plain(&message[..cut], "cut short")
        }
    }
}

fn with_options(mut shaped: Shaped, random: &mut Random) -> Shaped {
    let options: &[(&str, &[u8])] = &[
        ("no operation", &[1, 1, 1, 0]),
        ("router alert", &[148, 4, 0, 0]),
        ("record route", &[7, 7, 4, 0, 0, 0, 0, 0]),
        ("loose source route", &[131, 7, 4, 198, 18, 1, 1, 0]),
        ("strict source route", &[137, 7, 4, 198, 18, 1, 1, 0]),
        ("length 1", &[7, 1, 0, 0]),
        ("length beyond the header", &[7, 39, 4, 0]),
        ("unknown", &[30, 4, 0, 0]),
    ];
    let (what, option) = random.one(options);
    for packet in &mut shaped.packets {
        packet.splice(20..20, option.iter().copied());
        packet[0] = 0x45 + u8::try_from(option.len() / 4).unwrap_or(0);
        fix_lengths(packet);
    }
    Shaped { what: format!("with option {what}"), ..shaped }
}

fn with_extensions(from: IpAddr, to: IpAddr, protocol: u8, message: &[u8], random: &mut Random) -> Shaped {
    let kinds = [
        protocol::HOP_BY_HOP,
        protocol::DESTINATION_OPTIONS,
        protocol::DESTINATION_OPTIONS,
        protocol::ROUTING,
        protocol::FRAGMENT,
        51,
        135,
        139,
        140,
    ];
    let count = random.one(&[1, 1, 1, 2, 2, 3, 9]);
    let chain: Vec<u8> =
        (0..count).map(|_| if count == 9 { protocol::DESTINATION_OPTIONS } else { random.one(&kinds) }).collect();
    let mut bytes = Vec::new();
    for (at, &kind) in chain.iter().enumerate() {
        let next = chain.get(at + 1).copied().unwrap_or(protocol);
        bytes.extend(match kind {
            // Padding (PadN) of four bytes.
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS => vec![next, 0, 1, 4, 0, 0, 0, 0],
            // No segments left; type 0 and 2, and one of experiments.
            protocol::ROUTING => vec![next, 0, random.one(&[0, 2, 253]), 0, 0, 0, 0, 0],
            // Atomic.
            protocol::FRAGMENT => vec![next, 0, 0, 0, 0, 0, 0, 7],
            51 => [&[next, 4, 0, 0][..], &[0; 20]].concat(),
            _ => vec![next, 0, 0, 0, 0, 0, 0, 0],
        });
    }
    bytes.extend(message);
    let first = chain.first().copied().unwrap_or(protocol);
    Shaped {
        packets: vec![packets::ip(from, to, first, &bytes)],
        datagram: None,
        what: format!("with extension headers {chain:?}"),
    }
}

fn in_fragments(from: IpAddr, to: IpAddr, protocol: u8, message: &[u8], id: usize, random: &mut Random) -> Shaped {
    let size = random.one(&[8, 64, 64, 128]);
    let what = random.one(&[
        "in order",
        "in order",
        "in order",
        "without the last",
        "without the first",
        "last first",
        "twice",
        "overlapping",
    ]);
    in_fragments_of(size, what, from, to, protocol, message, id)
}

/// Puts a message into fragments of a size.
pub(crate) fn in_fragments_of(
    size: usize,
    what: &str,
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    message: &[u8],
    id: usize,
) -> Shaped {
    // It takes three pieces at least; a transport header is in the first, or not.
    let mut whole = message.to_vec();
    whole.resize(whole.len().max(2 * size + 24), b'f');
    let whole = resum(from, to, protocol, whole);
    let id = u32::try_from(id).unwrap_or(0);
    let mut pieces: Vec<(usize, bool, Vec<u8>)> = whole
        .chunks(size)
        .enumerate()
        .map(|(index, piece)| (index * size, (index + 1) * size < whole.len(), piece.to_vec()))
        .collect();
    let last = pieces.len() - 1;
    match what {
        "without the last" => drop(pieces.pop()),
        "without the first" => drop(pieces.remove(0)),
        "last first" => pieces.rotate_right(1),
        "twice" => pieces.insert(1, pieces[0].clone()),
        "overlapping" => {
            let (start, more, piece) = pieces[last].clone();
            pieces.insert(last, (start - 8, more, [&[b'o'; 8][..], &piece].concat()));
        }
        _ => {}
    }
    let packets = pieces.iter().map(|(start, more, piece)| fragment(from, to, protocol, id, *start, *more, piece));
    Shaped { packets: packets.collect(), datagram: Some(whole.len()), what: format!("in fragments of {size} {what}") }
}

fn fragment(from: IpAddr, to: IpAddr, protocol: u8, id: u32, start: usize, more: bool, piece: &[u8]) -> Vec<u8> {
    let start = u16::try_from(start).unwrap_or(0);
    if from.is_ipv6() {
        let mut bytes = vec![protocol, 0];
        bytes.extend((start | u16::from(more)).to_be_bytes());
        bytes.extend(id.to_be_bytes());
        bytes.extend(piece);
        return packets::ip(from, to, protocol::FRAGMENT, &bytes);
    }
    let mut packet = packets::ip(from, to, protocol, piece);
    packet[4..6].copy_from_slice(&id.to_be_bytes()[2..]);
    packet[6..8].copy_from_slice(&((start / 8) | (u16::from(more) << 13)).to_be_bytes());
    packets::resum(&mut packet);
    packet
}

/// One byte of the headers changed; the IPv4 checksum is right again, mostly.
fn damaged(mut shaped: Shaped, random: &mut Random) -> Shaped {
    let packet = &mut shaped.packets[0];
    // Not the addresses: it would be another flow's packet.
    let header: &[usize] = if packet[0] >> 4 == 4 { &[0, 2, 3, 6, 7, 8, 9] } else { &[0, 4, 5, 6, 7] };
    let start = if packet[0] >> 4 == 4 { 20 } else { 40 };
    let at = if random.once_in(2) { random.one(header) } else { start + random.below(packet.len() - start) };
    let at = at.min(packet.len() - 1);
    let was = packet[at];
    packet[at] ^= 1 << random.below(8);
    let is = packet[at];
    if packet[0] >> 4 == 4 && !random.once_in(8) {
        packets::resum(packet);
    }
    Shaped { what: format!("with byte {at} {was:#04x} -> {is:#04x}"), ..shaped }
}

/// IPv4 total length and checksum.
fn fix_lengths(packet: &mut [u8]) {
    let length = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    packets::resum(packet);
}

/// A message that was made longer, with its length and checksum right again.
fn resum(from: IpAddr, to: IpAddr, protocol: u8, message: Vec<u8>) -> Vec<u8> {
    let port = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    match protocol {
        protocol::UDP => {
            let ends = [(from, port(0)), (to, port(2))].map(|(address, port)| (address, port).into());
            packets::udp(ends[0], ends[1], &message[8..])
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let rest = [message[4], message[5], message[6], message[7]];
            packets::icmp(from, to, message[0], message[1], rest, &message[8..])
        }
        SCTP => {
            let mut message = message;
            sctp::resum(&mut message);
            message
        }
        _ => message,
    }
}
