//! Frames: the parser agrees with etherparse, its hot way with its whole way, and nothing panics.
#![no_main]

#[path = "../../../tests/tests/parser_agreement/referee.rs"]
mod referee;
#[path = "../../../tests/tests/parser_agreement/referee_transport.rs"]
mod referee_transport;

use libfuzzer_sys::fuzz_target;
use mseg_ebpf::packet::{Frame, Kind, Packet, parse, transport::quoted};
use zerocopy::FromBytes;

/// A frame, read the whole way or as the hot path does.
struct View<'a, const PLAIN: bool> {
    frame: &'a [u8],
    gso: bool,
}

impl<const PLAIN: bool> Frame for View<'_, PLAIN> {
    const PLAIN: bool = PLAIN;
    const LAZY: bool = false;

    fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T> {
        self.frame.read(offset)
    }

    fn length(&self) -> usize {
        self.frame.len()
    }

    fn is_gso(&self) -> bool {
        self.gso
    }
}

fuzz_target!(|input: &[u8]| {
    let [first, frame @ ..] = input else { return };
    let gso = first & 1 != 0;
    let mut packet = Packet::default();
    let whole = parse(&View::<false> { frame, gso }, &mut packet);
    let ours = whole.map(|kind| (kind, if kind == Kind::Ip { packet } else { Packet::default() }));
    assert_eq!(ours, referee::judge(frame, gso));

    let mut plain = Packet::default();
    if let Ok(kind) = parse(&View::<true> { frame, gso }, &mut plain) {
        assert_eq!((Ok(kind), plain), (whole, packet));
    }
    if packet.is_icmp_error() {
        let _ = quoted(frame, packet.transport.into(), packet.tcp_length as usize, packet.ipv6 == 1);
    }
    let _ = quoted(frame, usize::from(*first), frame.len(), first & 2 != 0);
});
