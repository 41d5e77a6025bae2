//! The model of a policy. [`super::parse`] makes it from text; its `Display` is the canonical text.

use std::borrow::Cow;

use mseg_ebpf::abi::policy::{
    BUILTIN_ARP, BUILTIN_DHCP, BUILTIN_FAILSAFE, BUILTIN_ICMP_ERRORS, BUILTIN_LINK_CONTROL, BUILTIN_MLD, BUILTIN_ND,
    DIRECTION_IN, DIRECTION_OUT, timeout,
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::address::{Address, Addresses};

/// The priority of a rule that names none.
pub const DEFAULT_PRIORITY: u16 = 1000;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It passes.
    Allow,
    /// It is dropped, or reported in observe mode.
    Deny,
}

/// The directions a rule applies to, seen from the protected side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the protected side.
    In,
    /// From the protected side.
    Out,
    /// Either.
    Both,
}

impl Direction {
    /// The `DIRECTION_*` bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::In => DIRECTION_IN,
            Self::Out => DIRECTION_OUT,
            Self::Both => DIRECTION_IN | DIRECTION_OUT,
        }
    }
}

/// The protocol above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Every protocol.
    Any,
    /// ICMP, on IPv4 only.
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMPv6, on IPv6 only.
    Icmpv6,
    /// SCTP.
    Sctp,
    /// Any other, by its number. Use [`Protocol::from_number`], which knows the named ones.
    Number(u8),
}

impl Protocol {
    /// The named protocol of this number, or [`Protocol::Number`].
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Icmp,
            6 => Self::Tcp,
            17 => Self::Udp,
            58 => Self::Icmpv6,
            132 => Self::Sctp,
            other => Self::Number(other),
        }
    }

    /// The protocol number, none for [`Protocol::Any`].
    pub const fn number(self) -> Option<u8> {
        match self {
            Self::Any => None,
            Self::Icmp => Some(1),
            Self::Tcp => Some(6),
            Self::Udp => Some(17),
            Self::Icmpv6 => Some(58),
            Self::Sctp => Some(132),
            Self::Number(number) => Some(number),
        }
    }

    /// Whether rules may name ports.
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp | Self::Sctp)
    }

    /// The word of the language.
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Any => "any",
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmpv6 => "icmpv6",
            Self::Sctp => "sctp",
            Self::Number(number) => return Cow::Owned(number.to_string()),
        })
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port, not below `first`.
    pub last: u16,
}

/// One side of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Its address is one of these.
    pub addresses: Addresses,
    /// Its port is in one of these; any port if empty.
    pub ports: Vec<PortRange>,
}

impl Endpoint {
    /// Whether it is every address and port.
    pub fn is_any(&self) -> bool {
        self.addresses == Addresses::Any && self.ports.is_empty()
    }
}

/// An ICMP or ICMPv6 type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IcmpType {
    /// The type's number.
    #[serde(rename = "type")]
    pub number: u8,
    /// The code, any if none.
    pub code: Option<u8>,
}

/// What a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Selector {
    /// Directions.
    pub direction: Direction,
    /// Protocol.
    pub protocol: Protocol,
    /// The source.
    pub from: Endpoint,
    /// The destination.
    pub to: Endpoint,
    /// The ICMP or ICMPv6 type; only with these protocols.
    pub icmp: Option<IcmpType>,
    /// The interface, by name; any if none.
    #[serde(rename = "iface")]
    pub interface: Option<String>,
}

/// A rule of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Unique name.
    pub name: String,
    /// What becomes of a packet that it decides.
    pub action: Action,
    /// What it matches.
    #[serde(flatten)]
    pub selector: Selector,
    /// Lower goes first.
    pub priority: u16,
    /// Whether every new session is marked in its event.
    pub log: bool,
    /// Whether it is only tried: what it would decide is counted and reported, and the rules after it decide.
    pub audit: bool,
}

/// A named set of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Define {
    /// Unique name among sets.
    pub name: String,
    /// At least one address, network or other set.
    pub members: Vec<Address>,
}

/// What becomes of a packet that no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Defaults {
    /// To the protected side.
    #[serde(rename = "in")]
    pub inbound: Action,
    /// From the protected side.
    #[serde(rename = "out")]
    pub outbound: Action,
}

