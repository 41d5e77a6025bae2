//! POLICY, RULES, SERVICES, CLASSES, ADDRESSES, VERDICTS and POLICY_TEXT: one compiled policy generation each slot.
//!
//! Each is an array of maps with [`POLICY_SLOTS`] slots; generation `g` is in slot `g % POLICY_SLOTS`. User space
//! fills fresh inner maps, reads them back, freezes them, puts them in the slot of a generation that is long out of
//! use, and then makes the generation active by one store to [`super::config::Config::generation`].
//!
//! # How a packet is looked up
//!
//! A packet has five things that rules look at: its source, its destination, its *service* (direction, protocol, and
//! destination port or ICMP type and code), its source port and its interface. Addresses (or ports, or interfaces) that
//! no rule tells apart are of one [`Class`]. One look-up for each of the five finds the classes, whatever the number of
//! rules:
//!
//! - addresses: a binary search over the prefix lengths in use, each step one look-up in ADDRESSES (Waldvogel and
//!   others, "Scalable High Speed IP Routing Lookups", 1997: entries called markers lead to longer prefixes, and bear
//!   the class of the longest prefix that covers them);
//! - services and source ports: three levels of [`Page`]s in SERVICES, then CLASSES;
//! - interfaces: one look-up in ADDRESSES.
//!
//! A rule that leaves some of the five open has a [`Shape`]: which it looks at. A class says which shapes have a rule for
//! it, so the packet's classes together leave few shapes, and each of those takes one look-up in VERDICTS, under the
//! [`Combination`] of the classes its rules look at. Of what is found, the lowest [`Verdict::precedence`] decides.
//!
//! A rule over many classes takes an entry for each. To keep that small, the rules' sets of addresses (and services) are
//! spread over up to [`LAYERS`] *layers* by how many classes they hold: a packet has a class in each layer, and a shape
//! says in which layer its rules look.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::rule::NAME_LEN;

/// Generations kept: the active one, what `policy rollback` returns to, and room to build the next.
pub const POLICY_SLOTS: u32 = 4;

/// Drop, or report in observe mode.
pub const ACTION_DENY: u8 = 0;
/// Let pass.
pub const ACTION_ALLOW: u8 = 1;

/// Bit of the direction towards the protected side.
pub const DIRECTION_IN: u8 = 1;
/// Bit of the direction from the protected side.
pub const DIRECTION_OUT: u8 = 2;

/// [`PolicyHeader::builtins`]: ARP (RFC 826) passes.
pub const BUILTIN_ARP: u32 = 1 << 0;
/// [`PolicyHeader::builtins`]: neighbour discovery with hop limit 255 (RFC 4861) passes.
pub const BUILTIN_ND: u32 = 1 << 1;
/// [`PolicyHeader::builtins`]: multicast listener discovery with hop limit 1 (RFC 2710, 3810) passes.
pub const BUILTIN_MLD: u32 = 1 << 2;
/// [`PolicyHeader::builtins`]: DHCP client traffic passes; compiled to ordinary entries.
pub const BUILTIN_DHCP: u32 = 1 << 3;
/// [`PolicyHeader::builtins`]: ICMP errors about a live, allowed session pass.
pub const BUILTIN_ICMP_ERRORS: u32 = 1 << 4;
/// [`PolicyHeader::builtins`]: the failsafe rules are on; compiled to ordinary entries.
pub const BUILTIN_FAILSAFE: u32 = 1 << 5;
/// [`PolicyHeader::builtins`]: frames to 01:80:c2:00:00:0x (STP, LACP, LLDP, EAPOL; IEEE 802.1Q table 8-1) pass.
pub const BUILTIN_LINK_CONTROL: u32 = 1 << 6;

/// Indexes of [`PolicyHeader::timeouts_s`].
pub mod timeout {
    /// TCP with the SYN seen, not yet answered.
    pub const TCP_SYN_SENT: usize = 0;
    /// TCP with SYN and SYN+ACK seen.
    pub const TCP_SYN_RECV: usize = 1;
    /// TCP established.
    pub const TCP_ESTABLISHED: usize = 2;
    /// TCP with one FIN seen (fin-wait and close-wait).
    pub const TCP_FIN_WAIT: usize = 3;
    /// TCP with both FINs seen, the last not yet acknowledged.
    pub const TCP_LAST_ACK: usize = 4;
    /// TCP closed in order.
    pub const TCP_TIME_WAIT: usize = 5;
    /// TCP reset.
    pub const TCP_CLOSE: usize = 6;
    /// UDP without a reply.
    pub const UDP_NEW: usize = 7;
    /// UDP with a reply.
    pub const UDP_ESTABLISHED: usize = 8;
    /// ICMP and ICMPv6 echo.
    pub const ICMP: usize = 9;
    /// Any other protocol.
    pub const OTHER: usize = 10;
    /// Number of timeouts.
    pub const COUNT: usize = 11;

