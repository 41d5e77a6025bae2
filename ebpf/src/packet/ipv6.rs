//! IPv6 and its extension headers (RFC 8200, RFC 7045).

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Fragment, Frame, Packet, discovery, fragment};
use crate::abi::reason::Reason;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// Extension headers walked; a packet with more is denied.
const MAX_EXTENSIONS: usize = 8;

#[repr(C, packed)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
pub(super) struct Header {
    version_class_flow: [u8; 4],
    payload_length: u16,
    next_header: u8,
    hop_limit: u8,
    pub(super) source: [u64; 2],
    pub(super) destination: [u64; 2],
}

impl Header {
    #[inline(always)]
    pub(super) const fn is_version_6(&self) -> bool {
        self.version_class_flow[0] >> 4 == 6
    }

    #[inline(always)]
    pub(super) const fn next_header(&self) -> u8 {
        self.next_header
    }
}

/// Where the walk over the extension headers ended.
pub(super) struct Upper {
    /// Offset of the upper-layer header.
    pub(super) offset: usize,
    /// Its protocol number.
    pub(super) protocol: u8,
    /// From the fragment header.
    pub(super) fragment: Fragment,
    /// The fragment header's identification.
    id: [u8; 4],
    /// Its offset and flags: the upper 13 bits are where the fragment begins, in units of 8 bytes, the lowest is set if
    /// more follow.
    field: u16,
    /// Offset of what follows the fragment header; 0 without one.
    fragmented: usize,
}

impl Upper {
    /// Why the chain of headers is not whole: the first fragment must hold all of it (RFC 7112).
    #[inline(always)]
    const fn cut_short(&self) -> Reason {
        match self.fragment {
            Fragment::First => Reason::FragmentTiny,
            _ => Reason::Ipv6ExtensionShort,
        }
    }
}

/// Parses the header at `network` and its extension headers. How many bytes of transport header and payload follow, at
/// [`Packet::transport`].
///
/// # Errors
/// Why the packet is malformed, or [`Reason::Unset`] if it is not plain ([`Frame::PLAIN`]).
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, network: usize, packet: &mut Packet) -> Result<usize, Reason> {
    let header: Header = frame.read(network).ok_or(Reason::Ipv6Short)?;
    if !header.is_version_6() {
        return Err(Reason::Ipv6Version);
    }
    packet.ipv6 = 1;
    packet.source = header.source;
    packet.destination = header.destination;
    packet.hop_limit = header.hop_limit;
    packet.protocol = header.next_header;
    if is_mapped(header.source) || is_mapped(header.destination) {
        return Err(Reason::Ipv6MappedAddress);
    }
    let start = network + size_of::<Header>();
    let available = frame.length().wrapping_sub(start);
    let mut payload = u16::from_be(header.payload_length) as usize;
    // Zero: a jumbogram, which only BIG TCP makes here (RFC 2675, kernel 5.19).
    if payload == 0 && frame.is_gso() {
        payload = available;
    }
    if payload > available || (!F::PLAIN && payload == 0 && header.next_header == HOP_BY_HOP) {
        return Err(Reason::Ipv6PayloadLength);
    }
    let upper = walk(frame, start, start + payload, header.next_header)?;
    packet.protocol = upper.protocol;
    packet.fragment = upper.fragment;
    if !F::PLAIN && upper.fragmented != 0 {
        packet.discovery = discovery::BARRED;
        if upper.fragment != Fragment::Whole {
            packet.fragment_id = upper.id;
            let before = upper.fragmented - start;
            fragment::place(packet, upper.field & !7, payload - before, before - 8, upper.field & 1 != 0)?;
        }
    }
    packet.transport = upper.offset as u16;
    Ok(payload - (upper.offset - start))
}

/// Walks the extension headers of a packet that ends at `end`. ESP, no-next-header and unknown protocols end the walk:
/// they are judged by number. So do mobility, HIP and Shim6 headers (RFC 7045), which hosts hand to those protocols and
/// do not look behind.
#[inline(always)]
pub(super) fn walk<F: Frame + ?Sized>(frame: &F, start: usize, end: usize, first: u8) -> Result<Upper, Reason> {
    let mut upper =
        Upper { offset: start, protocol: first, fragment: Fragment::Whole, id: [0; 4], field: 0, fragmented: 0 };
    for turn in 0..=MAX_EXTENSIONS {
        match upper.protocol {
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS => {}
            _ => return Ok(upper),
        }
        if F::PLAIN {
            return Err(Reason::Unset);
        }
        if turn == MAX_EXTENSIONS {
            break;
        }
        // None is shorter.
        if upper.offset + 8 > end {
            return Err(upper.cut_short());
        }
        let [next, length, third, fourth]: [u8; 4] = frame.read(upper.offset).ok_or(upper.cut_short())?;
        let size = match upper.protocol {
            // Hosts take it for an unknown protocol anywhere else (RFC 8200 section 4).
            HOP_BY_HOP if turn > 0 => return Err(Reason::Ipv6ExtensionOrder),
            FRAGMENT if upper.fragmented != 0 => return Err(Reason::Ipv6ExtensionOrder),
            FRAGMENT => {
                // The offset is the upper 13 bits, "more" the lowest (RFC 8200 section 4.5).
                upper.field = u16::from_be_bytes([third, fourth]);
                upper.fragment = match (upper.field >> 3, upper.field & 1) {
                    (0, 0) => Fragment::Whole,
                    (0, _) => Fragment::First,
                    _ => Fragment::Later,
                };
                upper.id = frame.read(upper.offset + 4).ok_or(Reason::Ipv6ExtensionShort)?;
                upper.fragmented = upper.offset + 8;
                8
            }
            // Its fixed part alone is 12 bytes.
            AUTHENTICATION if length == 0 => return Err(Reason::Ipv6ExtensionShort),
            // In units of 4 bytes less 2 (RFC 4302 section 2.2); all others in units of 8 less 1.
            AUTHENTICATION => (length as usize + 2) * 4,
            ROUTING if third == 0 => return Err(Reason::Ipv6RoutingType0),
            _ => (length as usize + 1) * 8,
        };
        upper.protocol = next;
        upper.offset += size;
        if upper.offset > end {
            return Err(upper.cut_short());
        }
        if upper.fragment == Fragment::Later {
            return Ok(upper);
        }
    }
    Err(Reason::Ipv6ExtensionDepth)
}

#[inline(always)]
fn is_mapped([high, low]: [u64; 2]) -> bool {
    high == 0 && u64::from_be(low) >> 32 == 0xffff
}
