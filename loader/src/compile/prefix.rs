//! Addresses and ports of a rule as the fewest prefixes and ranges.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::policy::{Address, Addresses, PortRange, Sets};

/// Resolves lists of addresses, each set at most once.
pub(super) struct Resolver<'a> {
    sets: Sets<'a>,
    known: HashMap<&'a str, Vec<IpNet>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(sets: Sets<'a>) -> Self {
        Self { sets, known: HashMap::new() }
    }

    /// The fewest networks that hold the same addresses; none for any address.
    pub(super) fn networks(&mut self, addresses: &'a Addresses) -> Option<Vec<IpNet>> {
        let list = match addresses {
            Addresses::Any => return None,
            Addresses::List(list) => list,
        };
        if let [Address::Set(name)] = list.as_slice() {
            return Some(self.set(name).to_vec());
        }
        let mut networks = Vec::new();
        for address in list {
            match address {
                Address::Network(network) => networks.push(*network),
                Address::Set(name) => networks.extend_from_slice(self.set(name)),
            }
        }
        Some(IpNet::aggregate(&networks))
    }

    /// The fewest networks that hold the members of a set.
    fn set(&mut self, name: &'a str) -> &[IpNet] {
        let sets = &self.sets;
        self.known.entry(name).or_insert_with(|| {
            let mut members = Vec::new();
            sets.any_network(sets.members(name), |network| {
                members.push(network);
                false
            });
            IpNet::aggregate(&members)
        })
    }
}

/// The fewest ranges that hold the same ports; none for any port.
pub(super) fn ranges(ports: &[PortRange]) -> Option<Vec<PortRange>> {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<PortRange> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => last.last = last.last.max(range.last),
            _ => merged.push(range),
        }
    }
    match merged.as_slice() {
        [] | [PortRange { first: 0, last: u16::MAX }] => None,
        _ => Some(merged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one_range() {
        let range = |first, last| PortRange { first, last };
        assert_eq!(ranges(&[range(80, 80), range(90, 99), range(81, 89)]), Some(vec![range(80, 99)]));
        assert_eq!(ranges(&[range(1, 10), range(2, 3), range(12, 12)]), Some(vec![range(1, 10), range(12, 12)]));
        assert_eq!(ranges(&[range(0, 9), range(10, 65_535)]), None);
        assert_eq!(ranges(&[]), None);
    }
}
