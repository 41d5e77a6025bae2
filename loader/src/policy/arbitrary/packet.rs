//! Packets at the edges of what rules match.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    super::{
        Addresses, Direction, Policy, PortRange, Protocol, Selector, Sets,
        evaluate::{Packet, PacketDirection},
    },
    network::{beside, within},
    random::Random,
    rules::INTERFACES,
};
use crate::compile::built_in;

/// What one rule matches.
struct Matching {
    selector: Selector,
    /// By family.
    from: [Vec<IpNet>; 2],
    to: [Vec<IpNet>; 2],
}

/// Makes packets about the rules of one policy.
struct Packets<'a> {
    random: &'a mut Random,
    rules: Vec<Matching>,
    /// Every network of the policy by family: addresses where a rule names none.
    networks: [Vec<IpNet>; 2],
    ports: Vec<u16>,
}

/// The packets at the edges of every rule, also of the built-in ones: for each edge of each network and of each range of
/// ports, those on it and on both sides of it, with the other fields as the rule has them.
pub fn boundary_packets(policy: &Policy, random: &mut Random) -> Vec<Packet> {
    let mut maker = Packets::new(policy, random);
    let mut packets = Vec::new();
    for rule in 0..maker.rules.len() {
        for v6 in [false, true] {
            maker.boundaries(rule, v6, &mut packets);
        }
    }
    packets
}

/// Packets that have most fields as one of the rules has them, and others as another.
pub fn random_packets(policy: &Policy, random: &mut Random, count: usize) -> Vec<Packet> {
    let mut maker = Packets::new(policy, random);
    (0..count).map(|_| maker.any()).collect()
}

impl<'a> Packets<'a> {
    fn new(policy: &Policy, random: &'a mut Random) -> Self {
        let sets = Sets::new(&policy.defines);
        let built_in = built_in(policy);
        let selectors = built_in.iter().map(|(_, selector)| selector);
        let rules: Vec<Matching> = selectors
            .chain(policy.rules.iter().map(|rule| &rule.selector))
            .map(|selector| {
                let by_family = |addresses: &Addresses| {
                    let mut networks: [Vec<IpNet>; 2] = Default::default();
                    sets.any_network(addresses.list(), |network| {
                        networks[usize::from(network.addr().is_ipv6())].push(network);
                        false
                    });
                    networks
                };
                let (from, to) = (by_family(&selector.from.addresses), by_family(&selector.to.addresses));
                Matching { selector: selector.clone(), from, to }
            })
            .collect();
        let mut networks = ["0.0.0.0/0", "::/0"].map(|whole| vec![whole.parse::<IpNet>().expect("a network")]);
        let mut ports = vec![0, 22, 67, 68, 80, 443, 546, 547, u16::MAX];
        for rule in &rules {
            for (all, own) in networks.iter_mut().zip([[&rule.from[0], &rule.to[0]], [&rule.from[1], &rule.to[1]]]) {
                all.extend(own.into_iter().flatten());
            }
            let ranges = rule.selector.from.ports.iter().chain(&rule.selector.to.ports);
            ports.extend(ranges.flat_map(|range| [range.first, range.last]));
        }
        Self { random, rules, networks, ports }
    }

    fn address(&mut self, own: &Addresses, networks: &[IpNet], v6: bool) -> Option<IpAddr> {
        let network = match own {
            Addresses::Any => self.random.pick(&self.networks[usize::from(v6)]),
            Addresses::List(_) if networks.is_empty() => return None,
            Addresses::List(_) => self.random.pick(networks),
        };
        Some(within(self.random, network))
    }

    fn port(&mut self, ranges: &[PortRange]) -> u16 {
        if ranges.is_empty() {
            let any = self.random.next() as u16;
            return if self.random.percent(80) { self.random.pick(&self.ports) } else { any };
        }
        let range = self.random.pick(ranges);
        let inside = range.first + self.random.below(usize::from(range.last - range.first) + 1) as u16;
        self.random.pick(&[range.first, range.last, inside])
    }

    /// A packet of a family that a rule matches, if there is one.
    fn matching(&mut self, rule: usize, v6: bool) -> Option<Packet> {
        // Given back below: the random numbers are in the same place.
        let rules = std::mem::take(&mut self.rules);
        let packet = self.packet_of(&rules[rule], v6);
        self.rules = rules;
        packet
    }

    fn packet_of(&mut self, rule: &Matching, v6: bool) -> Option<Packet> {
        let selector = &rule.selector;
        if matches!((selector.protocol, v6), (Protocol::Icmp, true) | (Protocol::Icmpv6, false)) {
            return None;
        }
        let family = usize::from(v6);
        let both = self.random.pick(&[PacketDirection::In, PacketDirection::Out]);
        let any_protocol = self.random.pick(&[6, 6, 17, 132, 1, 58, 47, 2]);
        let (any_type, any_code) = (self.random.pick(&[8, 128, 13, 200]), self.random.pick(&[0, 0, 1]));
        let any_interface = self.random.pick(&INTERFACES);
        Some(Packet {
            direction: match selector.direction {
                Direction::In => PacketDirection::In,
                Direction::Out => PacketDirection::Out,
                Direction::Both => both,
            },
            protocol: selector.protocol.number().unwrap_or(any_protocol),
            source: self.address(&selector.from.addresses, &rule.from[family], v6)?,
            destination: self.address(&selector.to.addresses, &rule.to[family], v6)?,
            source_port: self.port(&selector.from.ports),
            destination_port: self.port(&selector.to.ports),
            icmp_type: selector.icmp.map_or(any_type, |icmp| icmp.number),
            icmp_code: selector.icmp.and_then(|icmp| icmp.code).unwrap_or(any_code),
            interface: selector.interface.clone().unwrap_or_else(|| any_interface.to_owned()),
        })
    }

