//! Rule sets of any size, flat ones and such as are hard to look up, and packets that their rules match.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use mseg_ebpf::{abi::policy::DIRECTION_IN, policy::Tuple};
use mseg_tests::{
    lab::{SERVER_V4, SERVER_V6},
    packets::{self, Segment},
};

/// What the rules of a set have in common. All of them allow, as the default does, so that every packet opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Each from another host.
    Hosts,
    /// Each from another network of 24 bits.
    Networks,
    /// Hosts and networks of both families.
    Both,
    /// Networks within networks, of every length from 9 to 32 bits.
    Nested,
    /// Likewise, of every length from 33 to 128 bits.
    Nested6,
    /// Each to another port.
    Ports,
    /// Networks of 17 lengths on both sides, and every third to a port.
    Masks,
    /// Hosts, and every tenth from a wide network that holds many of them.
    Wide,
    /// Each from one of 32 large sets to another.
    Shared,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Hosts,
        Self::Networks,
        Self::Both,
        Self::Nested,
        Self::Nested6,
        Self::Ports,
        Self::Masks,
        Self::Wide,
        Self::Shared,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Networks => "/24 networks",
            Self::Both => "both families",
            Self::Nested => "nested, IPv4",
            Self::Nested6 => "nested, IPv6",
            Self::Ports => "ports",
            Self::Masks => "masks",
            Self::Wide => "wide over narrow",
            Self::Shared => "shared sets",
        }
    }
}

/// A policy, and one packet for each of its rules.
pub(crate) struct RuleSet {
    pub(crate) text: String,
    pub(crate) packets: Vec<Packet>,
}

/// What a rule looks at in a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) port: u16,
}

const SYN: Segment = Segment { sequence: 1, acknowledgement: 0, flags: 0x02, window: u16::MAX };

/// Large sets in [`Kind::Shared`].
const SETS: usize = 32;
/// Hosts in the largest of them.
const MEMBERS: usize = 1_000;

impl RuleSet {
    pub(crate) fn new(kind: Kind, rules: usize) -> Self {
        let mut set = Self { text: "default in allow\ndefault out allow\n".to_owned(), packets: Vec::new() };
        if kind == Kind::Shared {
            for number in 0..SETS {
                let members: Vec<String> =
                    (0..members(rules)).map(|member| shared(number, member).to_string()).collect();
                let _ = writeln!(set.text, "define set{number} = {{ {} }}", members.join(", "));
            }
        }
        for number in 0..rules {
            set.add(kind, number, rules);
        }
        set
    }

    fn add(&mut self, kind: Kind, number: usize, rules: usize) {
        let n = number as u32;
        let host = Ipv4Addr::from(0x1400_0000 + n * 167);
        let small = [22, 80, 443, 5432, 8080][number % 5];
        match kind {
            Kind::Hosts => self.rule(n, &host, host.into(), None, small),
            Kind::Networks => self.network(n, 0x1400_0000 + (n << 8), 24, small),
            Kind::Both => match number % 4 {
                0 => self.rule(n, &host, host.into(), None, small),
                1 => self.network(n, 0x2800_0000 + (n << 8), 24, small),
                2 => self.network6(n, 0x2001_0db8_0001 << 80 | u128::from(n), 128, small),
                _ => self.network6(n, 0x2001_0db8_0002 << 80 | u128::from(n) << 64, 64, small),
            },
            Kind::Nested => self.network(n, scattered(n / 24), 9 + (n % 24) as u8, 443),
            Kind::Nested6 => {
                let base = 0x2001_0db8 << 96 | u128::from(scattered(n / 96)) << 64 | u128::from(scattered(n / 96 + 7));
                self.network6(n, base, 33 + (n % 96) as u8, 443);
            }
            Kind::Ports => {
                // Beyond the ports that there are, each again from another host.
                let port = (n % 65_535) as u16 + 1;
                if n < 65_535 {
                    self.rule(n, &"any", host.into(), None, port);
                } else {
                    self.rule(n, &host, host.into(), None, port);
                }
            }
            Kind::Masks => {
                let (from, to) = (16 + (n % 17) as u8, 16 + (n / 17 % 17) as u8);
                let (source, destination) = (cut(scattered(n), from), cut(scattered(n ^ 0x5555), to));
                let to = format!("{}/{to}", Ipv4Addr::from(destination));
                let port = if n.is_multiple_of(3) { 1_000 + (n / 3 % 1_000) as u16 } else { 0 };
                let from = format!("{}/{from}", Ipv4Addr::from(source));
                self.rule(
                    n,
                    &from,
                    Ipv4Addr::from(source).into(),
                    Some((&to, Ipv4Addr::from(destination).into())),
                    port,
                );
            }
            Kind::Wide if n.is_multiple_of(10) => {
                let wide = n / 10;
                self.network(n, 0x1400_0000 + ((wide % 256) << 16), 16, 8_000 + (wide / 256) as u16);
            }
            Kind::Wide => self.rule(n, &host, host.into(), None, 443),
            Kind::Shared => {
                let (from, to) = (number % SETS, number / SETS % SETS);
                let member = number % members(rules);
                let source = shared(from, member);
                let other = Some((&*format!("set{to}"), shared(to, member).into()));
                self.rule(n, &format!("set{from}"), source.into(), other, 1_000 + (number / SETS / SETS) as u16);
            }
        }
    }

