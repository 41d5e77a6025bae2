//! The look-ups that [`crate::abi::policy`] describes.

use super::{Entry, Key, Tuple, bits_of, buckets, longer, shorter};
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
    /// A word of FILTER.
    fn filter(&self, number: u32) -> Option<&u64>;
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
    /// [`likely_length`].
    fn likely_length(&mut self, header: &PolicyHeader, space: usize, address: [u64; 2]) -> u8;
    /// [`find_network`].
    fn find_network(&mut self, header: &PolicyHeader, space: usize, length: u8) -> Option<bool>;
    /// [`note_address`].
    fn note_address(&mut self, space: usize) -> bool;
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
    /// For the programs: the interface towards a session's server, if it is asked about as opened by that; 0 if not known.
    pub towards: u32,
    /// For the programs: the interface by which the host forwards to a session's client; 0 if it only bridges.
    pub routed: u32,
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
/// and one more for each address, one for the profile of each of these, and one for each shape that all of the packet's
/// classes have rules of. Of networks, interfaces and verdicts each may take another, where a bucket is full; and where the
/// filter was wrong, each step of the search takes one more.
#[inline(always)]
pub fn look_up<S: Steps>(steps: &mut S, header: &PolicyHeader) -> Option<()> {
    let question = steps.question()?;
    (question.shapes, question.audits, question.verdict) = (u64::MAX, u64::MAX, Verdict::NONE);
    if !steps.find_service() {
        return None;
    }
    // What no rule in question looks at need not be found.
    for (thing, space) in [(SOURCE, SPACE_SOURCE_V4), (DESTINATION, SPACE_DESTINATION_V4)] {
        if steps.question()?.asks(header.looks[thing], u64::MAX) {
            find_address(steps, header, space)?;
        }
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

    /// The source or destination, as the space says.
    #[inline(always)]
    const fn address(&self, space: usize) -> [u64; 2] {
        zerocopy::transmute!(if space < SPACE_DESTINATION_V4 as usize {
            self.tuple.source
        } else {
            self.tuple.destination
        })
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
/// ([`SPACE_DESTINATION_V4`]), of either family. `None` if the tables are damaged.
#[inline(always)]
fn find_address<S: Steps>(steps: &mut S, header: &PolicyHeader, space: u8) -> Option<()> {
    let question = steps.question()?;
    let space = space_of(space, question.tuple.ipv6);
    question.class = header.roots[space];
    let address = question.address(space);
    let length = steps.likely_length(header, space, address);
    let found = length == 0 || steps.find_network(header, space, length)?;
    // Where there is but one length, nothing is there. Else the filter was wrong.
    if !found && header.length(space, 1) != 0 {
        steps.question()?.step = 0;
        for _ in 0..STEPS {
            let step = steps.question()?.step;
            let length = header.length(space, step);
            if length == 0 {
                break;
            }
            let found = steps.find_network(header, space, length)?;
            steps.question()?.step = if found { longer(step) } else { shorter(step) };
        }
    }
    steps.note_address(space).then_some(())
}

/// The space of a family: 1 is IPv6's.
#[inline(always)]
const fn space_of(space: u8, ipv6: u8) -> usize {
    ((space + (ipv6 & 1)) as usize) & (ADDRESS_SPACES - 1)
}

/// The prefix length that a search by the filter ends with, 0 for none; the only one where there is but one.
#[inline(always)]
pub fn likely_length<M: Maps>(
    maps: &M,
    header: &PolicyHeader,
    question: &mut Question,
    space: usize,
    address: [u64; 2],
) -> u8 {
    let mut likely = 0;
    if header.length(space, 1) == 0 {
        return header.length(space, 0);
    }
    question.step = 0;
    for _ in 0..STEPS {
        let step = question.step;
        let length = header.length(space, step);
        if length == 0 {
            break;
        }
        let hash =
            if space & 1 != 0 { key6(address, length, space).hash() } else { key4(address[1], length, space).hash() };
        if may_be(maps, header, hash) {
            (likely, question.step) = (length, longer(step));
        } else {
            question.step = shorter(step);
        }
    }
    likely
}

/// Whether the filter knows of an entry whose key has this hash. Of a damaged filter nothing is believed: what it leads to
/// is not there.
#[inline(always)]
fn may_be<M: Maps>(maps: &M, header: &PolicyHeader, hash: u64) -> bool {
    let (word, bits) = bits_of(hash, header.filter_words);
    maps.filter(word).is_none_or(|word| word & bits == bits)
}

/// Looks for the network of that length that holds the address, and sets [`Question::class`] to its class. `None` if the
/// tables are damaged.
#[inline(always)]
pub fn find_network<M: Maps>(
    maps: &M,
    header: &PolicyHeader,
    question: &mut Question,
    space: usize,
    length: u8,
) -> Option<bool> {
    let address = question.address(space);
    let found = if space & 1 != 0 {
        question.key6 = key6(address, length, space);
        find6(maps, header, question)
    } else {
        question.key = key4(address[1], length, space);
        find4(maps, header, question)
    };
    match found {
        Found::Class(class) => question.class = class,
        Found::Nothing => return Some(false),
        Found::Damaged => return None,
    }
    Some(true)
}

/// Takes note of the source's or destination's class, which was found last. `false` if the tables are damaged.
#[inline(always)]
pub fn note_address<M: Maps>(maps: &M, question: &mut Question, space: usize) -> bool {
    let class = question.class;
    question.note(maps, if space < SPACE_DESTINATION_V4 as usize { SOURCE } else { DESTINATION }, class)
}

/// Entries of a table that stay in the cache anyway.
const FEW: u32 = 1024;

/// Likewise pages of CLASSES.
const FEW_PAGES: u32 = 64;

/// Has what [`look_up`] will need first fetched: with many rules in use it is not in the cache, and there may be something
/// else to do until it is.
#[inline(always)]
pub fn prepare<S: Steps + Maps>(steps: &mut S, header: &PolicyHeader, packet: &Packet, out: bool) {
    if header.networks > FEW {
        let sides = [(SOURCE, SPACE_SOURCE_V4, packet.source), (DESTINATION, SPACE_DESTINATION_V4, packet.destination)];
        for (thing, space, address) in sides {
            if header.looks[thing] != 0 {
                let space = space_of(space, packet.ipv6);
                let length = steps.likely_length(header, space, address);
                if length != 0 {
                    fetch_network(steps, header, address, length, space);
                }
            }
        }
    }
    if header.classes > FEW_PAGES {
        let first = if out { PAGE_OUT } else { PAGE_IN };
        if let Some(class) = port_class(steps, first, packet.protocol, packet.destination_port) {
            steps.fetch(&class.numbers);
        }
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
