//! TCP connections of two ends that count right, and packets in between that do not.

use mseg_tests::{
    middlebox::Random,
    packets::{self, Segment, protocol},
};

use crate::{
    generate::{Flow, Unit},
    segment::{ACK, FIN, Header, LEAST_ACK_WINDOW, PSH, RST, SYN},
    track::{Phase, Track},
};

/// Windows as they are written, from closed to the largest.
const WINDOWS: [u16; 5] = [0, 20, 500, 8192, 65535];
/// What a SYN says of scaling, if anything.
const SCALES: [Option<u8>; 5] = [None, Some(0), Some(2), Some(7), Some(14)];

/// A connection as its ends see it, all packets of which pass that may.
struct Connection<'a> {
    flow: &'a Flow,
    /// The sequence numbers that the ends would send next: far, near.
    next: [u32; 2],
    first: [u32; 2],
    /// What they mostly offer.
    windows: [u16; 2],
    scales: [Option<u8>; 2],
    track: Track,
    units: Vec<Unit>,
}

/// A segment that is not just the next one.
#[derive(Clone, Copy, Default)]
struct Off {
    sequence: u32,
    acknowledgement: u32,
}

const EXACT: Off = Off { sequence: 0, acknowledgement: 0 };

/// A connection from its client's first packet on, mostly. Whether a rule lets it open is up to its ports.
pub(crate) fn connection(flow: &Flow, opens_to_far: bool, random: &mut Random) -> Vec<Unit> {
    let mut connection = Connection::new(flow, random);
    let (client, server) = (opens_to_far, !opens_to_far);
    // Now and then a packet of the handshake is lost before it comes here.
    if !random.once_in(16) {
        connection.send(client, SYN, EXACT, 0, "SYN", random);
    }
    connection.advance(client, 1);
    if !random.once_in(16) {
        connection.send(server, SYN | ACK, EXACT, 0, "SYN+ACK", random);
    }
    connection.advance(server, 1);
    if random.once_in(12) {
        connection.guess(client, random);
    }
    if !random.once_in(16) {
        connection.send(client, ACK, EXACT, 0, "ACK", random);
    }
    for _ in 0..random.below(10) {
        connection.step(random.once_in(2), random);
    }
    connection.units
}

/// A connection that both sides have closed, a SYN of the server that the policy denies, and what was sent last again.
pub(crate) fn reopened_in_vain(flow: &Flow, opens_to_far: bool, random: &mut Random) -> Vec<Unit> {
    let mut connection = Connection::new(flow, random);
    connection.windows = [8192; 2];
    let (client, server) = (opens_to_far, !opens_to_far);
    connection.send(client, SYN, EXACT, 0, "SYN", random);
    connection.advance(client, 1);
    connection.send(server, SYN | ACK, EXACT, 0, "SYN+ACK", random);
    connection.advance(server, 1);
    connection.send(client, ACK, EXACT, 0, "ACK", random);
    for to_far in [server, client] {
        connection.send(to_far, FIN | ACK, EXACT, 0, "FIN", random);
        connection.advance(to_far, 1);
    }
    connection.send(server, ACK, EXACT, 0, "acknowledgement", random);
    connection.send(server, SYN, Off { sequence: 1 << 20, ..EXACT }, 0, "SYN with another number", random);
    connection.send(client, ACK, EXACT, 0, "acknowledgement", random);
    connection.units
}

impl<'a> Connection<'a> {
    fn new(flow: &'a Flow, random: &mut Random) -> Self {
        let mut number = || u32::try_from(random.next() & 0xffff_ffff).unwrap_or(0);
        let first = [number(), number()];
        let windows = [random.one(&WINDOWS), random.one(&WINDOWS)];
        let scales = [random.one(&SCALES), random.one(&SCALES)];
        Self { flow, next: first, first, windows, scales, track: Track::default(), units: Vec::new() }
    }

    fn advance(&mut self, to_far: bool, by: u32) {
        let side = usize::from(to_far);
        self.next[side] = self.next[side].wrapping_add(by);
    }

    fn send(&mut self, to_far: bool, flags: u8, off: Off, data: usize, what: &str, random: &mut Random) {
        let [from, to] = self.flow.ends(to_far);
        let (mine, others) = (usize::from(to_far), usize::from(!to_far));
        let acknowledgement = self.next[others].wrapping_add(off.acknowledgement);
        let window = if random.once_in(4) { random.one(&WINDOWS) } else { self.windows[mine] };
        let segment = Segment {
            sequence: self.next[mine].wrapping_add(off.sequence),
            acknowledgement: if flags & ACK == 0 { 0 } else { acknowledgement },
            flags,
            window,
        };
        let scale = self.scales[mine].filter(|_| flags & SYN != 0);
        // Behind it, the end of the list.
        let options = scale.map(|scale| [3, 3, scale, 0]);
        let options = options.as_ref().map_or(&[][..], |options| &options[..]);
        let packet = packets::tcp_with(from, to, segment, options, &vec![b'd'; data]);
        let packet = packets::ip(from.ip(), to.ip(), protocol::TCP, &packet);
        if let Some(header) = Header::of(&packet).filter(|header| header.is_sensible()) {
            self.track.pass(to_far, &header);
        }
        let (seq, ack) = (off.sequence.cast_signed(), off.acknowledgement.cast_signed());
        let scale = scale.map_or(String::new(), |scale| format!(", scale {scale}"));
        let what =
            format!("tcp {what} (flags {flags:#04x}, seq {seq:+}, ack {ack:+}, data {data}, window {window}{scale})");
        self.units.push(Unit { to_far, packets: vec![packet], datagram: None, what });
    }

