//! Spreading the rules' sets over layers, and from that shapes and verdicts.

use std::collections::{BTreeSet, HashMap};

use mseg_ebpf::abi::policy::{
    ANY, Class, LAYERS, MAX_SHAPES, MAX_VERDICTS, NUMBER_BITS, Profile, Shape, Verdict, VerdictEntry,
    thing::{self, DESTINATION, INTERFACE, SERVICE, SOURCE, SOURCE_PORT},
};

use super::{
    item::{Interner, Item, by_rule},
    partition::{Classes, Partition},
};

/// Verdicts that are good enough whatever the policy, and for each rule.
const FEW_VERDICTS: usize = 1 << 16;
const FEW_FOR_A_RULE: usize = 4;

/// Combinations that are tried to see whether they are few: rules that look at the same take one entry together.
const MOST_TRIED: u64 = 1 << 24;

/// Numbers of classes at which sets may be parted into layers.
const PARTINGS: [usize; 9] = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536];

/// A policy's classes, shapes and verdicts.
pub(super) struct Combined {
    /// By thing.
    classes: [Classes; thing::COUNT],
    pub(super) shapes: Vec<Shape>,
    verdicts: HashMap<u64, Verdict>,
    /// By thing, layer and class: the shapes that have a verdict for it.
    in_use: [[Vec<u64>; LAYERS]; thing::COUNT],
}

/// The entries that rules would take are more than fit: each rule's, the largest first.
#[derive(Debug)]
pub(super) struct TooManyVerdicts<'a>(pub(super) Vec<(&'a str, u64)>);

/// Combines what does not only try. `partitions`, the numbers of `sets` and the sets that are a `whole` family are by
/// thing.
pub(super) fn combine<'a>(
    items: &[Item<'a>],
    partitions: &[Partition; thing::COUNT],
    sets: [usize; thing::COUNT],
    whole: &[Vec<u32>; thing::COUNT],
) -> Result<Combined, TooManyVerdicts<'a>> {
    // What only tries needs no classes: it is found by its bit.
    let mut needed = sets.map(|count| vec![false; count]);
    for item in items.iter().filter(|item| !item.audit) {
        for (thing, set) in item.sets.iter().enumerate() {
            if let Some(set) = set {
                needed[thing][*set as usize] = true;
            }
        }
    }
    let layers = |thing: usize, layer: &dyn Fn(usize) -> u8| {
        let layer = needed[thing].iter().enumerate().map(|(set, needed)| needed.then(|| layer(set))).collect();
        Classes::new(&partitions[thing], layer)
    };
    // All addresses of a family are wider than anything else, and stand in a layer of their own.
    let single = || -> [Classes; thing::COUNT] {
        std::array::from_fn(|thing| layers(thing, &|set| whole[thing].contains(&(set as u32)).into()))
    };

    let few = FEW_VERDICTS.max(items.len() * FEW_FOR_A_RULE);
    let mut classes = single();
    // Rules that look at the same take an entry together, so a try may come to fewer than their sum.
    let mut first = if total(items, &classes) <= MOST_TRIED { Combined::new(items, single()) } else { None };
    if let Some(first) = first.take_if(|first| first.verdicts.len() <= few) {
        return Ok(first);
    }
    // The widths of sets do not change when they are spread. A whole family stays among the widest: it is one class only as
    // long as it stands alone, and in the layer of narrow ones each of them would be a class of it.
    let widths: [Vec<usize>; 3] = std::array::from_fn(|thing| {
        let mut widths = classes[thing].widths();
        whole[thing].iter().for_each(|set| widths[*set as usize] = usize::MAX);
        widths
    });
    let mut best = total(items, &classes);
    // Another look at a thing is worth it only once others have changed.
    let mut others_changed = [true; 3];
    for _ in 0..2 {
        for thing in [SOURCE, DESTINATION, SERVICE] {
            if !std::mem::replace(&mut others_changed[thing], false) {
                continue;
            }
            for partings in partings(&widths[thing]) {
                let layer = |set: usize| partings.iter().filter(|parting| widths[thing][set] > **parting).count() as u8;
                let other = std::mem::replace(&mut classes[thing], layers(thing, &layer));
                let total = total(items, &classes);
                if total < best && shapes(items, &classes).len() <= MAX_SHAPES {
                    best = total;
                    (0..3).filter(|other| *other != thing).for_each(|other| others_changed[other] = true);
                } else {
                    classes[thing] = other;
                }
            }
        }
    }
    if let Some(first) = first
        && first.verdicts.len() as u64 <= best
    {
        return Ok(first);
    }
    let sizes = by_rule(items.iter().filter(|item| !item.audit), |item| size(item, &classes));
    let spread = if best <= MOST_TRIED { Combined::new(items, classes) } else { None };
    spread.ok_or(TooManyVerdicts(sizes))
}