/// The built-in rules that are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Builtins {
    /// ARP.
    pub arp: bool,
    /// IPv6 neighbour discovery.
    pub nd: bool,
    /// Multicast listener discovery.
    pub mld: bool,
    /// DHCP and DHCPv6 client.
    pub dhcp: bool,
    /// ICMP errors about a live, allowed session.
    pub icmp_errors: bool,
    /// The failsafe rules.
    pub failsafe: bool,
    /// STP, LACP, LLDP, EAPOL.
    pub link_control: bool,
}

impl Builtins {
    /// Words of the language, in the order of canonical text.
    pub const NAMES: [&'static str; 7] = ["arp", "nd", "mld", "dhcp", "icmp-errors", "failsafe", "link-control"];

    /// The keys in JSON, in the order of [`Builtins::NAMES`].
    pub fn json_keys() -> [String; 7] {
        Self::NAMES.map(|name| name.replace('-', "_"))
    }

    /// Whether each is on, in the order of [`Builtins::NAMES`].
    pub const fn states(&self) -> [bool; 7] {
        [self.arp, self.nd, self.mld, self.dhcp, self.icmp_errors, self.failsafe, self.link_control]
    }

    /// The switch of a name of [`Builtins::NAMES`].
    pub fn by_name(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "arp" => &mut self.arp,
            "nd" => &mut self.nd,
            "mld" => &mut self.mld,
            "dhcp" => &mut self.dhcp,
            "icmp-errors" => &mut self.icmp_errors,
            "failsafe" => &mut self.failsafe,
            "link-control" => &mut self.link_control,
            _ => return None,
        })
    }

    /// The `BUILTIN_*` bits.
    pub fn bits(&self) -> u32 {
        const BITS: [u32; 7] = [
            BUILTIN_ARP,
            BUILTIN_ND,
            BUILTIN_MLD,
            BUILTIN_DHCP,
            BUILTIN_ICMP_ERRORS,
            BUILTIN_FAILSAFE,
            BUILTIN_LINK_CONTROL,
        ];
        self.states().iter().zip(BITS).filter(|(on, _)| **on).map(|(_, bit)| bit).sum()
    }
}

impl Default for Builtins {
    fn default() -> Self {
        Self { arp: true, nd: true, mld: true, dhcp: true, icmp_errors: true, failsafe: true, link_control: true }
    }
}

/// How long a session may idle, in seconds, indexed by [`timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts(pub [u32; timeout::COUNT]);

impl Default for Timeouts {
    fn default() -> Self {
        Self(timeout::DEFAULTS_S)
    }
}

impl Timeouts {
    /// The keys in JSON, in their order; the values are seconds.
    pub fn json_keys() -> [String; timeout::COUNT] {
        timeout::NAMES.map(|name| format!("{}_s", name.replace('-', "_")))
    }
}

impl Serialize for Timeouts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(timeout::COUNT))?;
        for (key, seconds) in Self::json_keys().iter().zip(self.0) {
            map.serialize_entry(key, &seconds)?;
        }
        map.end()
    }
}

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Where no rule matches.
    pub defaults: Defaults,
    /// The built-in rules.
    pub builtins: Builtins,
    /// What passes before any rule is looked at, while `builtins.failsafe` is on. Never empty.
    pub failsafe: Vec<Selector>,
    /// Idle times.
    pub timeouts: Timeouts,
    /// Sets of addresses, in the order of the text.
    pub defines: Vec<Define>,
    /// Rules, in the order of the text.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// `failsafe in tcp from any to any port 22`: ssh to the protected side.
    pub fn default_failsafe() -> Vec<Selector> {
        vec![Selector {
            direction: Direction::In,
            protocol: Protocol::Tcp,
            from: Endpoint::default(),
            to: Endpoint { addresses: Addresses::Any, ports: vec![PortRange { first: 22, last: 22 }] },
            icmp: None,
            interface: None,
        }]
    }

    /// The rule of this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }
}

/// The policy of an empty text: everything is allowed, every built-in rule is on.
impl Default for Policy {
    fn default() -> Self {
        Self {
            defaults: Defaults { inbound: Action::Allow, outbound: Action::Allow },
            builtins: Builtins::default(),
            failsafe: Self::default_failsafe(),
            timeouts: Timeouts::default(),
            defines: Vec::new(),
            rules: Vec::new(),
        }
    }
}
