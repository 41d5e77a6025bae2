//! Policies that take too many entries unless the compiler spreads their sets over layers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    super::{
        Action, Address, Addresses, DEFAULT_PRIORITY, Direction, Endpoint, Policy, PortRange, Protocol, Rule, Selector,
    },
    random::Random,
};

/// Rules that each look at one host or port, rules that look at some of them, and rules that look at all.
pub fn spread_policy(random: &mut Random) -> Policy {
    let hosts = 42 + random.below(6) as u32;
    let v6 = random.percent(50);
    let host = |net: u32, n: u32| {
        let address = if v6 {
            Ipv6Addr::new(0x2001, 0xdb8, net as u16, 0, 0, 0, 0, n as u16).into()
        } else {
            Ipv4Addr::from_bits(10 << 24 | net << 16 | n << 1).into()
        };
        Address::Network(std::net::IpAddr::into(address))
    };
    let port = |n: u32| PortRange { first: 250 + 3 * n as u16, last: 251 + 3 * n as u16 };
    let some = |random: &mut Random, of: std::ops::Range<u32>| {
        let first = of.start + random.below(of.len()) as u32;
        (first..of.end.min(first + 8)).collect::<Vec<_>>()
    };
    let list = |net: u32, numbers: &[u32]| Addresses::List(numbers.iter().map(|n| host(net, *n)).collect());

    let mut selectors = Vec::new();
    let mut add = |from: Addresses, to: Addresses, ports: Vec<PortRange>| {
        selectors.push(Selector {
            direction: Direction::In,
            protocol: Protocol::Tcp,
            from: Endpoint { addresses: from, ports: Vec::new() },
            to: Endpoint { addresses: to, ports },
            icmp: None,
            interface: None,
        });
    };
    for n in 0..hosts {
        add(list(1, &[n]), Addresses::Any, Vec::new());
        add(Addresses::Any, list(2, &[n]), Vec::new());
        add(Addresses::Any, Addresses::Any, vec![port(n)]);
    }
    for _ in 0..random.below(12) {
        let (from, to, ports) = (some(random, 0..hosts), some(random, 0..hosts), some(random, 0..hosts));
        add(list(1, &from), list(2, &to), ports.into_iter().map(port).collect());
    }
    let all: Vec<u32> = (0..hosts).collect();
    for _ in 0..1 + random.below(2) {
        add(list(1, &all), list(2, &all), all.iter().map(|n| port(*n)).collect());
    }

    let mut rules: Vec<Rule> = Vec::new();
    for (number, selector) in selectors.into_iter().enumerate() {
        rules.push(Rule {
            name: format!("r{number}"),
            action: random.pick(&[Action::Allow, Action::Deny]),
            selector,
            // The wide rules come first, last, or among the others.
            priority: random.pick(&[DEFAULT_PRIORITY, DEFAULT_PRIORITY, 10, 2000]),
            log: random.percent(20),
            audit: random.percent(4),
        });
    }
    Policy { rules, ..Policy::default() }
}
