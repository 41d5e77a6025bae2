//! Whole and valid frames, and how to make others of them.

use etherparse::PacketBuilder;
use mseg_ebpf::{
    abi::reason::Reason,
    packet::{Kind, Packet, parse},
};

pub(crate) const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
pub(crate) const V6: ([u8; 16], [u8; 16]) = (
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
);

pub(crate) fn parsed(frame: &[u8]) -> Result<(Kind, Packet), Reason> {
    let mut packet = Packet::default();
    parse(frame, &mut packet).map(|kind| (kind, packet))
}

pub(crate) fn refused(frame: &[u8]) -> Reason {
    parsed(frame).expect_err("must be refused")
}

pub(crate) fn tcp4() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MACS.0, MACS.1)
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .tcp(40_000, 80, 7, 1000)
        .syn()
        .write(&mut frame, b"hello")
        .expect("a frame");
    frame
}

pub(crate) fn udp6() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MACS.0, MACS.1)
        .ipv6(V6.0, V6.1, 64)
        .udp(5353, 53)
        .write(&mut frame, b"hello")
        .expect("a frame");
    frame
}

/// Ethernet and IPv6 with the extension headers given, then UDP.
pub(crate) fn with_extensions(first: u8, extensions: &[u8]) -> Vec<u8> {
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
pub(crate) fn with_options(options: &[u8]) -> Vec<u8> {
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

pub(crate) fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// Ethernet and IPv4 with this protocol, flags and fragment offset.
pub(crate) fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = tcp4()[..34].to_vec();
    frame[16..18].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    frame[20..22].copy_from_slice(&fragment.to_be_bytes());
    frame[23] = protocol;
    [frame, payload.to_vec()].concat()
}

/// Ethernet and IPv6 with this next header.
pub(crate) fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = udp6()[..54].to_vec();
    frame[18..20].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    frame[20] = next_header;
    [frame, payload.to_vec()].concat()
}

/// An IPv6 fragment header: the offset in bytes, and whether more follow.
pub(crate) fn fragment_header(next_header: u8, start: u16, more: bool) -> [u8; 8] {
    let [high, low] = (start | u16::from(more)).to_be_bytes();
    [next_header, 0, high, low, 1, 2, 3, 4]
}

/// A TCP header with SYN, 20 bytes.
pub(crate) fn syn() -> Vec<u8> {
    tcp4()[34..54].to_vec()
}

/// Ethernet and an ARP request.
pub(crate) fn arp() -> Vec<u8> {
    let mut frame = tcp4()[..12].to_vec();
    frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2]);
    frame
}
