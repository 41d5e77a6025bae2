//! What the headers of a frame say, by another parser: etherparse reads every field; the rules are written down here a
//! second time, from mseg(7) and the RFCs, and not from our parser.

use etherparse::{
    ArpPacketSlice, Ethernet2HeaderSlice, IpAuthHeaderSlice, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, SingleVlanHeaderSlice,
    err::{ipv4, ipv6},
};
use mseg_ebpf::{
    abi::reason::Reason,
    packet::{Fragment, Kind, Packet, discovery, mapped},
};

use crate::referee_transport;

/// An IP packet as far as it is read: what its transport header is read with.
pub(crate) struct Ip<'a> {
    pub(crate) packet: Packet,
    /// What follows the last network header, up to the packet's end.
    pub(crate) rest: &'a [u8],
    pub(crate) gso: bool,
}

/// What our parser should say of a frame.
pub(crate) fn judge(frame: &[u8], gso: bool) -> Result<(Kind, Packet), Reason> {
    let ethernet = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| Reason::EthernetShort)?;
    let mut kind = ethernet.ether_type().0;
    let mut at = 14;
    let mut tags = 0;
    while matches!(kind, 0x8100 | 0x88a8) {
        if tags == 2 {
            return Err(Reason::VlanDepth);
        }
        tags += 1;
        kind = SingleVlanHeaderSlice::from_slice(&frame[at..]).map_err(|_| Reason::EthernetShort)?.ether_type().0;
        at += 4;
    }
    let ip = match kind {
        0x0800 => v4(&frame[at..], at, gso)?,
        0x86dd => v6(&frame[at..], at, gso)?,
        0x0806 => return arp(&frame[at..]),
        _ if tags == 0 && matches!(ethernet.destination(), [0x01, 0x80, 0xc2, 0, 0, 0..=15]) => {
            return Ok((Kind::LinkControl, Packet::default()));
        }
        _ => return Ok((Kind::Other, Packet::default())),
    };
    Ok((Kind::Ip, referee_transport::read(ip)?))
}

fn arp(slice: &[u8]) -> Result<(Kind, Packet), Reason> {
    let arp = ArpPacketSlice::from_slice(slice).map_err(|_| Reason::ArpMalformed)?;
    let kinds = (arp.hw_addr_type().0, arp.proto_addr_type().0, arp.hw_addr_size(), arp.proto_addr_size());
    if kinds == (1, 0x0800, 6, 4) { Ok((Kind::Arp, Packet::default())) } else { Err(Reason::ArpMalformed) }
}

/// Where a fragment lies, or why it cannot: `before` of its datagram's length are not of the fragmented part.
fn place(packet: &mut Packet, start: usize, length: usize, before: usize, more: bool) -> Result<(), Reason> {
    if (more && !length.is_multiple_of(8)) || before + start + length > 65_535 {
        return Err(Reason::FragmentLength);
    }
    packet.fragment = if start == 0 { Fragment::First } else { Fragment::Later };
    packet.fragment_start = u16::try_from(start).map_err(|_| Reason::FragmentLength)?;
    packet.fragment_end = u16::try_from(start + length).map_err(|_| Reason::FragmentLength)?;
    Ok(())
}

fn v4(slice: &[u8], at: usize, gso: bool) -> Result<Ip<'_>, Reason> {
    let header = Ipv4HeaderSlice::from_slice(slice).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) if slice.len() < 20 => Reason::Ipv4Short,
        // The options are not all there, so neither is what the total length counts.
        ipv4::HeaderSliceError::Len(_) => Reason::Ipv4TotalLength,
        ipv4::HeaderSliceError::Content(ipv4::HeaderError::UnexpectedVersion { .. }) => Reason::Ipv4Version,
        ipv4::HeaderSliceError::Content(_) => Reason::Ipv4HeaderLength,
    })?;
    let length = header.slice().len();
    let total = match usize::from(header.total_len()) {
        0 if gso => slice.len(),
        total => total,
    };
    if total < length || total > slice.len() {
        return Err(Reason::Ipv4TotalLength);
    }
    v4_options(header.options())?;
    let mut packet = Packet {
        source: mapped(header.source()),
        destination: mapped(header.destination()),
        protocol: header.protocol().0,
        hop_limit: header.ttl(),
        transport: (at + length) as u16,
        ..Packet::default()
    };
    let start = usize::from(header.fragments_offset().byte_offset());
    if start > 0 || header.more_fragments() {
        packet.fragment_id = u32::from(header.identification()).to_be_bytes();
        place(&mut packet, start, total - length, length, header.more_fragments())?;
    }
    Ok(Ip { packet, rest: &slice[length..total], gso })
}

