//! Whether a compiled rule matches a packet. The programs and the tests of the compiler run this same code.

use crate::abi::{
    interface,
    policy::{
        MATCH_DESTINATION, MATCH_DESTINATION_PORT, MATCH_ICMP_CODE, MATCH_ICMP_TYPE, MATCH_INTERFACE, MATCH_IPV4,
        MATCH_IPV6, MATCH_PROTOCOL, MATCH_SOURCE, MATCH_SOURCE_PORT, RuleEntry,
    },
};

/// What rules look at in a packet that would open a session.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Source address in the order of the wire, IPv4 as v4-mapped.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Name of the interface, padded with zeros.
    pub interface: [u8; interface::NAME_LEN],
    /// Source port in the host's order; 0 where the protocol has none.
    pub source_port: u16,
    /// Destination port in the host's order.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// ICMP or ICMPv6 type; 0 for other protocols.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// 1 for IPv6, 0 for IPv4.
    pub ipv6: u8,
    /// One `DIRECTION_*` bit.
    pub direction: u8,
}

// The 16-byte fields stay 8-aligned wherever the entry is.
const _: () = assert!(size_of::<RuleEntry>().is_multiple_of(8));
const _: () = assert!(core::mem::offset_of!(RuleEntry, source).is_multiple_of(8));
const _: () = assert!(core::mem::offset_of!(RuleEntry, source_mask).is_multiple_of(8));
const _: () = assert!(core::mem::offset_of!(RuleEntry, destination).is_multiple_of(8));
const _: () = assert!(core::mem::offset_of!(RuleEntry, destination_mask).is_multiple_of(8));
const _: () = assert!(core::mem::offset_of!(RuleEntry, interface).is_multiple_of(8));

/// Both halves of a 16-byte field, in the order of memory: good for comparing, not for ordering.
///
/// On the BPF target an unaligned read becomes eight loads of one byte, so there the field must be 8-aligned: it lies
/// at a multiple of 8 in a [`Tuple`], or in a [`RuleEntry`] in map memory, which the kernel aligns to 8.
#[inline(always)]
fn halves(field: &[u8; 16]) -> [u64; 2] {
    let field: *const [u64; 2] = field.as_ptr().cast();
    if cfg!(target_arch = "bpf") {
        // SAFETY: 16 readable bytes, 8-aligned as said above; any bit pattern is a u64.
        unsafe { field.read() }
    } else {
        // SAFETY: 16 readable bytes; any bit pattern is a u64.
        unsafe { field.read_unaligned() }
    }
}

#[inline(always)]
fn in_prefix(address: &[u8; 16], prefix: &[u8; 16], mask: &[u8; 16]) -> bool {
    let (address, prefix, mask) = (halves(address), halves(prefix), halves(mask));
    ((address[0] & mask[0]) ^ prefix[0]) | ((address[1] & mask[1]) ^ prefix[1]) == 0
}

