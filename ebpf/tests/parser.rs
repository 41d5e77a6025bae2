//! The parser on the host: what it reads, what it refuses, and that its two ways agree.

use etherparse::{Ethernet2Slice, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use mseg_ebpf::{
    abi::reason::Reason,
    packet::{Fragment, Frame, Kind, Packet, mapped, parse, transport::quoted},
};
use proptest::prelude::*;
use zerocopy::FromBytes;

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
const V6: ([u8; 16], [u8; 16]) = (
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
);

/// A frame that is read as the hot path does.
struct Plain<'a>(&'a [u8]);

impl Frame for Plain<'_> {
    const PLAIN: bool = true;
    const LAZY: bool = false;
    fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T> {
        self.0.read(offset)
    }
    fn length(&self) -> usize {
        self.0.len()
    }
    fn is_gso(&self) -> bool {
        false
    }
}

fn parsed(frame: &[u8]) -> Result<(Kind, Packet), Reason> {
    let mut packet = Packet::default();
    parse(frame, &mut packet).map(|kind| (kind, packet))
}

fn refused(frame: &[u8]) -> Reason {
    parsed(frame).expect_err("must be refused")
}

fn tcp4() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MACS.0, MACS.1)
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .tcp(40_000, 80, 7, 1000)
        .syn()
        .write(&mut frame, b"hello")
        .expect("a frame");
    frame
}

fn udp6() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MACS.0, MACS.1)
        .ipv6(V6.0, V6.1, 64)
        .udp(5353, 53)
        .write(&mut frame, b"hello")
        .expect("a frame");
    frame
}

/// Ethernet and IPv6 with the extension headers given, then UDP.
fn with_extensions(first: u8, extensions: &[u8]) -> Vec<u8> {
    let plain = udp6();
    let mut frame = plain[..54].to_vec();
    frame[20] = first;
    let payload = (plain.len() - 54 + extensions.len()) as u16;
    frame[18..20].copy_from_slice(&payload.to_be_bytes());
    frame.extend_from_slice(extensions);
    frame.extend_from_slice(&plain[54..]);
    frame
}

/// Ethernet and IPv4 with the options given, then TCP.
fn with_options(options: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let plain = tcp4();
    let mut frame = plain[..34].to_vec();
    frame[14] = 0x45 + (options.len() / 4) as u8;
    let total = (plain.len() - 14 + options.len()) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(options);
    frame.extend_from_slice(&plain[34..]);
    frame
}

fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

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
        (
            "a first fragment without its TCP header",
            patched(patched(tcp4()[..42].to_vec(), 16, &[0, 28]), 20, &[0x20, 0]),
            Reason::FragmentTiny,
        ),
        ("half an IPv6 header", udp6()[..50].to_vec(), Reason::Ipv6Short),
        ("IPv6 with version 4", patched(udp6(), 14, &[0x40]), Reason::Ipv6Version),
        ("a payload length beyond the frame", patched(udp6(), 18, &[0, 99]), Reason::Ipv6PayloadLength),
        (
            "a v4-mapped source",
            patched(udp6(), 22, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            Reason::Ipv6MappedAddress,
        ),
        ("UDP of length 7", patched(udp6(), 58, &[0, 7]), Reason::UdpLength),
        ("UDP longer than the packet", patched(udp6(), 58, &[0, 14]), Reason::UdpLength),
        ("routing header type 0", with_extensions(43, &[17, 0, 0, 0, 0, 0, 0, 0]), Reason::Ipv6RoutingType0),
        (
            "an extension header beyond the frame",
            with_extensions(60, &[17, 200, 0, 0, 0, 0, 0, 0]),
            Reason::Ipv6ExtensionShort,
        ),
        (
            "nine extension headers",
            with_extensions(60, &[[60, 0, 1, 4, 0, 0, 0, 0]; 9].concat()),
            Reason::Ipv6ExtensionDepth,
        ),
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
fn fragments_are_told_apart() {
    let cases = [
        ([0, 0], Fragment::Whole),
        ([0x40, 0], Fragment::Whole),
        ([0x20, 0], Fragment::First),
        ([0, 1], Fragment::Later),
        ([0x3f, 0xff], Fragment::Later),
    ];
    for (field, fragment) in cases {
        assert_eq!(parsed(&patched(tcp4(), 20, &field)).unwrap().1.fragment, fragment, "{field:x?}");
    }
    let cases = [
        ([0, 0], Fragment::Whole),
        ([0, 1], Fragment::First),
        ([0, 8], Fragment::Later),
        ([0xff, 0xf9], Fragment::Later),
    ];
    for (field, fragment) in cases {
        let frame = with_extensions(44, &[17, 0, field[0], field[1], 1, 2, 3, 4]);
        let packet = parsed(&frame).unwrap().1;
        assert_eq!((packet.protocol, packet.fragment), (17, fragment), "{field:x?}");
        let has_ports = packet.source_port != [0, 0];
        assert_eq!(has_ports, fragment != Fragment::Later, "{field:x?}: a later fragment has no ports");
    }
}

#[test]
fn what_is_not_ip_is_told_apart() {
    assert_eq!(parsed(&patched(tcp4(), 12, &[8, 6])).unwrap().0, Kind::Arp);
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
    let inner = quoted(error.as_slice(), 34, false).unwrap();
    let outer = parsed(&frame).unwrap().1;
    assert_eq!((inner.source, inner.destination), (outer.source, outer.destination));
    assert_eq!((inner.source_port, inner.destination_port), (outer.source_port, outer.destination_port));
    assert_eq!(quoted(&error[..error.len() - 5], 34, false), None, "ports cut off");
}

/// A valid frame and some damage: bytes changed, the end cut off.
fn damaged_frame() -> impl Strategy<Value = Vec<u8>> {
    let tagged = {
        let mut frame = tcp4();
        frame.splice(12..12, [0x81, 0, 0, 5]);
        frame
    };
    let frames = vec![
        tcp4(),
        udp6(),
        tagged,
        with_options(&[148, 4, 0, 0, 1, 1, 1, 0]),
        with_extensions(0, &[44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9]),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(frames), changes, prop::option::weighted(0.2, any::<prop::sample::Index>())).prop_map(
        |(mut frame, changes, cut)| {
            for (index, byte) in changes {
                let at = index.index(frame.len());
                frame[at] = byte;
            }
            if let Some(cut) = cut {
                frame.truncate(cut.index(frame.len() + 1));
            }
            frame
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_hot_way_says_what_the_whole_way_says_or_nothing(frame in damaged_frame()) {
        let mut packet = Packet::default();
        if let Ok(kind) = parse(&Plain(&frame), &mut packet) {
            prop_assert_eq!(parsed(&frame), Ok((kind, packet)));
        }
    }

    #[test]
    fn what_is_read_is_what_etherparse_reads(frame in damaged_frame()) {
        let (Ok((Kind::Ip, packet)), Ok(sliced)) = (parsed(&frame), SlicedPacket::from_ethernet(&frame)) else {
            return Ok(());
        };
        let _ = Ethernet2Slice::from_slice_without_fcs(&frame);
        match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                prop_assert_eq!(packet.source, mapped(ip.header().source()));
                prop_assert_eq!(packet.destination, mapped(ip.header().destination()));
                prop_assert_eq!(packet.ipv6, 0);
            }
            Some(NetSlice::Ipv6(ip)) => {
                prop_assert_eq!(zerocopy::IntoBytes::as_bytes(&packet.source), ip.header().source());
                prop_assert_eq!(packet.ipv6, 1);
            }
            other => prop_assert!(false, "etherparse sees no IP: {:?}", other),
        }
        let ports = match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => Some((6, tcp.source_port(), tcp.destination_port())),
            Some(TransportSlice::Udp(udp)) => Some((17, udp.source_port(), udp.destination_port())),
            _ => None,
        };
        if let Some((protocol, source, destination)) = ports {
            prop_assert_eq!(packet.protocol, protocol);
            prop_assert_eq!(packet.source_port, source.to_be_bytes());
            prop_assert_eq!(packet.destination_port, destination.to_be_bytes());
        }
    }

    #[test]
    fn noise_never_panics(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parsed(&frame);
        let _ = quoted(frame.as_slice(), 14, frame.len() % 2 == 0);
    }
}
