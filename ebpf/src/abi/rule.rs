//! Rule ids and RULE_HITS.
//!
//! A rule's id belongs to its name: it stays the same through all generations in which a rule of that name exists, so
//! hit counts and the rule of a session keep their meaning when the policy changes.
//!
//! RULE_HITS is an array of maps, each the counters of a block of [`BLOCK`] ids: the counters of a rule do not move when
//! others come, and memory is taken only for ids in use. Block 0 is always there; user space adds others. A block holds
//! the counters of its ids once for each possible CPU, one CPU's after the other's. It is an array and not a per-CPU array,
//! in which a look-up goes through a table of pointers: one more cache line, which is seldom there if many rules are in
//! use.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// No rule: the packet was decided before any was looked at.
pub const NONE: u32 = 0;
/// `default in`.
pub const DEFAULT_IN: u32 = 1;
/// `default out`.
pub const DEFAULT_OUT: u32 = 2;
/// `builtin arp`.
pub const ARP: u32 = 3;
/// `builtin nd`.
pub const ND: u32 = 4;
/// `builtin mld`.
pub const MLD: u32 = 5;
/// `builtin dhcp`.
pub const DHCP: u32 = 6;
/// `builtin icmp-errors`.
pub const ICMP_ERRORS: u32 = 7;
/// `builtin failsafe`.
pub const FAILSAFE: u32 = 8;
/// `builtin link-control`.
pub const LINK_CONTROL: u32 = 9;
/// The lowest id of a rule of the policy.
pub const FIRST: u32 = 64;
/// Ids in a block.
pub const BLOCK: u32 = 4096;
/// Entries of RULE_HITS' inner map in the object as it is built, a number that stands nowhere else in it. Whoever loads the
/// object puts [`BLOCK`] times the possible CPUs there. That could be left open (`BPF_F_INNER_MAP`), but then look-ups
/// are calls instead of a few instructions (`array_map_gen_lookup` in kernel/bpf/arraymap.c), for each packet.
pub const PLACEHOLDER: u32 = 0x0001_9d2b;
/// Most blocks.
pub const BLOCKS: u32 = 256;
/// One more than the highest id of a rule.
pub const LIMIT: u32 = BLOCK * BLOCKS;

/// Names of the ids below [`FIRST`], by id.
pub const RESERVED_NAMES: [&str; 10] =
    ["none", "default-in", "default-out", "arp", "nd", "mld", "dhcp", "icmp-errors", "failsafe", "link-control"];

/// Bytes of a rule's name; names are at most one shorter.
pub const NAME_LEN: usize = 64;

/// The index of a rule's counters in the inner map of its block.
#[inline(always)]
pub const fn hits_index(cpu: u32, rule: u32) -> u32 {
    cpu * BLOCK + rule % BLOCK
}

/// A value of RULE_HITS' inner maps (array, index: [`hits_index`]). Written by the programs, each CPU its own copy; set to
/// zero by user space when an id is given to another name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RuleHits {
    /// Sessions (and packets that make none) judged by the rule.
    pub sessions: u64,
    /// Packets whose verdict came from the rule.
    pub packets: u64,
    /// Bytes of those packets, with the Ethernet header.
    pub bytes: u64,
    /// The latest of those packets: nanoseconds of `CLOCK_MONOTONIC`, 0 for never.
    pub last_hit_ns: u64,
}
