//! The compiler: a [`Policy`] as the look-up tables that `mseg_ebpf::abi::policy` describes. What does not fit is refused
//! by name.

mod address;
mod bucket;
mod check;
mod combine;
mod filter;
mod ids;
mod item;
mod partition;
mod prefix;
mod service;
mod tables;
#[cfg(test)]
mod tests;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mseg_ebpf::abi::{
    policy::{
        ACTION_ALLOW, ACTION_DENY, ANY, Class, DIRECTION_IN, DIRECTION_OUT, MAX_AUDITS, MAX_CLASSES, MAX_LENGTHS,
        MAX_NETWORKS, MAX_SHAPES, MAX_VERDICTS, NamedRule, PAGE_IN, PAGE_OUT, PAGE_SOURCE_PORTS, PolicyHeader, Profile,
        SPACE_DESTINATION_V4, SPACE_INTERFACE, SPACE_SOURCE_V4, SPACES, Shape, TEXT_CHUNK, TEXT_CHUNKS, Verdict, kind,
        thing::{self, DESTINATION, INTERFACE, SERVICE, SOURCE, SOURCE_PORT},
    },
    rule::NAME_LEN,
};

use self::{
    address::{Family, Networks},
    combine::{Combined, combine},
    item::{Interner, Item, Items, by_rule},
    partition::{MOST_MEMBERSHIPS, Partition, TooMany},
    service::Pages,
};
pub(crate) use self::{check::check, item::built_in};
pub use self::{
    check::difference,
    ids::RuleIds,
    tables::{Answer, Tables},
};
use crate::{
    error::{Code, Error, Result},
    policy::{Action, Address, Addresses, Direction, Endpoint, Policy, PortRange, Protocol, Selector},
};

/// Bytes of text that fit in POLICY_TEXT.
pub const MAX_TEXT: usize = TEXT_CHUNK * TEXT_CHUNKS as usize;

/// Rules that a refusal names.
const NAMED: usize = 5;
/// The part of the largest rule that another one must have to be named beside it.
const HARDLY: u64 = 100;

/// A policy as the maps hold it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The tables; number and time of the generation are zero.
    pub tables: Tables,
    /// The policy in canonical form.
    pub text: String,
    /// Id and name of each rule, in the order of the policy.
    pub rules: Vec<(u32, String)>,
}

/// Compiles a policy. `ids` is changed only on success.
///
/// # Errors
/// [`Code::InvalidPolicy`] if the policy makes no sense, or does not fit in the maps: more than [`MAX_TEXT`] bytes of
/// text, [`MAX_VERDICTS`] combinations, [`MAX_NETWORKS`] networks or [`MAX_AUDITS`] rules with `audit`, more overlaps than
/// can be told apart in reasonable time, or more rules than there are ids.
pub fn compile(policy: &Policy, ids: &mut RuleIds) -> Result<Compiled> {
    let text = policy.to_string();
    if text.len() > MAX_TEXT {
        return Err(invalid(format!("the policy has {} bytes of text, and {MAX_TEXT} fit", text.len())));
    }
    // A model can be made without the parser, which is where the checks are.
    policy.check()?;

    let mut new_ids = ids.clone();
    let mut rules = Vec::with_capacity(policy.rules.len());
    for rule in &policy.rules {
        let id = new_ids.id(&rule.name).map_err(|error| Error { code: Code::InvalidPolicy, ..error })?;
        rules.push((id, rule.name.clone()));
    }
    let tables = tables(policy, &rules, text.len())?;
    *ids = new_ids;
    Ok(Compiled { tables, text, rules })
}

