//! The look-ups that [`crate::abi::policy`] describes.

use super::{Entry, Tuple, buckets, longer, shorter};
use crate::abi::policy::{
    ADDRESS_SPACES, Bucket, Bucket4, Bucket6, Class, ClassPage, DIRECTION_IN, KIND_BITS, Key6, LAYERS, MAX_LENGTHS,
    MAX_SHAPES, NUMBER_BITS, Network4, Network6, PAGE_IN, PAGE_OUT, PAGE_SOURCE_PORTS, Page, PolicyHeader, Profile,
    SPACE_DESTINATION_V4, SPACE_INTERFACE, SPACE_SOURCE_V4, Verdict, VerdictBucket, kind,
    thing::{self, DESTINATION, INTERFACE, SERVICE, SOURCE, SOURCE_PORT},
};
use crate::packet::Packet;

/// The tables of one generation.
pub trait Maps {
    /// A page of SERVICES.
    fn page(&self, number: u32) -> Option<&Page>;
    /// A page of CLASSES.
    fn classes(&self, number: u32) -> Option<&ClassPage>;
    /// An entry of PROFILES.
    fn profile(&self, number: u32) -> Option<&Profile>;
    /// A bucket of NETWORKS4.
    fn networks4(&self, number: u32) -> Option<&Bucket4>;
    /// A bucket of NETWORKS6.
    fn networks6(&self, number: u32) -> Option<&Bucket6>;
    /// Reads what is of no use but that it will be in the cache.
    fn fetch(&self, key: &u64);
    /// A bucket of VERDICTS.
    fn verdicts(&self, number: u32) -> Option<&VerdictBucket>;
}

/// The steps of [`look_up`]. The programs make each a function of its own, which the verifier checks by itself; the
/// question is then in memory that these functions get at for themselves. `None` or `false` if the tables are damaged.
pub trait Steps {
    /// The question, borrowed anew after every step.
    fn question(&mut self) -> Option<&mut Question>;
    /// [`find_service`].
    fn find_service(&mut self) -> bool;
    /// [`find_address`].
    fn find_address(&mut self, header: &PolicyHeader, space: u8) -> bool;
    /// [`find_source_port`].
    fn find_source_port(&mut self) -> bool;
    /// [`find_interface`].
    fn find_interface(&mut self, header: &PolicyHeader) -> bool;
    /// [`try_shapes`].
    fn try_shapes(&mut self, header: &PolicyHeader) -> bool;
}

/// What is asked, what was found, and room for the keys that are looked up: in the programs this is map memory, as there
/// is little stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Question {
    /// What rules look at.
    pub tuple: Tuple,
    /// The latest key of NETWORKS6.
    pub key6: Key6,
    /// The latest key of NETWORKS4 or VERDICTS.
    pub key: u64,
    /// Where the latest key may stand.
    pub buckets: [u32; 2],
    /// Where the search for the longest prefix is: an index of [`PolicyHeader::lengths`]. In a register, the verifier would
    /// follow every value that it can have.
    pub step: u32,
    /// Zero.
    pub reserved: u32,
    /// The class of the longest prefix so far.
    pub class: Class,
    /// [`Class::numbers`] of the packet's classes; only of what its shapes look at.
    pub numbers: [u64; thing::COUNT],
    /// The shapes that all classes so far leave, by bit.
    pub shapes: u64,
    /// The rules with `audit` that match, by bit, also those that come after what decides.
    pub audits: u64,
    /// What decides.
    pub verdict: Verdict,
    /// For reports: the interface of the session, or of the packet that would open one.
    pub ifindex: u32,
    /// For reports: who opens the session, as in [`crate::abi::session::Session::flags`].
    pub flags: u64,
    /// For the programs: the packed answer.
    pub decision: u64,
}

/// Steps of a binary search over [`MAX_LENGTHS`].
const STEPS: u32 = (MAX_LENGTHS + 1).next_power_of_two().ilog2();

