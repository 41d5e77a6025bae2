//! What a policy means, rule by rule and as plainly as can be: the oracle of the compiler's tests, and of explanations
//! without a kernel.

use std::net::IpAddr;

use mseg_ebpf::{
    abi::{
        interface,
        policy::{DIRECTION_IN, DIRECTION_OUT},
        rule,
    },
    policy::Tuple,
};

use super::{
    address::{Addresses, Sets},
    model::{Action, Direction, Endpoint, Policy, Protocol, Rule, Selector},
};

/// The direction of a packet, seen from the protected side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketDirection {
    /// To the protected side.
    In,
    /// From the protected side.
    Out,
}

impl PacketDirection {
    /// The word of the language.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// The direction of what is sent back.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::In => Self::Out,
            Self::Out => Self::In,
        }
    }
}

/// What a rule looks at in a packet that opens a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Direction.
    pub direction: PacketDirection,
    /// IP protocol number.
    pub protocol: u8,
    /// Source address; its family is the packet's.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Source port of TCP, UDP and SCTP.
    pub source_port: u16,
    /// Destination port of TCP, UDP and SCTP.
    pub destination_port: u16,
    /// Type of ICMP and ICMPv6.
    pub icmp_type: u8,
    /// Code of ICMP and ICMPv6.
    pub icmp_code: u8,
    /// Name of the interface.
    pub interface: String,
}

impl Packet {
    /// The packet as the programs see it. An interface name that is too long is cut.
    pub fn tuple(&self) -> Tuple {
        let mut name = [0; interface::NAME_LEN];
        for (to, from) in name.iter_mut().zip(self.interface.bytes()) {
            *to = from;
        }
        let icmp = matches!(self.protocol, 1 | 58);
        Tuple {
            source: mapped(self.source),
            destination: mapped(self.destination),
            interface: name,
            source_port: if icmp { 0 } else { self.source_port },
            destination_port: if icmp {
                u16::from_be_bytes([self.icmp_type, self.icmp_code])
            } else {
                self.destination_port
            },
            protocol: self.protocol,
            ipv6: self.source.is_ipv6().into(),
            direction: match self.direction {
                PacketDirection::In => DIRECTION_IN,
                PacketDirection::Out => DIRECTION_OUT,
            },
            reserved: 0,
        }
    }
}

/// The 16 bytes of an address in maps.
pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// A failsafe line.
    Failsafe,
    /// `builtin dhcp`.
    Dhcp,
    /// A rule.
    Rule(&'a Rule),
    /// Nothing matched.
    Default(PacketDirection),
}

impl<'a> Cause<'a> {
    /// The rule's name, or the reserved name of what else decided.
    pub fn name(self) -> &'a str {
        match self {
            Self::Rule(rule) => &rule.name,
            Self::Failsafe => rule::RESERVED_NAMES[rule::FAILSAFE as usize],
            Self::Dhcp => rule::RESERVED_NAMES[rule::DHCP as usize],
            Self::Default(PacketDirection::In) => rule::RESERVED_NAMES[rule::DEFAULT_IN as usize],
            Self::Default(PacketDirection::Out) => rule::RESERVED_NAMES[rule::DEFAULT_OUT as usize],
        }
    }
}

/// The verdict on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What becomes of it.
    pub action: Action,
    /// Why.
    pub cause: Cause<'a>,
    /// The rules with `audit` that match and come before what decides, in their order.
    pub audited: Vec<&'a Rule>,
    /// The rules that match and come after what decides, in their order.
    pub next: Vec<&'a Rule>,
}

/// Judges a packet that opens a session. The built-in rules arp, nd, mld, icmp-errors and link-control are not looked
/// at: they need more of a packet than this.
pub fn evaluate<'a>(policy: &'a Policy, packet: &Packet) -> Decision<'a> {
    let sets = Sets::new(&policy.defines);
    let mut matching: Vec<&Rule> = policy.rules.iter().filter(|rule| selects(&rule.selector, packet, &sets)).collect();
    // A stable sort: of equals, the first in the text stays first.
    matching.sort_by_key(|rule| (rule.priority, rule.action == Action::Allow));
    let built_in = if policy.builtins.failsafe && policy.failsafe.iter().any(|line| selects(line, packet, &sets)) {
        Some(Cause::Failsafe)
    } else if policy.builtins.dhcp && is_dhcp(packet) {
        Some(Cause::Dhcp)
    } else {
        None
    };
    if let Some(cause) = built_in {
        return Decision { action: Action::Allow, cause, audited: Vec::new(), next: matching };
    }
    let audited = matching.iter().take_while(|rule| rule.audit).count();
    let mut next = matching.split_off(audited);
    let audited = matching;
    if next.is_empty() {
        let action = match packet.direction {
            PacketDirection::In => policy.defaults.inbound,
            PacketDirection::Out => policy.defaults.outbound,
        };
        return Decision { action, cause: Cause::Default(packet.direction), audited, next };
    }
    let rule = next.remove(0);
    Decision { action: rule.action, cause: Cause::Rule(rule), audited, next }
}

/// A DHCP client's packet, or one for it (RFC 2131 section 4.1, RFC 8415 section 7.2).
fn is_dhcp(packet: &Packet) -> bool {
    let (client, server) = if packet.source.is_ipv4() { (68, 67) } else { (546, 547) };
    let ports = match packet.direction {
        PacketDirection::Out => (client, server),
        PacketDirection::In => (server, client),
    };
    packet.protocol == 17 && (packet.source_port, packet.destination_port) == ports
}

fn selects<'a>(selector: &'a Selector, packet: &Packet, sets: &Sets<'a>) -> bool {
    let direction = match selector.direction {
        Direction::In => packet.direction == PacketDirection::In,
        Direction::Out => packet.direction == PacketDirection::Out,
        Direction::Both => true,
    };
    let protocol = match selector.protocol {
        Protocol::Any => true,
        Protocol::Icmp => packet.protocol == 1 && packet.source.is_ipv4(),
        Protocol::Icmpv6 => packet.protocol == 58 && packet.source.is_ipv6(),
        other => other.number() == Some(packet.protocol),
    };
    let icmp = selector
        .icmp
        .is_none_or(|icmp| icmp.number == packet.icmp_type && icmp.code.is_none_or(|code| code == packet.icmp_code));
    let interface = selector.interface.as_ref().is_none_or(|name| *name == packet.interface);
    direction
        && protocol
        && icmp
        && interface
        && is_endpoint(&selector.from, packet.source, packet.source_port, sets)
        && is_endpoint(&selector.to, packet.destination, packet.destination_port, sets)
}

fn is_endpoint<'a>(endpoint: &'a Endpoint, address: IpAddr, port: u16, sets: &Sets<'a>) -> bool {
    let address = match &endpoint.addresses {
        Addresses::Any => true,
        Addresses::List(list) => sets.any_network(list, |network| network.contains(&address)),
    };
    address
        && (endpoint.ports.is_empty() || endpoint.ports.iter().any(|range| (range.first..=range.last).contains(&port)))
}
