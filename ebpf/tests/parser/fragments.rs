//! Fragments of both IP versions: told apart, and refused where they could hide a header.

use mseg_ebpf::{abi::reason::Reason, packet::Fragment};

use crate::frames::{fragment_header, ipv4, ipv6, parsed, refused, syn};

const MORE: u16 = 0x2000;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const SCTP: u8 = 132;

fn udp() -> Vec<u8> {
    [53u16, 53, 40, 0].map(u16::to_be_bytes).concat()
}

#[test]
fn fragments_of_ipv4_are_told_apart() {
    let cases = [
        (0, Fragment::Whole, (0, 0)),
        (0x4000, Fragment::Whole, (0, 0)),
        (0x8000, Fragment::Whole, (0, 0)),
        (MORE, Fragment::First, (0, 24)),
        (3, Fragment::Later, (24, 48)),
        (MORE | 0xfff, Fragment::Later, (0x7ff8, 0x8010)),
    ];
    for (field, fragment, range) in cases {
        let packet = parsed(&ipv4(TCP, field, &[syn(), vec![0; 4]].concat())).unwrap().1;
        assert_eq!((packet.fragment, (packet.fragment_start, packet.fragment_end)), (fragment, range), "{field:x}");
        assert_eq!(packet.source_port != [0, 0], fragment != Fragment::Later, "{field:x}: a later one has no ports");
    }
}

#[test]
fn fragments_of_ipv6_are_told_apart() {
    let cases = [
        (0, false, Fragment::Whole, (0, 0)),
        (0, true, Fragment::First, (0, 24)),
        (8, false, Fragment::Later, (8, 32)),
        (0xff00, true, Fragment::Later, (0xff00, 0xff18)),
    ];
    for (start, more, fragment, range) in cases {
        let payload = [&fragment_header(UDP, start, more)[..], &udp(), &[0; 16]].concat();
        let mut frame = ipv6(44, &payload);
        // An atomic fragment must hold all its datagram claims.
        if fragment == Fragment::Whole {
            frame[67] = 24;
        }
        let packet = parsed(&frame).unwrap().1;
        assert_eq!((packet.fragment, (packet.fragment_start, packet.fragment_end)), (fragment, range), "{start}");
        assert_eq!(packet.protocol, UDP);
        assert_eq!(packet.source_port != [0, 0], fragment != Fragment::Later, "{start}: a later one has no ports");
    }
}

#[test]
fn a_first_fragment_without_all_headers_is_refused() {
    let cases = [(TCP, 16), (TCP, 8), (UDP, 0), (ICMP, 0), (SCTP, 8), (47, 0)];
    for (protocol, length) in cases {
        let header = &[syn(), vec![0; 20]].concat()[..length];
        assert_eq!(refused(&ipv4(protocol, MORE, header)), Reason::FragmentTiny, "IPv4, protocol {protocol}");
        if protocol != ICMP {
            let payload = [&fragment_header(protocol, 0, true)[..], header].concat();
            assert_eq!(refused(&ipv6(44, &payload)), Reason::FragmentTiny, "IPv6, protocol {protocol}");
        }
    }
    let mut options = syn();
    options[12] = 0xf0;
    options.extend_from_slice(&[1; 36]);
    assert_eq!(refused(&ipv4(TCP, MORE, &options)), Reason::FragmentTiny, "4 bytes of its options are missing");
}

#[test]
fn a_first_fragment_whose_chain_of_headers_goes_on_is_refused() {
    let first = fragment_header(60, 0, true);
    let half = [&first[..], &[TCP, 1, 1, 12, 0, 0, 0, 0]].concat();
    assert_eq!(refused(&ipv6(44, &half)), Reason::FragmentTiny, "half an extension header");
    assert_eq!(refused(&ipv6(44, &first)), Reason::FragmentTiny, "none of it");
    let whole = [&first[..], &[TCP, 0, 1, 4, 0, 0, 0, 0]].concat();
    assert_eq!(refused(&ipv6(44, &whole)), Reason::FragmentTiny, "no transport header");
    let good = [&whole[..], &syn(), &[0; 4]].concat();
    assert_eq!(parsed(&ipv6(44, &good)).unwrap().1.fragment, Fragment::First);
}

#[test]
fn a_later_fragment_that_begins_within_a_header_is_refused() {
    for (protocol, start, expected) in
        [(TCP, 8, false), (TCP, 16, false), (TCP, 24, true), (SCTP, 8, false), (SCTP, 16, true), (UDP, 8, true)]
    {
        let outcomes = [
            parsed(&ipv4(protocol, MORE | (start / 8), &[0; 8])),
            parsed(&ipv6(44, &[&fragment_header(protocol, start, true)[..], &[0; 8]].concat())),
        ];
        for outcome in outcomes {
            let expected = if expected { Ok(Fragment::Later) } else { Err(Reason::FragmentTiny) };
            assert_eq!(outcome.map(|(_, packet)| packet.fragment), expected, "protocol {protocol} at {start}");
        }
    }
}

#[test]
fn only_the_last_fragment_has_an_odd_length() {
    for length in [24, 25, 31, 32] {
        let payload = [udp(), vec![0; length - 8]].concat();
        let is_even = length % 8 == 0;
        for (start, more) in [(0, true), (64, true), (64, false)] {
            let field = (start / 8) | if more { MORE } else { 0 };
            let later = if start == 0 { Fragment::First } else { Fragment::Later };
            let expected = if more && !is_even { Err(Reason::FragmentLength) } else { Ok(later) };
            let v4 = parsed(&ipv4(UDP, field, &payload)).map(|(_, packet)| packet.fragment);
            assert_eq!(v4, expected, "IPv4: {length} bytes at {start}");
            let v6 = ipv6(44, &[&fragment_header(UDP, start, more)[..], &payload].concat());
            let v6 = parsed(&v6).map(|(_, packet)| packet.fragment);
            assert_eq!(v6, expected, "IPv6: {length} bytes at {start}");
        }
    }
}

#[test]
fn no_fragment_ends_beyond_the_largest_datagram() {
    // The length of IPv4 counts the header, that of IPv6 only what is between the fixed header and the fragment's.
    for (start, length, fits) in [(65_512, 3, true), (65_512, 4, false), (65_528, 1, false)] {
        let outcome = parsed(&ipv4(ICMP, start / 8, &vec![0; length])).err();
        assert_eq!(outcome, (!fits).then_some(Reason::FragmentLength), "IPv4: {length} bytes at {start}");
    }
    let option = [44, 0, 1, 4, 0, 0, 0, 0];
    for (before, start, length, fits) in
        [(0, 65_528, 7, true), (0, 65_528, 8, false), (8, 65_520, 7, true), (8, 65_520, 8, false)]
    {
        let payload = [&option[..before], &fragment_header(UDP, start, false), &vec![0; length]].concat();
        let outcome = parsed(&ipv6(if before == 0 { 44 } else { 60 }, &payload)).err();
        assert_eq!(outcome, (!fits).then_some(Reason::FragmentLength), "IPv6: {length} bytes at {start} + {before}");
    }
}

#[test]
fn an_atomic_fragment_is_an_ordinary_packet() {
    let payload = [&fragment_header(TCP, 0, false)[..], &syn()].concat();
    let packet = parsed(&ipv6(44, &payload)).unwrap().1;
    assert_eq!((packet.fragment, packet.protocol, packet.tcp_flags), (Fragment::Whole, TCP, 2));
    assert_eq!(packet.source_port, 40_000u16.to_be_bytes());
}