/// Looks a packet up: sets [`Question::verdict`] and [`Question::audits`]. `None` if the tables are damaged.
///
/// The number of look-ups depends on what kinds of rules there are, not on their number: at most three for the service,
/// three for the source port, one for the interface, one for each step of a binary search over the prefix lengths in use
/// for each address, one for the profile of each of these, and one for each shape that all of the packet's classes have
/// rules of. Of networks, interfaces and verdicts each may take another, where a bucket is full.
#[inline(always)]
pub fn look_up<S: Steps>(steps: &mut S, header: &PolicyHeader) -> Option<()> {
    let question = steps.question()?;
    (question.shapes, question.audits, question.verdict) = (u64::MAX, u64::MAX, Verdict::NONE);
    if !steps.find_service() {
        return None;
    }
    // What no rule in question looks at need not be found.
    if steps.question()?.asks(header.looks[SOURCE], u64::MAX) && !steps.find_address(header, SPACE_SOURCE_V4) {
        return None;
    }
    if steps.question()?.asks(header.looks[DESTINATION], u64::MAX) && !steps.find_address(header, SPACE_DESTINATION_V4)
    {
        return None;
    }
    if steps.question()?.asks(header.looks[SOURCE_PORT], u64::MAX) && !steps.find_source_port() {
        return None;
    }
    if steps.question()?.asks(header.looks[INTERFACE], header.audits_by_interface) && !steps.find_interface(header) {
        return None;
    }
    if steps.question()?.shapes != 0 && !steps.try_shapes(header) {
        return None;
    }
    Some(())
}

impl Question {
    /// Whether any of these shapes and rules with `audit` is left.
    #[inline(always)]
    const fn asks(&self, shapes: u64, audits: u64) -> bool {
        self.shapes & shapes != 0 || self.audits & audits != 0
    }

    /// Takes note of a thing's class. `false` if the tables are damaged.
    #[inline(always)]
    fn note<M: Maps>(&mut self, maps: &M, thing: usize, class: Class) -> bool {
        let Some(profile) = maps.profile(class.profile as u32) else {
            return false;
        };
        self.numbers[thing] = class.numbers;
        self.shapes &= profile.shapes;
        self.audits &= profile.audits;
        true
    }
}

/// Finds the service's class. `false` if the tables are damaged.
#[inline(always)]
pub fn find_service<M: Maps>(maps: &M, question: &mut Question) -> bool {
    let tuple = &question.tuple;
    let first = if tuple.direction == DIRECTION_IN { PAGE_IN } else { PAGE_OUT };
    match port_class(maps, first, tuple.protocol, tuple.destination_port.to_be_bytes()) {
        Some(class) => question.note(maps, SERVICE, *class),
        None => false,
    }
}

/// Finds the source port's class. `false` if the tables are damaged.
#[inline(always)]
pub fn find_source_port<M: Maps>(maps: &M, question: &mut Question) -> bool {
    let tuple = &question.tuple;
    match port_class(maps, PAGE_SOURCE_PORTS, tuple.protocol, tuple.source_port.to_be_bytes()) {
        Some(class) => question.note(maps, SOURCE_PORT, *class),
        None => false,
    }
}

/// Finds the interface's class. `false` if the tables are damaged.
#[inline(always)]
pub fn find_interface<M: Maps>(maps: &M, header: &PolicyHeader, question: &mut Question) -> bool {
    question.class = header.roots[SPACE_INTERFACE as usize];
    question.key6 = Key6 { address: zerocopy::transmute!(question.tuple.interface), kind: kind(0, SPACE_INTERFACE) };
    match find6(maps, header, question) {
        Found::Class(class) => question.class = class,
        Found::Nothing => {}
        Found::Damaged => return false,
    }
    let class = question.class;
    question.note(maps, INTERFACE, class)
}

/// Sets [`Question::verdict`] to the best of what VERDICTS has for the packet's classes. `false` if the tables are
/// damaged.
#[inline(always)]
pub fn try_shapes<M: Maps>(maps: &M, header: &PolicyHeader, question: &mut Question) -> bool {
    for number in 0..MAX_SHAPES as u32 {
        if question.shapes >> number == 0 {
            break;
        }
        if question.shapes >> number & 1 == 0 {
            continue;
        }
        let shape = &header.shapes[number as usize];
        if question.verdict.precedence() < shape.first {
            break;
        }
        question.key = shape.base;
        for thing in 0..thing::COUNT {
            question.key += number_in(question.numbers[thing], shape.layers[thing]).wrapping_mul(shape.strides[thing]);
        }
        question.buckets = buckets(question.key, header.verdict_buckets);
        match find_in(question.buckets, question.key, |number| maps.verdicts(number)) {
            Some(Some(entry)) if entry.verdict < question.verdict => question.verdict = entry.verdict,
            Some(_) => {}
            None => return false,
        }
    }
    true
}

