//! Protocols and ports as the regions they are divided into, and the pages of SERVICES and CLASSES that find them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mseg_ebpf::abi::policy::{Class, ClassPage, PAGE, Page};

use super::{
    item::{Interner, Ports},
    partition::{Partition, TooMany},
};

/// The pages, which find the regions' classes.
#[derive(Default)]
pub(super) struct Pages {
    pub(super) pages: Vec<Page>,
    numbers: HashMap<Box<[u32; PAGE]>, u32>,
    /// By the lower byte of a port its region.
    regions: Interner<Box<[u32; PAGE]>>,
}

impl Pages {
    /// With `first` pages that are not shared, to be set later.
    pub(super) fn new(first: u32) -> Self {
        Self { pages: vec![Page { entries: [0; PAGE] }; first as usize], ..Self::default() }
    }

    fn page(&mut self, entries: [u32; PAGE]) -> u32 {
        let next = self.pages.len() as u32;
        *self.numbers.entry(Box::new(entries)).or_insert_with(|| {
            self.pages.push(Page { entries });
            next
        })
    }

    /// The pages of CLASSES. `classes` are by region.
    pub(super) fn classes(&self, classes: &[Class]) -> Vec<ClassPage> {
        let page = |regions: &[u32; PAGE]| ClassPage { classes: regions.map(|region| classes[region as usize]) };
        self.regions.values.iter().map(|regions| page(regions)).collect()
    }

    /// Sets page `first` to what finds the regions of the packets that go in one of `directions`. The region
    /// with list `n` has number `offset + n`.
    pub(super) fn write(
        &mut self,
        first: u32,
        directions: u8,
        sets: &[Ports],
        offset: u32,
        partition: &mut Partition,
    ) -> Result<(), TooMany> {
        let of_direction = || (0..).zip(sets).filter(|(_, set)| set.directions & directions != 0);
        let everywhere: Vec<u32> =
            of_direction().filter(|(_, set)| set.protocol.is_none() && set.ranges.is_empty()).map(|(n, _)| n).collect();
        let named: BTreeSet<u8> = of_direction().filter_map(|(_, set)| set.protocol).collect();
        let mut by_protocol: BTreeMap<u8, Vec<(u32, &Ports)>> = named.iter().map(|p| (*p, Vec::new())).collect();
        for (number, set) in of_direction() {
            match set.protocol {
                Some(protocol) => by_protocol.entry(protocol).or_default().push((number, set)),
                // Ports of any protocol cannot be said in the language.
                None => debug_assert!(set.ranges.is_empty()),
            }
        }
        let elsewhere = offset + partition.list(everywhere.clone())?;
        let elsewhere = self.uniform(elsewhere);
        let mut entries = [elsewhere; PAGE];
        for (protocol, sets) in by_protocol {
            let mut throughout = everywhere.clone();
            throughout.extend(sets.iter().filter(|(_, set)| set.ranges.is_empty()).map(|(number, _)| *number));
            entries[protocol as usize] = self.ports(&throughout, &sets, offset, partition)?;
        }
        self.pages[first as usize].entries = entries;
        Ok(())
    }

    /// The page of a protocol's upper bytes.
    fn ports(
        &mut self,
        throughout: &[u32],
        sets: &[(u32, &Ports)],
        offset: u32,
        partition: &mut Partition,
    ) -> Result<u32, TooMany> {
        // The sets that begin and end at a port.
        let mut changes: BTreeMap<u32, Vec<(u32, bool)>> = BTreeMap::new();
        for (number, set) in sets {
            for range in &set.ranges {
                changes.entry(range.first.into()).or_default().push((*number, true));
                changes.entry(u32::from(range.last) + 1).or_default().push((*number, false));
            }
        }
        let mut regions = vec![0; 1 << 16];
        let (mut active, mut start) = (BTreeSet::new(), 0);
        let mut fill = |from: u32, to: u32, active: &BTreeSet<u32>| {
            let mut list: Vec<u32> = throughout.iter().chain(active).copied().collect();
            list.sort_unstable();
            let region = offset + partition.list(list)?;
            regions[from as usize..to as usize].fill(region);
            Ok(())
        };
        for (port, changed) in changes {
            if start < port {
                fill(start, port, &active)?;
            }
            // A set's ranges are apart by at least one port, so it never begins where it ends.
            for (number, begins) in changed {
                if begins {
                    active.insert(number)
                } else {
                    active.remove(&number)
                };
            }
            start = port;
        }
        if start < 1 << 16 {
            fill(start, 1 << 16, &active)?;
        }
        let mut upper = [0; PAGE];
        for (entry, lower) in upper.iter_mut().zip(regions.chunks_exact(PAGE)) {
            let mut entries = [0; PAGE];
            entries.copy_from_slice(lower);
            *entry = self.regions.intern(Box::new(entries));
        }
        Ok(self.page(upper))
    }

    fn uniform(&mut self, region: u32) -> u32 {
        let lower = self.regions.intern(Box::new([region; PAGE]));
        self.page([lower; PAGE])
    }
}