fn tables(policy: &Policy, ids: &[(u32, String)], text_bytes: usize) -> Result<Tables> {
    let built_in = built_in(policy);
    let all = Items::new(policy, &built_in, ids);
    let audits: Vec<&Item<'_>> = all.items.iter().filter(|item| item.audit).collect();
    if audits.len() > MAX_AUDITS {
        let names: Vec<String> =
            audits[MAX_AUDITS..].iter().take(NAMED).map(|item| format!("`{}`", item.name)).collect();
        let (are, names) = (audits.len(), names.join(", "));
        return Err(invalid(format!(
            "{are} rules have `audit`, and {MAX_AUDITS} can be tried at once; too many are: {names}"
        )));
    }

    let mut partitions: [Partition; thing::COUNT] = std::array::from_fn(|_| Partition::new());
    let families = |thing: usize, partition: &mut Partition| -> Result<[Family; 2], TooMany> {
        let sets = &all.networks[thing].values;
        Ok([Family::new(false, sets, partition)?, Family::new(true, sets, partition)?])
    };
    let sources = families(SOURCE, &mut partitions[SOURCE])
        .map_err(|_| overlapping("sources", &all, SOURCE, &partitions[SOURCE]))?;
    let destinations = families(DESTINATION, &mut partitions[DESTINATION])
        .map_err(|_| overlapping("destinations", &all, DESTINATION, &partitions[DESTINATION]))?;

    let mut pages = Pages::new(PAGE_SOURCE_PORTS + 1);
    let services = &all.services.values;
    for (page, direction) in [(PAGE_IN, DIRECTION_IN), (PAGE_OUT, DIRECTION_OUT)] {
        pages
            .write(page, direction, services, 0, &mut partitions[SERVICE])
            .map_err(|_| overlapping("ports", &all, SERVICE, &partitions[SERVICE]))?;
    }
    // The regions of source ports stand after those of services.
    let offset = partitions[SERVICE].lists.len() as u32;
    pages
        .write(
            PAGE_SOURCE_PORTS,
            DIRECTION_IN | DIRECTION_OUT,
            &all.source_ports.values,
            offset,
            &mut partitions[SOURCE_PORT],
        )
        .map_err(|_| overlapping("source ports", &all, SOURCE_PORT, &partitions[SOURCE_PORT]))?;
    let interfaces = all.interfaces.values.len() as u32;
    let interface_lists: Vec<u32> = (0..interfaces)
        .map(|set| partitions[INTERFACE].list(vec![set]))
        .collect::<Result<_, TooMany>>()
        .map_err(|_| overlapping("interfaces", &all, INTERFACE, &partitions[INTERFACE]))?;

    let sets = all.sets();
    let combined = combine(&all.items, &partitions, sets, &all.whole()).map_err(|too_many| {
        let hint = "a rule takes one for each combination of what it and the others tell apart: use fewer and wider networks and ranges in these rules, or the same set in all of them";
        invalid(format!("the policy needs more than the {MAX_VERDICTS} combinations that fit; the largest rules: {}", listed(&too_many.0))).hint(hint)
    })?;

    let mut profiles: Interner<Profile> = Interner::default();
    let classes: [Vec<Class>; thing::COUNT] = std::array::from_fn(|thing| {
        let mut of_set = vec![0; sets[thing]];
        let mut everywhere = 0;
        for (bit, item) in audits.iter().enumerate() {
            match item.sets[thing] {
                Some(set) => of_set[set as usize] |= 1 << bit,
                None => everywhere |= 1 << bit,
            }
        }
        combined.classes(thing, &partitions[thing], &of_set, everywhere, &mut profiles)
    });
    let mut header = header(policy, &combined, &audits);
    if classes.iter().any(|classes| classes.len() > MAX_CLASSES) || profiles.values.len() > MAX_CLASSES {
        return Err(invalid(format!(
            "the rules tell more than {MAX_CLASSES} groups of addresses or ports apart; the largest rules: {}",
            listed(&most_networks(&all))
        ))
        .hint("give rules that look at the same the same set"));
    }
    let mut networks = Networks::default();
    for (family, space) in sources.iter().zip(SPACE_SOURCE_V4..) {
        family.write(space, &classes[SOURCE], &mut header, &mut networks);
    }
    for (family, space) in destinations.iter().zip(SPACE_DESTINATION_V4..) {
        family.write(space, &classes[DESTINATION], &mut header, &mut networks);
    }
    header.roots[SPACE_INTERFACE as usize] = classes[INTERFACE][partition::NO_SET as usize];
    for (name, list) in all.interfaces.values.iter().zip(interface_lists) {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        networks.add(true, u128::from_be_bytes(bytes), kind(0, SPACE_INTERFACE), classes[INTERFACE][list as usize]);
    }
    if networks.len() > MAX_NETWORKS {
        let widest = listed(&most_networks(&all));
        return Err(invalid(format!(
            "the policy takes {} entries for networks, and {MAX_NETWORKS} fit; the largest rules: {widest}",
            networks.len()
        ))
        .hint("use fewer, wider networks"));
    }
    let classes = pages.classes(&[&classes[SERVICE][..], &classes[SOURCE_PORT]].concat());
    header.rules = ids.len() as u32;
    header.text_bytes = text_bytes as u32;
    header.pages = pages.pages.len() as u32;
    header.classes = classes.len() as u32;
    header.profiles = profiles.values.len() as u32;
    header.networks = networks.len() as u32;
    let filter = filter::fill(networks.searched(&header));
    header.filter_words = filter.len() as u32;
    let (networks4, networks6) = (bucket::fill(networks.v4), bucket::fill(networks.v6));
    (header.buckets4, header.buckets6) = (networks4.len() as u32, networks6.len() as u32);
    let entries = combined.verdicts();
    header.verdicts = entries.len() as u32;
    let verdicts = bucket::fill(entries);
    header.verdict_buckets = verdicts.len() as u32;
    let rules = ids.iter().map(|(id, name)| named(*id, name)).collect();
    let (pages, profiles) = (pages.pages, profiles.values);
    Ok(Tables { header, rules, pages, classes, profiles, networks4, networks6, filter, verdicts })
}

