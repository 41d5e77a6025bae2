//! Packets at the edges of what a policy's rules match.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{
    address::{Addresses, Sets},
    evaluate::{Packet, PacketDirection},
    model::{Direction, Policy, PortRange, Protocol, Selector},
};

/// Up to `most` packets: for each of some rules, spread over the policy, one that it matches and one that it just does not.
pub(crate) fn samples(policy: &Policy, most: usize) -> Vec<Packet> {
    let sets = Sets::new(&policy.defines);
    let selectors: Vec<&Selector> =
        policy.failsafe.iter().chain(policy.rules.iter().map(|rule| &rule.selector)).collect();
    let step = (2 * selectors.len()).div_ceil(most.max(1)).max(1);
    let mut packets = Vec::new();
    for (number, selector) in selectors.into_iter().step_by(step).enumerate() {
        let inside = packet(selector, &sets, number);
        let mut beside = inside.clone();
        match number % 3 {
            0 => beside.source = next(inside.source),
            1 => beside.destination = next(inside.destination),
            _ => beside.destination_port = inside.destination_port.wrapping_add(1),
        }
        packets.extend([inside, beside]);
    }
    packets
}

/// A packet that a selector matches. `number` varies what it leaves open.
fn packet<'a>(selector: &'a Selector, sets: &Sets<'a>, number: usize) -> Packet {
    let from = edge(&selector.from.addresses, sets, None);
    let to = edge(&selector.to.addresses, sets, from.map(|address| address.is_ipv6()));
    let ipv6 = match selector.protocol {
        Protocol::Icmp => false,
        Protocol::Icmpv6 => true,
        _ => from.or(to).map_or(number % 2 == 1, |address| address.is_ipv6()),
    };
    let any: IpAddr = if ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::new(192, 0, 2, 1).into() };
    let of_family = |address: Option<IpAddr>| address.filter(|address| address.is_ipv6() == ipv6).unwrap_or(any);
    let port = |ranges: &[PortRange]| ranges.last().map_or(0, |range| range.last);
    Packet {
        direction: match selector.direction {
            Direction::In => PacketDirection::In,
            Direction::Out => PacketDirection::Out,
            Direction::Both if number.is_multiple_of(2) => PacketDirection::In,
            Direction::Both => PacketDirection::Out,
        },
        protocol: selector.protocol.number().unwrap_or(6),
        source: of_family(from),
        destination: of_family(to),
        source_port: port(&selector.from.ports),
        destination_port: port(&selector.to.ports),
        icmp_type: selector.icmp.map_or(8, |icmp| icmp.number),
        icmp_code: selector.icmp.and_then(|icmp| icmp.code).unwrap_or(0),
        interface: selector.interface.clone().unwrap_or_default(),
    }
}

/// The last address of the first network, of one family if it is given.
fn edge<'a>(addresses: &'a Addresses, sets: &Sets<'a>, ipv6: Option<bool>) -> Option<IpAddr> {
    let mut found = None;
    sets.any_network(addresses.list(), |network: IpNet| {
        let fits = ipv6.is_none_or(|ipv6| network.addr().is_ipv6() == ipv6);
        if fits {
            found = Some(network.broadcast());
        }
        fits
    });
    found
}

fn next(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from(v4.to_bits().wrapping_add(1)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(v6.to_bits().wrapping_add(1)).into(),
    }
}
