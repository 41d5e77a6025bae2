//! Reading and printing a packet: what a rule says of packets, of one packet.

use std::{fmt, net::IpAddr, ops::Range};

use super::{
    address::Address,
    diagnostic::Diagnostics,
    evaluate::{Packet, PacketDirection},
    lexer::Kind,
    line::Line,
    model::Protocol,
    problem::{Problem, Problems},
    source::Sources,
    statement, words,
};

/// The source port of a packet that names none: the first that no service has (RFC 6335 section 6).
pub const SOURCE_PORT: u16 = 49_152;

const DIRECTIONS: &[(&str, PacketDirection)] = &[("in", PacketDirection::In), ("out", PacketDirection::Out)];
/// What a packet may begin with, and what comes after its direction.
pub(super) const FROM_DIRECTION: &[&str] = &["in", "out", "tcp", "udp", "sctp", "icmp", "icmpv6", "from", "to"];
const CLAUSES: [&str; 4] = ["from", "to", "type", "iface"];
/// Protocol numbers that are extension headers of IPv6 (RFC 7045): there a packet has them before its protocol.
const IPV6_EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];

/// Reads a packet that opens a session: `in tcp from 10.0.0.1 to 10.0.0.2 port 22 iface eth0`. An interface that is not
/// named is the empty string.
pub fn parse_packet(text: &str) -> Result<Packet, Diagnostics> {
    let mut problems = Problems::default();
    let mut line = Line::new(text, 0..text.len(), &mut problems);
    let read = packet(&mut line, &[]);
    match (read, line.end()) {
        (Some(packet), true) => Ok(packet),
        _ => Err(Diagnostics::new(&Sources::text_only("packet", text), problems)),
    }
}

/// The canonical text, which [`parse_packet`] reads.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = Protocol::from_number(self.protocol);
        write!(f, "{} {} from {}", self.direction.name(), protocol.name(), self.source)?;
        if protocol.has_ports() {
            write!(f, " port {} to {} port {}", self.source_port, self.destination, self.destination_port)?;
        } else {
            write!(f, " to {}", self.destination)?;
        }
        if matches!(protocol, Protocol::Icmp | Protocol::Icmpv6) {
            match words::icmp_type_name(protocol, self.icmp_type) {
                Some(name) => write!(f, " type {name}")?,
                None => write!(f, " type {}", self.icmp_type)?,
            }
            if self.icmp_code != 0 {
                write!(f, " code {}", self.icmp_code)?;
            }
        }
        if self.interface.is_empty() { Ok(()) } else { write!(f, " iface {}", self.interface) }
    }
}

struct End {
    address: Option<IpAddr>,
    port: Option<u16>,
    /// There is a port, which may be wrong.
    port_given: bool,
    span: Range<usize>,
}

/// From the direction to the end of the line, or to one of the words in `ends`.
pub(super) fn packet(line: &mut Line<'_, '_>, ends: &[&str]) -> Option<Packet> {
    let direction = line.choice_before("a direction", DIRECTIONS, statement::AFTER_DIRECTION);
    let span = line.span();
    let mut protocol = line.protocol(false);
    if protocol == Some(Protocol::Any) {
        line.wrong(span.clone(), "a packet has one protocol", "expected its name or number");
        protocol = None;
    }
    let (mut from, mut to, mut icmp, mut interface) = (None, None, None, None);
    let mut given: Vec<&str> = Vec::new();
    while line.kind() != Kind::End && !line.is_full() {
        let (word, at) = (line.peek_word().unwrap_or_default(), line.span());
        if ends.contains(&word) {
            break;
        }
        let clause = if CLAUSES.contains(&word) {
            if given.contains(&word) {
                line.report(Problem::found(at.clone(), "a second", word, "is given already"));
            }
            word
        } else {
            match line.guess("a clause or the end of the line", &CLAUSES) {
                Some(clause) => clause,
                None => {
                    line.skip_to(&[&CLAUSES, ends].concat());
                    continue;
                }
            }
        };
        given.push(clause);
        line.advance();
        match clause {
            "from" => from = Some(end(line, protocol)),
            "to" => to = Some(end(line, protocol)),
            "type" => icmp = statement::icmp(line, at, protocol),
            _ => interface = line.interface(),
        }
    }
    // One thing that is missing is enough to say, and what was skipped may be it.
    let mut needs = |is_there: bool, what: &str| {
        if !is_there && !line.unsure {
            line.unexpected(what, "", None);
        }
    };
    needs(from.is_some(), "`from` and an address");
    needs(to.is_some(), "`to` and an address");
    if let (Some(protocol), Some(to)) = (protocol, &to) {
        needs(!protocol.has_ports() || to.port_given, "`port` after the address of `to`");
        needs(!matches!(protocol, Protocol::Icmp | Protocol::Icmpv6) || given.contains(&"type"), "`type`");
    }
    let (from, to) = (from?, to?);
    // Where one of them is wrong, that was said.
    let (protocol, source, destination) = (protocol?, from.address?, to.address?);
    let number = protocol.number()?;
    let ipv6 = source.is_ipv6();
    if ipv6 != destination.is_ipv6() {
        line.wrong(to.span.clone(), "the addresses are of two families", format!("expected {}", family(ipv6)));
    }
    let needs = match protocol {
        Protocol::Icmp => Some(false),
        Protocol::Icmpv6 => Some(true),
        _ => None,
    };
    if let Some(needs) = needs.filter(|needs| *needs != ipv6) {
        let message = format!("`{}` is a protocol of {}", protocol.name(), family(needs));
        line.wrong(from.span.clone(), message, format!("is {}", family(ipv6)));
    }
    if ipv6 && IPV6_EXTENSIONS.contains(&number) {
        let message = format!("protocol {number} is an extension header of IPv6");
        line.wrong(span, message, "expected the protocol behind it");
    }
    Some(Packet {
        direction: direction?,
        protocol: number,
        source,
        destination,
        source_port: if protocol.has_ports() { from.port.unwrap_or(SOURCE_PORT) } else { 0 },
        destination_port: to.port.unwrap_or(0),
        icmp_type: icmp.map_or(0, |icmp| icmp.number),
        icmp_code: icmp.and_then(|icmp| icmp.code).unwrap_or(0),
        interface: interface.unwrap_or_default(),
    })
}

const fn family(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}

/// The address and the port after `from` or `to`.
fn end(line: &mut Line<'_, '_>, protocol: Option<Protocol>) -> End {
    const ONE: &str = "a packet has one address";
    let span = line.span();
    let mut address = None;
    if line.peek_word() == Some("any") {
        line.wrong(span.clone(), ONE, "expected an IPv4 or IPv6 address");
        line.advance();
    } else {
        match line.address() {
            Some((Address::Network(network), _)) if network.prefix_len() == network.max_prefix_len() => {
                address = Some(network.addr());
            }
            Some(_) => line.wrong(span.clone(), ONE, "expected an address, not a network or a set"),
            None => {}
        }
    }
    let (mut port, port_given) = (None, line.peek_word() == Some("port"));
    if port_given {
        let span = line.advance().span;
        statement::no_ports(line, span, protocol);
        port = line.number("a port", u16::MAX);
    }
    End { address, port, port_given, span }
}
