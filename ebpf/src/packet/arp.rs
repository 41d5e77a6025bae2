//! ARP for IPv4 over Ethernet (RFC 826); no other is let through.

use super::Frame;
use crate::abi::reason::Reason;

const HARDWARE_ETHERNET: u16 = 1;
const ETH_P_IP: u16 = 0x0800;

/// Bytes of a packet: its fixed part, then two Ethernet and two IPv4 addresses.
const LENGTH: usize = 8 + 2 * (6 + 4);

/// Checks that the packet at `offset` is whole, and about the addresses that its kind has.
///
/// # Errors
/// [`Reason::ArpMalformed`].
#[inline(always)]
pub fn check<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<(), Reason> {
    let [h0, h1, p0, p1, hardware_length, protocol_length]: [u8; 6] = frame.read(offset).ok_or(Reason::ArpMalformed)?;
    let whole = frame.length() >= offset + LENGTH;
    let kinds = (u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]));
    if whole && kinds == (HARDWARE_ETHERNET, ETH_P_IP) && (hardware_length, protocol_length) == (6, 4) {
        Ok(())
    } else {
        Err(Reason::ArpMalformed)
    }
}