    /// Names in the policy language, by index.
    pub const NAMES: [&str; COUNT] = [
        "tcp-syn-sent",
        "tcp-syn-recv",
        "tcp-established",
        "tcp-fin-wait",
        "tcp-last-ack",
        "tcp-time-wait",
        "tcp-close",
        "udp-new",
        "udp-established",
        "icmp",
        "other",
    ];

    /// Defaults in seconds, by index: nf_conntrack's (nf_conntrack_proto_tcp.c, _udp.c, _icmp.c, _generic.c), but for
    /// TCP established, where netfilter's five days keep dead sessions for long.
    pub const DEFAULTS_S: [u32; COUNT] = [120, 60, 86_400, 120, 30, 120, 10, 30, 120, 30, 600];
}

/// Layers of classes that addresses and services have.
pub const LAYERS: usize = 3;

/// A layer in a [`Shape`] that means: its rules do not look at this at all. [`Class::ids`] has zero there.
pub const ANY: u8 = LAYERS as u8;

/// Most shapes in a policy: bits of [`Class::shapes`].
pub const MAX_SHAPES: usize = 64;

/// Most rules with `audit` in a policy: bits of [`Class::audits`].
pub const MAX_AUDITS: usize = 64;

/// Most entries of VERDICTS. A rule takes one for each combination of the classes it looks at.
pub const MAX_VERDICTS: usize = 1 << 20;

/// Most entries of ADDRESSES: networks of all rules, sources and destinations apart, and markers.
pub const MAX_ADDRESSES: usize = 1 << 20;

/// Addresses, services, source ports or interfaces that no rule tells apart. The value of ADDRESSES and CLASSES.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Class {
    /// The shapes that may have a rule for it, by bit.
    pub shapes: u64,
    /// The rules with `audit` that match it, by bit: indexes of [`PolicyHeader::audit_rules`].
    pub audits: u64,
    /// Its number in each layer, 0 where no rule looks at it; 0 at [`ANY`].
    pub ids: [u32; LAYERS + 1],
}

/// Entries of a [`Page`].
pub const PAGE: usize = 256;

/// A value of SERVICES' inner map (array). The page [`PAGE_IN`], [`PAGE_OUT`] or [`PAGE_SOURCE_PORTS`] gives, by
/// protocol number, a page that gives, by the port's upper byte, a page that gives, by the port's lower byte, an index
/// of CLASSES. For ICMP and ICMPv6 the upper byte is the type and the lower the code; other protocols have port 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Page {
    /// Numbers of pages, or of classes.
    pub entries: [u32; PAGE],
}

/// First page for packets to the protected side.
pub const PAGE_IN: u32 = 0;
/// First page for packets from the protected side.
pub const PAGE_OUT: u32 = 1;
/// First page for source ports.
pub const PAGE_SOURCE_PORTS: u32 = 2;

/// [`AddressKey::space`]: sources of IPv4.
pub const SPACE_SOURCE_V4: u8 = 0;
/// [`AddressKey::space`]: sources of IPv6.
pub const SPACE_SOURCE_V6: u8 = 1;
/// [`AddressKey::space`]: destinations of IPv4.
pub const SPACE_DESTINATION_V4: u8 = 2;
/// [`AddressKey::space`]: destinations of IPv6.
pub const SPACE_DESTINATION_V6: u8 = 3;
/// [`AddressKey::space`]: interfaces.
pub const SPACE_INTERFACE: u8 = 4;
/// Number of spaces.
pub const SPACES: usize = 5;
/// Number of spaces that hold addresses.
pub const ADDRESS_SPACES: usize = 4;

/// Most prefix lengths in a space, without 0.
pub const MAX_LENGTHS: usize = 128;

/// The key of ADDRESSES' inner map (hash; value: [`Class`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AddressKey {
    /// The network in the order of the wire, IPv4 as v4-mapped; or an interface's name, padded with zeros.
    pub address: [u8; 16],
    /// Prefix length, of IPv4 that of IPv4; 0 for an interface.
    pub length: u8,
    /// `SPACE_*`.
    pub space: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// Which of the five things the rules of a shape look at, and in which layer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Shape {
    /// The lowest precedence of its rules. Shapes stand in this order.
    pub first: u32,
    /// The source's layer, or [`ANY`].
    pub source: u8,
    /// The destination's layer, or [`ANY`].
    pub destination: u8,
    /// The service's layer, or [`ANY`].
    pub service: u8,
    /// The source port's layer: 0, or [`ANY`].
    pub source_port: u8,
    /// The interface's layer: 0, or [`ANY`].
    pub interface: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// The key of VERDICTS' inner map (hash; value: [`Verdict`]): a shape, and numbers of classes, 0 for what the shape does
