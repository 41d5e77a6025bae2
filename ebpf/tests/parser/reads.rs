//! What is read of a frame that is let through.

use mseg_ebpf::packet::{Kind, mapped, transport::quoted};

use crate::frames::{arp, ipv4, ipv6, parsed, patched, tcp4, with_extensions, with_options};

#[test]
fn a_tcp_packet_is_read() {
    let (kind, packet) = parsed(&tcp4()).unwrap();
    assert_eq!(kind, Kind::Ip);
    assert_eq!((packet.source, packet.destination), (mapped([192, 0, 2, 1]), mapped([192, 0, 2, 2])));
    assert_eq!((packet.source_port, packet.destination_port), (40_000u16.to_be_bytes(), 80u16.to_be_bytes()));
    assert_eq!((packet.protocol, packet.tcp_flags, packet.hop_limit, packet.ipv6), (6, 2, 64, 0));
}

#[test]
fn tags_options_and_extension_headers_do_not_shift_the_ports() {
    let mut tagged = tcp4();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    let mut twice = tagged.clone();
    twice.splice(12..12, [0x88, 0xa8, 0, 6]);
    for frame in [tagged, twice, with_options(&[1, 1, 1, 0]), with_options(&[148, 4, 0, 0])] {
        let (_, packet) = parsed(&frame).unwrap();
        assert_eq!((packet.source_port, packet.destination_port), (40_000u16.to_be_bytes(), 80u16.to_be_bytes()));
    }
    let hop_by_hop = [60, 0, 1, 4, 0, 0, 0, 0];
    let destination = [51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let authentication = [17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2];
    let chain = [&hop_by_hop[..], &destination[..], &authentication[..]].concat();
    let (_, packet) = parsed(&with_extensions(0, &chain)).unwrap();
    assert_eq!((packet.protocol, packet.source_port), (17, 5353u16.to_be_bytes()));
}

#[test]
fn what_is_not_ip_is_told_apart() {
    assert_eq!(parsed(&arp()).unwrap().0, Kind::Arp);
    let mut tagged = arp();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    assert_eq!(parsed(&tagged).unwrap().0, Kind::Arp);
    assert_eq!(parsed(&patched(tcp4(), 12, &[0, 40])).unwrap().0, Kind::Other, "a length: 802.3 with LLC");
    assert_eq!(parsed(&patched(tcp4(), 12, &[0x91, 0])).unwrap().0, Kind::Other, "no tag of a standard");
    assert_eq!(parsed(&patched(tcp4(), 12, &[0x88, 0x47])).unwrap().0, Kind::Other);
    let to_bridges = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
    assert_eq!(parsed(&patched(patched(tcp4(), 12, &[0x88, 0xcc]), 0, &to_bridges)).unwrap().0, Kind::LinkControl);
    assert_eq!(parsed(&patched(tcp4(), 0, &to_bridges)).unwrap().0, Kind::Ip, "IP keeps its rules wherever it goes");
}

#[test]
fn an_icmp_error_quotes_the_packet_it_is_about() {
    let frame = tcp4();
    // Ethernet and IPv4 of the error, its own 8 bytes, then the quoted header and 8 bytes more.
    let mut error = frame[..34].to_vec();
    error[23] = 1;
    error.extend_from_slice(&[3, 1, 0, 0, 0, 0, 0, 0]);
    error.extend_from_slice(&frame[14..42]);
    let inner = quoted(error.as_slice(), 34, error.len() - 34, false).unwrap();
    let outer = parsed(&frame).unwrap().1;
    assert_eq!((inner.source, inner.destination), (outer.source, outer.destination));
    assert_eq!((inner.source_port, inner.destination_port), (outer.source_port, outer.destination_port));
    assert_eq!(quoted(&error[..error.len() - 5], 34, error.len() - 34, false), None, "ports cut off");
    assert_eq!(quoted(error.as_slice(), 34, error.len() - 34 - 5, false), None, "ports in what is padding");
}

#[test]
fn a_tunnel_is_its_outer_header_and_nothing_inside_is_read() {
    let inner = &tcp4()[14..];
    let hidden = inner[20..24].to_vec();
    for protocol in [4, 41, 47, 50, 51, 94, 115, 137] {
        for frame in [ipv4(protocol, 0, inner), ipv6(if protocol == 51 { 50 } else { protocol }, inner)] {
            let (kind, packet) = parsed(&frame).unwrap();
            assert_eq!((kind, packet.source_port, packet.tcp_flags), (Kind::Ip, [0, 0], 0), "{protocol}");
        }
    }
    let vxlan = [&[0xc0, 0, 0x12, 0xb5, 0, 66, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0][..], &tcp4()].concat();
    let packet = parsed(&ipv4(17, 0, &patched(vxlan.clone(), 5, &[vxlan.len() as u8]))).unwrap().1;
    assert_eq!((packet.protocol, packet.destination_port), (17, 4789u16.to_be_bytes()));
    assert_ne!(packet.source_port.as_slice(), &hidden[..2]);
}

#[test]
fn the_walk_ends_at_what_is_no_extension_header() {
    // No next header, ESP, mobility, HIP, Shim6, experiments, and ICMP of the other version.
    for protocol in [59, 50, 135, 139, 140, 253, 254, 1] {
        let packet = parsed(&ipv6(60, &[&[protocol, 0, 1, 4, 0, 0, 0, 0][..], &[6, 0, 1, 4]].concat())).unwrap().1;
        assert_eq!((packet.protocol, packet.source_port, packet.icmp_type), (protocol, [0, 0], 0));
    }
    assert_eq!(parsed(&ipv6(59, &[])).unwrap().1.protocol, 59, "an empty packet");
    assert_eq!(parsed(&ipv4(58, 0, &[128, 0, 0, 0])).unwrap().1.echo, 0, "ICMPv6 over IPv4 is no echo");
}

#[test]
fn an_error_about_icmp_of_the_other_version_quotes_no_echo() {
    let quoted_packet = ipv4(58, 0, &[8, 0, 0, 0, 0, 7, 0, 1])[14..].to_vec();
    let error = ipv4(1, 0, &[&[3, 1, 0, 0, 0, 0, 0, 0][..], &quoted_packet].concat());
    let inner = quoted(error.as_slice(), 34, error.len() - 34, false).unwrap();
    assert_eq!((inner.protocol, inner.echo, inner.source_port), (58, 0, [0, 0]));
}
