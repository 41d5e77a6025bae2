//! TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), ICMP (RFC 792) and ICMPv6 (RFC 4443) headers.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Fragment, Frame, Packet, Until, discovery, fragment, ipv4, ipv6, mapped, protocol};
use crate::abi::reason::Reason;

/// Bits of [`Packet::tcp_flags`].
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
}

/// [`Packet::echo`]: not an echo.
pub const ECHO_NONE: u8 = 0;
/// [`Packet::echo`]: a request.
pub const ECHO_REQUEST: u8 = 1;
/// [`Packet::echo`]: a reply.
pub const ECHO_REPLY: u8 = 2;

/// [`Packet::tcp_scale`]: there is no such option.
pub const NO_SCALE: u8 = 0;
/// [`Packet::tcp_scale`]: the options were not looked at, ([`Frame::LAZY`]).
pub const SCALE_UNREAD: u8 = 1;
/// [`Packet::tcp_scale`]: plus the shift count.
pub const SCALE: u8 = 2;

/// ICMP and ICMPv6 types.
pub mod icmp_type {
    /// ICMP echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// ICMP echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// ICMPv6 echo request.
    pub const V6_ECHO_REQUEST: u8 = 128;
    /// ICMPv6 echo reply.
    pub const V6_ECHO_REPLY: u8 = 129;
}

/// Parses the `length` bytes of transport header and payload at [`Packet::transport`].
///
/// # Errors
/// Why the packet is malformed.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, length: usize, packet: &mut Packet) -> Result<(), Reason> {
    let offset = packet.transport as usize;
    if packet.fragment == Fragment::Later {
        return fragment::check_later(packet);
    }
    match packet.protocol {
        protocol::TCP => tcp(frame, offset, length, packet),
        protocol::UDP => udp(frame, offset, length, packet),
        // The common header and a chunk's (RFC 9260 section 3): no packet has less.
        protocol::SCTP if length >= 16 => ports(frame, offset, packet),
        protocol::SCTP => Err(short(packet)),
        protocol::ICMP if packet.ipv6 == 0 => icmp(frame, offset, length, packet),
        protocol::ICMPV6 if packet.ipv6 == 1 => icmp(frame, offset, length, packet),
        // More follows, but not even the header is there.
        _ if packet.fragment == Fragment::First && length == 0 => Err(Reason::FragmentTiny),
        // ICMP over IPv6 and the reverse are other protocols, judged by number alone.
        _ => Ok(()),
    }
}

#[inline(always)]
fn short(packet: &Packet) -> Reason {
    match packet.fragment {
        Fragment::First => Reason::FragmentTiny,
        _ => Reason::TransportShort,
    }
}

#[inline(always)]
fn ports<F: Frame + ?Sized>(frame: &F, offset: usize, packet: &mut Packet) -> Result<(), Reason> {
    let [s0, s1, d0, d1]: [u8; 4] = frame.read(offset).ok_or(short(packet))?;
    packet.source_port = [s0, s1];
    packet.destination_port = [d0, d1];
    Ok(())
}

#[inline(always)]
fn tcp<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize, packet: &mut Packet) -> Result<(), Reason> {
    if length < 20 {
        return Err(short(packet));
    }
    let header: TcpHeader = frame.read(offset).ok_or(short(packet))?;
    packet.source_port = header.source_port;
    packet.destination_port = header.destination_port;
    let flags = header.flags;
    packet.tcp_flags = flags;
    let header_length = (header.data_offset >> 4) as usize * 4;
    if header_length < 20 {
        return Err(Reason::TcpDataOffset);
    }
    if header_length > length {
        return Err(match packet.fragment {
            Fragment::First => Reason::FragmentTiny,
            _ => Reason::TcpDataOffset,
        });
    }
    if !valid_flags(flags) {
        return Err(Reason::TcpFlags);
    }
    packet.tcp_sequence = u32::from_be(header.sequence);
    packet.tcp_acknowledgement = u32::from_be(header.acknowledgement);
    packet.tcp_window = u16::from_be(header.window);
    // SYN and FIN take a number each; both at once are refused above.
    packet.tcp_length = (length - header_length) as u32 + (flags >> 1 & 1) as u32 + (flags & 1) as u32;
    packet.payload = (offset + header_length) as u16;
    if flags & tcp_flag::SYN != 0 {
        packet.tcp_scale = if F::LAZY { SCALE_UNREAD } else { window_scale(frame, offset, header_length) };
    }
    Ok(())
}

#[repr(C, packed)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
struct TcpHeader {
    source_port: [u8; 2],
    destination_port: [u8; 2],
    sequence: u32,
    acknowledgement: u32,
    data_offset: u8,
    flags: u8,
    window: u16,
}

