//! Networks as the regions they divide all addresses into, and the entries of NETWORKS4 and NETWORKS6 that find them.

use std::collections::HashMap;

use ipnet::IpNet;
use mseg_ebpf::{
    abi::policy::{ADDRESS_SPACES, Class, KIND_BITS, MAX_LENGTHS, Network4, Network6, PolicyHeader, SPACE_BITS, kind},
    policy::{Entry, Key, longer, shorter},
};

use super::partition::{NO_SET, Partition, TooMany};

/// The networks of one family, and the regions between them.
pub(super) struct Family {
    ipv6: bool,
    /// The list of what no network holds, or only the one of every address.
    root: u32,
    /// Every network but that of every address, before those that it holds.
    networks: Vec<Network>,
}

struct Network {
    /// From the highest bit on, of either family.
    bits: u128,
    length: u8,
    /// The list of what it holds and no longer one does.
    list: u32,
    /// The longest that holds it.
    parent: Option<u32>,
}

impl Network {
    fn holds(&self, bits: u128) -> bool {
        cut(bits, self.length) == self.bits
    }
}

/// Writes the rising `lengths` in the order in which a search from `step` on tries them.
fn spread(lengths: &mut impl Iterator<Item = u8>, tried: &mut [u8], step: u32) {
    if (step as usize) < tried.len() {
        spread(lengths, tried, shorter(step));
        tried[step as usize] = lengths.next().unwrap_or_default();
        spread(lengths, tried, longer(step));
    }
}

/// The first `length` bits, at least one.
fn cut(bits: u128, length: u8) -> u128 {
    bits & u128::MAX << (128 - length)
}

fn parts(network: &IpNet) -> (u128, u8) {
    let bits = match network {
        IpNet::V4(v4) => u128::from(v4.network().to_bits()) << 96,
        IpNet::V6(v6) => v6.network().to_bits(),
    };
    (bits, network.prefix_len())
}

impl Family {
    /// The networks of one family out of all sets.
    pub(super) fn new(ipv6: bool, sets: &[Vec<IpNet>], partition: &mut Partition) -> Result<Self, TooMany> {
        let mut all: Vec<(u128, u8, u32)> = Vec::new();
        for (number, set) in (0..).zip(sets) {
            let of_family = set.iter().filter(|network| network.addr().is_ipv6() == ipv6);
            all.extend(of_family.map(parts).map(|(bits, length)| (bits, length, number)));
        }
        all.sort_unstable();
        let mut family = Self { ipv6, root: NO_SET, networks: Vec::new() };
        // The networks that hold the current one, from the shortest on.
        let mut open: Vec<u32> = Vec::new();
        for same in all.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (bits, length, _) = same[0];
            let own: Vec<u32> = same.iter().map(|(_, _, set)| *set).collect();
            if length == 0 {
                family.root = partition.list(own)?;
                continue;
            }
            while open.last().is_some_and(|last| !family.networks[*last as usize].holds(bits)) {
                open.pop();
            }
            let parent = open.last().copied();
            let outside = parent.map_or(family.root, |parent| family.networks[parent as usize].list);
            let list = partition.with(outside, &own)?;
            open.push(family.networks.len() as u32);
            family.networks.push(Network { bits, length, list, parent });
        }
        Ok(family)
    }

    /// Adds the entries of `space`. `classes` are by list.
    pub(super) fn write(&self, space: u8, classes: &[Class], header: &mut PolicyHeader, networks: &mut Networks) {
        header.roots[space as usize] = classes[self.root as usize];
        let mut in_use = [false; MAX_LENGTHS + 1];
        for network in &self.networks {
            in_use[network.length as usize] = true;
        }
        let lengths: Vec<u8> = (1..=MAX_LENGTHS as u8).filter(|length| in_use[*length as usize]).collect();
        spread(&mut lengths.iter().copied(), &mut header.lengths[space as usize][..lengths.len()], 0);

        let mut lists: HashMap<(u128, u8), u32> = HashMap::with_capacity(self.networks.len());
        for network in &self.networks {
            lists.insert((network.bits, network.length), network.list);
        }
        for network in &self.networks {
            // As the programs search: where they must go on to longer ones, there is an entry that says so.
            let mut step = 0;
            loop {
                let length = header.length(space as usize, step);
                if length == network.length {
                    break;
                }
                if length > network.length {
                    step = shorter(step);
                    continue;
                }
                step = longer(step);
                let marker = (cut(network.bits, length), length);
                lists.entry(marker).or_insert_with(|| self.longest(network, length));
            }
        }
        for ((bits, length), list) in lists {
            networks.add(self.ipv6, bits, kind(length, space), classes[list as usize]);
        }
    }

    /// The list of the longest network that holds `network` and is at most that long.
    fn longest(&self, network: &Network, length: u8) -> u32 {
        let mut at = network.parent;
        while let Some(parent) = at.map(|number| &self.networks[number as usize]) {
            if parent.length <= length {
                return parent.list;
            }
            at = parent.parent;
        }
        self.root
    }
}

/// The entries of NETWORKS4 and NETWORKS6, in no order.
#[derive(Default)]
pub(super) struct Networks {
    pub(super) v4: Vec<Network4>,
    pub(super) v6: Vec<Network6>,
}

impl Networks {
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The hashes of those that are searched for by several prefix lengths.
    pub(super) fn searched<'a>(&'a self, header: &'a PolicyHeader) -> impl Iterator<Item = u64> + 'a {
        let several = |kind: u64| {
            let space = (kind & SPACE_BITS) as usize;
            space < ADDRESS_SPACES && header.length(space, 1) != 0
        };
        let of4 = self.v4.iter().map(Entry::key).filter(move |key| several(*key)).map(Key::hash);
        let of6 = self.v6.iter().map(Entry::key).filter(move |key| several(key.kind)).map(Key::hash);
        of4.chain(of6)
    }

    /// `bits` are those of a network of either family from the highest on, or of an interface's name.
    pub(super) fn add(&mut self, wide: bool, bits: u128, kind: u64, class: Class) {
        let Class { numbers, profile } = class;
        let key = profile << KIND_BITS | kind;
        if wide {
            self.v6.push(Network6 { address: zerocopy::transmute!(bits.to_be_bytes()), key, numbers });
        } else {
            self.v4.push(Network4 { key: ((bits >> 96) as u64) << 32 | key, numbers });
        }
    }
}