fn header(policy: &Policy, combined: &Combined, audits: &[&Item<'_>]) -> PolicyHeader {
    let unused = Shape { layers: [ANY; thing::COUNT], ..Shape::default() };
    let mut header = PolicyHeader {
        generation: 0,
        rules: 0,
        text_bytes: 0,
        builtins: policy.builtins.bits(),
        default_in: action(policy.defaults.inbound),
        default_out: action(policy.defaults.outbound),
        shape_count: combined.shapes.len() as u8,
        audit_count: audits.len() as u8,
        timeouts_s: policy.timeouts.0,
        applied_unix_ns: 0,
        pages: 0,
        classes: 0,
        profiles: 0,
        networks: 0,
        buckets4: 0,
        buckets6: 0,
        filter_words: 0,
        verdicts: 0,
        verdict_buckets: 0,
        reserved: 0,
        looks: std::array::from_fn(|thing| combined.shapes_by(thing)),
        audits_by_interface: 0,
        roots: [Class::default(); SPACES],
        shapes: [unused; MAX_SHAPES],
        audit_rules: [Verdict::default(); MAX_AUDITS],
        lengths: [[0; MAX_LENGTHS]; 4],
    };
    for (to, shape) in header.shapes.iter_mut().zip(&combined.shapes) {
        *to = *shape;
    }
    for (bit, item) in audits.iter().enumerate() {
        header.audit_rules[bit] = item.verdict;
        header.audits_by_interface |= u64::from(item.sets[INTERFACE].is_some()) << bit;
    }
    header
}

/// A rule's name in RULES.
fn named(id: u32, name: &str) -> NamedRule {
    let mut field = [0; NAME_LEN];
    // The parser takes no longer ones.
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    NamedRule { name: field, id }
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidPolicy, message)
}

/// The first few of rules by size, the largest first; not those that hardly count beside it.
fn largest<'s, 'a>(sizes: &'s [(&'a str, u64)]) -> impl Iterator<Item = &'s (&'a str, u64)> {
    let least = sizes.first().map_or(0, |(_, size)| size.div_ceil(HARDLY));
    sizes.iter().take(NAMED).take_while(move |(_, size)| *size >= least)
}

/// Their names and sizes.
fn listed(sizes: &[(&str, u64)]) -> String {
    largest(sizes).map(|(name, size)| format!("`{name}` {size}")).collect::<Vec<_>>().join(", ")
}

/// Rules by the number of networks that they look at.
fn most_networks<'a>(all: &Items<'a>) -> Vec<(&'a str, u64)> {
    let count = |item: &Item<'_>, thing: usize| {
        item.sets[thing].map_or(0, |set| all.networks[thing].values[set as usize].len() as u64)
    };
    by_rule(&all.items, |item| count(item, SOURCE) + count(item, DESTINATION))
}

/// `partition` is as far as it came.
fn overlapping(what: &str, all: &Items<'_>, thing: usize, partition: &Partition) -> Error {
    let of_sets = partition.memberships(all.sets()[thing]);
    let sizes = by_rule(&all.items, |item| item.sets[thing].map_or(0, |set| of_sets[set as usize]));
    // Their numbers would say how much of it was done, not how much they overlap.
    let names: Vec<String> = largest(&sizes).map(|(name, _)| format!("`{name}`")).collect();
    invalid(format!(
        "the {what} of the rules overlap too much: more than {MOST_MEMBERSHIPS} rules look at the parts into which they \
         divide each other, added up over all parts; those that overlap most: {}",
        names.join(", ")
    ))
    .hint("give rules that look at the same the same set, or part wide ranges")
}

fn action(action: Action) -> u8 {
    match action {
        Action::Allow => ACTION_ALLOW,
        Action::Deny => ACTION_DENY,
    }
}

/// A DHCP client's packets and those for it (RFC 2131 section 4.1, RFC 8415 section 7.2).
fn dhcp() -> [Selector; 4] {
    let flow = |direction, from: u16, to: u16, everyone: IpNet| {
        let endpoint = |port| Endpoint {
            addresses: Addresses::List(vec![Address::Network(everyone)]),
            ports: vec![PortRange { first: port, last: port }],
        };
        let (from, to) = (endpoint(from), endpoint(to));
        Selector { direction, protocol: Protocol::Udp, from, to, icmp: None, interface: None }
    };
    // The default of a network is the whole of its family.
    let (v4, v6) = (IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default()));
    [
        flow(Direction::Out, 68, 67, v4),
        flow(Direction::In, 67, 68, v4),
        flow(Direction::Out, 546, 547, v6),
        flow(Direction::In, 547, 546, v6),
    ]
}
