//! Random policies, and packets at the edges of what their rules match.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use mseg_ebpf::abi::{policy::timeout, time::MAX_TIMEOUT_S};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    Action, Address, Addresses, Builtins, Defaults, Define, Direction, Endpoint, IcmpType, Policy, PortRange, Protocol,
    Rule, Selector, Timeouts,
    evaluate::{Packet, PacketDirection},
};

/// Networks that nest, touch and overlap, so that rules have something to do with each other.
const NETWORKS: [&str; 20] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.0/25",
    "10.1.2.128/25",
    "10.1.2.2/31",
    "10.1.2.3/32",
    "128.0.0.0/1",
    "255.255.255.255/32",
    "::/0",
    "::/32",
    "::1/128",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8:1::/64",
    "2001:db8:1::8000:0:0:0/65",
    "2001:db8:1::5/128",
    "fe80::/10",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
];
const INTERFACES: [&str; 4] = ["eth0", "eth1", "br-lan.100", "abcdefghijklmno"];
const PORTS: [u16; 12] = [0, 1, 22, 67, 68, 80, 443, 546, 547, 8000, 8999, 65_535];
const SETS: [&str; 4] = ["office", "Web.servers", "db_1", "x"];

fn network() -> impl Strategy<Value = IpNet> {
    let known = select(&NETWORKS[..]).prop_map(|text| text.parse::<IpNet>().expect("a network"));
    let v4 = (any::<u32>(), 0..=32u8).prop_map(|(bits, length)| (IpAddr::from(Ipv4Addr::from(bits)), length));
    let v6 = (any::<u128>(), 0..=128u8).prop_map(|(bits, length)| (IpAddr::from(Ipv6Addr::from(bits)), length));
    let random =
        prop_oneof![v4, v6].prop_map(|(address, length)| IpNet::new(address, length).expect("a network").trunc());
    prop_oneof![4 => known, 1 => random]
}

fn address() -> impl Strategy<Value = Address> {
    let set = select(&SETS[..]).prop_map(|name| Address::Set(name.to_owned()));
    prop_oneof![4 => network().prop_map(Address::Network), 1 => set]
}

fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    let port = prop_oneof![4 => select(&PORTS[..]), 1 => any::<u16>()];
    let range = (port.clone(), port).prop_map(|(a, b)| PortRange { first: a.min(b), last: a.max(b) });
    let single = select(&PORTS[..]).prop_map(|port| PortRange { first: port, last: port });
    vec(prop_oneof![range, single], 0..4)
}

fn endpoint(protocol: Protocol) -> impl Strategy<Value = Endpoint> {
    let addresses = prop_oneof![Just(Addresses::Any), vec(address(), 1..4).prop_map(Addresses::List)];
    (addresses, ports()).prop_map(move |(addresses, ports)| Endpoint {
        addresses,
        ports: if protocol.has_ports() { ports } else { Vec::new() },
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    let named =
        select(vec![Protocol::Any, Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp, Protocol::Icmpv6]);
    let protocol = prop_oneof![6 => named, 1 => any::<u8>().prop_map(Protocol::from_number)];
    let direction = select(vec![Direction::In, Direction::Out, Direction::Both]);
    let icmp = option::of((any::<u8>(), option::of(any::<u8>())));
    let interface = option::weighted(0.2, select(&INTERFACES[..]));
    (protocol, direction, icmp, interface).prop_flat_map(|(protocol, direction, icmp, interface)| {
        (endpoint(protocol), endpoint(protocol)).prop_map(move |(from, to)| Selector {
            direction,
            protocol,
            from,
            to,
            icmp: icmp
                .filter(|_| matches!(protocol, Protocol::Icmp | Protocol::Icmpv6))
                .map(|(number, code)| IcmpType { number, code }),
            interface: interface.map(str::to_owned),
        })
    })
}

fn action() -> impl Strategy<Value = Action> {
    select(vec![Action::Allow, Action::Deny])
}

/// A rule that may name sets and hold addresses that contradict each other.
pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    let name = prop_oneof!["[a-d]", "[A-Za-z][A-Za-z0-9_.-]{0,62}"]
        .prop_filter("reserved", |name| super::words::name_error("rule", name).is_none());
    let priority = prop_oneof![Just(1000), select(vec![0, 999, 1001, 65_535]), any::<u16>()];
    (name, action(), selector(), priority, any::<bool>(), proptest::bool::weighted(0.1)).prop_map(
        |(name, action, selector, priority, log, audit)| Rule { name, action, selector, priority, log, audit },
    )
}

/// A valid policy.
pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let defaults = (action(), action()).prop_map(|(inbound, outbound)| Defaults { inbound, outbound });
    let builtins = proptest::array::uniform7(prop::bool::weighted(0.8)).prop_map(|states| {
        let mut builtins = Builtins::default();
        for (name, on) in Builtins::NAMES.iter().zip(states) {
            *builtins.by_name(name).expect("a built-in rule") = on;
        }
        builtins
    });
    let timeouts = option::of((0..timeout::COUNT, 1..=MAX_TIMEOUT_S)).prop_map(|changed| {
        let mut timeouts = Timeouts::default();
        if let Some((index, seconds)) = changed {
            timeouts.0[index] = seconds;
        }
        timeouts
    });
    // Set n may hold only sets before it, then the order is shuffled: definitions may stand after their use.
    let members = std::array::from_fn::<_, 4, _>(|index| {
        let inner = select(&SETS[..index.max(1)]).prop_map(|name| Address::Set(name.to_owned()));
        let network = network().prop_map(Address::Network);
        let weight = if index == 0 { 0 } else { 1 };
        vec(prop_oneof![3 => network, weight => inner], 1..5)
    });
    let defines = members.prop_flat_map(|members| {
        let defines = SETS.iter().zip(members).map(|(name, members)| Define { name: (*name).to_owned(), members });
        Just(defines.collect::<Vec<_>>()).prop_shuffle()
    });
    let parts = (defaults, builtins, timeouts, defines, vec(selector(), 0..3), vec(rule(), 0..12));
    parts.prop_map(|(defaults, builtins, timeouts, defines, failsafe, rules)| {
        let mut policy = Policy { defaults, builtins, timeouts, defines, ..Policy::default() };
        let failsafe: Vec<Selector> = failsafe
            .into_iter()
            .filter(|selector| Policy { failsafe: vec![selector.clone()], ..policy.clone() }.check().is_ok())
            .collect();
        if !failsafe.is_empty() {
            policy.failsafe = failsafe;
        }
        for rule in rules {
            // Those that contradict themselves are left out.
            let _ = policy.add_rule(rule);
        }
        policy
    })
}

