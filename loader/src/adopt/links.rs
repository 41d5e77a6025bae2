//! What lies below an interface: the ports of a bridge or bond, what a VLAN or macvlan sends by; and whether it has
//! neighbours, or is a tunnel.

use std::{collections::HashMap, io};

use crate::kernel::channel::{Channel, DUMP, attribute, u32_at};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
/// Bytes of `struct ifinfomsg`.
const HEADER: usize = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;

/// Kinds that send their own addresses by their lower interface, as they are. Tunnels do not: what is attached below
/// one sees the outer header. The link of a veth is its peer.
const TRANSPARENT: [&[u8]; 2] = [b"vlan", b"macvlan"];

/// Kinds that send within packets of this host's own.
const TUNNELS: [&str; 19] = [
    "amt",
    "erspan",
    "geneve",
    "gre",
    "gretap",
    "gtp",
    "ip6erspan",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "ovpn",
    "ppp",
    "sit",
    "tun",
    "vti",
    "vxlan",
    "wireguard",
    "xfrm",
];

#[derive(Debug, Default)]
struct Link {
    name: String,
    master: Option<u32>,
    lower: Option<u32>,
    flags: u32,
    tunnel: bool,
}

/// The links of this network namespace.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_index: HashMap<u32, Link>,
    ports: HashMap<u32, Vec<u32>>,
}

impl Links {
    pub(super) fn read(channel: &mut Channel) -> io::Result<Self> {
        let mut links = Vec::new();
        channel.ask(RTM_GETLINK, DUMP, &[0; HEADER], &mut |kind, body| {
            if kind == RTM_NEWLINK {
                links.extend(parse(body));
            }
        })?;
        Ok(Self::new(links))
    }

    fn new(links: Vec<(u32, Link)>) -> Self {
        let mut ports: HashMap<u32, Vec<u32>> = HashMap::new();
        for (ifindex, link) in &links {
            if let Some(master) = link.master {
                ports.entry(master).or_default().push(*ifindex);
            }
        }
        Self { by_index: links.into_iter().collect(), ports }
    }

    pub(super) fn name(&self, ifindex: u32) -> Option<&str> {
        self.by_index.get(&ifindex).map(|link| link.name.as_str())
    }

    /// The interface itself, then all that its packets may pass below it, nearest first.
    pub(super) fn below(&self, ifindex: u32) -> Vec<u32> {
        let mut found = vec![ifindex];
        let mut next = 0;
        while let Some(&upper) = found.get(next) {
            let lower = self.by_index.get(&upper).and_then(|link| link.lower);
            let ports = self.ports.get(&upper).into_iter().flatten().copied();
            for below in lower.into_iter().chain(ports) {
                if !found.contains(&below) {
                    found.push(below);
                }
            }
            next += 1;
        }
        found
    }

    /// The interface itself, then the bridge or bond that it is a port of, and so on.
    pub(super) fn with_masters(&self, ifindex: u32) -> Vec<u32> {
        let mut found = vec![ifindex];
        while let Some(master) = self.by_index.get(&found[found.len() - 1]).and_then(|link| link.master)
            && !found.contains(&master)
        {
            found.push(master);
        }
        found
    }

    /// Whether the hardware address of a neighbour there must be asked for.
    pub(super) fn has_neighbours(&self, ifindex: u32) -> bool {
        let without = (libc::IFF_LOOPBACK | libc::IFF_NOARP) as u32;
        self.by_index.get(&ifindex).is_some_and(|link| link.flags & without == 0)
    }

    /// Whether an interface sends what it is given within packets of this host's own.
    pub(super) fn is_tunnel(&self, ifindex: u32) -> bool {
        self.by_index.get(&ifindex).is_some_and(|link| link.tunnel)
    }

    /// Whether an interface is a port of one of `uppers`.
    pub(super) fn is_port(&self, ifindex: u32, uppers: &[u32]) -> bool {
        self.by_index.get(&ifindex).and_then(|link| link.master).is_some_and(|master| uppers.contains(&master))
    }
}

fn parse(body: &[u8]) -> Option<(u32, Link)> {
    let (ifindex, attributes) = (u32_at(body, 4)?, body.get(HEADER..)?);
    let number = |kind| attribute(attributes, kind).and_then(|value| u32_at(value, 0));
    let name = attribute(attributes, IFLA_IFNAME).unwrap_or_default();
    let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned();
    let kind = attribute(attributes, IFLA_LINKINFO).and_then(|info| attribute(info, IFLA_INFO_KIND));
    let kind = kind.unwrap_or_default();
    let kind = kind.strip_suffix(b"\0").unwrap_or(kind);
    let transparent = TRANSPARENT.contains(&kind);
    let tunnel = TUNNELS.iter().any(|tunnel| tunnel.as_bytes() == kind);
    let here = attribute(attributes, IFLA_LINK_NETNSID).is_none();
    let lower = if transparent && here { number(IFLA_LINK) } else { None };
    Some((ifindex, Link { name, master: number(IFLA_MASTER), lower, flags: u32_at(body, 8)?, tunnel }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::channel::push_attribute;

    fn link(index: u32, kind: &[u8], link: u32, master: u32) -> (u32, Link) {
        let mut body = vec![0; HEADER];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        push_attribute(&mut body, IFLA_IFNAME, format!("if{index}\0").as_bytes());
        if link != 0 {
            push_attribute(&mut body, IFLA_LINK, &link.to_ne_bytes());
        }
        if master != 0 {
            push_attribute(&mut body, IFLA_MASTER, &master.to_ne_bytes());
        }
        let mut info = Vec::new();
        push_attribute(&mut info, IFLA_INFO_KIND, kind);
        push_attribute(&mut body, IFLA_LINKINFO, &info);
        assert!(parse(&body[..HEADER - 1]).is_none());
        parse(&body).unwrap()
    }

    #[test]
    fn packets_of_a_vlan_on_a_bridge_pass_the_ports() {
        let links = Links::new(vec![
            link(1, b"vlan", 2, 0),
            link(2, b"bridge", 0, 0),
            link(3, b"", 0, 2),
            link(4, b"veth", 9, 2),
            link(5, b"vxlan", 3, 0),
            link(9, b"veth", 4, 0),
        ]);
        assert_eq!(links.below(1), [1, 2, 3, 4]);
        assert_eq!(links.below(9), [9]);
        assert_eq!(links.below(5), [5], "what a tunnel sends has another header");
        assert_eq!(links.below(77), [77]);
        assert_eq!((links.with_masters(4), links.with_masters(1)), (vec![4, 2], vec![1]));
        assert!(links.is_port(3, &[1, 2]) && !links.is_port(2, &[1, 2]));
        assert_eq!(links.name(3), Some("if3"));
    }
}
