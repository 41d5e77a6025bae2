//! POLICY, RULES, SERVICES, CLASSES, PROFILES, NETWORKS4, NETWORKS6, FILTER, VERDICTS and POLICY_TEXT: one compiled
//! policy generation each slot.
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
//! - addresses: a binary search over the prefix lengths in use (Waldvogel and others, "Scalable High Speed IP Routing
//!   Lookups", 1997: entries called markers lead to longer prefixes, and bear the class of the longest prefix that covers
//!   them). Each step asks a word of FILTER whether there may be an entry of that length, and only the entry that the search
//!   ends with is read from NETWORKS4 or NETWORKS6. If it is there, the search was right: markers lead to it, and a filter
//!   never denies what there is. Else, which is rare, each step of another search reads its entry;
//! - services and source ports: two levels of [`Page`]s in SERVICES, then a [`ClassPage`] of CLASSES;
//! - interfaces: one look-up in NETWORKS6.
//!
//! A rule that leaves some of the five open has a [`Shape`]: which it looks at. A class has a [`Profile`], which says which
//! shapes have a rule for it, so the packet's classes together leave few shapes, and each of those takes one look-up in
//! VERDICTS, under a number made of the classes its rules look at. Of what is found, the lowest [`Verdict`] decides.
//!
//! A rule over many classes takes an entry for each. To keep that small, the rules' sets of addresses (and services) are
//! spread over up to [`LAYERS`] *layers* by how many classes they hold: a packet has a class in each layer, and a shape
//! says in which layer its rules look.
//!
//! # Why arrays of buckets
//!
//! With 100,000 rules in use it is the cache lines touched that take the time, not the number of look-ups. A hash map of
//! the kernel reads the head of a list, then an element of 48 bytes besides key and value. But nothing is ever added to a
//! generation: user space fills arrays of [`Bucket`]s, each a cache line, such that every entry is in one of two
//! ([`crate::policy::buckets`]), and mostly in the first.

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

/// A layer in a [`Shape`] that means: its rules do not look at this at all. [`Class::numbers`] has zero there.
pub const ANY: u8 = LAYERS as u8;

/// Most shapes in a policy: bits of [`Profile::shapes`].
pub const MAX_SHAPES: usize = 64;

/// Most rules with `audit` in a policy: bits of [`Profile::audits`].
pub const MAX_AUDITS: usize = 64;

/// Most entries of VERDICTS. A rule takes one for each combination of the classes it looks at.
pub const MAX_VERDICTS: usize = 1 << 20;

/// Most entries of NETWORKS4 and NETWORKS6 together: networks of all rules, sources and destinations apart, and markers.
pub const MAX_NETWORKS: usize = 1 << 20;

/// Bits of a number of a class in a layer, and of a profile.
pub const NUMBER_BITS: u32 = 21;

/// Most classes of a policy.
pub const MAX_CLASSES: usize = 1 << NUMBER_BITS;

/// Addresses, services, source ports or interfaces that no rule tells apart.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Class {
    /// Its number in each layer, of [`NUMBER_BITS`] each from the lowest on, 0 where no rule looks at it.
    pub numbers: u64,
    /// Index of PROFILES.
    pub profile: u64,
}

/// What classes may have in common. A value of PROFILES' inner map (array).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Profile {
    /// The shapes that may have a rule for the class, by bit.
    pub shapes: u64,
    /// The rules with `audit` that match it, by bit: indexes of [`PolicyHeader::audit_rules`].
    pub audits: u64,
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// As many entries as a cache line holds, those in use first. An entry is in one of two buckets, and in its second one only
/// if its first is full.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Bucket<T, const N: usize> {
    /// All zeros where there is none.
    pub entries: [T; N],
}

impl<T: Default + Copy, const N: usize> Default for Bucket<T, N> {
    fn default() -> Self {
        Self { entries: [T::default(); N] }
    }
}

/// A value of NETWORKS4's inner map (array).
pub type Bucket4 = Bucket<Network4, { LINE / size_of::<Network4>() }>;
/// A value of NETWORKS6's inner map (array).
pub type Bucket6 = Bucket<Network6, { LINE / size_of::<Network6>() }>;
/// A value of VERDICTS' inner map (array).
pub type VerdictBucket = Bucket<VerdictEntry, { LINE / size_of::<VerdictEntry>() }>;

/// Entries of a [`Page`].
pub const PAGE: usize = 256;

/// A value of SERVICES' inner map (array). The page [`PAGE_IN`], [`PAGE_OUT`] or [`PAGE_SOURCE_PORTS`] gives, by
/// protocol number, a page that gives, by the port's upper byte, an index of CLASSES. For ICMP and ICMPv6 the upper byte
/// is the type and the lower the code; other protocols have port 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Page {
    /// Numbers of pages, or indexes of CLASSES.
    pub entries: [u32; PAGE],
}

/// A value of CLASSES' inner map (array): the classes of ports by their lower byte. Not numbers of classes, which would take
/// another look-up.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ClassPage {
    /// The classes.
    pub classes: [Class; PAGE],
}

/// First page for packets to the protected side.
pub const PAGE_IN: u32 = 0;
/// First page for packets from the protected side.
pub const PAGE_OUT: u32 = 1;
/// First page for source ports.
pub const PAGE_SOURCE_PORTS: u32 = 2;

/// A [`kind`]'s space: sources of IPv4.
pub const SPACE_SOURCE_V4: u8 = 0;
/// A [`kind`]'s space: sources of IPv6.
pub const SPACE_SOURCE_V6: u8 = 1;
/// A [`kind`]'s space: destinations of IPv4.
pub const SPACE_DESTINATION_V4: u8 = 2;
/// A [`kind`]'s space: destinations of IPv6.
pub const SPACE_DESTINATION_V6: u8 = 3;
/// A [`kind`]'s space: interfaces.
pub const SPACE_INTERFACE: u8 = 4;
/// Number of spaces.
pub const SPACES: usize = 5;
/// Number of spaces that hold addresses.
pub const ADDRESS_SPACES: usize = 4;