    fn boundaries(&mut self, rule: usize, v6: bool, packets: &mut Vec<Packet>) {
        let Some(first) = self.matching(rule, v6) else {
            return;
        };
        let Selector { protocol, icmp, interface, .. } = &self.rules[rule].selector;
        let (has_protocol, icmp, has_interface) = (*protocol != Protocol::Any, *icmp, interface.is_some());
        packets.push(plain(first));
        // The other fields are made anew each time.
        let mut push = |maker: &mut Self, change: &dyn Fn(&mut Packet)| {
            if let Some(mut packet) = maker.matching(rule, v6) {
                change(&mut packet);
                packets.push(plain(packet));
            }
        };
        for is_source in [true, false] {
            let own = &self.rules[rule];
            let (side, endpoint) =
                if is_source { (&own.from, &own.selector.from) } else { (&own.to, &own.selector.to) };
            let addresses: Vec<IpAddr> = side[usize::from(v6)].iter().flat_map(edges).collect();
            let mut ports: Vec<u16> = endpoint.ports.iter().flat_map(|range| around(range.first, range.last)).collect();
            ports.dedup();
            for address in addresses {
                push(self, &|packet| *(if is_source { &mut packet.source } else { &mut packet.destination }) = address);
            }
            for port in ports {
                push(self, &|packet| {
                    *(if is_source { &mut packet.source_port } else { &mut packet.destination_port }) = port;
                });
            }
        }
        for step in [-1i8, 1] {
            if has_protocol {
                push(self, &|packet| packet.protocol = packet.protocol.wrapping_add_signed(step));
            }
            if let Some(icmp) = icmp {
                push(self, &|packet| packet.icmp_type = packet.icmp_type.wrapping_add_signed(step));
                let code = icmp.code.map_or(if step < 0 { 0 } else { u8::MAX }, |code| code.wrapping_add_signed(step));
                push(self, &|packet| packet.icmp_code = code);
            }
        }
        push(self, &|packet| {
            packet.direction = match packet.direction {
                PacketDirection::In => PacketDirection::Out,
                PacketDirection::Out => PacketDirection::In,
            };
        });
        if has_interface {
            for name in INTERFACES {
                push(self, &|packet| packet.interface = name.to_owned());
            }
        }
    }

    fn any(&mut self) -> Packet {
        // Without any rule there is nothing to be at the edge of.
        if self.rules.is_empty() {
            self.rules.push(Matching {
                selector: Policy::default_failsafe().remove(0),
                from: Default::default(),
                to: Default::default(),
            });
        }
        loop {
            let v6 = self.random.percent(50);
            let (one, other) = (self.random.below(self.rules.len()), self.random.below(self.rules.len()));
            let Some(mut packet) = self.matching(one, v6) else {
                continue;
            };
            if let Some(other) = self.matching(other, v6) {
                let mut often = || self.random.percent(15);
                if often() {
                    packet.direction = other.direction;
                }
                if often() {
                    packet.source = other.source;
                }
                if often() {
                    packet.destination = other.destination;
                }
                if often() {
                    (packet.protocol, packet.icmp_type, packet.icmp_code) =
                        (other.protocol, other.icmp_type, other.icmp_code);
                }
                if often() {
                    packet.source_port = other.source_port;
                }
                if often() {
                    packet.destination_port = other.destination_port;
                }
                if often() {
                    packet.interface = other.interface;
                }
            }
            return plain(packet);
        }
    }
}

/// Without what the protocol does not have.
fn plain(mut packet: Packet) -> Packet {
    if !Protocol::from_number(packet.protocol).has_ports() {
        (packet.source_port, packet.destination_port) = (0, 0);
    }
    if !matches!((packet.protocol, packet.source.is_ipv6()), (1, false) | (58, true)) {
        (packet.icmp_type, packet.icmp_code) = (0, 0);
    }
    packet
}

fn edges(network: &IpNet) -> Vec<IpAddr> {
    let (first, last) = (network.network(), network.broadcast());
    let mut edges: Vec<IpAddr> =
        [first, last].into_iter().flat_map(|edge| [-1, 0, 1].map(|step| beside(edge, step))).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn around(first: u16, last: u16) -> Vec<u16> {
    let mut around: Vec<u16> =
        [first, last].into_iter().flat_map(|edge| [-1, 0, 1].map(|step| edge.wrapping_add_signed(step))).collect();
    around.sort_unstable();
    around.dedup();
    around
}
