//! What is refused, and for which reason.

use mseg_ebpf::abi::reason::Reason;

use crate::frames::{
    arp, fragment_header, ipv4, ipv6, parsed, patched, refused, tcp4, udp6, with_extensions, with_options,
};

/// An extension header of 8 bytes: padding, or a routing header of type 1.
fn extension(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

#[test]
fn what_is_malformed_has_a_reason() {
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("an empty frame", vec![], Reason::EthernetShort),
        ("half an Ethernet header", tcp4()[..13].to_vec(), Reason::EthernetShort),
        ("half an IPv4 header", tcp4()[..30].to_vec(), Reason::Ipv4Short),
        ("IPv4 with version 5", patched(tcp4(), 14, &[0x55]), Reason::Ipv4Version),
        ("IHL 4", patched(tcp4(), 14, &[0x44]), Reason::Ipv4HeaderLength),
        ("a total length beyond the frame", patched(tcp4(), 16, &[0, 200]), Reason::Ipv4TotalLength),
        ("a total length within the header", patched(tcp4(), 16, &[0, 19]), Reason::Ipv4TotalLength),
        ("a total length of 0 without GSO", patched(tcp4(), 16, &[0, 0]), Reason::Ipv4TotalLength),
        ("loose source routing", with_options(&[131, 4, 4, 0]), Reason::Ipv4SourceRoute),
        ("strict source routing behind padding", with_options(&[1, 137, 3, 4]), Reason::Ipv4SourceRoute),
        ("source routing behind another option", with_options(&[7, 4, 4, 0, 131, 3, 4, 0]), Reason::Ipv4SourceRoute),
        ("an option of length 1", with_options(&[7, 1, 0, 0]), Reason::Ipv4Options),
        ("an option beyond the header", with_options(&[7, 5, 0, 0]), Reason::Ipv4Options),
        ("an option without its length", with_options(&[1, 1, 1, 7]), Reason::Ipv4Options),
        ("half a TCP header", patched(tcp4()[..50].to_vec(), 16, &[0, 36]), Reason::TransportShort),
        ("TCP data offset 4", patched(tcp4(), 46, &[0x40]), Reason::TcpDataOffset),
        ("TCP data offset beyond the packet", patched(tcp4(), 46, &[0xf0]), Reason::TcpDataOffset),
        ("TCP without flags", patched(tcp4(), 47, &[0]), Reason::TcpFlags),
        ("TCP with SYN and FIN", patched(tcp4(), 47, &[3]), Reason::TcpFlags),
        ("TCP with SYN and RST", patched(tcp4(), 47, &[6]), Reason::TcpFlags),
        ("TCP with FIN alone", patched(tcp4(), 47, &[1]), Reason::TcpFlags),
        ("TCP with everything set", patched(tcp4(), 47, &[0x3f]), Reason::TcpFlags),
        ("half an IPv6 header", udp6()[..50].to_vec(), Reason::Ipv6Short),
        ("IPv6 with version 4", patched(udp6(), 14, &[0x40]), Reason::Ipv6Version),
        ("a payload length beyond the frame", patched(udp6(), 18, &[0, 99]), Reason::Ipv6PayloadLength),
        (
            "a v4-mapped source",
            patched(udp6(), 22, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            Reason::Ipv6MappedAddress,
        ),
        (
            "a jumbogram",
            patched(with_extensions(0, &[17, 0, 0xc2, 4, 0, 0, 0, 21]), 18, &[0, 0]),
            Reason::Ipv6PayloadLength,
        ),
        ("half an SCTP header", ipv4(132, 0, &[0; 11]), Reason::TransportShort),
        ("SCTP without a chunk", ipv4(132, 0, &[0; 15]), Reason::TransportShort),
        ("half an ICMP header", ipv4(1, 0, &[13, 0, 0, 0, 0, 0, 0]), Reason::TransportShort),
        ("half an ICMPv6 echo", ipv6(58, &[128, 0, 0, 0, 0, 1]), Reason::TransportShort),
        ("half an ICMPv6 error", ipv6(58, &[1, 0, 0, 0, 0, 0, 0]), Reason::TransportShort),
        ("less than an ICMPv6 header", ipv6(58, &[200, 0, 0]), Reason::TransportShort),
        (
            "an echo whose identifier is padding",
            [ipv6(58, &[128, 0, 0, 0]), vec![0; 46]].concat(),
            Reason::TransportShort,
        ),
        ("no UDP header behind extensions", ipv6(60, &extension(17)), Reason::TransportShort),
        ("UDP of length 7", patched(udp6(), 58, &[0, 7]), Reason::UdpLength),
        ("UDP longer than the packet", patched(udp6(), 58, &[0, 14]), Reason::UdpLength),
        ("routing header type 0", with_extensions(43, &[17, 0, 0, 0, 0, 0, 0, 0]), Reason::Ipv6RoutingType0),
        (
            "an extension header beyond the frame",
            with_extensions(60, &[17, 200, 0, 0, 0, 0, 0, 0]),
            Reason::Ipv6ExtensionShort,
        ),
        (
            "a hop-by-hop header behind another",
            with_extensions(60, &[extension(0), extension(17)].concat()),
            Reason::Ipv6ExtensionOrder,
        ),
        (
            "two hop-by-hop headers",
            with_extensions(0, &[extension(0), extension(17)].concat()),
            Reason::Ipv6ExtensionOrder,
        ),
        (
            "two fragment headers",
            with_extensions(44, &[fragment_header(44, 0, false), fragment_header(17, 0, false)].concat()),
            Reason::Ipv6ExtensionOrder,
        ),
        (
            "a fragment header in a first fragment",
            with_extensions(44, &[fragment_header(44, 0, true), fragment_header(17, 0, false)].concat()),
            Reason::Ipv6ExtensionOrder,
        ),
        ("ARP cut short", arp()[..41].to_vec(), Reason::ArpMalformed),
        ("no ARP at all", arp()[..14].to_vec(), Reason::ArpMalformed),
        ("ARP of another link layer", patched(arp(), 14, &[0, 6]), Reason::ArpMalformed),
        ("ARP of another protocol", patched(arp(), 16, &[0x86, 0xdd]), Reason::ArpMalformed),
        ("ARP with other hardware addresses", patched(arp(), 18, &[8]), Reason::ArpMalformed),
        ("ARP with other protocol addresses", patched(arp(), 19, &[16]), Reason::ArpMalformed),
        ("nine extension headers", with_extensions(60, &[extension(60); 9].concat()), Reason::Ipv6ExtensionDepth),
        (
            "three tags",
            {
                let mut f = tcp4();
                for _ in 0..3 {
                    f.splice(12..12, [0x81, 0, 0, 5]);
                }
                f
            },
            Reason::VlanDepth,
        ),
    ];
    for (name, frame, reason) in cases {
        assert_eq!(refused(&frame), reason, "{name}");
    }
}

#[test]
fn eight_extension_headers_are_walked_and_what_follows_is_read() {
    let chain =
        [extension(60), extension(60), extension(60), extension(43), extension(60), extension(60), extension(44)];
    let eight = [chain.concat(), fragment_header(17, 0, false).to_vec()].concat();
    let packet = parsed(&with_extensions(0, &eight)).unwrap().1;
    assert_eq!((packet.protocol, packet.source_port), (17, 5353u16.to_be_bytes()));
}

#[test]
fn trailing_bytes_are_padding_and_not_part_of_the_packet() {
    for frame in [tcp4(), udp6(), arp(), ipv4(1, 0, &[8, 0, 0, 0, 0, 9, 0, 1])] {
        let padded = [frame.clone(), vec![0xff; 60]].concat();
        assert_eq!(parsed(&padded), parsed(&frame));
    }
    let padded = [ipv6(60, &[]), extension(17).to_vec(), vec![0; 40]].concat();
    assert_eq!(refused(&padded), Reason::Ipv6ExtensionShort, "the extension header is in the padding");
}
