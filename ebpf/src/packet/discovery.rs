//! Neighbour and multicast listener discovery: which ICMPv6 messages the built-in rules are about.
//!
//! Only what a receiver would heed, and only what no router can have forwarded. Anything else of these types is
//! ICMPv6 as any other, for the policy to judge.

use super::Packet;

/// [`Packet::discovery`]: neither.
pub const NONE: u8 = 0;
/// [`Packet::discovery`]: neither, whatever the message says: receivers ignore discovery behind a fragment header, also
/// of an atomic fragment (RFC 6980 section 5).
pub const BARRED: u8 = 3;
/// [`Packet::discovery`]: neighbour discovery.
pub const NEIGHBOUR: u8 = 1;
/// [`Packet::discovery`]: multicast listener discovery.
pub const LISTENER: u8 = 2;

const LISTENER_QUERY: u8 = 130;
const LISTENER_REPORT: u8 = 131;
const LISTENER_DONE: u8 = 132;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const LISTENER_REPORT_V2: u8 = 143;

/// What an ICMPv6 message of `length` bytes is, by the header before it: hop limit, source, and its own length (RFC
/// 4861 sections 6.1, 7.1 and 8.1; RFC 2710 section 3, RFC 3590, RFC 3810 sections 5 and 8.1).
#[inline(always)]
pub(super) fn of(packet: &Packet, length: usize) -> u8 {
    if packet.discovery == BARRED {
        return BARRED;
    }
    if packet.icmp_code != 0 {
        return NONE;
    }
    let local = is_link_local(packet.source);
    match packet.hop_limit {
        255 => match packet.icmp_type {
            ROUTER_SOLICITATION if length >= 8 => NEIGHBOUR,
            NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT if length >= 24 => NEIGHBOUR,
            // What moves routes comes from a router's own link-local address.
            ROUTER_ADVERTISEMENT if length >= 16 && local => NEIGHBOUR,
            REDIRECT if length >= 40 && local => NEIGHBOUR,
            _ => NONE,
        },
        1 => match packet.icmp_type {
            // Of version 1, or of version 2, and nothing between.
            LISTENER_QUERY if (length == 24 || length >= 28) && local => LISTENER,
            // From :: before the address is known to be nobody else's.
            LISTENER_REPORT | LISTENER_DONE if length >= 24 && (local || packet.source == [0, 0]) => LISTENER,
            LISTENER_REPORT_V2 if length >= 8 && (local || packet.source == [0, 0]) => LISTENER,
            _ => NONE,
        },
        _ => NONE,
    }
}

/// In fe80::/10.
#[inline(always)]
fn is_link_local([high, _]: [u64; 2]) -> bool {
    u64::from_be(high) >> 54 == 0xfe80 >> 6
}
