//! Short conversations, with what a network does to them and what an intruder would.

use std::net::{IpAddr, SocketAddr};

use mseg_tests::{
    middlebox::Random,
    packets::{self, protocol},
    topology::FAR,
};

use crate::{rare, rules::SCTP, sctp, shape, tcp, view::View};

/// What is sent at once: a packet, or the fragments of one.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// From the client's side of the gateway.
    pub(crate) to_far: bool,
    /// IP packets.
    pub(crate) packets: Vec<Vec<u8>>,
    /// The datagram's bytes after its IP header, if it is in fragments.
    pub(crate) datagram: Option<usize>,
    /// What it is, for the reader of a difference.
    pub(crate) what: String,
}

/// Two ends and what they speak. No two conversations have the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) near: SocketAddr,
    pub(crate) far: SocketAddr,
    pub(crate) protocol: u8,
}

impl Flow {
    /// Who sends, and to whom.
    pub(crate) fn ends(&self, to_far: bool) -> [SocketAddr; 2] {
        if to_far { [self.near, self.far] } else { [self.far, self.near] }
    }

    /// Whether the near end asks and the far end serves.
    fn opens_to_far(&self) -> bool {
        self.far.port() < 100
    }
}

/// A port or an identifier of its own, at an address of its own.
pub(crate) fn own_end(number: usize, ipv6: bool) -> SocketAddr {
    let [high, low] = u16::try_from(number % 50_000 + 256).unwrap_or(0).to_be_bytes();
    let address = if ipv6 {
        IpAddr::from([0x2001, 0xdb8, 0x18, 0, 0, 0, u16::from(high), u16::from(low)])
    } else {
        IpAddr::from([198, 18, high, low])
    };
    SocketAddr::new(address, u16::try_from(10_000 + number % 50_000).unwrap_or(0))
}

/// A conversation, by its number.
pub(crate) fn conversation(number: usize, random: &mut Random) -> Vec<Unit> {
    match number % 64 {
        61 => return rare::dropped_by_the_stack(number),
        60 => return rare::cut_header(number, random),
        62 => return reopened_in_vain(number, random),
        63 => return rare::cut_quote(number),
        of if of % 3 == 0 => return connection(number, random),
        _ => {}
    }
    let ipv6 = random.once_in(2);
    let mut near = own_end(number, ipv6);
    let mut far = SocketAddr::new(FAR[usize::from(ipv6)], 0);
    let icmp = if ipv6 { protocol::ICMPV6 } else { protocol::ICMP };
    let protocol = random.one(&[protocol::UDP, protocol::UDP, protocol::UDP, icmp, icmp, SCTP, SCTP, 47, 46]);
    // The far end serves what may come in, or asks for what may go out; or the port next to it, which is closed.
    if random.once_in(3) {
        far.set_port(near.port());
        near.set_port(random.one(&[123, 123, 124]));
    } else {
        far.set_port(random.one(&[53, 53, 54]));
    }
    let flow = Flow { near, far, protocol };
    let opens_to_far = flow.opens_to_far();
    let mut units: Vec<Unit> = Vec::new();
    for step in 0..random.below(6) + 1 {
        // Mostly question and answer.
        let to_far = if random.once_in(5) { random.once_in(2) } else { opens_to_far == (step % 2 == 0) };
        units.push(unit(&flow, to_far, &units, number, random));
    }
    units
}

/// A TCP connection, in or out.
fn connection(number: usize, random: &mut Random) -> Vec<Unit> {
    let ipv6 = random.once_in(2);
    let mut near = own_end(number, ipv6);
    let mut far = SocketAddr::new(FAR[usize::from(ipv6)], 0);
    let opens_to_far = !random.once_in(3);
    // Some go to a port that no rule names.
    let closed = u16::from(random.once_in(8));
    far.set_port(80 + closed);
    if !opens_to_far {
        far.set_port(near.port());
        near.set_port(443 + closed);
    }
    tcp::connection(&Flow { near, far, protocol: protocol::TCP }, opens_to_far, random)
}

