//! Reading and printing a packet: what a rule says of packets, of one packet.

use std::{fmt, net::IpAddr, ops::Range};

use super::{
    address::Address,
    diagnostic::Diagnostics,
    evaluate::{Packet, PacketDirection},
    lexer::Kind,
    line::{Abort, Line, Step},
    model::Protocol,
    problem::{Problem, Problems},
    source::Sources,
    statement, words,
};

/// The source port of a packet that names none: the first that no service has (RFC 6335 section 6).
pub const SOURCE_PORT: u16 = 49_152;

const DIRECTIONS: &[(&str, PacketDirection)] = &[("in", PacketDirection::In), ("out", PacketDirection::Out)];
const CLAUSES: [&str; 4] = ["from", "to", "type", "iface"];
/// Protocol numbers that are extension headers of IPv6 (RFC 7045): there a packet has them before its protocol.
const IPV6_EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];

/// Reads a packet that opens a session: `in tcp from 10.0.0.1 to 10.0.0.2 port 22 iface eth0`. An interface that is not
/// named is the empty string.
pub fn parse_packet(text: &str) -> Result<Packet, Diagnostics> {
    let mut problems = Problems::default();
    let mut line = Line::new(text, 0..text.len(), &mut problems);
    let read = packet(&mut line, &[]).and_then(|packet| line.end().map(|()| packet));
    match (read, line.failed) {
        (Ok(packet), false) => Ok(packet),
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
    span: Range<usize>,
}

/// From the direction to the end of the line, or to one of the words in `ends`.
pub(super) fn packet(line: &mut Line<'_, '_>, ends: &[&str]) -> Step<Packet> {
    let direction = line.choice("a direction", DIRECTIONS)?;
    let span = line.span();
    let protocol = line.protocol()?;
    let Some(number) = protocol.number() else {
        line.wrong(span, "a packet has one protocol", "expected its name or number");
        return Err(Abort);
    };
    let (mut from, mut to, mut icmp, mut interface) = (None, None, None, None);
    while line.kind() != Kind::End {
        let word = line.peek_word().unwrap_or_default();
        if ends.contains(&word) {
            break;
        }
        let again = match word {
            "from" => from.is_some(),
            "to" => to.is_some(),
            "type" => icmp.is_some(),
            "iface" => interface.is_some(),
            _ => {
                let help = line.did_you_mean(CLAUSES);
                return Err(line.unexpected("a clause or the end of the line", &words::one_of(CLAUSES), help));
            }
        };
        if again {
            line.report(Problem::found(line.span(), "a second", word, "is given already"));
        }
        match word {
            "from" => from = Some(end(line, protocol)?),
            "to" => to = Some(end(line, protocol)?),
            "type" => icmp = Some(statement::icmp(line, protocol)?),
            _ => {
                line.advance();
                interface = Some(line.interface()?);
            }
        }
    }
    let Some(from) = from else { return Err(line.unexpected("`from` and an address", "", None)) };
    let Some(to) = to else { return Err(line.unexpected("`to` and an address", "", None)) };
    if protocol.has_ports() && to.port.is_none() {
        return Err(line.unexpected("`port` after the address of `to`", "", None));
    }
    if matches!(protocol, Protocol::Icmp | Protocol::Icmpv6) && icmp.is_none() {
        return Err(line.unexpected("`type`", "", None));
    }
    // Where one of them is wrong, that was said.
    let (Some(source), Some(destination)) = (from.address, to.address) else { return Err(Abort) };
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
    Ok(Packet {
        direction,
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

/// `from` or `to` with one address and one port.
fn end(line: &mut Line<'_, '_>, protocol: Protocol) -> Step<End> {
    const ONE: &str = "a packet has one address";
    line.advance();
    let span = line.span();
    if line.peek_word() == Some("any") {
        line.wrong(span, ONE, "expected an IPv4 or IPv6 address");
        return Err(Abort);
    }
    let failed = line.failed;
    let (address, _) = line.address()?;
    let address = match address {
        Address::Network(network) if network.prefix_len() == network.max_prefix_len() => Some(network.addr()),
        // What could not be read at all was reported.
        _ if line.failed && !failed => None,
        _ => {
            line.wrong(span.clone(), ONE, "expected an address, not a network or a set");
            None
        }
    };
    let mut port = None;
    if line.peek_word() == Some("port") {
        let span = line.advance().span;
        if !protocol.has_ports() {
            let message = format!("protocol `{}` has no ports", protocol.name());
            line.wrong(span, message, "needs `tcp`, `udp` or `sctp`");
        }
        port = Some(line.number("a port", u16::MAX)?);
    }
    Ok(End { address, port, span })
}
