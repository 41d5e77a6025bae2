//! The rules in the order in which they are asked, each as sets of what it looks at.

use std::{cmp::Reverse, collections::HashMap, hash::Hash};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mseg_ebpf::abi::{
    policy::{
        DIRECTION_IN, DIRECTION_OUT, Verdict,
        thing::{self, DESTINATION, SOURCE},
    },
    rule,
};

use super::{
    dhcp,
    prefix::{Resolver, ranges},
};
use crate::policy::{Action, Addresses, IcmpType, Policy, PortRange, Protocol, Rule, Selector, Sets};

/// A rule, or another line that decides.
pub(super) struct Item<'a> {
    pub(super) name: &'a str,
    pub(super) verdict: Verdict,
    /// It is only tried.
    pub(super) audit: bool,
    /// Numbers of the sets that it looks at by [`thing`], none for anything.
    pub(super) sets: [Option<u32>; thing::COUNT],
}

/// Values by number, each once.
pub(super) struct Interner<T> {
    pub(super) values: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub(super) fn intern(&mut self, value: T) -> u32 {
        let next = self.values.len() as u32;
        *self.numbers.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            next
        })
    }
}

/// Ports of a protocol, or all of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    /// `DIRECTION_*` bits.
    pub(super) directions: u8,
    /// None for every protocol; then there are no ranges.
    pub(super) protocol: Option<u8>,
    /// None for all.
    pub(super) ranges: Vec<PortRange>,
}

const BOTH: u8 = DIRECTION_IN | DIRECTION_OUT;

/// Everything that is looked at.
#[derive(Default)]
pub(super) struct Items<'a> {
    pub(super) items: Vec<Item<'a>>,
    /// Sources, destinations.
    pub(super) networks: [Interner<Vec<IpNet>>; 2],
    pub(super) services: Interner<Ports>,
    pub(super) source_ports: Interner<Ports>,
    pub(super) interfaces: Interner<&'a str>,
}

impl<'a> Items<'a> {
    /// `built_in` come first; `ids` are those of the rules, in the order of the text.
    pub(super) fn new(policy: &'a Policy, built_in: &'a [(u32, Selector)], ids: &[(u32, String)]) -> Self {
        let mut builder = Builder {
            items: Self::default(),
            resolver: Resolver::new(Sets::new(&policy.defines)),
            known: HashMap::new(),
        };
        for (id, selector) in built_in {
            let verdict = |precedence| Verdict::new(precedence, *id, true, false);
            builder.add(rule::RESERVED_NAMES[*id as usize], selector, &verdict, false);
        }
        let mut order: Vec<(&Rule, u32)> = policy.rules.iter().zip(ids).map(|(rule, (id, _))| (rule, *id)).collect();
        // A stable sort: of equals, the first in the text stays first; deny goes before allow.
        let allows = |rule: &Rule| rule.action == Action::Allow;
        order.sort_by_key(|(rule, _)| (rule.priority, allows(rule)));
        for (rule, id) in order {
            let verdict = |precedence| Verdict::new(precedence, id, allows(rule), rule.log);
            builder.add(&rule.name, &rule.selector, &verdict, rule.audit);
        }
        builder.items
    }

    /// How many sets there are, by thing.
    pub(super) fn sets(&self) -> [usize; thing::COUNT] {
        let [sources, destinations] = &self.networks;
        [
            sources.values.len(),
            destinations.values.len(),
            self.services.values.len(),
            self.source_ports.values.len(),
            self.interfaces.values.len(),
        ]
    }

    /// The sets that are all addresses of a family, by thing.
    pub(super) fn whole(&self) -> [Vec<u32>; thing::COUNT] {
        let whole = |networks: &[IpNet]| networks.len() == 1 && networks[0].prefix_len() == 0;
        let mut found: [Vec<u32>; thing::COUNT] = Default::default();
        for (thing, networks) in self.networks.iter().enumerate() {
            let sets = (0..).zip(&networks.values);
            found[thing].extend(sets.filter(|(_, set)| whole(set)).map(|(number, _)| number));
        }
        found
    }
}

