//! The canonical key, in which both directions of a session meet.

use zerocopy::transmute;

use crate::{
    abi::session::SessionKey,
    packet::{
        Packet,
        transport::{ECHO_NONE, ECHO_REPLY},
    },
};

/// A packet's key, and whether its sender is the key's lower endpoint.
#[inline(always)]
pub fn of(packet: &Packet, zone: u16) -> (SessionKey, bool) {
    let mut key = SessionKey::default();
    let sender_is_lower = write(packet, zone, &mut key);
    (key, sender_is_lower)
}

/// Writes a packet's key, and says whether its sender is the key's lower endpoint.
///
/// Endpoints compare by address, then by port, as big-endian numbers. When both are equal (an echo to oneself, or a
/// TCP connection of a port to itself) the sender counts as lower, but for an echo reply: so it meets its request.
#[inline(always)]
pub fn write(packet: &Packet, zone: u16, key: &mut SessionKey) -> bool {
    let source =
        (u64::from_be(packet.source[0]), u64::from_be(packet.source[1]), u16::from_be_bytes(packet.source_port));
    let destination = (
        u64::from_be(packet.destination[0]),
        u64::from_be(packet.destination[1]),
        u16::from_be_bytes(packet.destination_port),
    );
    // Written out: the derived comparison of tuples costs the BPF target twice the instructions.
    let sender_is_lower = if source.0 != destination.0 {
        source.0 < destination.0
    } else if source.1 != destination.1 {
        source.1 < destination.1
    } else {
        source.2 < destination.2 || (source.2 == destination.2 && packet.echo != ECHO_REPLY)
    };
    // The asker is lower if a lower sender asks (1 ^ 1), or a higher one replies (2 ^ 0).
    let echo = if packet.echo == ECHO_NONE { 0 } else { 1 + ((packet.echo ^ sender_is_lower as u8) & 1) };
    key.zone = zone;
    key.protocol = packet.protocol;
    key.echo = echo;
    if sender_is_lower {
        key.lower_address = transmute!(packet.source);
        key.higher_address = transmute!(packet.destination);
        key.lower_port = packet.source_port;
        key.higher_port = packet.destination_port;
    } else {
        key.lower_address = transmute!(packet.destination);
        key.higher_address = transmute!(packet.source);
        key.lower_port = packet.destination_port;
        key.higher_port = packet.source_port;
    }
    sender_is_lower
}

/// A hash of the key that nobody can foretell who does not know the salt. Its upper bits are the good ones.
#[inline(always)]
pub fn hash(key: &SessionKey, salt: u32) -> u64 {
    // 2^64 by the golden ratio. Multiplication carries upwards only, hence the turns.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let words: &[u64; 5] = zerocopy::transmute_ref!(key);
    let mut hash = salt as u64;
    hash = (hash ^ words[0]).wrapping_mul(FACTOR).rotate_left(32);
    hash = (hash ^ words[1]).wrapping_mul(FACTOR).rotate_left(32);
    hash = (hash ^ words[2]).wrapping_mul(FACTOR).rotate_left(32);
    hash = (hash ^ words[3]).wrapping_mul(FACTOR).rotate_left(32);
    hash = (hash ^ words[4]).wrapping_mul(FACTOR).rotate_left(32);
    (hash ^ hash >> 32).wrapping_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{mapped, protocol};

    fn packet(source: [u8; 4], source_port: u16, destination: [u8; 4], destination_port: u16) -> Packet {
        Packet {
            source: mapped(source),
            destination: mapped(destination),
            source_port: source_port.to_be_bytes(),
            destination_port: destination_port.to_be_bytes(),
            protocol: protocol::TCP,
            ..Packet::default()
        }
    }

    #[test]
    fn both_directions_have_one_key_and_opposite_senders() {
        let cases = [
            ([10, 0, 0, 1], 40_000, [10, 0, 0, 2], 80),
            ([10, 0, 0, 1], 80, [10, 0, 0, 1], 81),
            ([10, 0, 1, 0], 1, [10, 0, 0, 255], 65_535),
        ];
        for (a, ap, b, bp) in cases {
            let (there, there_lower) = of(&packet(a, ap, b, bp), 7);
            let (back, back_lower) = of(&packet(b, bp, a, ap), 7);
            assert_eq!(there, back);
            assert_ne!(there_lower, back_lower);
            assert_eq!(there.zone, 7);
        }
    }

    #[test]
    fn the_lower_address_is_lower_as_a_number() {
        let (key, sender_is_lower) = of(&packet([10, 0, 0, 2], 9, [9, 255, 255, 255], 5), 0);
        assert!(!sender_is_lower);
        assert_eq!(key.lower_address[12..], [9, 255, 255, 255]);
        assert_eq!(key.lower_port, 5u16.to_be_bytes());
    }

    #[test]
    fn an_echo_reply_meets_its_request_and_not_the_other_sides_request() {
        use crate::packet::transport::{ECHO_REPLY, ECHO_REQUEST};
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let request = Packet { echo: ECHO_REQUEST, ..packet(a, 7, b, 7) };
        let reply = Packet { echo: ECHO_REPLY, ..packet(b, 7, a, 7) };
        let other = Packet { echo: ECHO_REQUEST, ..packet(b, 7, a, 7) };
        assert_eq!(of(&request, 0).0, of(&reply, 0).0);
        assert_ne!(of(&request, 0).0, of(&other, 0).0);
        assert_eq!(of(&request, 0).0.echo, 1);
        assert_eq!(of(&other, 0).0.echo, 2);
    }

    #[test]
    fn an_echo_to_oneself_meets_its_reply() {
        use crate::packet::transport::ECHO_REQUEST;
        let request = Packet { echo: ECHO_REQUEST, ..packet([127, 0, 0, 1], 7, [127, 0, 0, 1], 7) };
        let reply = Packet { echo: ECHO_REPLY, ..request };
        let ((asked, asker_is_lower), (answered, answerer_is_lower)) = (of(&request, 0), of(&reply, 0));
        assert_eq!(asked, answered);
        assert_ne!(asker_is_lower, answerer_is_lower);
    }

    #[test]
    fn the_hash_spreads_neighbouring_ports_evenly() {
        for salt in [0, 1, 0xffff_ffff, 4_187_502_080] {
            let sampled = (1..=8000)
                .filter(|port| hash(&of(&packet([192, 0, 2, 66], *port, [192, 0, 2, 2], 80), 0).0, salt) >> 40 & 7 == 0)
                .count();
            assert!((850..=1150).contains(&sampled), "{sampled} of 8000 with {salt}");
        }
    }

    #[test]
    fn another_zone_or_protocol_is_another_key() {
        let tcp = packet([1, 1, 1, 1], 1, [2, 2, 2, 2], 2);
        let udp = Packet { protocol: protocol::UDP, ..tcp };
        assert_ne!(of(&tcp, 0).0, of(&tcp, 1).0);
        assert_ne!(of(&tcp, 0).0, of(&udp, 0).0);
    }
}