/// not look at.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Combination {
    /// Index of [`PolicyHeader::shapes`].
    pub shape: u32,
    /// Number of the source's class.
    pub source: u32,
    /// Number of the destination's class.
    pub destination: u32,
    /// Number of the service's class.
    pub service: u32,
    /// Number of the source port's class.
    pub source_port: u32,
    /// Number of the interface's class.
    pub interface: u32,
}

/// [`Verdict::attributes`]: mark the event of every new session.
pub const ATTRIBUTE_LOG: u8 = 1 << 0;

/// What a rule decides.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Verdict {
    /// The rule's place in the order in which rules are asked, from 0: failsafe and DHCP, then by priority, deny before
    /// allow, then in the order of the source.
    pub precedence: u32,
    /// The rule's id ([`super::rule`]).
    pub rule: u32,
    /// `ACTION_*`.
    pub action: u8,
    /// `ATTRIBUTE_*`.
    pub attributes: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// The value of POLICY's inner map (array, one entry): what a generation says besides its look-up tables.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PolicyHeader {
    /// The generation this slot holds; the programs refuse a slot that holds another.
    pub generation: u32,
    /// Entries in use in RULES.
    pub rules: u32,
    /// Bytes in use in POLICY_TEXT.
    pub text_bytes: u32,
    /// `BUILTIN_*` that are on.
    pub builtins: u32,
    /// `ACTION_*` where no rule matches a packet to the protected side.
    pub default_in: u8,
    /// `ACTION_*` where no rule matches a packet from the protected side.
    pub default_out: u8,
    /// Number of [`Self::shapes`].
    pub shape_count: u8,
    /// Number of [`Self::audit_rules`].
    pub audit_count: u8,
    /// Seconds a session may idle, indexed by [`timeout`].
    pub timeouts_s: [u32; timeout::COUNT],
    /// When it was compiled: nanoseconds since 1970 UTC.
    pub applied_unix_ns: u64,
    /// Entries in use in SERVICES.
    pub pages: u32,
    /// Entries in use in CLASSES.
    pub classes: u32,
    /// Entries of ADDRESSES.
    pub addresses: u32,
    /// Entries of VERDICTS.
    pub verdicts: u32,
    /// The shapes that look at the source, by bit.
    pub by_source: u64,
    /// The shapes that look at the destination.
    pub by_destination: u64,
    /// The shapes that look at the source port.
    pub by_source_port: u64,
    /// The shapes that look at the interface.
    pub by_interface: u64,
    /// The rules with `audit` that look at the interface, by bit.
    pub audits_by_interface: u64,
    /// The class, by `SPACE_*`, of what ADDRESSES has no prefix for.
    pub roots: [Class; SPACES],
    /// The shapes, in the order in which they are tried.
    pub shapes: [Shape; MAX_SHAPES],
    /// What the rules with `audit` would decide, in their order.
    pub audit_rules: [Verdict; MAX_AUDITS],
    /// The prefix lengths of each space, rising, zeros after the last.
    pub lengths: [[u8; MAX_LENGTHS]; ADDRESS_SPACES],
    /// Numbers of [`Self::lengths`].
    pub length_counts: [u8; ADDRESS_SPACES],
    /// Zero.
    pub reserved: [u8; 4],
}

/// A value of RULES' inner map (array): the rules of a generation in the order of its text. Only user space reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct NamedRule {
    /// ASCII, padded with zeros.
    pub name: [u8; NAME_LEN],
    /// The rule's id ([`super::rule`]).
    pub id: u32,
}

/// Bytes of text in a [`TextChunk`].
pub const TEXT_CHUNK: usize = 4096;

/// Most chunks in POLICY_TEXT's inner map: 64 MiB of text. Each generation's has as many as it needs.
pub const TEXT_CHUNKS: u32 = 16_384;

/// A value of POLICY_TEXT's inner map (array): the policy in the policy language, as it was applied. Only user space
/// reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TextChunk {
    /// UTF-8, padded with zeros after the last chunk.
    pub text: [u8; TEXT_CHUNK],
}
