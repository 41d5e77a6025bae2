//! The look-ups that [`crate::abi::policy`] describes.

use super::Tuple;
use crate::abi::policy::{
    ADDRESS_SPACES, ANY, AddressKey, Class, Combination, DIRECTION_IN, MAX_LENGTHS, MAX_SHAPES, PAGE_IN, PAGE_OUT,
    PAGE_SOURCE_PORTS, Page, PolicyHeader, SPACE_DESTINATION_V4, SPACE_INTERFACE, SPACE_SOURCE_V4, Verdict,
};

/// The tables of one generation.
pub trait Maps {
    /// A page of SERVICES.
    fn page(&self, number: u32) -> Option<&Page>;
    /// A class of CLASSES.
    fn class(&self, number: u32) -> Option<&Class>;
    /// A class of ADDRESSES.
    fn address(&self, key: &AddressKey) -> Option<&Class>;
    /// A verdict of VERDICTS.
    fn verdict(&self, combination: &Combination) -> Option<&Verdict>;
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
    fn try_shapes(&mut self, header: &PolicyHeader, shapes: u64) -> bool;
}

/// What is asked, what was found, and room for the keys that are looked up: in the programs this is map memory, as there
/// is little stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Question {
    /// What rules look at.
    pub tuple: Tuple,
    /// The latest key of ADDRESSES.
    pub address: AddressKey,
    /// Where the search for the longest prefix is: indexes of [`PolicyHeader::lengths`]. In registers, the verifier would
    /// follow every value that they can have.
    pub low: u32,
    /// Likewise.
    pub high: u32,
    /// The latest key of VERDICTS.
    pub combination: Combination,
    /// The packet's classes; only of what its shapes look at.
    pub source: Class,
    /// Likewise.
    pub destination: Class,
    /// Likewise.
    pub service: Class,
    /// Likewise.
    pub source_port: Class,
    /// Likewise.
    pub interface: Class,
    /// The rules with `audit` that match, by bit, also those that come after what decides.
    pub audits: u64,
    /// What decides; its precedence is [`NO_RULE`] if no rule does.
    pub verdict: Verdict,
    /// For reports: the interface of the session, or of the packet that would open one.
    pub ifindex: u32,
    /// For reports: who opens the session, as in [`crate::abi::session::Session::flags`].
    pub flags: u64,
    /// For the programs: the packed answer.
    pub decision: u64,
}

/// [`Verdict::precedence`] of no rule.
pub const NO_RULE: u32 = u32::MAX;

/// Steps of a binary search over [`MAX_LENGTHS`].
const STEPS: u32 = (MAX_LENGTHS + 1).next_power_of_two().ilog2();

/// Looks a packet up: sets [`Question::verdict`] and [`Question::audits`]. `None` if the tables are damaged.
///
/// The number of look-ups depends on what kinds of rules there are, not on their number: at most four for the service,
/// four for the source port, one for the interface, one for each step of a binary search over the prefix lengths in use
/// for each address, and one for each shape that all of the packet's classes have rules of.
#[inline(always)]
pub fn look_up<S: Steps>(steps: &mut S, header: &PolicyHeader) -> Option<()> {
    if !steps.find_service() {
        return None;
    }
    let class = &steps.question()?.service;
    let (mut shapes, mut audits) = (class.shapes, class.audits);

    // What no rule in question looks at need not be found.
    if shapes & header.by_source != 0 || audits != 0 {
        if !steps.find_address(header, SPACE_SOURCE_V4) {
            return None;
        }
        let class = &steps.question()?.source;
        (shapes, audits) = (shapes & class.shapes, audits & class.audits);
    }
    if shapes & header.by_destination != 0 || audits != 0 {
        if !steps.find_address(header, SPACE_DESTINATION_V4) {
            return None;
        }
        let class = &steps.question()?.destination;
        (shapes, audits) = (shapes & class.shapes, audits & class.audits);
    }
    if shapes & header.by_source_port != 0 || audits != 0 {
        if !steps.find_source_port() {
            return None;
        }
        let class = &steps.question()?.source_port;
        (shapes, audits) = (shapes & class.shapes, audits & class.audits);
    }
    if shapes & header.by_interface != 0 || audits & header.audits_by_interface != 0 {
        if !steps.find_interface(header) {
            return None;
        }
        let class = &steps.question()?.interface;
        (shapes, audits) = (shapes & class.shapes, audits & class.audits);
    }
    let question = steps.question()?;
    question.audits = audits;
    question.verdict = Verdict { precedence: NO_RULE, rule: 0, action: 0, attributes: 0, reserved: [0; 2] };
    if shapes != 0 && !steps.try_shapes(header, shapes) {
        return None;
    }
    Some(())
}

