//! TCP connections of two ends that count right, and packets in between that do not.

use mseg_tests::{
    middlebox::Random,
    packets::{self, Segment, protocol},
};

use crate::generate::{Flow, Unit};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// The sequence numbers that the ends would send next: near, far.
struct Connection<'a> {
    flow: &'a Flow,
    next: [u32; 2],
    first: [u32; 2],
    units: Vec<Unit>,
}

/// A connection from its client's first packet on, mostly; or the start of one that is closed to it.
pub(crate) fn connection(flow: &Flow, opens_to_far: bool, random: &mut Random) -> Vec<Unit> {
    let mut number = || u32::try_from(random.next() & 0xffff_ffff).unwrap_or(0);
    let first = [number(), number()];
    let mut connection = Connection { flow, next: first, first, units: Vec::new() };
    let (client, server) = (opens_to_far, !opens_to_far);
    // Now and then a packet of the handshake is lost before it comes here.
    if !random.once_in(16) {
        connection.send(client, SYN, 0, 0, 0, "SYN");
    }
    connection.advance(client, 1);
    if !random.once_in(16) {
        connection.send(server, SYN | ACK, 0, 0, 0, "SYN+ACK");
    }
    connection.advance(server, 1);
    if !random.once_in(16) {
        connection.send(client, ACK, 0, 0, 0, "ACK");
    }
    for _ in 0..random.below(8) {
        connection.step(random.once_in(2), random);
    }
    connection.units
}

/// A connection that both sides have closed, a SYN of the server that the policy denies, and what was sent last again.
pub(crate) fn reopened_in_vain(flow: &Flow, opens_to_far: bool) -> Vec<Unit> {
    let first = [1000, 5000];
    let mut connection = Connection { flow, next: first, first, units: Vec::new() };
    let (client, server) = (opens_to_far, !opens_to_far);
    connection.send(client, SYN, 0, 0, 0, "SYN");
    connection.advance(client, 1);
    connection.send(server, SYN | ACK, 0, 0, 0, "SYN+ACK");
    connection.advance(server, 1);
    connection.send(client, ACK, 0, 0, 0, "ACK");
    for to_far in [server, client] {
        connection.send(to_far, FIN | ACK, 0, 0, 0, "FIN");
        connection.advance(to_far, 1);
    }
    connection.send(server, ACK, 0, 0, 0, "acknowledgement");
    connection.send(server, SYN, 1 << 20, 0, 0, "SYN with another number");
    connection.send(client, ACK, 0, 0, 0, "acknowledgement");
    connection.units
}

impl Connection<'_> {
    fn advance(&mut self, to_far: bool, by: u32) {
        let side = usize::from(!to_far);
        self.next[side] = self.next[side].wrapping_add(by);
    }

    /// Sends a packet whose numbers are off by so much.
    fn send(&mut self, to_far: bool, flags: u8, seq_off: u32, ack_off: u32, data: usize, what: &str) {
        let [from, to] = self.flow.ends(to_far);
        let [mine, others] = if to_far { [0, 1] } else { [1, 0] };
        let acknowledgement = if flags & ACK == 0 { 0 } else { self.next[others].wrapping_add(ack_off) };
        let sequence = self.next[mine].wrapping_add(seq_off);
        let segment = Segment { sequence, acknowledgement, flags, window: 8192 };
        let packet = packets::tcp(from, to, segment, &vec![b'd'; data]);
        self.units.push(Unit {
            to_far,
            packets: vec![packets::ip(from.ip(), to.ip(), protocol::TCP, &packet)],
            datagram: None,
            what: format!("tcp {what} (seq {:+}, ack {:+})", seq_off.cast_signed(), ack_off.cast_signed()),
        });
    }

    fn step(&mut self, to_far: bool, random: &mut Random) {
        let length = random.one(&[1_u32, 100, 1000]);
        let size = usize::try_from(length).unwrap_or(0);
        let off = random.one(&[1 << 20, 1 << 30, 0_u32.wrapping_sub(1 << 20), 100_000]);
        // The protected side counts right: it is believed whatever it sends.
        let steps = if to_far { 22 } else { 11 };
        match random.below(steps) {
            0..6 => {
                self.send(to_far, ACK | PSH, 0, 0, size, "data");
                self.advance(to_far, length);
            }
            6 => self.send(to_far, ACK, 0, 0, 0, "acknowledgement"),
            7 if random.once_in(2) => self.send(to_far, RST | random.one(&[0, ACK]), 0, 0, 0, "RST"),
            7 | 8 => {
                self.send(to_far, FIN | ACK, 0, 0, 0, "FIN");
                self.advance(to_far, 1);
            }
            9 => self.send(to_far, ACK | PSH, 0_u32.wrapping_sub(length.min(1)), 0, 1, "data again"),
            10 => self.send(to_far, ACK, 0_u32.wrapping_sub(1), 0, 0, "keep-alive"),
            11 => self.send(to_far, ACK | PSH, off, 0, size, "data far off"),
            12 => self.send(to_far, ACK, 0, off, 0, "acknowledgement far off"),
            13..16 => self.send(to_far, FIN | ACK, off, 0, 0, "FIN far off"),
            16 => self.send(to_far, PSH | ACK, off, off, size, "data of another connection"),
            17 => self.send(to_far, RST, 100, 0, 0, "RST not exact"),
            18 => self.send(to_far, RST, off, 0, 0, "RST far off"),
            19 => {
                let side = usize::from(!to_far);
                let back = self.first[side].wrapping_sub(self.next[side]);
                self.send(to_far, SYN, back, 0, 0, "SYN again");
            }
            20 => self.send(to_far, SYN, off, 0, 0, "SYN with another number"),
            _ => self.send(to_far, random.one(&[0, SYN | FIN, SYN | RST, FIN, PSH, 0x3f]), 0, 0, 0, "odd flags"),
        }
    }
}