/// Most prefix lengths in a space, without 0.
pub const MAX_LENGTHS: usize = 128;

/// Bits of a network's kind.
pub const KIND_BITS: u32 = 11;

/// The bits of a [`kind`] that say the space.
pub const SPACE_BITS: u64 = 7;

/// What else a network is found by: its prefix length, 0 for an interface, and `SPACE_*`. Never 0.
#[inline(always)]
pub const fn kind(length: u8, space: u8) -> u64 {
    (length as u64) << 3 | space as u64
}

/// A network of IPv4.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Network4 {
    /// From the lowest bit on its [`kind`], the number of its class's profile, and 32 bits of address.
    pub key: u64,
    /// [`Class::numbers`].
    pub numbers: u64,
}

/// A network of IPv6, or an interface.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Network6 {
    /// Both halves of the network, each in memory as on the wire; or of an interface's name, padded with zeros.
    pub address: [u64; 2],
    /// From the lowest bit on its [`kind`] and the number of its class's profile.
    pub key: u64,
    /// [`Class::numbers`].
    pub numbers: u64,
}

/// What NETWORKS6 is asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key6 {
    /// [`Network6::address`].
    pub address: [u64; 2],
    /// [`kind`].
    pub kind: u64,
}

/// Indexes of the five things that rules look at.
pub mod thing {
    /// Source address.
    pub const SOURCE: usize = 0;
    /// Destination address.
    pub const DESTINATION: usize = 1;
    /// Direction, protocol, and destination port or ICMP type and code.
    pub const SERVICE: usize = 2;
    /// Source port.
    pub const SOURCE_PORT: usize = 3;
    /// Interface.
    pub const INTERFACE: usize = 4;
    /// How many there are.
    pub const COUNT: usize = 5;
}

/// Which of the five things the rules of a shape look at, and in which layer. The key of a verdict is the sum of
/// [`Self::base`] and of each thing's number times its stride, which is another for every shape and numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Shape {
    /// The lowest precedence of its rules. Shapes stand in this order.
    pub first: u32,
    /// The layer of each [`thing`], or [`ANY`].
    pub layers: [u8; thing::COUNT],
    /// Zero.
    pub reserved: [u8; 7],
    /// The key of zeros.
    pub base: u64,
    /// 0 for what the rules do not look at.
    pub strides: [u64; thing::COUNT],
}

/// What a rule decides, in one number: its precedence in the upper half; then the rule's id ([`super::rule`]), whether it
/// marks the event of every new session, and whether it allows. The lower number decides.
///
/// A rule's precedence is its place in the order in which rules are asked, from 0: failsafe and DHCP, then by priority,
/// deny before allow, then in the order of the source.
#[repr(transparent)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Verdict(u64);

impl Verdict {
    /// What no rule decides: after every rule's.
    pub const NONE: Self = Self(u64::MAX);

    /// A rule's. Ids are below 2^30.
    #[inline(always)]
    pub const fn new(precedence: u32, rule: u32, allows: bool, logs: bool) -> Self {
        const { assert!(super::rule::LIMIT <= 1 << 30) };
        Self((precedence as u64) << 32 | (rule as u64) << 2 | (logs as u64) << 1 | allows as u64)
    }

    /// The rule's place.
    #[inline(always)]
    pub const fn precedence(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The rule's id.
    #[inline(always)]
    pub const fn rule(self) -> u32 {
        self.0 as u32 >> 2
    }

    /// Whether the packet passes.
    #[inline(always)]
    pub const fn allows(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether the event of a new session is marked.
    #[inline(always)]
    pub const fn logs(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether any rule decides.
    #[inline(always)]
    pub const fn is_some(self) -> bool {
        self.0 != Self::NONE.0
    }
}

/// What the first of the rules for some classes decides.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VerdictEntry {
    /// As [`Shape`] says.
    pub key: u64,
    /// The verdict.
    pub verdict: Verdict,
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
    /// Entries in use in PROFILES.
    pub profiles: u32,
    /// Entries in the buckets of NETWORKS4 and NETWORKS6.
    pub networks: u32,
    /// Buckets of NETWORKS4, at least one.
    pub buckets4: u32,
    /// Buckets of NETWORKS6, at least one.
    pub buckets6: u32,
    /// Words of FILTER, at least one.
    pub filter_words: u32,
    /// Entries in the buckets of VERDICTS.
    pub verdicts: u32,
    /// Buckets of VERDICTS, at least one.
    pub verdict_buckets: u32,
    /// Zero.
    pub reserved: u32,
    /// The shapes that look at each [`thing`], by bit.
    pub looks: [u64; thing::COUNT],
    /// The rules with `audit` that look at the interface, by bit.
    pub audits_by_interface: u64,
    /// The class, by `SPACE_*`, of what there is no network or interface for.
    pub roots: [Class; SPACES],
    /// The shapes, in the order in which they are tried.
    pub shapes: [Shape; MAX_SHAPES],
    /// What the rules with `audit` would decide, in their order.
    pub audit_rules: [Verdict; MAX_AUDITS],
    /// The prefix lengths of each space as a search for the longest prefix tries them, zeros after the last: the first is
    /// tried first, and after number `n` comes number `2n + 2` if there is a network of that length, else `2n + 1`.
    pub lengths: [[u8; MAX_LENGTHS]; ADDRESS_SPACES],
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