/// Sets the service's class. `false` if the tables are damaged.
#[inline(always)]
pub fn find_service<M: Maps>(maps: &M, question: &mut Question) -> bool {
    let tuple = &question.tuple;
    let first = if tuple.direction == DIRECTION_IN { PAGE_IN } else { PAGE_OUT };
    match port_class(maps, first, tuple.protocol, tuple.destination_port) {
        Some(class) => question.service = *class,
        None => return false,
    }
    true
}

/// Sets the source port's class. `false` if the tables are damaged.
#[inline(always)]
pub fn find_source_port<M: Maps>(maps: &M, question: &mut Question) -> bool {
    let tuple = &question.tuple;
    match port_class(maps, PAGE_SOURCE_PORTS, tuple.protocol, tuple.source_port) {
        Some(class) => question.source_port = *class,
        None => return false,
    }
    true
}

/// Sets the interface's class.
#[inline(always)]
pub fn find_interface<M: Maps>(maps: &M, header: &PolicyHeader, question: &mut Question) {
    question.address =
        AddressKey { address: question.tuple.interface, length: 0, space: SPACE_INTERFACE, reserved: [0; 6] };
    question.interface = match maps.address(&question.address) {
        Some(class) => *class,
        None => header.roots[SPACE_INTERFACE as usize],
    };
}

/// Sets [`Question::verdict`] to the best of what VERDICTS has for the packet's classes.
#[inline(always)]
pub fn try_shapes<M: Maps>(maps: &M, header: &PolicyHeader, question: &mut Question, shapes: u64) {
    for number in 0..MAX_SHAPES as u32 {
        if shapes >> number == 0 {
            break;
        }
        if shapes >> number & 1 == 0 {
            continue;
        }
        let shape = &header.shapes[number as usize];
        if question.verdict.precedence < shape.first {
            break;
        }
        question.combination = Combination {
            shape: number,
            source: id(&question.source, shape.source),
            destination: id(&question.destination, shape.destination),
            service: id(&question.service, shape.service),
            source_port: id(&question.source_port, shape.source_port),
            interface: id(&question.interface, shape.interface),
        };
        if let Some(verdict) = maps.verdict(&question.combination)
            && verdict.precedence < question.verdict.precedence
        {
            question.verdict = *verdict;
        }
    }
}

/// The class's number in a layer.
#[inline(always)]
fn id(class: &Class, layer: u8) -> u32 {
    const { assert!(ANY == 3) };
    class.ids[(layer & ANY) as usize]
}

/// The class that three levels of pages give.
#[inline(always)]
fn port_class<M: Maps>(maps: &M, first: u32, protocol: u8, port: u16) -> Option<&Class> {
    let ports = maps.page(first)?.entries[protocol as usize];
    let lower = maps.page(ports)?.entries[(port >> 8) as usize];
    maps.class(maps.page(lower)?.entries[(port & 0xff) as usize])
}

/// Sets the class of the longest prefix that holds the source ([`SPACE_SOURCE_V4`]) or the destination
/// ([`SPACE_DESTINATION_V4`]), of either family.
#[inline(always)]
pub fn find_address<M: Maps>(maps: &M, header: &PolicyHeader, question: &mut Question, space: u8) {
    let tuple = &question.tuple;
    let of_source = space < SPACE_DESTINATION_V4;
    let [upper, lower] = halves(if of_source { &tuple.source } else { &tuple.destination });
    // Of IPv4 the first 96 bits are always the same.
    let skipped = if tuple.ipv6 == 0 { 96 } else { 0 };
    let space = ((space + (tuple.ipv6 & 1)) as usize) & (ADDRESS_SPACES - 1);
    let class = if of_source { &mut question.source } else { &mut question.destination };
    *class = header.roots[space];
    (question.low, question.high) = (0, header.length_counts[space] as u32);
    for _ in 0..STEPS {
        if question.low >= question.high {
            break;
        }
        let middle = (question.low + question.high) / 2;
        let length = header.lengths[space][middle as usize & (MAX_LENGTHS - 1)];
        let [upper_mask, lower_mask] = mask(length as u32 + skipped);
        question.address = AddressKey {
            address: bytes([upper & upper_mask.to_be(), lower & lower_mask.to_be()]),
            length,
            space: space as u8,
            reserved: [0; 6],
        };
        match maps.address(&question.address) {
            Some(longer) => {
                if of_source {
                    question.source = *longer;
                } else {
                    question.destination = *longer;
                }
                question.low = middle + 1;
            }
            None => question.high = middle,
        }
    }
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

/// Both halves of an address, in the order of memory.
#[inline(always)]
fn halves(address: &[u8; 16]) -> [u64; 2] {
    zerocopy::transmute!(*address)
}

#[inline(always)]
fn bytes(halves: [u64; 2]) -> [u8; 16] {
    zerocopy::transmute!(halves)
}