/// A class's number in a layer.
#[inline(always)]
const fn number_in(numbers: u64, layer: u8) -> u64 {
    // Nothing is left of a layer beyond the last.
    const { assert!(LAYERS as u32 * NUMBER_BITS == 63) };
    numbers >> ((layer as u32 * NUMBER_BITS) & 63) & ((1 << NUMBER_BITS) - 1)
}

/// The class that two levels of pages lead to.
#[inline(always)]
fn port_class<M: Maps>(maps: &M, first: u32, protocol: u8, [upper, lower]: [u8; 2]) -> Option<&Class> {
    let ports = maps.page(first)?.entries[protocol as usize];
    let classes = maps.page(ports)?.entries[upper as usize];
    Some(&maps.classes(classes)?.classes[lower as usize])
}

/// Finds the class of the longest prefix that holds the source ([`SPACE_SOURCE_V4`]) or the destination
/// ([`SPACE_DESTINATION_V4`]), of either family. `false` if the tables are damaged.
#[inline(always)]
pub fn find_address<M: Maps>(maps: &M, header: &PolicyHeader, question: &mut Question, space: u8) -> bool {
    let tuple = &question.tuple;
    let of_source = space < SPACE_DESTINATION_V4;
    let [upper, lower]: [u64; 2] = zerocopy::transmute!(if of_source { tuple.source } else { tuple.destination });
    let ipv6 = tuple.ipv6 & 1 != 0;
    let space = ((space + ipv6 as u8) as usize) & (ADDRESS_SPACES - 1);
    question.class = header.roots[space];
    question.step = 0;
    for _ in 0..STEPS {
        let step = question.step;
        let length = header.length(space, step);
        if length == 0 {
            break;
        }
        let found = if ipv6 {
            question.key6 = key6([upper, lower], length, space);
            find6(maps, header, question)
        } else {
            question.key = key4(lower, length, space);
            find4(maps, header, question)
        };
        match found {
            Found::Class(class) => (question.class, question.step) = (class, longer(step)),
            Found::Nothing => question.step = shorter(step),
            Found::Damaged => return false,
        }
    }
    let class = question.class;
    question.note(maps, if of_source { SOURCE } else { DESTINATION }, class)
}

/// Steps that are fetched at once: the first three of each search, however it goes.
const PREPARED: u32 = 3;

/// Entries of a table that stay in the cache anyway.
const FEW: u32 = 1024;

/// Likewise pages of CLASSES.
const FEW_PAGES: u32 = 64;

/// Has what [`look_up`] will need first fetched: with many rules in use it is not in the cache, and there may be something
/// else to do until it is.
#[inline(always)]
pub fn prepare<M: Maps>(maps: &M, header: &PolicyHeader, packet: &Packet, out: bool) {
    if header.networks > FEW {
        if header.looks[SOURCE] != 0 {
            prepare_address(maps, header, packet.source, packet.ipv6, SPACE_SOURCE_V4);
        }
        if header.looks[DESTINATION] != 0 {
            prepare_address(maps, header, packet.destination, packet.ipv6, SPACE_DESTINATION_V4);
        }
    }
    if header.classes > FEW_PAGES {
        let first = if out { PAGE_OUT } else { PAGE_IN };
        if let Some(class) = port_class(maps, first, packet.protocol, packet.destination_port) {
            maps.fetch(&class.numbers);
        }
    }
}

/// Likewise the first buckets that [`find_address`] may look into.
#[inline(always)]
fn prepare_address<M: Maps>(maps: &M, header: &PolicyHeader, address: [u64; 2], ipv6: u8, space: u8) {
    let space = ((space + (ipv6 & 1)) as usize) & (ADDRESS_SPACES - 1);
    for step in 0..PREPARED {
        let length = header.length(space, step);
        if length == 0 {
            break;
        }
        fetch_network(maps, header, address, length, space);
    }
}

