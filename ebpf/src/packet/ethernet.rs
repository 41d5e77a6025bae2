//! Ethernet and VLAN tags (IEEE 802.3, 802.1Q).

use super::Frame;
use crate::abi::reason::Reason;

const ETH_P_IP: u16 = 0x0800;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;

/// Tags that are looked through when they are in the frame; the one the kernel keeps in `vlan_tci` comes on top.
const MAX_TAGS: usize = 2;

/// What follows the Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Payload {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// ARP.
    Arp,
    /// A frame that no bridge forwards.
    LinkControl,
    /// Anything else.
    Other,
}

/// The payload's kind and offset.
///
/// # Errors
/// Why the frame is malformed, or [`Reason::Unset`] if it is not plain ([`Frame::PLAIN`]).
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F) -> Result<(Payload, usize), Reason> {
    let mut offset = 14;
    let mut ethertype = read_ethertype(frame, 12)?;
    if F::PLAIN && !matches!(ethertype, ETH_P_IP | ETH_P_IPV6) {
        return Err(Reason::Unset);
    }
    let mut tags = 0;
    while !F::PLAIN && (ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD) {
        if tags == MAX_TAGS {
            return Err(Reason::VlanDepth);
        }
        tags += 1;
        ethertype = read_ethertype(frame, offset + 2)?;
        offset += 4;
    }
    if !F::PLAIN && tags == 0 && !is_ip(ethertype) {
        let [d0, d1, d2, d3, d4, d5]: [u8; 6] = frame.read(0).ok_or(Reason::EthernetShort)?;
        if [d0, d1, d2, d3, d4] == [0x01, 0x80, 0xc2, 0, 0] && d5 & 0xf0 == 0 {
            return Ok((Payload::LinkControl, offset));
        }
    }
    let payload = match ethertype {
        ETH_P_IP => Payload::Ipv4,
        ETH_P_IPV6 => Payload::Ipv6,
        ETH_P_ARP => Payload::Arp,
        _ => Payload::Other,
    };
    Ok((payload, offset))
}

#[inline(always)]
fn read_ethertype<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<u16, Reason> {
    frame.read(offset).map(u16::from_be_bytes).ok_or(Reason::EthernetShort)
}

/// IP sent to such an address is still IP: otherwise its address would carry it around the rules.
#[inline(always)]
fn is_ip(ethertype: u16) -> bool {
    matches!(ethertype, ETH_P_IP | ETH_P_IPV6 | ETH_P_ARP)
}
