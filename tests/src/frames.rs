//! Frames written by hand and sent past the kernel's own stack, through a packet socket.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
};

use anyhow::{Context, Result};
use nix::sys::socket::{MsgFlags, send};

use crate::{capture, namespace::Namespace};

/// Sends whole Ethernet frames out of an interface.
///
/// # Errors
/// When the interface is missing or refuses one.
pub fn send_frames(namespace: &Namespace, interface: &str, frames: &[Vec<u8>]) -> Result<()> {
    let socket: OwnedFd = namespace.run(|| capture::packet_socket(interface, 0))?;
    for frame in frames {
        send(socket.as_raw_fd(), frame, MsgFlags::empty()).context("cannot send a frame")?;
    }
    Ok(())
}

/// An Ethernet frame.
pub fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes(), payload].concat()
}

/// An IPv4 packet without options or fragments, with a right checksum.
pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = [0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    [&header[..], payload].concat()
}

/// An IPv6 packet without extension headers.
pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let header = [0x60, 0, 0, 0, length[0], length[1], protocol, 64];
    [&header[..], &from.octets(), &to.octets(), payload].concat()
}

/// A TCP header without options; the checksum is left 0, which the filter does not look at.
pub fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]].concat()
}

/// A UDP datagram without a checksum.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let header: Vec<u8> = [from, to, length, 0].iter().flat_map(|number| number.to_be_bytes()).collect();
    [&header[..], payload].concat()
}

/// The Internet checksum.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_sums_up_to_nothing_with_its_checksum() {
        let packet = ipv4(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2), 6, &tcp(1, 2, 2));
        assert_eq!(checksum(&packet[..20]), 0);
        assert_eq!(packet.len(), 40);
    }
}