/// The window scale option of the TCP header at `offset`, as [`Packet::tcp_scale`] has it (RFC 7323 section 2.2).
/// Options that do not add up end the search, as in a TCP stack: they change no verdict.
///
/// A word a turn, at offsets that do not depend on the packet: so the verifier sees few states.
#[inline(always)]
pub fn window_scale<F: Frame + ?Sized>(frame: &F, offset: usize, header_length: usize) -> u8 {
    let mut search = ScaleSearch { kind: 0, skip: 0, next: KIND, found: NO_SCALE };
    for word in 0..MAX_OPTIONS / 4 {
        if 20 + word * 4 >= header_length {
            break;
        }
        let Some(bytes) = frame.read::<[u8; 4]>(offset + 20 + word * 4) else {
            break;
        };
        search.feed(bytes[0]);
        search.feed(bytes[1]);
        search.feed(bytes[2]);
        search.feed(bytes[3]);
    }
    search.found
}

/// Where [`window_scale`] is in the options.
struct ScaleSearch {
    kind: u8,
    /// Bytes of an option's value that remain.
    skip: u8,
    /// What the next byte is: [`KIND`], [`LENGTH`], [`VALUE`], [`SHIFT`] or [`NOTHING`].
    next: u8,
    found: u8,
}

const KIND: u8 = 0;
const LENGTH: u8 = 1;
const VALUE: u8 = 2;
const SHIFT: u8 = 3;
const NOTHING: u8 = 4;

impl ScaleSearch {
    #[inline(always)]
    fn feed(&mut self, byte: u8) {
        const END: u8 = 0;
        const NOP: u8 = 1;
        const WINDOW_SCALE: u8 = 3;
        match self.next {
            KIND => {
                self.kind = byte;
                self.next = match byte {
                    NOP => KIND,
                    END => NOTHING,
                    _ => LENGTH,
                };
            }
            LENGTH => {
                self.next = match (self.kind, byte) {
                    (_, 0 | 1) => NOTHING,
                    (WINDOW_SCALE, 3) => SHIFT,
                    (_, 2) => KIND,
                    _ => VALUE,
                };
                self.skip = byte.wrapping_sub(2);
            }
            VALUE => {
                self.skip = self.skip.wrapping_sub(1);
                if self.skip == 0 {
                    self.next = KIND;
                }
            }
            SHIFT => {
                // The last one counts, as in Linux (`tcp_parse_options`).
                self.found = SCALE + if byte > 14 { 14 } else { byte };
                self.next = KIND;
            }
            _ => {}
        }
    }
}

/// Most options in a TCP header: 40 bytes of them.
const MAX_OPTIONS: usize = 40;

/// The combinations that netfilter accepts (`tcp_valid_flags` in nf_conntrack_proto_tcp.c); PSH, ECE and CWR are free.
#[inline(always)]
const fn valid_flags(flags: u8) -> bool {
    use tcp_flag::{ACK, FIN, RST, SYN, URG};
    match flags & (FIN | SYN | RST | ACK | URG) {
        SYN => true,
        f if f == SYN | URG => true,
        f if f == SYN | ACK => true,
        RST => true,
        f if f == RST | ACK => true,
        f if f == FIN | ACK => true,
        f if f == FIN | ACK | URG => true,
        ACK => true,
        f if f == ACK | URG => true,
        _ => false,
    }
}

#[inline(always)]
fn udp<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize, packet: &mut Packet) -> Result<(), Reason> {
    if length < 8 {
        return Err(short(packet));
    }
    ports(frame, offset, packet)?;
    packet.payload = (offset + 8) as u16;
    let claimed = frame.read(offset + 4).map(u16::from_be_bytes).ok_or(short(packet))? as usize;
    // Zero: a jumbogram or a GSO packet whose length is not filled in. A first fragment holds less than it claims.
    let fits = claimed <= length || packet.fragment == Fragment::First;
    if (claimed >= 8 && fits) || (claimed == 0 && frame.is_gso()) { Ok(()) } else { Err(Reason::UdpLength) }
}

/// All of ICMP has 8 bytes, and so have echoes and errors of ICMPv6, whose common header is 4 (RFC 4443 section 2.1).
#[inline(always)]
fn icmp<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize, packet: &mut Packet) -> Result<(), Reason> {
    if length < 4 {
        return Err(short(packet));
    }
    icmp_header(frame, offset, packet)?;
    if length < 8 && (packet.ipv6 == 0 || packet.echo != ECHO_NONE || packet.is_icmp_error()) {
        return Err(short(packet));
    }
    packet.tcp_length = length as u32;
    if packet.ipv6 == 1 {
        packet.discovery = discovery::of(packet, length);
    }
    Ok(())
}

