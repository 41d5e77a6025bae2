//! Networks that nest, touch and overlap, so that rules have something to do with each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::random::Random;

/// Some that are always likely.
const KNOWN: [&str; 22] = [
    "0.0.0.0/0",
    "0.0.0.0/32",
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
    "8000::/1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
];

/// An address as bits, and the bits of its family.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (v4.to_bits().into(), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// The address of a family with these bits; those beyond the family's are left out.
fn address(bits: u128, v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
}

fn network(bits: u128, length: u32, v6: bool) -> IpNet {
    IpNet::new(address(bits, v6), length as u8).expect("a length of the family").trunc()
}

/// The next address but so many, of the same family; after the last comes the first.
pub(super) fn beside(of: IpAddr, step: i8) -> IpAddr {
    address(bits(of).0.wrapping_add_signed(step.into()), of.is_ipv6())
}

/// An address of a network, often the first or the last.
pub(super) fn within(random: &mut Random, network: IpNet) -> IpAddr {
    match random.below(4) {
        0 => network.network(),
        1 => network.broadcast(),
        _ => {
            let (first, width) = bits(network.network());
            let free = u128::MAX.checked_shr(128 - width + u32::from(network.prefix_len())).unwrap_or(0);
            address(first | any_bits(random) & free, network.addr().is_ipv6())
        }
    }
}

fn any_bits(random: &mut Random) -> u128 {
    u128::from(random.next()) << 64 | u128::from(random.next())
}

/// The network with the same parent.
fn sibling(of: IpNet) -> IpNet {
    let (first, width) = bits(of.network());
    let length = u32::from(of.prefix_len());
    let last_bit = if length == 0 { 0 } else { 1 << (width - length) };
    network(first ^ last_bit, length, of.addr().is_ipv6())
}

/// About `count` networks.
pub(super) fn pool(random: &mut Random, count: usize) -> Vec<IpNet> {
    let mut pool: Vec<IpNet> = Vec::new();
    while pool.len() < count {
        let v6 = random.percent(45);
        let (around, width) = (any_bits(random), if v6 { 128 } else { 32 });
        match random.below(6) {
            // Each in the one before, some with the network beside it.
            0 => {
                let mut length = random.below(width as usize + 1) as u32 / (1 + random.below(4) as u32);
                let most = 1 + random.below(if v6 { 16 } else { 4 });
                while length <= width && pool.len() < 2 * count {
                    let one = network(around, length, v6);
                    pool.push(one);
                    if random.percent(30) {
                        pool.push(sibling(one));
                    }
                    length += 1 + random.below(most) as u32;
                }
            }
            // Hosts in a row, or with gaps.
            1 => {
                let gap = 1 + random.below(3) as u128;
                pool.extend((0..1 + random.below(8) as u128).map(|n| network(around.wrapping_add(n * gap), width, v6)));
            }
            2 => pool.push(network(around, random.below(width as usize + 1) as u32, v6)),
            // What has to do with one that is there.
            3 if !pool.is_empty() => {
                let one = random.pick(&pool);
                let width = u32::from(one.max_prefix_len());
                let length = random.below(width as usize + 1) as u32;
                pool.push(sibling(one));
                pool.push(network(bits(within(random, one)).0, length, one.addr().is_ipv6()));
            }
            _ => pool.push(random.pick(&KNOWN).parse().expect("a network")),
        }
    }
    pool.retain(|network| !is_mapped(*network));
    pool
}

/// Whether the language refuses it: IPv4 written as IPv6.
fn is_mapped(network: IpNet) -> bool {
    matches!(network.network(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}