/// Numbers from a seed (splitmix64).
pub(crate) struct Picker(pub(crate) u64);

impl Picker {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.number() % from.len() as u64) as usize]
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.number().is_multiple_of(n)
    }

    /// The first or last address of the network, or its neighbour outside.
    fn edge(&mut self, network: IpNet) -> IpAddr {
        let step = self.pick(&[-1i8, 0, 0, 0, 1]);
        let low = self.one_in(2);
        let address = if low { network.network() } else { network.broadcast() };
        match address {
            IpAddr::V4(v4) => Ipv4Addr::from(v4.to_bits().wrapping_add_signed(step.into())).into(),
            IpAddr::V6(v6) => Ipv6Addr::from(v6.to_bits().wrapping_add_signed(step.into())).into(),
        }
    }

    fn address(&mut self, policy: &Policy, addresses: &Addresses, v6: bool) -> IpAddr {
        let sets = super::Sets::new(&policy.defines);
        let mut networks = Vec::new();
        sets.any_network(addresses.list(), |network| {
            networks.push(network);
            false
        });
        networks.retain(|network| network.addr().is_ipv6() == v6);
        if networks.is_empty() || self.one_in(8) {
            let known = NETWORKS.map(|text| text.parse::<IpNet>().expect("a network"));
            networks = known.into_iter().filter(|network| network.addr().is_ipv6() == v6).collect();
        }
        let network = self.pick(&networks);
        self.edge(network)
    }

    fn port(&mut self, ranges: &[PortRange]) -> u16 {
        let range = if ranges.is_empty() || self.one_in(8) {
            let port = self.pick(&PORTS);
            PortRange { first: port, last: port }
        } else {
            self.pick(ranges)
        };
        let step = self.pick(&[-1i16, 0, 0, 0, 1]);
        self.pick(&[range.first, range.last]).wrapping_add_signed(step)
    }

    /// A packet at the edges of one of the policy's rules, sometimes with a field that is not.
    pub(crate) fn packet(&mut self, policy: &Policy) -> Packet {
        let rules = policy.rules.iter().map(|rule| &rule.selector);
        let selectors: Vec<&Selector> = rules.chain(&policy.failsafe).collect();
        let selector = self.pick(&selectors);
        let v6 = match selector.protocol {
            Protocol::Icmp => self.one_in(8),
            Protocol::Icmpv6 => !self.one_in(8),
            _ => self.one_in(2),
        };
        let protocol = selector.protocol.number().filter(|_| !self.one_in(8));
        let icmp = selector.icmp.unwrap_or(IcmpType { number: 8, code: None });
        let dhcp = self.one_in(8);
        let source_port = if dhcp { self.pick(&[67, 68, 546, 547]) } else { self.port(&selector.from.ports) };
        let destination_port = if dhcp { self.pick(&[67, 68, 546, 547]) } else { self.port(&selector.to.ports) };
        let direction = match selector.direction {
            Direction::In if !self.one_in(8) => PacketDirection::In,
            Direction::Out if !self.one_in(8) => PacketDirection::Out,
            _ => self.pick(&[PacketDirection::In, PacketDirection::Out]),
        };
        let interface = selector.interface.clone().filter(|_| !self.one_in(8));
        Packet {
            direction,
            protocol: if dhcp { 17 } else { protocol.unwrap_or_else(|| self.pick(&[1, 6, 17, 47, 58, 132])) },
            source: self.address(policy, &selector.from.addresses, v6),
            destination: self.address(policy, &selector.to.addresses, v6),
            source_port,
            destination_port,
            icmp_type: icmp.number.wrapping_add(self.pick(&[0, 0, 0, 1])),
            icmp_code: icmp.code.unwrap_or(0).wrapping_add(self.pick(&[0, 0, 0, 1])),
            interface: interface.unwrap_or_else(|| self.pick(&INTERFACES).to_owned()),
        }
    }
}