    /// The packet is of no narrower network: it differs in the first bit that is not the network's.
    fn network(&mut self, n: u32, bits: u32, length: u8, port: u16) {
        let network = format!("{}/{length}", Ipv4Addr::from(cut(bits, length)));
        self.rule_of_length(n, &network, Ipv4Addr::from(bits ^ 1 << (32 - length) >> 1).into(), 32 - length, port);
    }

    fn network6(&mut self, n: u32, bits: u128, length: u8, port: u16) {
        let network = format!("{}/{length}", Ipv6Addr::from(bits & u128::MAX << (128 - length)));
        self.rule_of_length(n, &network, Ipv6Addr::from(bits ^ 1 << (128 - length) >> 1).into(), 128 - length, port);
    }

    /// Of networks within networks the narrowest is asked first.
    fn rule_of_length(&mut self, n: u32, network: &str, source: IpAddr, width: u8, port: u16) {
        let network = network.strip_suffix("/32").or_else(|| network.strip_suffix("/128")).unwrap_or(network);
        let _ = writeln!(
            self.text,
            "rule r{n} allow in tcp from {network} to any port {port} priority {}",
            500 + u32::from(width)
        );
        self.packets.push(Packet { source, destination: server(source), port });
    }

    /// Port 0 is any.
    fn rule(&mut self, n: u32, from: &dyn std::fmt::Display, source: IpAddr, to: Option<(&str, IpAddr)>, port: u16) {
        let (to, destination) = to.unwrap_or_else(|| ("any", server(source)));
        let to = to.strip_suffix("/32").unwrap_or(to);
        let from = from.to_string();
        let from = from.strip_suffix("/32").unwrap_or(&from);
        let _ = write!(self.text, "rule r{n} allow in tcp from {from} to {to}");
        let _ = if port == 0 { writeln!(self.text) } else { writeln!(self.text, " port {port}") };
        self.packets.push(Packet { source, destination, port: port.max(1) });
    }
}

fn members(rules: usize) -> usize {
    MEMBERS.min(rules)
}

fn shared(set: usize, member: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x1400_0000 + ((set as u32) << 16) + member as u32 * 3)
}

fn server(of_family: IpAddr) -> IpAddr {
    if of_family.is_ipv4() { SERVER_V4 } else { SERVER_V6 }
}

/// Numbers all over the unicast addresses.
fn scattered(n: u32) -> u32 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b1);
    let top = 16 + (mixed >> 24) % 96;
    top << 24 | (mixed ^ mixed >> 11) & 0xff_ffff
}

fn cut(bits: u32, length: u8) -> u32 {
    bits & u32::MAX << (32 - length)
}

impl Packet {
    /// The SYN that opens its session.
    pub(crate) fn frame(&self, source_port: u16) -> Vec<u8> {
        let (from, to) = (SocketAddr::new(self.source, source_port), SocketAddr::new(self.destination, self.port));
        let segment = packets::tcp(from, to, SYN, &[]);
        packets::to_server(&packets::ip(self.source, self.destination, packets::protocol::TCP, &segment))
    }

    /// As the programs see it.
    pub(crate) fn tuple(&self) -> Tuple {
        let mapped = |address| match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Tuple {
            source: mapped(self.source),
            destination: mapped(self.destination),
            source_port: 40_000,
            destination_port: self.port,
            protocol: 6,
            ipv6: self.source.is_ipv6().into(),
            direction: DIRECTION_IN,
            ..Tuple::default()
        }
    }
}
