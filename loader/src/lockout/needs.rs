//! What a connection needs besides its own packets: its neighbour's hardware address, and time to idle.

use std::fmt::{self, Display, Formatter};

use mseg_ebpf::{
    abi::{policy::timeout, reason::Reason},
    packet::protocol,
};

use super::judge::{Connection, Standing};
use crate::{
    explain::{self, Answer},
    policy::{
        Policy,
        evaluate::{Packet, PacketDirection},
    },
};

/// The shortest time to idle that a person at a prompt can live with: seconds.
const SHORTEST_IDLE_S: u32 = 60;
/// Neighbour solicitation and advertisement (RFC 4861 section 4).
const ND_TYPES: [u8; 2] = [135, 136];

/// What a policy takes from a connection whose packets it lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// ARP, without which the neighbour is lost within minutes.
    Arp,
    /// Neighbour discovery, likewise, and what denies it.
    NeighbourDiscovery(Answer),
    /// More time to idle than these seconds, as then it is in mid-stream.
    Idle(u32),
}

impl Need {
    /// What to do about it.
    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Arp => "leave `builtin arp` on",
            Self::NeighbourDiscovery(_) => "leave `builtin nd` on",
            Self::Idle(_) => "give it a minute at least",
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
            Self::Idle(seconds) => write!(
                f,
                "may not idle for longer than {seconds} s, by `timeout {}` ({})",
                timeout::NAMES[timeout::TCP_ESTABLISHED],
                Reason::TcpMidstream.name()
            ),
        }
    }
}

/// What a connection does not get. `resolves`: its interface has neighbours that must be asked for.
pub(super) fn lacking(standing: &Standing<'_>, connection: &Connection, resolves: bool) -> Vec<Need> {
    let policy = standing.policy;
    let neighbour = match connection.client.address.is_ipv4() {
        _ if !resolves => None,
        true => (!policy.builtins.arp).then_some(Need::Arp),
        false => discovery(policy, connection).map(Need::NeighbourDiscovery),
    };
    let idle_s = policy.timeouts.0[timeout::TCP_ESTABLISHED];
    let short = idle_s < SHORTEST_IDLE_S && !standing.picks_up;
    neighbour.into_iter().chain(short.then_some(Need::Idle(idle_s))).collect()
}

/// Why neighbour discovery is denied; `None` if it passes.
fn discovery(policy: &Policy, connection: &Connection) -> Option<Answer> {
    if policy.builtins.nd {
        return None;
    }
    let (remote, local) = if connection.incoming {
        (connection.client.address, connection.server.address)
    } else {
        (connection.server.address, connection.client.address)
    };
    let ways = [(connection.inbound, remote, local), (connection.inbound.reversed(), local, remote)];
    let denied = |(direction, source, destination): (PacketDirection, _, _), icmp_type| {
        let packet = Packet {
            direction,
            protocol: protocol::ICMPV6,
            source,
            destination,
            source_port: 0,
            destination_port: 0,
            icmp_type,
            icmp_code: 0,
            interface: connection.interface.clone(),
        };
        Some(explain::answer(policy, &packet)).filter(|answer| !answer.allow)
    };
    ways.into_iter().flat_map(|way| ND_TYPES.map(|icmp_type| denied(way, icmp_type))).flatten().next()
}