/// Whether `rule` matches the packet. A field counts only if its `MATCH_*` bit is set; the direction always does.
///
/// In the programs `rule` must be in map memory, which is aligned to 8 bytes.
#[inline(always)]
pub fn matches(rule: &RuleEntry, tuple: &Tuple) -> bool {
    let fields = rule.matches;
    if rule.directions & tuple.direction == 0 {
        return false;
    }
    if fields & MATCH_PROTOCOL != 0 && rule.protocol != tuple.protocol {
        return false;
    }
    if fields & MATCH_DESTINATION_PORT != 0
        && (tuple.destination_port < rule.destination_port_low || tuple.destination_port > rule.destination_port_high)
    {
        return false;
    }
    if fields & MATCH_IPV4 != 0 && tuple.ipv6 != 0 {
        return false;
    }
    if fields & MATCH_IPV6 != 0 && tuple.ipv6 == 0 {
        return false;
    }
    if fields & MATCH_SOURCE != 0 && !in_prefix(&tuple.source, &rule.source, &rule.source_mask) {
        return false;
    }
    if fields & MATCH_DESTINATION != 0 && !in_prefix(&tuple.destination, &rule.destination, &rule.destination_mask) {
        return false;
    }
    if fields & MATCH_SOURCE_PORT != 0
        && (tuple.source_port < rule.source_port_low || tuple.source_port > rule.source_port_high)
    {
        return false;
    }
    if fields & MATCH_ICMP_TYPE != 0 && rule.icmp_type != tuple.icmp_type {
        return false;
    }
    if fields & MATCH_ICMP_CODE != 0 && rule.icmp_code != tuple.icmp_code {
        return false;
    }
    if fields & MATCH_INTERFACE != 0 && halves(&rule.interface) != halves(&tuple.interface) {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;
    use crate::abi::policy::{DIRECTION_IN, DIRECTION_OUT};

    fn v4(address: [u8; 4]) -> [u8; 16] {
        let [a, b, c, d] = address;
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
    }

    fn packet() -> Tuple {
        Tuple {
            source: v4([10, 1, 2, 3]),
            destination: v4([192, 0, 2, 1]),
            interface: *b"eth0\0\0\0\0\0\0\0\0\0\0\0\0",
            source_port: 40_000,
            destination_port: 80,
            protocol: 6,
            direction: DIRECTION_IN,
            ..Tuple::default()
        }
    }

    /// Matches everything of one direction, until a test narrows it.
    fn entry(matches: u16) -> RuleEntry {
        RuleEntry { directions: DIRECTION_IN, matches, ..RuleEntry::new_zeroed() }
    }

    #[test]
    fn an_entry_without_fields_matches_every_packet_of_its_direction() {
        assert!(matches(&entry(0), &packet()));
        assert!(!matches(&entry(0), &Tuple { direction: DIRECTION_OUT, ..packet() }));
        let both = RuleEntry { directions: DIRECTION_IN | DIRECTION_OUT, ..entry(0) };
        assert!(matches(&both, &Tuple { direction: DIRECTION_OUT, ..packet() }));
    }

    #[test]
    fn a_port_range_includes_both_of_its_ends() {
        let mut rule = entry(MATCH_DESTINATION_PORT);
        (rule.destination_port_low, rule.destination_port_high) = (80, 90);
        for (port, expected) in [(79, false), (80, true), (90, true), (91, false)] {
            assert_eq!(matches(&rule, &Tuple { destination_port: port, ..packet() }), expected, "{port}");
        }
        let mut rule = entry(MATCH_SOURCE_PORT);
        (rule.source_port_low, rule.source_port_high) = (0, 65_535);
        assert!(matches(&rule, &Tuple { source_port: 0, ..packet() }));
        assert!(matches(&rule, &Tuple { source_port: 65_535, ..packet() }));
    }

    #[test]
    fn a_prefix_matches_only_under_its_mask() {
        let mut rule = entry(MATCH_SOURCE | MATCH_IPV4);
        rule.source = v4([10, 1, 0, 0]);
        rule.source_mask = [255; 16];
        rule.source_mask[14..].fill(0);
        assert!(matches(&rule, &packet()));
        assert!(!matches(&rule, &Tuple { source: v4([10, 2, 2, 3]), ..packet() }));
        assert!(!matches(&rule, &Tuple { ipv6: 1, ..packet() }));
    }

    #[test]
    fn every_other_field_must_be_equal() {
        let protocol = RuleEntry { protocol: 17, ..entry(MATCH_PROTOCOL) };
        assert!(!matches(&protocol, &packet()));
        let kind = RuleEntry { icmp_type: 8, ..entry(MATCH_ICMP_TYPE) };
        assert!(!matches(&kind, &packet()));
        let code = RuleEntry { icmp_code: 1, ..entry(MATCH_ICMP_CODE) };
        assert!(!matches(&code, &packet()));
        let mut interface = entry(MATCH_INTERFACE);
        assert!(!matches(&interface, &packet()));
        interface.interface = packet().interface;
        assert!(matches(&interface, &packet()));
        assert!(!matches(&entry(MATCH_IPV6), &packet()));
    }
}