fn v4_options(mut options: &[u8]) -> Result<(), Reason> {
    while let [kind, rest @ ..] = options {
        options = match kind {
            0 => return Ok(()),
            1 => rest,
            131 | 137 => return Err(Reason::Ipv4SourceRoute),
            _ => {
                let length = usize::from(*rest.first().ok_or(Reason::Ipv4Options)?);
                if length < 2 {
                    return Err(Reason::Ipv4Options);
                }
                options.get(length..).ok_or(Reason::Ipv4Options)?
            }
        };
    }
    Ok(())
}

fn v6(slice: &[u8], at: usize, gso: bool) -> Result<Ip<'_>, Reason> {
    let header = Ipv6HeaderSlice::from_slice(slice).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => Reason::Ipv6Short,
        ipv6::HeaderSliceError::Content(_) => Reason::Ipv6Version,
    })?;
    if [header.source_addr(), header.destination_addr()].iter().any(|address| address.to_ipv4_mapped().is_some()) {
        return Err(Reason::Ipv6MappedAddress);
    }
    let payload = match usize::from(header.payload_length()) {
        0 if gso && slice.len() > 40 => &slice[40..],
        // Only a jumbogram has options and nothing to have them for.
        0 if header.next_header().0 == 0 => return Err(Reason::Ipv6PayloadLength),
        length => slice.get(40..40 + length).ok_or(Reason::Ipv6PayloadLength)?,
    };
    let words = |bytes: [u8; 16]| {
        let (high, low) = bytes.split_at(8);
        [high, low].map(|half| u64::from_ne_bytes(half.try_into().unwrap_or_default()))
    };
    let packet = Packet {
        source: words(header.source()),
        destination: words(header.destination()),
        protocol: header.next_header().0,
        hop_limit: header.hop_limit(),
        ipv6: 1,
        ..Packet::default()
    };
    let mut ip = Ip { packet, rest: payload, gso };
    extensions(&mut ip, payload)?;
    ip.packet.transport = (at + 40 + payload.len() - ip.rest.len()) as u16;
    Ok(ip)
}

fn extensions(ip: &mut Ip<'_>, payload: &[u8]) -> Result<(), Reason> {
    let mut fragmented: Option<(usize, usize, bool)> = None;
    for count in 0.. {
        let kind = ip.packet.protocol;
        if !matches!(kind, 0 | 43 | 44 | 51 | 60) {
            break;
        }
        if count == 8 {
            return Err(Reason::Ipv6ExtensionDepth);
        }
        let is_first_fragment = matches!(fragmented, Some((_, 0, true)));
        let short = if is_first_fragment { Reason::FragmentTiny } else { Reason::Ipv6ExtensionShort };
        if ip.rest.len() < 8 {
            return Err(short);
        }
        let (next, length) = match kind {
            0 if count > 0 => return Err(Reason::Ipv6ExtensionOrder),
            44 if fragmented.is_some() => return Err(Reason::Ipv6ExtensionOrder),
            43 if ip.rest[2] == 0 => return Err(Reason::Ipv6RoutingType0),
            44 => {
                let header = Ipv6FragmentHeaderSlice::from_slice(ip.rest).map_err(|_| short)?;
                let start = usize::from(header.fragment_offset().byte_offset());
                fragmented = Some((payload.len() - ip.rest.len(), start, header.more_fragments()));
                ip.packet.fragment_id = header.identification().to_be_bytes();
                (header.next_header(), 8)
            }
            51 if ip.rest[1] == 0 => return Err(Reason::Ipv6ExtensionShort),
            51 => {
                let header = IpAuthHeaderSlice::from_slice(ip.rest).map_err(|_| short)?;
                (header.next_header(), header.slice().len())
            }
            _ => {
                let header = Ipv6RawExtHeaderSlice::from_slice(ip.rest).map_err(|_| short)?;
                (header.next_header(), header.slice().len())
            }
        };
        ip.packet.protocol = next.0;
        ip.rest = &ip.rest[length..];
        if matches!(fragmented, Some((_, start, _)) if start > 0) {
            break;
        }
    }
    match fragmented {
        None => Ok(()),
        // An atomic fragment is a whole packet, but for discovery.
        Some((_, 0, false)) => {
            ip.packet.fragment_id = [0; 4];
            ip.packet.discovery = discovery::BARRED;
            Ok(())
        }
        Some((before, start, more)) => {
            ip.packet.discovery = discovery::BARRED;
            place(&mut ip.packet, start, payload.len() - before - 8, before, more)
        }
    }
}
