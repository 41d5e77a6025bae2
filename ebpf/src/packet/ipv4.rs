//! IPv4 (RFC 791).

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Fragment, Frame, Packet, fragment, mapped};
use crate::abi::reason::Reason;

const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_LSRR: u8 = 131;
const OPTION_SSRR: u8 = 137;
/// Most bytes of options: IHL 15 less the fixed header.
const MAX_OPTIONS: usize = 40;

#[repr(C, packed)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
pub(super) struct Header {
    pub(super) version_ihl: u8,
    tos: u8,
    total_length: u16,
    id: [u8; 2],
    fragment: u16,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    checksum: u16,
    pub(super) source: [u8; 4],
    pub(super) destination: [u8; 4],
}

impl Header {
    #[inline(always)]
    pub(super) const fn fragment(&self) -> Fragment {
        let field = u16::from_be(self.fragment);
        match (field & FRAGMENT_OFFSET, field & MORE_FRAGMENTS) {
            (0, 0) => Fragment::Whole,
            (0, _) => Fragment::First,
            _ => Fragment::Later,
        }
    }
}

/// Parses the header at `network`. How many bytes of transport header and payload follow, at [`Packet::transport`].
///
/// # Errors
/// Why the packet is malformed, or [`Reason::Unset`] if it is not plain ([`Frame::PLAIN`]).
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, network: usize, packet: &mut Packet) -> Result<usize, Reason> {
    let header: Header = frame.read(network).ok_or(Reason::Ipv4Short)?;
    if F::PLAIN && (header.version_ihl != 0x45 || header.fragment() != Fragment::Whole) {
        return Err(Reason::Unset);
    }
    if header.version_ihl >> 4 != 4 {
        return Err(Reason::Ipv4Version);
    }
    packet.source = mapped(header.source);
    packet.destination = mapped(header.destination);
    packet.protocol = header.protocol;
    packet.hop_limit = header.ttl;

    let header_length = if F::PLAIN { 20 } else { (header.version_ihl & 15) as usize * 4 };
    if header_length < 20 {
        return Err(Reason::Ipv4HeaderLength);
    }
    let mut total = u16::from_be(header.total_length) as usize;
    let available = frame.length().wrapping_sub(network);
    if total == 0 && frame.is_gso() {
        total = available;
    }
    if total < header_length || total > available {
        return Err(Reason::Ipv4TotalLength);
    }
    if !F::PLAIN && header_length > 20 {
        check_options(frame, network + 20, header_length - 20)?;
    }
    packet.fragment = header.fragment();
    if !F::PLAIN && packet.fragment != Fragment::Whole {
        let [high, low] = header.id;
        packet.fragment_id = [0, 0, high, low];
        let field = u16::from_be(header.fragment);
        let start = (field & FRAGMENT_OFFSET) * 8;
        fragment::place(packet, start, total - header_length, header_length, field & MORE_FRAGMENTS != 0)?;
    }
    packet.transport = (network + header_length) as u16;
    Ok(total - header_length)
}

/// Source routing is refused and lengths must add up (RFC 791 section 3.1, RFC 7126 sections 4.3 and 4.4).
///
/// One byte a turn, at offsets that do not depend on the packet: so the verifier sees few states.
#[inline(always)]
fn check_options<F: Frame + ?Sized>(frame: &F, start: usize, length: usize) -> Result<(), Reason> {
    let mut remaining = 0;
    let mut length_is_next = false;
    for at in 0..MAX_OPTIONS {
        if at >= length {
            break;
        }
        let [byte]: [u8; 1] = frame.read(start + at).ok_or(Reason::Ipv4Short)?;
        if length_is_next {
            // It counts the kind and itself.
            if byte < 2 || at - 1 + byte as usize > length {
                return Err(Reason::Ipv4Options);
            }
            remaining = byte - 2;
            length_is_next = false;
        } else if remaining > 0 {
            remaining -= 1;
        } else {
            match byte {
                OPTION_END => return Ok(()),
                OPTION_NOP => {}
                OPTION_LSRR | OPTION_SSRR => return Err(Reason::Ipv4SourceRoute),
                _ => length_is_next = true,
            }
        }
    }
    if length_is_next { Err(Reason::Ipv4Options) } else { Ok(()) }
}