/// A connection out that its server would open again.
fn reopened_in_vain(number: usize, random: &mut Random) -> Vec<Unit> {
    let (near, mut far) = (own_end(number, false), SocketAddr::new(FAR[0], 0));
    far.set_port(near.port());
    let flow = Flow { near: SocketAddr::new(near.ip(), 443), far, protocol: protocol::TCP };
    tcp::reopened_in_vain(&flow, false, random)
}

/// One packet or datagram of a flow.
fn unit(flow: &Flow, to_far: bool, before: &[Unit], number: usize, random: &mut Random) -> Unit {
    let [from, to] = flow.ends(to_far);
    let (transport, protocol, what) = match before.last() {
        Some(last) if random.once_in(4) => error_about(flow, to_far, last, random),
        _ => (message(flow, to_far, before, random), flow.protocol, "message".to_owned()),
    };
    let shaped = shape::packets(from.ip(), to.ip(), protocol, transport, number * 8 + before.len(), random);
    Unit { to_far, packets: shaped.packets, datagram: shaped.datagram, what: format!("{what}, {}", shaped.what) }
}

/// A message of the flow's own protocol.
fn message(flow: &Flow, to_far: bool, before: &[Unit], random: &mut Random) -> Vec<u8> {
    let [from, to] = flow.ends(to_far);
    let data = vec![b'm'; random.one(&[0, 1, 17, 64, 900])];
    match flow.protocol {
        protocol::UDP => packets::udp(from, to, &data),
        protocol::ICMP | protocol::ICMPV6 => {
            let [request, reply] = match from {
                // Some ask for the time.
                SocketAddr::V4(_) if flow.near.port().max(flow.far.port()).is_multiple_of(8) => [13, 14],
                SocketAddr::V4(_) => [8, 0],
                SocketAddr::V6(_) => [128, 129],
            };
            let kind = if to_far == flow.opens_to_far() { request } else { reply };
            // Now and then another message, or another code.
            let kind =
                if random.once_in(8) { random.one(&[13, 14, 15, 16, 17, 18, 5, 9, 10, 133, 135, 200]) } else { kind };
            let code = if random.once_in(10) { random.one(&[1, 3]) } else { 0 };
            let [a, b] = flow.near.port().max(flow.far.port()).to_be_bytes();
            packets::icmp(from.ip(), to.ip(), kind, code, [a, b, 0, 1], &data)
        }
        SCTP => {
            let is_sctp = |packet: &Vec<u8>| View::of(packet).is_some_and(|view| view.protocol == SCTP);
            let said = before.iter().filter(|unit| unit.packets.first().is_some_and(is_sctp)).count();
            sctp::message([from, to], to_far == flow.opens_to_far(), said, random)
        }
        47 => [&[0, 0, 8, 0][..], &data].concat(),
        _ => data,
    }
}

/// An ICMP error about the last packet of the flow, or nearly.
fn error_about(flow: &Flow, to_far: bool, last: &Unit, random: &mut Random) -> (Vec<u8>, u8, String) {
    let [from, to] = flow.ends(to_far);
    let mut quoted = last.packets.first().cloned().unwrap_or_default();
    let is_v4 = from.is_ipv4();
    let header = if is_v4 { 20 } else { 40 };
    let how = random.one(&["right", "right", "other-port", "short", "cut-header", "other-address"]);
    match how {
        "other-port" if quoted.len() > header + 1 => quoted[header + 1] ^= 1,
        "short" => quoted.truncate(header + 8),
        "cut-header" => quoted.truncate(header + 2),
        "other-address" => quoted[header - 2] ^= 0x80,
        _ => quoted.truncate(500),
    }
    let types: &[(u8, u8)] = if is_v4 {
        &[(3, 1), (3, 3), (3, 4), (11, 0), (12, 0), (4, 0), (5, 1)]
    } else {
        &[(1, 4), (2, 0), (3, 0), (4, 1), (100, 0)]
    };
    let (kind, code) = random.one(types);
    let message = packets::icmp(from.ip(), to.ip(), kind, code, [0, 0, 5, 0], &quoted);
    (message, packets::icmp_of(from.ip()), format!("error {kind}/{code} quoting {how}"))
}
