//! Policies whose rules overlap in every way.

use std::collections::HashSet;

use ipnet::IpNet;
use mseg_ebpf::abi::{
    policy::{MAX_AUDITS, timeout},
    time::MAX_TIMEOUT_S,
};

use super::{
    super::{
        Action, Address, Addresses, Builtins, Define, Direction, Endpoint, IcmpType, Policy, PortRange, Protocol, Rule,
        Selector, words,
    },
    network::pool,
    random::Random,
};

/// Interfaces that rules name.
pub const INTERFACES: [&str; 4] = ["eth0", "eth1", "br-lan.100", "abcdefghijklmno"];

/// Ports at which something begins or ends: the built-in rules' and the tables'.
const PORTS: [u16; 16] = [0, 1, 22, 67, 68, 80, 255, 256, 443, 511, 546, 547, 8000, 8999, 65_534, 65_535];

const V4: u8 = 1;
const V6: u8 = 2;

/// Makes the parts of a policy out of common pools.
pub(super) struct Maker<'a> {
    random: &'a mut Random,
    networks: Vec<IpNet>,
    ports: Vec<u16>,
    /// Names of sets, and their families.
    sets: Vec<(String, u8)>,
}

/// A valid policy of so many rules.
pub fn random_policy(random: &mut Random, rules: usize) -> Policy {
    let mut policy = Policy::default();
    for action in [&mut policy.defaults.inbound, &mut policy.defaults.outbound] {
        *action = random.pick(&[Action::Allow, Action::Deny]);
    }
    for name in Builtins::NAMES {
        *policy.builtins.by_name(name).expect("a built-in rule") = random.percent(80);
    }
    if random.percent(30) {
        policy.timeouts.0[random.below(timeout::COUNT)] = 1 + random.below(MAX_TIMEOUT_S as usize) as u32;
    }
    let mut maker = Maker::new(random, rules);
    policy.defines = maker.defines(rules);
    let lines = maker.random.below(3);
    if lines > 0 {
        policy.failsafe = (0..lines).map(|_| maker.selector()).collect();
    }
    let (mut names, mut audits) = (HashSet::new(), 0);
    while policy.rules.len() < rules {
        let mut rule = maker.rule();
        if !names.insert(rule.name.clone()) {
            continue;
        }
        audits += usize::from(rule.audit);
        rule.audit &= audits <= MAX_AUDITS;
        policy.rules.push(rule);
    }
    policy
}

impl<'a> Maker<'a> {
    pub(super) fn new(random: &'a mut Random, rules: usize) -> Self {
        let count = 3 + random.below(6 + rules.min(300));
        let networks = pool(random, count);
        let mut ports = PORTS.to_vec();
        ports.extend((0..random.below(4 + rules.min(100))).map(|_| random.next() as u16));
        Self { random, networks, ports, sets: Vec::new() }
    }

    /// Sets that hold others, some of them large.
    fn defines(&mut self, rules: usize) -> Vec<Define> {
        let mut defines = Vec::new();
        for name in ["office", "Web.servers", "db_1", "x", "s-4", "s-5", "s-6"] {
            if self.random.percent(40) {
                continue;
            }
            let most = if rules > 12 && self.random.percent(10) { 150 } else { 6 };
            let members = self.list(most, 20);
            self.sets.push((name.to_owned(), self.families(&members)));
            defines.push(Define { name: name.to_owned(), members });
        }
        // They may stand after their use.
        for index in 1..defines.len() {
            defines.swap(index, self.random.below(index + 1));
        }
        defines
    }

    /// Addresses, of which so many percent are sets.
    fn list(&mut self, most: usize, sets: usize) -> Vec<Address> {
        let count = 1 + self.random.below(most);
        let member = |maker: &mut Self| match maker.sets.len() {
            known if known > 0 && maker.random.percent(sets) => {
                Address::Set(maker.sets[maker.random.below(known)].0.clone())
            }
            _ => Address::Network(maker.random.pick(&maker.networks)),
        };
        (0..count).map(|_| member(self)).collect()
    }

