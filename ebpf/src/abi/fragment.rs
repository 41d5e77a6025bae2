//! FRAGMENTS: what later fragments need to know of their first.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries of FRAGMENTS.
pub const MAX_FRAGMENTED: usize = 1_024;

/// Later fragments follow their first for this long: seconds, as the kernel waits for them (`ipfrag_time`,
/// `ip6frag_time`, RFC 8200 section 4.5 allows 60).
pub const TIMEOUT_S: u32 = 30;

/// A key of FRAGMENTS: what the fragments of one datagram have in common (RFC 791 section 3.2, RFC 8200 section 4.5).
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FragmentKey {
    /// Source address in the order of the wire, IPv4 as v4-mapped.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Identification, as on the wire.
    pub id: [u8; 4],
    /// The zone of the interface.
    pub zone: u16,
    /// IPv4: the protocol. IPv6: 0, since only the first fragment need tell the upper-layer protocol.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}

/// A value of FRAGMENTS (LRU hash): the transport header that only the first fragment has. Written by the programs when
/// a first fragment passes. When full, the least recently used goes, and the rest of its datagram is denied.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Fragmented {
    /// When it was written: ticks.
    pub seen_tick: u32,
    /// Source port, big-endian, or the identifier of an echo.
    pub source_port: [u8; 2],
    /// Destination port, big-endian, or the identifier of an echo.
    pub destination_port: [u8; 2],
    /// Where the first fragment ends in the datagram's payload: bytes.
    pub end: u16,
    /// [`crate::packet::Packet::echo`].
    pub echo: u16,
    /// IP protocol number of the transport header.
    pub protocol: u8,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// Zero.
    pub reserved: u16,
}

const _: () = assert!(size_of::<FragmentKey>() == 40);
const _: () = assert!(size_of::<Fragmented>() == 16);
