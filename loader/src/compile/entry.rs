//! The map entries of a selector: one for each combination of its networks and port ranges.

use ipnet::IpNet;
use mseg_ebpf::abi::policy::{
    MATCH_DESTINATION, MATCH_DESTINATION_PORT, MATCH_ICMP_CODE, MATCH_ICMP_TYPE, MATCH_INTERFACE, MATCH_IPV4,
    MATCH_IPV6, MATCH_PROTOCOL, MATCH_SOURCE, MATCH_SOURCE_PORT, RuleEntry,
};
use zerocopy::FromZeros;

use super::prefix::{Networks, Resolver, ranges};
use crate::policy::{PortRange, Protocol, Selector, evaluate::mapped};

/// A selector with its lists resolved.
pub(super) struct Expansion<'a> {
    selector: &'a Selector,
    from: Networks,
    to: Networks,
    from_ports: Vec<Option<PortRange>>,
    to_ports: Vec<Option<PortRange>>,
}

/// The only family a selector's protocol is of.
fn protocol_family(protocol: Protocol) -> Option<u16> {
    match protocol {
        Protocol::Icmp => Some(MATCH_IPV4),
        Protocol::Icmpv6 => Some(MATCH_IPV6),
        _ => None,
    }
}

fn family(network: Option<IpNet>) -> Option<u16> {
    network.map(|network| if network.addr().is_ipv4() { MATCH_IPV4 } else { MATCH_IPV6 })
}

/// What all agree on: no family, one, or an error if two differ.
fn common(families: [Option<u16>; 3]) -> Result<Option<u16>, ()> {
    families.into_iter().try_fold(None, |known: Option<u16>, family| match (known, family) {
        (Some(known), Some(family)) if known != family => Err(()),
        (known, family) => Ok(known.or(family)),
    })
}

impl<'a> Expansion<'a> {
    pub(super) fn new(selector: &'a Selector, resolver: &mut Resolver<'a>) -> Self {
        Self {
            selector,
            from: resolver.networks(&selector.from.addresses),
            to: resolver.networks(&selector.to.addresses),
            from_ports: ranges(&selector.from.ports),
            to_ports: ranges(&selector.to.ports),
        }
    }

    /// Number of entries, without making them.
    pub(super) fn count(&self) -> u64 {
        let only = protocol_family(self.selector.protocol);
        let fits = |family, networks: &Networks| {
            let of_family = |network: &&Option<IpNet>| common([Some(family), self::family(**network), only]).is_ok();
            networks.iter().filter(of_family).count() as u64
        };
        let any = |networks: &Networks| networks.contains(&None);
        let pairs = if any(&self.from) && any(&self.to) {
            1
        } else {
            fits(MATCH_IPV4, &self.from) * fits(MATCH_IPV4, &self.to)
                + fits(MATCH_IPV6, &self.from) * fits(MATCH_IPV6, &self.to)
        };
        pairs.saturating_mul(self.from_ports.len() as u64).saturating_mul(self.to_ports.len() as u64)
    }

    /// Appends the entries. Each is a copy of `like` with the fields that match.
    pub(super) fn write(&self, like: &RuleEntry, entries: &mut Vec<RuleEntry>) {
        let base = self.fixed(like);
        let only = protocol_family(self.selector.protocol);
        for from in &self.from {
            for to in &self.to {
                let Ok(family) = common([family(*from), family(*to), only]) else { continue };
                let mut entry = base;
                entry.matches |= family.unwrap_or(0);
                if let Some((prefix, mask)) = from.and_then(prefix) {
                    (entry.source, entry.source_mask) = (prefix, mask);
                    entry.matches |= MATCH_SOURCE;
                }
                if let Some((prefix, mask)) = to.and_then(prefix) {
                    (entry.destination, entry.destination_mask) = (prefix, mask);
                    entry.matches |= MATCH_DESTINATION;
                }
                self.write_ports(entry, entries);
            }
        }
    }

    fn write_ports(&self, mut entry: RuleEntry, entries: &mut Vec<RuleEntry>) {
        for from in &self.from_ports {
            for to in &self.to_ports {
                if let Some(range) = from {
                    (entry.source_port_low, entry.source_port_high) = (range.first, range.last);
                    entry.matches |= MATCH_SOURCE_PORT;
                }
                if let Some(range) = to {
                    (entry.destination_port_low, entry.destination_port_high) = (range.first, range.last);
                    entry.matches |= MATCH_DESTINATION_PORT;
                }
                entries.push(entry);
            }
        }
    }

    /// What is the same in every combination.
    fn fixed(&self, like: &RuleEntry) -> RuleEntry {
        let selector = self.selector;
        let mut entry = RuleEntry { directions: selector.direction.bits(), ..*like };
        if let Some(number) = selector.protocol.number() {
            entry.protocol = number;
            entry.matches |= MATCH_PROTOCOL;
        }
        if let Some(icmp) = selector.icmp {
            entry.icmp_type = icmp.number;
            entry.matches |= MATCH_ICMP_TYPE;
            if let Some(code) = icmp.code {
                entry.icmp_code = code;
                entry.matches |= MATCH_ICMP_CODE;
            }
        }
        if let Some(name) = &selector.interface {
            for (to, from) in entry.interface.iter_mut().zip(name.bytes()) {
                *to = from;
            }
            entry.matches |= MATCH_INTERFACE;
        }
        entry
    }
}

/// An entry that matches nothing yet.
pub(super) fn empty(rule: u32, action: u8, attributes: u8) -> RuleEntry {
    RuleEntry { rule, action, attributes, ..RuleEntry::new_zeroed() }
}

/// The prefix and mask in maps; none if the family says it all.
fn prefix(network: IpNet) -> Option<([u8; 16], [u8; 16])> {
    if network.prefix_len() == 0 {
        return None;
    }
    let mut mask = mapped(network.netmask());
    if network.addr().is_ipv4() {
        mask[..12].fill(0xff);
    }
    Some((mapped(network.network()), mask))
}
