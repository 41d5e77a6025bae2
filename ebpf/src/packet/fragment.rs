//! What holds for a fragment of either IP version.

use super::{Packet, protocol};
use crate::abi::reason::Reason;

/// Most bytes of a datagram: what its length field can say (RFC 791 section 3.1; RFC 8200 section 3, without the fixed
/// header).
const MAX_DATAGRAM: usize = 65_535;

/// Notes where a fragment lies in its datagram's payload. `before` is how many bytes precede that payload and count to
/// the datagram's length; `more` says that it is not the last.
#[inline(always)]
pub(super) fn place(packet: &mut Packet, start: u16, length: usize, before: usize, more: bool) -> Result<(), Reason> {
    let end = start as usize + length;
    // Receivers differ in what they make of the odd bytes, and must drop what is too long (RFC 8200 section 4.5).
    if (more && length & 7 != 0) || before + end > MAX_DATAGRAM {
        return Err(Reason::FragmentLength);
    }
    packet.fragment_start = start;
    packet.fragment_end = end as u16;
    Ok(())
}

/// Refuses a later fragment that begins within the header that its first must hold whole (RFC 1858 section 3.2.2, RFC
/// 3128): offsets are multiples of 8, so shorter headers are out of its reach.
#[inline(always)]
pub(super) fn check_later(packet: &Packet) -> Result<(), Reason> {
    let header = match packet.protocol {
        protocol::TCP => 20,
        protocol::SCTP => 16,
        _ => 8,
    };
    if packet.fragment_start < header { Err(Reason::FragmentTiny) } else { Ok(()) }
}
