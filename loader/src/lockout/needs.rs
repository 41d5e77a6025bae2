//! What a connection needs besides its own packets: its neighbour's hardware address, and time to idle.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, Ipv6Addr},
};

use mseg_ebpf::{
    abi::{policy::timeout, reason::Reason},
    packet::protocol,
};

use super::judge::{Connection, Link, Standing};
use crate::{
    adopt::way::LINK_LOCAL,
    explain::{self, Answer},
    policy::{Policy, evaluate::Packet},
};

/// The shortest time to idle that a person at a prompt can live with: seconds.
const SHORTEST_IDLE_S: u32 = 60;
/// Types of neighbour discovery (RFC 4861 section 4).
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What a policy takes from a connection whose packets it lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// ARP, without which the neighbour is lost within minutes.
    Arp,
    /// Neighbour discovery, likewise, and what denies it.
    NeighbourDiscovery(Answer),
    /// More time to idle than these seconds, as then it is in mid-stream, and by which timeout: an index of [`mod@timeout`].
    Idle(u32, usize),
}

impl Need {
    /// Whether who lacks this lacks no more if he lacks the other.
    pub(super) fn is_at_least(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Idle(had, _), Self::Idle(has, _)) => had <= has,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// What to do about it.
    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Arp => "leave `builtin arp` on",
            Self::NeighbourDiscovery(_) => "leave `builtin nd` on",
            Self::Idle(..) => "give it a minute at least",
        }
    }
}

impl Display for Need {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arp => write!(f, "loses its neighbour, as `builtin arp off` denies ARP ({})", Reason::NotIp.name()),
            Self::NeighbourDiscovery(Answer { rule, reason, .. }) => {
                write!(f, "loses its neighbour, as neighbour discovery is denied by {rule} ({})", reason.name())
            }
            Self::Idle(seconds, by) => write!(
                f,
                "may not idle for longer than {seconds} s, by `timeout {}` ({})",
                timeout::NAMES[*by],
                Reason::TcpMidstream.name()
            ),
        }
    }
}

/// What a connection does not get.
pub(super) fn lacking(standing: &Standing<'_>, connection: &Connection) -> Vec<Need> {
    let policy = standing.policy;
    if connection.interface.is_empty() && connection.links.is_empty() {
        return Vec::new();
    }
    let neighbour = connection.links.iter().find_map(|link| match link.neighbour.address {
        IpAddr::V4(_) => (!policy.builtins.arp).then_some(Need::Arp),
        IpAddr::V6(next_hop) => discovery(policy, connection, link, next_hop).map(Need::NeighbourDiscovery),
    });
    let idle_s = policy.timeouts.0[connection.timeout];
    let short = idle_s < SHORTEST_IDLE_S && !standing.picks_up;
    neighbour.into_iter().chain(short.then_some(Need::Idle(idle_s, connection.timeout))).collect()
}

/// Why neighbour discovery with the next hop is denied at a link; `None` if it passes. Each side may speak under its link-local
/// address, of which any stands for all, and asks at the other's group or at itself.
fn discovery(policy: &Policy, connection: &Connection, link: &Link, next_hop: Ipv6Addr) -> Option<Answer> {
    if policy.builtins.nd {
        return None;
    }
    let own = if connection.incoming { connection.server.address } else { connection.client.address };
    let own = if let IpAddr::V6(own) = own { own } else { LINK_LOCAL };
    let (inbound, outbound) = (link.inbound, link.inbound.reversed());
    let mut packets = Vec::new();
    for source in [next_hop, LINK_LOCAL] {
        packets.extend([own, group_of(own)].map(|destination| (inbound, source, destination, SOLICITATION)));
        packets.push((inbound, source, own, ADVERTISEMENT));
    }
    for source in [own, LINK_LOCAL] {
        packets.extend([next_hop, group_of(next_hop)].map(|destination| (outbound, source, destination, SOLICITATION)));
        packets.push((outbound, source, next_hop, ADVERTISEMENT));
    }
    if link.neighbour.is_gateway {
        // By which the route came, or it will not last.
        packets.push((inbound, LINK_LOCAL, ALL_NODES, ROUTER_ADVERTISEMENT));
    }
    packets.into_iter().find_map(|(direction, source, destination, icmp_type)| {
        let packet = Packet {
            direction,
            protocol: protocol::ICMPV6,
            source: source.into(),
            destination: destination.into(),
            source_port: 0,
            destination_port: 0,
            icmp_type,
            icmp_code: 0,
            interface: link.interface.clone(),
        };
        Some(explain::answer(policy, &packet)).filter(|answer| !answer.allow)
    })
}

/// The group at which a node is asked for its address (RFC 4291 section 2.7.1).
fn group_of(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}