/// Has the bucket fetched where the network of that length that holds the address is, if there is one.
#[inline(always)]
fn fetch_network<M: Maps>(maps: &M, header: &PolicyHeader, address: [u64; 2], length: u8, space: usize) {
    if space & 1 != 0 {
        let [first, _] = buckets(key6(address, length, space), header.buckets6);
        if let Some(bucket) = maps.networks6(first) {
            maps.fetch(&bucket.entries[0].key);
        }
    } else {
        let [first, _] = buckets(key4(address[1], length, space), header.buckets4);
        if let Some(bucket) = maps.networks4(first) {
            maps.fetch(&bucket.entries[0].key);
        }
    }
}

/// The key of the network of that length that holds the address of which this is the lower half.
#[inline(always)]
const fn key4(lower: u64, length: u8, space: usize) -> u64 {
    let mask = !(u32::MAX as u64 >> (length & 63));
    // Of the lower half of a mapped address the lower half.
    (u64::from_be(lower) & mask) << 32 | kind(length, space as u8)
}

/// The key of the network of that length that holds the address.
#[inline(always)]
const fn key6([upper, lower]: [u64; 2], length: u8, space: usize) -> Key6 {
    let [upper_mask, lower_mask] = mask(length as u32);
    Key6 { address: [upper & upper_mask.to_be(), lower & lower_mask.to_be()], kind: kind(length, space as u8) }
}

/// What NETWORKS4 or NETWORKS6 has.
enum Found {
    Class(Class),
    Nothing,
    Damaged,
}

impl Found {
    #[inline(always)]
    fn new<T>(found: Option<Option<&T>>, class: impl FnOnce(&T) -> Class) -> Self {
        match found {
            Some(Some(entry)) => Self::Class(class(entry)),
            Some(None) => Self::Nothing,
            None => Self::Damaged,
        }
    }
}

/// Looks [`Question::key`] up.
#[inline(always)]
fn find4<M: Maps>(maps: &M, header: &PolicyHeader, question: &mut Question) -> Found {
    question.buckets = buckets(question.key, header.buckets4);
    let found: Option<Option<&Network4>> = find_in(question.buckets, question.key, |number| maps.networks4(number));
    Found::new(found, |network| Class { numbers: network.numbers, profile: profile(network.key) })
}

/// Looks [`Question::key6`] up.
#[inline(always)]
fn find6<M: Maps>(maps: &M, header: &PolicyHeader, question: &mut Question) -> Found {
    question.buckets = buckets(question.key6, header.buckets6);
    let found: Option<Option<&Network6>> = find_in(question.buckets, question.key6, |number| maps.networks6(number));
    Found::new(found, |network| Class { numbers: network.numbers, profile: profile(network.key) })
}

/// The number of a profile in a network's key.
#[inline(always)]
const fn profile(key: u64) -> u64 {
    key >> KIND_BITS & ((1 << NUMBER_BITS) - 1)
}

/// Looks into the buckets where a key may stand. `None` if the tables are damaged.
#[inline(always)]
fn find_in<'a, T: Entry + 'a, const N: usize>(
    [first, second]: [u32; 2],
    key: T::Key,
    bucket: impl Fn(u32) -> Option<&'a Bucket<T, N>>,
) -> Option<Option<&'a T>> {
    let fullest = bucket(first)?;
    let found = fullest.find(key);
    if found.is_some() || !fullest.is_full() {
        return Some(found);
    }
    Some(bucket(second)?.find(key))
}

/// The first `length` bits, at least one and at most 128.
#[inline(always)]
const fn mask(length: u32) -> [u64; 2] {
    // Without branches, which the verifier would follow both ways in each step.
    let from_64 = ((length >> 6 | length >> 7) as u64 & 1).wrapping_neg();
    let from_128 = (length as u64 >> 7).wrapping_neg();
    let part = !(u64::MAX >> (length & 63));
    [from_64 | part, from_64 & part | from_128]
}
