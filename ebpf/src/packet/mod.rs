//! From a frame to a [`Packet`]: one parser for the TC programs and the host.
//!
//! It fails closed: what cannot be read to the transport header has a named [`Reason`] and is denied in enforce mode.
//! One file a layer: [`ethernet`], `arp`, `ipv4`, `ipv6`, `transport`; `fragment` and [`discovery`] have what
//! concerns more than one.

mod arp;
pub mod discovery;
pub mod ethernet;
mod fragment;
pub mod ipv4;
pub mod ipv6;
pub mod transport;

use zerocopy::FromBytes;

use crate::abi::reason::Reason;

/// IP protocol numbers (IANA).
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// Read access to a frame that starts with its Ethernet header.
pub trait Frame {
    /// Whether only plain frames are parsed: without VLAN tags, IPv4 options, fragments and IPv6 extension headers.
    /// Others, and those that end too soon, give [`Reason::Unset`] and are to be parsed again without this. So the hot
    /// path has offsets that are known when it is compiled, which is fast and easy for the verifier.
    const PLAIN: bool;
    /// Whether TCP options are left for [`transport::window_scale`]: only those of few packets matter.
    const LAZY: bool;
    /// A copy of the bytes at `offset`; `None` where they cannot be read.
    fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T>;
    /// The frame's length in bytes, also of what cannot be read.
    fn length(&self) -> usize;
    /// Whether it stands for several packets on the wire, so that its IP length may be 0 (BIG TCP, kernel 5.19).
    fn is_gso(&self) -> bool;
}

impl Frame for [u8] {
    const PLAIN: bool = false;
    const LAZY: bool = false;
    fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T> {
        T::read_from_prefix(self.get(offset..)?).ok().map(|(value, _)| value)
    }
    fn length(&self) -> usize {
        self.len()
    }
    fn is_gso(&self) -> bool {
        false
    }
}

/// Which fragment of its datagram a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Fragment {
    /// Not fragmented (an IPv6 atomic fragment, RFC 6946, counts as such).
    #[default]
    Whole,
    /// The first, with the transport header.
    First,
    /// Another one; it has no ports.
    Later,
}

/// A frame up to an offset: the rest is padding.
pub(crate) struct Until<'a, F: ?Sized> {
    pub(crate) frame: &'a F,
    pub(crate) end: usize,
}

impl<F: Frame + ?Sized> Frame for Until<'_, F> {
    const PLAIN: bool = F::PLAIN;
    const LAZY: bool = F::LAZY;
    #[inline(always)]
    fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T> {
        if offset + size_of::<T>() > self.end { None } else { self.frame.read(offset) }
    }
    #[inline(always)]
    fn length(&self) -> usize {
        self.end
    }
    #[inline(always)]
    fn is_gso(&self) -> bool {
        self.frame.is_gso()
    }
}

/// What the headers of an IP packet say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Packet {
    /// Source address in the order of the wire, IPv4 as v4-mapped.
    pub source: [u64; 2],
    /// Destination address.
    pub destination: [u64; 2],
    /// Source port, big-endian; for an echo its identifier.
    pub source_port: [u8; 2],
    /// Destination port, big-endian; for an echo its identifier.
    pub destination_port: [u8; 2],
    /// Identification of a fragment's datagram, as on the wire; IPv4's 16 bits come last.
    pub fragment_id: [u8; 4],
    /// TCP sequence number, in the host's order.
    pub tcp_sequence: u32,
    /// TCP acknowledgement number; what it says without the flag ACK means nothing.
    pub tcp_acknowledgement: u32,
    /// Sequence numbers a TCP segment takes: its payload, SYN and FIN. Of ICMP the bytes of the message.
    pub tcp_length: u32,
    /// TCP window as written, not scaled.
    pub tcp_window: u16,
    /// Offset of the payload in the frame, where the transport header's length is known (TCP, UDP); else 0.
    pub payload: u16,
    /// Offset of the transport header in the frame.
    pub transport: u16,
    /// Where a fragment begins in its datagram's payload: bytes.
    pub fragment_start: u16,
    /// Where it ends.
    pub fragment_end: u16,
    /// IP protocol number of the transport header.
    pub protocol: u8,
    /// IPv4 TTL or IPv6 hop limit.
    pub hop_limit: u8,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// Byte 13 of the TCP header ([`transport::tcp_flag`]).
    pub tcp_flags: u8,
    /// Fragment.
    pub fragment: Fragment,
    /// 1 for IPv6, 0 for IPv4.
    pub ipv6: u8,
    /// `ECHO_*` ([`mod@transport`]).
    pub echo: u8,
    /// Shift count of a TCP window scale option, at most 14 (RFC 7323 section 2.3), or [`transport::NO_SCALE`], or
    /// [`transport::SCALE_UNREAD`]. Only a SYN has one.
    pub tcp_scale: u8,
    /// Which discovery the built-in rules would take it for: [`discovery`].
    pub discovery: u8,
}

const _: () = assert!(size_of::<Packet>() == 72);

impl Packet {
    /// Whether its source is the unspecified address, which hosts without one share (RFC 1122 section 3.2.1.3, RFC 4291
    /// section 2.5.2).
    #[inline(always)]
    pub const fn is_from_nobody(&self) -> bool {
        let nobody = if self.ipv6 == 0 { mapped([0; 4]) } else { [0; 2] };
        self.source[0] == nobody[0] && self.source[1] == nobody[1]
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An IP packet, described by the [`Packet`].
    Ip,
    /// ARP for IPv4 over Ethernet.
    Arp,
    /// To a link-local group address of IEEE 802.1Q table 8-1 (STP, LACP, LLDP, EAPOL); bridges never forward those.
    LinkControl,
    /// Anything else.
    Other,
}

/// Parses a frame. On an error `packet` holds what was read before it.
///
/// # Errors
/// Why the frame is malformed, or [`Reason::Unset`] if it is not plain ([`Frame::PLAIN`]).
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, packet: &mut Packet) -> Result<Kind, Reason> {
    let (kind, offset) = link(frame)?;
    let ip = match kind {
        Payload::Ipv4 => ipv4(frame, offset, packet),
        Payload::Ipv6 => ipv6(frame, offset, packet),
        Payload::Arp => return arp(frame, offset).map(|()| Kind::Arp),
        Payload::LinkControl => return Ok(Kind::LinkControl),
        Payload::Other => return Ok(Kind::Other),
    };
    transport(frame, ip?, packet).map(|()| Kind::Ip)
}

// The steps of `parse`, for the programs to take one by one: in one piece the verifier would follow every way to one
// header with every way on from it.
pub use arp::check as arp;
pub use ethernet::{Payload, parse as link};
pub use ipv4::parse as ipv4;
pub use ipv6::parse as ipv6;
pub use transport::parse as transport;

/// An IPv4 address as v4-mapped (RFC 4291 section 2.5.5.2), in the order of the wire.
#[inline(always)]
pub const fn mapped(address: [u8; 4]) -> [u64; 2] {
    let high = u32::from_ne_bytes([0, 0, 0xff, 0xff]) as u64;
    let low = u32::from_ne_bytes(address) as u64;
    let word = if cfg!(target_endian = "little") { high | low << 32 } else { high << 32 | low };
    [0, word]
}
