//! Damaged frames: the parser's two ways agree, and nothing makes it panic.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use mseg_ebpf::packet::{Frame, Kind, Packet, mapped, parse, transport::quoted};
use proptest::prelude::*;
use zerocopy::FromBytes;

use crate::frames::{parsed, tcp4, udp6, with_extensions, with_options};

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
        let _ = quoted(frame.as_slice(), 14, frame.len() / 2, frame.len() % 2 == 0);
    }
}