#[inline(always)]
fn icmp_header<F: Frame + ?Sized>(frame: &F, offset: usize, packet: &mut Packet) -> Result<(), Reason> {
    let [kind, code]: [u8; 2] = frame.read(offset).ok_or(short(packet))?;
    packet.icmp_type = kind;
    packet.icmp_code = code;
    packet.echo = match (packet.ipv6, kind) {
        (0, icmp_type::ECHO_REQUEST) | (1, icmp_type::V6_ECHO_REQUEST) => ECHO_REQUEST,
        (0, icmp_type::ECHO_REPLY) | (1, icmp_type::V6_ECHO_REPLY) => ECHO_REPLY,
        _ => ECHO_NONE,
    };
    if packet.echo != ECHO_NONE {
        let id: [u8; 2] = frame.read(offset + 4).ok_or(short(packet))?;
        packet.source_port = id;
        packet.destination_port = id;
    }
    Ok(())
}

impl Packet {
    /// Whether it is ICMP of its own IP version.
    #[inline(always)]
    pub const fn is_icmp(&self) -> bool {
        (self.protocol == protocol::ICMP && self.ipv6 == 0) || (self.protocol == protocol::ICMPV6 && self.ipv6 == 1)
    }

    /// Whether it is an ICMP error, which quotes the packet it is about: destination unreachable, source quench, time
    /// exceeded, parameter problem (RFC 792); types below 128 (RFC 4443 section 2.1).
    #[inline(always)]
    pub const fn is_icmp_error(&self) -> bool {
        self.is_icmp()
            && match self.ipv6 {
                0 => matches!(self.icmp_type, 3 | 4 | 11 | 12),
                _ => self.icmp_type < 128,
            }
    }

    /// Whether it is an ICMP error that says that a packet could not be delivered, other than for its size.
    #[inline(always)]
    pub const fn is_unreachable(&self) -> bool {
        const TOO_BIG: u8 = 4;
        match self.ipv6 {
            0 => self.protocol == protocol::ICMP && self.icmp_type == 3 && self.icmp_code != TOO_BIG,
            _ => self.protocol == protocol::ICMPV6 && self.icmp_type == 1,
        }
    }

    /// Neighbour discovery that is whole and that no router has forwarded ([`discovery`]).
    #[inline(always)]
    pub const fn is_neighbour_discovery(&self) -> bool {
        self.discovery == discovery::NEIGHBOUR
    }

    /// Multicast listener discovery, likewise.
    #[inline(always)]
    pub const fn is_listener_discovery(&self) -> bool {
        self.discovery == discovery::LISTENER
    }
}

/// Parses the start of the packet that an ICMP error of `length` bytes at `offset` quotes, into addresses, protocol and
/// ports. The quote is cut short, so what it says of lengths is not checked.
///
/// `None` if it is not to be read, or quotes a later fragment.
#[inline(always)]
pub fn quoted<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize, ipv6: bool) -> Option<Packet> {
    let frame = &Until { frame, end: offset + length };
    let mut inner = Packet::default();
    let network = offset + 8;
    let transport;
    if ipv6 {
        let header: ipv6::Header = frame.read(network)?;
        if !header.is_version_6() {
            return None;
        }
        inner.ipv6 = 1;
        inner.source = header.source;
        inner.destination = header.destination;
        let upper =
            ipv6::walk(frame, network + size_of::<ipv6::Header>(), frame.length(), header.next_header()).ok()?;
        inner.protocol = upper.protocol;
        inner.fragment = upper.fragment;
        transport = upper.offset;
    } else {
        let header: ipv4::Header = frame.read(network)?;
        let header_length = (header.version_ihl & 15) as usize * 4;
        if header.version_ihl >> 4 != 4 || header_length < 20 {
            return None;
        }
        inner.source = mapped(header.source);
        inner.destination = mapped(header.destination);
        inner.protocol = header.protocol;
        inner.fragment = header.fragment();
        transport = network + header_length;
    }
    if inner.fragment == Fragment::Later {
        return None;
    }
    match inner.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => ports(frame, transport, &mut inner).ok()?,
        _ if inner.is_icmp() => icmp_header(frame, transport, &mut inner).ok()?,
        _ => {}
    }
    // An error about an error is never sent (RFC 1122 section 3.2.2); only echoes have sessions.
    if inner.is_icmp() && inner.echo == ECHO_NONE { None } else { Some(inner) }
}