    /// Ends the handshake by numbers that need not be right.
    fn guess(&mut self, client: bool, random: &mut Random) {
        let mut off = || {
            let off = random.one(&[0_u32, 1, 1000, 100_000, 1 << 30]);
            if random.once_in(2) { off.wrapping_neg() } else { off }
        };
        let off = Off { sequence: off(), acknowledgement: off() };
        self.send(client, ACK, off, 0, "ACK that may be a guess", random);
    }

    /// So many bytes of data, or as many as the other side takes; now and then more.
    fn data(&mut self, to_far: bool, random: &mut Random) {
        let side = usize::from(to_far);
        let room = self.track.side(to_far).limit.wrapping_sub(self.next[side]).cast_signed().max(0).cast_unsigned();
        let length = random.one(&[1_u32, 100, 1000]);
        let length = if random.once_in(8) { length } else { length.min(room) };
        self.send(to_far, ACK | PSH, EXACT, usize::try_from(length).unwrap_or(0), "data", random);
        // Its receiver may take what is beyond, or not.
        if length <= room || random.once_in(2) {
            self.advance(to_far, length);
        }
    }

    /// How far off a segment is that lies near one of the windows' edges, or an acknowledgement near one of its.
    fn at_an_edge(&self, to_far: bool, length: u32, random: &mut Random) -> Off {
        let (sender, receiver) = (self.track.side(to_far), self.track.side(!to_far));
        let (mine, others) = (self.next[usize::from(to_far)], self.next[usize::from(!to_far)]);
        let unit = 16_u32 << receiver.scale;
        let by = random.one(&[0, 1, 2, 15, 16, 17, 31, 32, 33, unit - 1, unit, unit + 1, 2 * unit, 2 * unit + 1]);
        let by = if random.once_in(2) { by } else { by.wrapping_neg() };
        let sequence = |number: u32| Off { sequence: number.wrapping_add(by).wrapping_sub(mine), ..EXACT };
        let acknowledgement =
            |number: u32| Off { acknowledgement: number.wrapping_add(by).wrapping_sub(others), ..EXACT };
        match random.below(6) {
            0 | 1 => sequence(sender.limit),
            2 => sequence(sender.limit.wrapping_add(receiver.window).wrapping_sub(length)),
            3 => sequence(sender.end.wrapping_sub(receiver.window).wrapping_sub(length)),
            4 => acknowledgement(receiver.end),
            _ => acknowledgement(receiver.end.wrapping_sub(sender.window.max(LEAST_ACK_WINDOW))),
        }
    }

    fn step(&mut self, to_far: bool, random: &mut Random) {
        let size = random.one(&[0, 1, 100, 1000]);
        let far = random.one(&[1 << 20, 1 << 30, 0_u32.wrapping_sub(1 << 20), 100_000, 0_u32.wrapping_sub(100_000)]);
        let near = self.at_an_edge(to_far, u32::try_from(size).unwrap_or(0), random);
        // The edges say nothing before both ends are heard.
        let off = if self.track.phase == Phase::Open && !random.once_in(4) {
            near
        } else {
            random.one(&[
                Off { sequence: far, ..EXACT },
                Off { acknowledgement: far, ..EXACT },
                Off { sequence: far, acknowledgement: far },
            ])
        };
        match random.below(24) {
            0..6 => self.data(to_far, random),
            6 => self.send(to_far, ACK, EXACT, 0, "acknowledgement", random),
            7 if random.once_in(2) => self.send(to_far, RST | random.one(&[0, ACK]), EXACT, 0, "RST", random),
            7 | 8 => {
                self.send(to_far, FIN | ACK, EXACT, 0, "FIN", random);
                self.advance(to_far, 1);
            }
            9 => {
                self.send(to_far, ACK | PSH, Off { sequence: 0_u32.wrapping_sub(1), ..EXACT }, 1, "data again", random);
            }
            10 => self.send(to_far, ACK, Off { sequence: 0_u32.wrapping_sub(1), ..EXACT }, 0, "keep-alive", random),
            11..16 => self.send(to_far, ACK | PSH, off, size, "data off", random),
            16..18 => self.send(to_far, FIN | ACK, off, 0, "FIN off", random),
            18 => self.send(to_far, RST, Off { sequence: 100, ..EXACT }, 0, "RST not exact", random),
            19 => self.send(to_far, RST | random.one(&[0, ACK]), off, 0, "RST off", random),
            20 => {
                let side = usize::from(to_far);
                let back = self.first[side].wrapping_sub(self.next[side]);
                self.send(to_far, SYN, Off { sequence: back, ..EXACT }, 0, "SYN again", random);
            }
            21 => self.send(to_far, SYN, Off { sequence: far, ..EXACT }, 0, "SYN with another number", random),
            // conntrack takes the numbers of a client's SYN+ACK even if it denies it, while the handshake lasts.
            22 if self.track.phase != Phase::SynRecv || to_far != self.track.client_is_near => {
                self.send(to_far, SYN | ACK, random.one(&[EXACT, off]), 0, "SYN+ACK", random);
            }
            _ => {
                let flags = random.one(&[0, SYN | FIN, SYN | RST, FIN, PSH, 0x3f]);
                self.send(to_far, flags, EXACT, 0, "odd flags", random);
            }
        }
    }
}