    fn families(&self, list: &[Address]) -> u8 {
        let of_set =
            |name: &str| self.sets.iter().find(|(known, _)| known == name).map_or(0, |(_, families)| *families);
        list.iter().fold(0, |families, address| {
            families
                | match address {
                    Address::Network(IpNet::V4(_)) => V4,
                    Address::Network(IpNet::V6(_)) => V6,
                    Address::Set(name) => of_set(name),
                }
        })
    }

    fn addresses(&mut self) -> Addresses {
        match self.random.below(20) {
            0..8 => Addresses::Any,
            8..19 => Addresses::List(self.list(3, 30)),
            _ => Addresses::List(self.list(12, 10)),
        }
    }

    fn ports(&mut self) -> Vec<PortRange> {
        let ranges = [0, 0, 1, 1, 1, 2, 3, 6][self.random.below(8)];
        let range = |random: &mut Random, ports: &[u16]| {
            let (a, b) = (random.pick(ports), random.pick(ports));
            if random.percent(50) {
                PortRange { first: a, last: a }
            } else {
                PortRange { first: a.min(b), last: a.max(b) }
            }
        };
        (0..ranges).map(|_| range(self.random, &self.ports)).collect()
    }

    fn protocol(&mut self) -> Protocol {
        match self.random.below(20) {
            0..7 => Protocol::Tcp,
            7..11 => Protocol::Udp,
            11..14 => Protocol::Any,
            14 => Protocol::Sctp,
            15 | 16 => Protocol::Icmp,
            17 | 18 => Protocol::Icmpv6,
            _ => {
                let other = self.random.byte();
                Protocol::from_number(self.random.pick(&[0, 2, 4, 41, 47, 50, 89, 254, 255, other]))
            }
        }
    }

    fn selector(&mut self) -> Selector {
        let protocol = self.protocol();
        let direction = self.random.pick(&[Direction::In, Direction::In, Direction::Out, Direction::Both]);
        let mut endpoint = |often: usize| {
            let addresses = self.addresses();
            let ports = if protocol.has_ports() && self.random.percent(often) { self.ports() } else { Vec::new() };
            Endpoint { addresses, ports }
        };
        let (mut from, mut to) = (endpoint(25), endpoint(90));
        // What no packet can match is refused.
        let of_protocol = match protocol {
            Protocol::Icmp => V4,
            Protocol::Icmpv6 => V6,
            _ => V4 | V6,
        };
        for side in [&mut from, &mut to] {
            if side.addresses != Addresses::Any && self.families(side.addresses.list()) & of_protocol == 0 {
                side.addresses = Addresses::Any;
            }
        }
        let families = |side: &Endpoint| match side.addresses {
            Addresses::Any => V4 | V6,
            Addresses::List(ref list) => self.families(list),
        };
        if families(&from) & families(&to) & of_protocol == 0 {
            to.addresses = Addresses::Any;
        }
        let is_icmp = matches!(protocol, Protocol::Icmp | Protocol::Icmpv6);
        let icmp = (is_icmp && self.random.percent(70)).then(|| {
            let (number, code) = (self.random.byte(), self.random.byte());
            IcmpType {
                number: self.random.pick(&[0, 3, 8, 8, 13, 128, 128, 130, 135, 255, number]),
                code: self.random.percent(50).then(|| self.random.pick(&[0, 0, 1, 255, code])),
            }
        });
        let interface = self.random.percent(15).then(|| self.random.pick(&INTERFACES).to_owned());
        Selector { direction, protocol, from, to, icmp, interface }
    }

    fn name(&mut self) -> String {
        const FIRST: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        const OTHERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
        loop {
            let length = self.random.pick(&[1, 2, 4, 12, 62]);
            let mut name = vec![self.random.pick(FIRST)];
            name.extend((0..length).map(|_| self.random.pick(OTHERS)));
            let name = String::from_utf8(name).expect("letters");
            if words::name_error("rule", &name).is_none() {
                return name;
            }
        }
    }

    pub(super) fn rule(&mut self) -> Rule {
        let random = self.random.next() as u16;
        Rule {
            name: self.name(),
            action: self.random.pick(&[Action::Allow, Action::Deny]),
            selector: self.selector(),
            priority: self.random.pick(&[1000, 1000, 1000, 1000, 0, 999, 1001, 65_535, random]),
            log: self.random.percent(40),
            audit: self.random.percent(8),
        }
    }
}