/// The sizes of the rules that somebody wrote, the largest first.
pub(super) fn by_rule<'i, 'a: 'i>(
    items: impl IntoIterator<Item = &'i Item<'a>>,
    size: impl Fn(&Item<'a>) -> u64,
) -> Vec<(&'a str, u64)> {
    // The lines of the failsafe are several items of one name.
    let mut of_rules: HashMap<&str, u64> = HashMap::new();
    for item in items.into_iter().filter(|item| item.verdict.rule() != rule::DHCP) {
        let sum = of_rules.entry(item.name).or_default();
        *sum = sum.saturating_add(size(item));
    }
    let mut sizes: Vec<(&str, u64)> = of_rules.into_iter().collect();
    sizes.sort_by_key(|(name, size)| (Reverse(*size), *name));
    sizes
}

struct Builder<'a> {
    items: Items<'a>,
    resolver: Resolver<'a>,
    /// Set numbers of lists of addresses that were resolved, by thing, list and family.
    known: HashMap<(usize, &'a Addresses, Option<Family>), Networks>,
}

/// None if no packet matches; else a set, none for any address.
type Networks = Option<Option<u32>>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
}

impl<'a> Builder<'a> {
    /// `verdict` is by precedence.
    fn add(&mut self, name: &'a str, selector: &'a Selector, verdict: &dyn Fn(u32) -> Verdict, audit: bool) {
        let precedence = self.items.items.len() as u32;
        // ICMP is of one family; both sides then are.
        let family = match selector.protocol {
            Protocol::Icmp => Some(Family::V4),
            Protocol::Icmpv6 => Some(Family::V6),
            _ => None,
        };
        let source = self.networks(SOURCE, &selector.from.addresses, family);
        // The source says the family already.
        let destination = self.networks(DESTINATION, &selector.to.addresses, None);
        let (Some(source), Some(destination)) = (source, destination) else {
            return;
        };
        let protocol = selector.protocol.number();
        let directions = selector.direction.bits();
        let service = Ports { directions, protocol, ranges: service_ranges(selector) };
        let service = (directions != BOTH || protocol.is_some()).then(|| self.items.services.intern(service));
        let ranges = some_ranges(&selector.from.ports);
        let source_port =
            (!ranges.is_empty()).then(|| self.items.source_ports.intern(Ports { directions: BOTH, protocol, ranges }));
        let interface = selector.interface.as_deref().map(|name| self.items.interfaces.intern(name));
        self.items.items.push(Item {
            name,
            verdict: verdict(precedence),
            audit,
            sets: [source, destination, service, source_port, interface],
        });
    }

    fn networks(&mut self, thing: usize, addresses: &'a Addresses, family: Option<Family>) -> Networks {
        if let Some(known) = self.known.get(&(thing, addresses, family)) {
            return *known;
        }
        let found = self.resolve(thing, addresses, family);
        self.known.insert((thing, addresses, family), found);
        found
    }

    fn resolve(&mut self, thing: usize, addresses: &'a Addresses, family: Option<Family>) -> Networks {
        let mut networks: Vec<IpNet> = match (self.resolver.networks(addresses), family) {
            (None, None) => return Some(None),
            (None, Some(Family::V4)) => vec![Ipv4Net::default().into()],
            (None, Some(Family::V6)) => vec![Ipv6Net::default().into()],
            (Some(networks), _) => networks,
        };
        networks.retain(|network| match family {
            None => true,
            Some(Family::V4) => network.addr().is_ipv4(),
            Some(Family::V6) => network.addr().is_ipv6(),
        });
        if networks.is_empty() { None } else { Some(Some(self.items.networks[thing].intern(networks))) }
    }
}

fn some_ranges(ports: &[PortRange]) -> Vec<PortRange> {
    ranges(ports).unwrap_or_default()
}

/// The destination ports, or the types and codes of ICMP as if they were ports.
fn service_ranges(selector: &Selector) -> Vec<PortRange> {
    match selector.icmp {
        None => some_ranges(&selector.to.ports),
        Some(IcmpType { number, code }) => {
            let (low, high) = code.map_or((0, u8::MAX), |code| (code, code));
            vec![PortRange { first: u16::from_be_bytes([number, low]), last: u16::from_be_bytes([number, high]) }]
        }
    }
}

/// The built-in rules that are asked like those of the policy: `failsafe` lines, then DHCP.
pub(crate) fn built_in(policy: &Policy) -> Vec<(u32, Selector)> {
    let mut built_in = Vec::new();
    if policy.builtins.failsafe {
        built_in.extend(policy.failsafe.iter().map(|selector| (rule::FAILSAFE, selector.clone())));
    }
    if policy.builtins.dhcp {
        built_in.extend(dhcp().map(|selector| (rule::DHCP, selector)));
    }
    built_in
}