/// Ways to part sets into layers, by their widths; none that puts them where another does.
fn partings(widths: &[usize]) -> Vec<Vec<usize>> {
    let wider = |parting: usize| widths.iter().filter(|width| **width > parting).count();
    let mut useful: Vec<usize> = PARTINGS.into_iter().filter(|parting| wider(*parting) > 0).collect();
    useful.dedup_by_key(|parting| wider(*parting));
    let mut partings: Vec<Vec<usize>> = useful.iter().map(|parting| vec![*parting]).collect();
    for (index, lower) in useful.iter().enumerate() {
        partings.extend(useful[index + 1..].iter().map(|upper| vec![*lower, *upper]));
    }
    partings
}

/// Entries of a rule, if no other has the same.
fn size(item: &Item<'_>, classes: &[Classes; thing::COUNT]) -> u64 {
    let counts = item.sets.iter().zip(classes).map(|(set, classes)| match set {
        None => 1,
        Some(set) => classes.of_set(*set).len() as u64,
    });
    counts.fold(1, u64::saturating_mul)
}

fn total(items: &[Item<'_>], classes: &[Classes; thing::COUNT]) -> u64 {
    let decisive = items.iter().filter(|item| !item.audit);
    decisive.fold(0, |total, item| total.saturating_add(size(item, classes)))
}

/// The layers that a rule looks at.
fn layers(item: &Item<'_>, classes: &[Classes; thing::COUNT]) -> [u8; thing::COUNT] {
    std::array::from_fn(|thing| item.sets[thing].and_then(|set| classes[thing].layer[set as usize]).unwrap_or(ANY))
}

fn shapes(items: &[Item<'_>], classes: &[Classes; thing::COUNT]) -> BTreeSet<[u8; thing::COUNT]> {
    items.iter().filter(|item| !item.audit).map(|item| layers(item, classes)).collect()
}

impl Combined {
    /// `None` if there are more than [`MAX_VERDICTS`], or so many classes that their keys do not fit into 64 bits.
    fn new(items: &[Item<'_>], classes: [Classes; thing::COUNT]) -> Option<Self> {
        let mut shapes: Vec<Shape> = Vec::new();
        let mut numbers: HashMap<[u8; thing::COUNT], usize> = HashMap::new();
        let mut verdicts = HashMap::new();
        // Those of the shapes so far: the keys of the next stand after them.
        let mut keys = 0;
        let mut in_use: [[Vec<u64>; LAYERS]; thing::COUNT] =
            std::array::from_fn(|thing| std::array::from_fn(|layer| vec![0; classes[thing].counts[layer] as usize]));
        // In the order of precedence: what is there decides before what would come.
        for item in items.iter().filter(|item| !item.audit) {
            let layers = layers(item, &classes);
            let number = match numbers.get(&layers) {
                Some(known) => *known,
                None => {
                    let shape = Shape::default();
                    let shape = Shape { first: item.verdict.precedence(), layers, base: keys, ..shape };
                    let (shape, next) = with_strides(shape, &classes)?;
                    keys = next;
                    shapes.push(shape);
                    numbers.insert(layers, shapes.len() - 1);
                    shapes.len() - 1
                }
            };
            let Shape { base, strides, .. } = shapes[number];
            let ids = |thing: usize| match item.sets[thing] {
                None => &[0][..],
                Some(set) => classes[thing].of_set(set),
            };
            for (thing, layer) in layers.iter().enumerate().filter(|(_, layer)| **layer != ANY) {
                for class in ids(thing) {
                    in_use[thing][*layer as usize][*class as usize] |= 1 << number;
                }
            }
            let key = |thing: usize, class: u32| u64::from(class) * strides[thing];
            for source in ids(SOURCE) {
                let base = base + key(SOURCE, *source);
                for destination in ids(DESTINATION) {
                    let base = base + key(DESTINATION, *destination);
                    for service in ids(SERVICE) {
                        let base = base + key(SERVICE, *service);
                        for source_port in ids(SOURCE_PORT) {
                            let base = base + key(SOURCE_PORT, *source_port);
                            for interface in ids(INTERFACE) {
                                verdicts.entry(base + key(INTERFACE, *interface)).or_insert(item.verdict);
                            }
                        }
                        if verdicts.len() > MAX_VERDICTS {
                            return None;
                        }
                    }
                }
            }
        }
        Some(Self { classes, shapes, verdicts, in_use })
    }

    /// The shapes that look at a thing, by bit.
    pub(super) fn shapes_by(&self, thing: usize) -> u64 {
        let looks = self.shapes.iter().enumerate().filter(|(_, shape)| shape.layers[thing] != ANY);
        looks.map(|(number, _)| 1 << number).sum()
    }

    /// The entries of VERDICTS, in no order.
    pub(super) fn verdicts(&self) -> Vec<VerdictEntry> {
        self.verdicts.iter().map(|(key, verdict)| VerdictEntry { key: *key, verdict: *verdict }).collect()
    }

    /// The classes of a thing by list. `audits` are the bits of each set's rules with `audit`, `everywhere` those of the
    /// rules that do not look at it.
    pub(super) fn classes(
        &self,
        thing: usize,
        partition: &Partition,
        audits: &[u64],
        everywhere: u64,
        profiles: &mut Interner<Profile>,
    ) -> Vec<Class> {
        let all = if self.shapes.len() == MAX_SHAPES { u64::MAX } else { (1 << self.shapes.len()) - 1 };
        let indifferent = all & !self.shapes_by(thing);
        let of_list = partition.lists.iter().zip(&self.classes[thing].of_list);
        of_list
            .map(|(list, of_list)| {
                let mut profile = Profile { shapes: indifferent, audits: everywhere };
                let mut numbers = 0;
                for (layer, number) in of_list.iter().enumerate().filter(|(_, number)| **number != 0) {
                    numbers |= u64::from(*number) << (layer as u32 * NUMBER_BITS);
                    profile.shapes |= self.in_use[thing][layer][*number as usize];
                }
                profile.audits |= list.iter().fold(0, |bits, set| bits | audits[*set as usize]);
                Class { numbers, profile: profiles.intern(profile).into() }
            })
            .collect()
    }
}

/// Sets the strides of a shape, such that each combination of classes has a key of its own, from [`Shape::base`] on. And
/// the key after the last.
fn with_strides(mut shape: Shape, classes: &[Classes; thing::COUNT]) -> Option<(Shape, u64)> {
    let mut stride: u64 = 1;
    for ((layer, classes), own) in shape.layers.iter().zip(classes).zip(&mut shape.strides) {
        if *layer != ANY {
            *own = stride;
            stride = stride.checked_mul(classes.counts[*layer as usize].into())?;
        }
    }
    Some((shape, shape.base.checked_add(stride)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partings_that_come_to_the_same_are_tried_once() {
        assert_eq!(partings(&[1, 1]), <[Vec<usize>; 0]>::default());
        assert_eq!(partings(&[1, 1, usize::MAX]), [vec![1]]);
        assert_eq!(partings(&[1, 20, 30, 5_000]), [vec![1], vec![64], vec![1, 64]]);
    }
}
