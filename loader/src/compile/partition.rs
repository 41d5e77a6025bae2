//! What rules tell apart: the sets that hold each region, and the classes that follow from that.

use std::{collections::HashMap, rc::Rc};

use mseg_ebpf::abi::policy::LAYERS;

/// Numbers of sets in all lists together, beyond which a policy is refused: time and memory to compile it.
pub(super) const MOST_MEMBERSHIPS: usize = 1 << 25;

/// The lists of sets that hold a region (addresses, ports or interfaces that no set divides), each once.
pub(super) struct Partition {
    /// Rising numbers of sets. The first list is the empty one.
    pub(super) lists: Vec<Rc<[u32]>>,
    numbers: HashMap<Rc<[u32]>, u32>,
    memberships: usize,
}

/// The list of regions that no set holds.
pub(super) const NO_SET: u32 = 0;

/// There are too many overlaps.
#[derive(Debug)]
pub(super) struct TooMany;

impl Partition {
    pub(super) fn new() -> Self {
        let empty: Rc<[u32]> = Rc::default();
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
        let (number, list) = (self.lists.len() as u32, Rc::from(list));
        self.lists.push(Rc::clone(&list));
        self.numbers.insert(list, number);
        Ok(number)
    }

    /// By set: how many lists it is in.
    pub(super) fn memberships(&self, sets: usize) -> Vec<u64> {
        let mut counts = vec![0; sets];
        self.lists.iter().flat_map(|list| list.iter()).for_each(|set| counts[*set as usize] += 1);
        counts
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
    /// The classes that each set holds, all in its layer, one set after the other: for a million sets that hold one,
    /// allocations of their own would take longer than all else.
    held: Vec<u32>,
    /// By set: where its classes begin; and where the last one's end.
    starts: Vec<usize>,
    /// By layer: one more than its highest class.
    pub(super) counts: [u32; LAYERS],
    /// By set: its layer.
    pub(super) layer: Vec<Option<u8>>,
}

impl Classes {
    /// `layer` is each set's, none for sets that no class is needed of.
    pub(super) fn new(partition: &Partition, layer: Vec<Option<u8>>) -> Self {
        let mut of_list = vec![[0; LAYERS]; partition.lists.len()];
        let mut counts = [1; LAYERS];
        let mut starts = vec![0; layer.len() + 1];
        // The first list of each class, and its layer, in the order of the numbers.
        let mut first: Vec<(&[u32], u8)> = Vec::new();
        let mut numbers: [HashMap<Rc<[u32]>, u32>; LAYERS] = std::array::from_fn(|_| HashMap::new());
        let mut restricted: [Vec<u32>; LAYERS] = Default::default();
        for (list, of_list) in partition.lists.iter().zip(&mut of_list) {
            restricted.iter_mut().for_each(Vec::clear);
            for set in list.iter() {
                if let Some(layer) = layer[*set as usize] {
                    restricted[layer as usize].push(*set);
                }
            }
            for (number, restricted) in restricted.iter().enumerate().filter(|(_, restricted)| !restricted.is_empty()) {
                of_list[number] = match numbers[number].get(restricted.as_slice()) {
                    Some(known) => *known,
                    None => {
                        let class = counts[number];
                        counts[number] += 1;
                        first.push((list, number as u8));
                        restricted.iter().for_each(|set| starts[*set as usize + 1] += 1);
                        // Most lists are of one layer.
                        let whole = restricted.len() == list.len();
                        numbers[number]
                            .insert(if whole { Rc::clone(list) } else { restricted.as_slice().into() }, class);
                        class
                    }
                };
            }
        }
        for set in 0..layer.len() {
            starts[set + 1] += starts[set];
        }
        let mut held = vec![0; starts[layer.len()]];
        let (mut next, mut class) = (starts.clone(), [0; LAYERS]);
        for (list, in_layer) in first {
            class[in_layer as usize] += 1;
            for set in list.iter().filter(|set| layer[**set as usize] == Some(in_layer)) {
                held[next[*set as usize]] = class[in_layer as usize];
                next[*set as usize] += 1;
            }
        }
        Self { of_list, held, starts, counts, layer }
    }

    /// The classes that a set holds, all in its layer.
    pub(super) fn of_set(&self, set: u32) -> &[u32] {
        &self.held[self.starts[set as usize]..self.starts[set as usize + 1]]
    }

    /// By set: how many classes it holds.
    pub(super) fn widths(&self) -> Vec<usize> {
        self.starts.windows(2).map(|ends| ends[1] - ends[0]).collect()
    }
}
