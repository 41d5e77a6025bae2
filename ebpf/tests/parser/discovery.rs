//! Neighbour and listener discovery: only what a receiver would heed is what the built-in rules are about.

use mseg_ebpf::packet::discovery::{BARRED, LISTENER, NEIGHBOUR, NONE};

use crate::frames::{fragment_header, ipv6, parsed, patched};

const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LAST_LINK_LOCAL: [u8; 16] = [0xfe, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const SITE_LOCAL: [u8; 16] = [0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const UNSPECIFIED: [u8; 16] = [0; 16];
const GLOBAL: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn message(kind: u8, code: u8, length: usize) -> Vec<u8> {
    let mut message = vec![0; length];
    message[..2].copy_from_slice(&[kind, code]);
    message
}

/// What a message is taken for behind these extension headers.
fn behind(first: u8, extensions: &[u8], hop_limit: u8, source: [u8; 16], message: &[u8]) -> u8 {
    let frame = ipv6(first, &[extensions, message].concat());
    let frame = patched(patched(frame, 21, &[hop_limit]), 22, &source);
    let packet = parsed(&frame).expect("it is well-formed").1;
    assert_eq!(packet.protocol, 58);
    packet.discovery
}

fn taken_for(hop_limit: u8, source: [u8; 16], message: &[u8]) -> u8 {
    behind(58, &[], hop_limit, source, message)
}

/// Type, least length, a source that may send it, and what it is.
const KINDS: [(u8, usize, [u8; 16], u8); 9] = [
    (133, 8, UNSPECIFIED, NEIGHBOUR),
    (134, 16, LINK_LOCAL, NEIGHBOUR),
    (135, 24, GLOBAL, NEIGHBOUR),
    (136, 24, GLOBAL, NEIGHBOUR),
    (137, 40, LINK_LOCAL, NEIGHBOUR),
    (130, 24, LINK_LOCAL, LISTENER),
    (131, 24, LINK_LOCAL, LISTENER),
    (132, 24, LAST_LINK_LOCAL, LISTENER),
    (143, 8, UNSPECIFIED, LISTENER),
];

fn hop_limit(discovery: u8) -> u8 {
    if discovery == NEIGHBOUR { 255 } else { 1 }
}

#[test]
fn each_message_is_taken_from_its_least_length_on() {
    for (kind, least, source, discovery) in KINDS {
        let hops = hop_limit(discovery);
        assert_eq!(taken_for(hops, source, &message(kind, 0, least)), discovery, "type {kind}");
        assert_eq!(taken_for(hops, source, &message(kind, 0, least + 32)), discovery, "type {kind}, with options");
        assert_eq!(taken_for(hops, source, &message(kind, 0, least - 1)), NONE, "type {kind}, a byte short");
    }
}

#[test]
fn a_message_with_a_code_or_another_hop_limit_is_ordinary() {
    for (kind, least, source, discovery) in KINDS {
        let hops = hop_limit(discovery);
        assert_eq!(taken_for(hops, source, &message(kind, 1, least)), NONE, "type {kind}, code 1");
        for other in [0, 1, 2, 64, 254, 255] {
            if other != hops {
                assert_eq!(taken_for(other, source, &message(kind, 0, least)), NONE, "type {kind}, hop limit {other}");
            }
        }
    }
}

#[test]
fn a_fragment_header_makes_it_ordinary_even_an_atomic_one() {
    let router_alert = [44, 0, 5, 2, 0, 0, 1, 0];
    for (kind, least, source, discovery) in KINDS {
        let message = message(kind, 0, least);
        let hops = hop_limit(discovery);
        let atomic = fragment_header(58, 0, false);
        assert_eq!(behind(44, &atomic, hops, source, &message), BARRED, "type {kind}, atomic");
        let both = [&router_alert[..], &atomic].concat();
        assert_eq!(behind(0, &both, hops, source, &message), BARRED, "type {kind}, atomic behind an option");
        if least % 8 == 0 {
            assert_eq!(behind(44, &fragment_header(58, 0, true), hops, source, &message), BARRED, "type {kind}, first");
        }
        let alert = [58, 0, 5, 2, 0, 0, 1, 0];
        assert_eq!(behind(0, &alert, hops, source, &message), discovery, "type {kind}, with router alert");
    }
}

#[test]
fn what_moves_routes_comes_from_a_link_local_address() {
    for (kind, length) in [(134, 16), (137, 40)] {
        for source in [GLOBAL, UNSPECIFIED, SITE_LOCAL] {
            assert_eq!(taken_for(255, source, &message(kind, 0, length)), NONE, "type {kind} from {source:x?}");
        }
    }
}

#[test]
fn listeners_are_link_local_or_have_no_address_yet() {
    for kind in [131, 132, 143] {
        assert_eq!(taken_for(1, UNSPECIFIED, &message(kind, 0, 24)), LISTENER, "type {kind}");
        assert_eq!(taken_for(1, GLOBAL, &message(kind, 0, 24)), NONE, "type {kind}");
        assert_eq!(taken_for(1, SITE_LOCAL, &message(kind, 0, 24)), NONE, "type {kind}");
    }
    assert_eq!(taken_for(1, UNSPECIFIED, &message(130, 0, 24)), NONE, "who asks has an address");
}

#[test]
fn a_query_is_of_version_1_or_of_version_2() {
    for (length, expected) in [(23, NONE), (24, LISTENER), (25, NONE), (27, NONE), (28, LISTENER), (44, LISTENER)] {
        assert_eq!(taken_for(1, LINK_LOCAL, &message(130, 0, length)), expected, "{length} bytes");
    }
}
