//! What rules tell apart: the sets that hold each region, and the classes that follow from that.

use std::collections::HashMap;

use mseg_ebpf::abi::policy::LAYERS;

/// Numbers of sets in all lists together, beyond which a policy is refused: time and memory to compile it.
const MOST_MEMBERSHIPS: usize = 1 << 25;

/// The lists of sets that hold a region (addresses, ports or interfaces that no set divides), each once.
pub(super) struct Partition {
    /// Rising numbers of sets. The first list is the empty one.
    pub(super) lists: Vec<Box<[u32]>>,
    numbers: HashMap<Box<[u32]>, u32>,
    memberships: usize,
}

/// The list of regions that no set holds.
pub(super) const NO_SET: u32 = 0;

/// There are too many overlaps.
#[derive(Debug)]
pub(super) struct TooMany;

impl Partition {
    pub(super) fn new() -> Self {
        let empty: Box<[u32]> = Box::default();
        Self { lists: vec![empty.clone()], numbers: HashMap::from([(empty, NO_SET)]), memberships: 0 }
    }

    /// The number of a rising list.
    pub(super) fn list(&mut self, list: Vec<u32>) -> Result<u32, TooMany> {
        if let Some(number) = self.numbers.get(list.as_slice()) {
            return Ok(*number);
        }
        self.memberships += list.len();
        if self.memberships > MOST_MEMBERSHIPS {
            return Err(TooMany);
        }
        let (number, list) = (self.lists.len() as u32, list.into_boxed_slice());
        self.lists.push(list.clone());
        self.numbers.insert(list, number);
        Ok(number)
    }

    /// The number of the list of what is in list `number`, and `more`, which rises.
    pub(super) fn with(&mut self, number: u32, more: &[u32]) -> Result<u32, TooMany> {
        let mut list = [&self.lists[number as usize], more].concat();
        list.sort_unstable();
        list.dedup();
        self.list(list)
    }
}

/// Classes in each layer: what the sets of a layer tell apart.
pub(super) struct Classes {
    /// By list: the number of its class in each layer, 0 if no set of the layer holds it.
    pub(super) of_list: Vec<[u32; LAYERS]>,
    /// By set: the classes it holds, all in its layer.
    pub(super) of_set: Vec<Vec<u32>>,
    /// By layer: one more than its highest class.
    pub(super) counts: [u32; LAYERS],
    /// By set: its layer.
    pub(super) layer: Vec<Option<u8>>,
}

impl Classes {
    /// `layer` is each set's, none for sets that no class is needed of.
    pub(super) fn new(partition: &Partition, layer: Vec<Option<u8>>) -> Self {
        let mut classes = Self {
            of_list: vec![[0; LAYERS]; partition.lists.len()],
            of_set: vec![Vec::new(); layer.len()],
            counts: [1; LAYERS],
            layer,
        };
        let mut numbers: [HashMap<Vec<u32>, u32>; LAYERS] = std::array::from_fn(|_| HashMap::new());
        let mut restricted = Vec::new();
        for (list, of_list) in partition.lists.iter().zip(&mut classes.of_list) {
            for number in 0..LAYERS {
                let in_layer = |set: &&u32| classes.layer[**set as usize] == Some(number as u8);
                restricted.clear();
                restricted.extend(list.iter().filter(in_layer));
                if restricted.is_empty() {
                    continue;
                }
                of_list[number] = match numbers[number].get(&restricted) {
                    Some(known) => *known,
                    None => {
                        let class = classes.counts[number];
                        classes.counts[number] += 1;
                        for set in &restricted {
                            classes.of_set[*set as usize].push(class);
                        }
                        numbers[number].insert(restricted.clone(), class);
                        class
                    }
                };
            }
        }
        classes
    }
}
