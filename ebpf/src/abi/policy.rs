//! POLICY, RULES and POLICY_TEXT: one compiled policy generation each slot.
//!
//! Each is an array of maps with [`POLICY_SLOTS`] slots; generation `g` is in slot `g % POLICY_SLOTS`. User space
//! fills fresh inner maps, reads them back, freezes them, puts them in the slot of a generation that is long out of
//! use, and then makes the generation active by one store to [`super::config::Config::generation`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::interface;

/// Generations kept: the active one, what `policy rollback` returns to, and room to build the next.
pub const POLICY_SLOTS: u32 = 4;

/// Entries in one compiled rule set. A rule whose fields are lists takes one entry for each combination.
pub const MAX_RULE_ENTRIES: u32 = 1024;

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

/// The value of POLICY's inner map (array, one entry): what a generation says besides its rules.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PolicyHeader {
    /// The generation this slot holds; the programs refuse a slot that holds another.
    pub generation: u32,
    /// Entries in use in RULES.
    pub entries: u32,
    /// Bytes in use in POLICY_TEXT.
    pub text_bytes: u32,
    /// `BUILTIN_*` that are on.
    pub builtins: u32,
    /// `ACTION_*` where no rule matches a packet to the protected side.
    pub default_in: u8,
    /// `ACTION_*` where no rule matches a packet from the protected side.
    pub default_out: u8,
    /// All fields that entries look at: `MATCH_*`.
    pub matches: u16,
    /// Seconds a session may idle, indexed by [`timeout`].
    pub timeouts_s: [u32; timeout::COUNT],
    /// When it was compiled: nanoseconds since 1970 UTC.
    pub applied_unix_ns: u64,
}

/// Bytes of text in a [`TextChunk`].
pub const TEXT_CHUNK: usize = 4096;

/// Most chunks in POLICY_TEXT's inner map: 1 MiB of text. Each generation's has as many as it needs.
pub const TEXT_CHUNKS: u32 = 256;

/// A value of POLICY_TEXT's inner map (array): the policy in the policy language, as it was applied. Only user space
/// reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TextChunk {
    /// UTF-8, padded with zeros after the last chunk.
    pub text: [u8; TEXT_CHUNK],
}

/// [`RuleEntry::matches`]: [`RuleEntry::protocol`] must be equal.
pub const MATCH_PROTOCOL: u16 = 1 << 0;
/// [`RuleEntry::matches`]: the packet must be IPv4.
pub const MATCH_IPV4: u16 = 1 << 1;
/// [`RuleEntry::matches`]: the packet must be IPv6.
pub const MATCH_IPV6: u16 = 1 << 2;
/// [`RuleEntry::matches`]: the source must lie in its prefix.
pub const MATCH_SOURCE: u16 = 1 << 3;
/// [`RuleEntry::matches`]: the destination must lie in its prefix.
pub const MATCH_DESTINATION: u16 = 1 << 4;
/// [`RuleEntry::matches`]: the source port must lie in its range.
pub const MATCH_SOURCE_PORT: u16 = 1 << 5;
/// [`RuleEntry::matches`]: the destination port must lie in its range.
pub const MATCH_DESTINATION_PORT: u16 = 1 << 6;
/// [`RuleEntry::matches`]: the ICMP or ICMPv6 type must be equal.
pub const MATCH_ICMP_TYPE: u16 = 1 << 7;
/// [`RuleEntry::matches`]: the ICMP or ICMPv6 code must be equal.
pub const MATCH_ICMP_CODE: u16 = 1 << 8;
/// [`RuleEntry::matches`]: the interface's name must be equal.
pub const MATCH_INTERFACE: u16 = 1 << 9;

/// [`RuleEntry::attributes`]: mark the event of every new session.
pub const ATTRIBUTE_LOG: u8 = 1 << 0;

/// A value of RULES' inner map (array, [`MAX_RULE_ENTRIES`] entries). Entries stand in order of precedence, the first
/// match decides: failsafe and DHCP, then by priority, deny before allow, then in the order of the source.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RuleEntry {
    /// The source prefix, IPv4 as v4-mapped; zero beyond the mask.
    pub source: [u8; 16],
    /// The source prefix as a mask (IPv4: 96 bits longer than written).
    pub source_mask: [u8; 16],
    /// The destination prefix, IPv4 as v4-mapped; zero beyond the mask.
    pub destination: [u8; 16],
    /// The destination prefix as a mask.
    pub destination_mask: [u8; 16],
    /// The interface's name, padded with zeros.
    pub interface: [u8; interface::NAME_LEN],
    /// The rule's id ([`super::rule`]).
    pub rule: u32,
    /// `MATCH_*`: the fields that count; all others match anything.
    pub matches: u16,
    /// Lowest source port, in the host's order.
    pub source_port_low: u16,
    /// Highest source port, inclusive.
    pub source_port_high: u16,
    /// Lowest destination port.
    pub destination_port_low: u16,
    /// Highest destination port, inclusive.
    pub destination_port_high: u16,
    /// `ACTION_*`.
    pub action: u8,
    /// `DIRECTION_*` bits.
    pub directions: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// `ATTRIBUTE_*`.
    pub attributes: u8,
    /// Zero.
    pub reserved: [u8; 4],
}
