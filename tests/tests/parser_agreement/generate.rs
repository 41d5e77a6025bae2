//! Frames of every kind: whole, at the edges of what is whole, and damaged.

use mseg::policy::arbitrary::Random;

use crate::payload;

/// A frame, and whether it is said to come from segmentation offload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) frame: Vec<u8>,
    pub(crate) gso: bool,
}

/// The frame of a number.
pub(crate) fn sample(number: u64) -> Sample {
    let mut random = Random(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let random = &mut random;
    let gso = random.percent(5);
    let mut frame = whole(random, gso);
    if random.percent(25) {
        let padding = random.below(46);
        frame.extend(random.bytes(padding));
    }
    if random.percent(40) {
        for _ in 0..=random.below(3) {
            damage(random, &mut frame);
        }
    }
    // The kernel runs programs on nothing shorter.
    if frame.len() < 15 {
        frame.resize(15, 0);
    }
    Sample { frame, gso }
}

fn whole(random: &mut Random, gso: bool) -> Vec<u8> {
    let tags = random.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3]);
    let (kind, payload) = match random.below(40) {
        0..18 => (0x0800, ipv4(random, gso)),
        18..36 => (0x86dd, ipv6(random, gso)),
        36 | 37 => (0x0806, arp(random)),
        38 => (random.pick(&[0x88cc, 0x8847, 0x9100, 0x0026, 0x8035, 0x888e]), random.bytes(50)),
        _ => (random.next() as u16, random.bytes(40)),
    };
    let mut frame = random.pick(&[[2, 0, 0, 0, 0, 2], [1, 0x80, 0xc2, 0, 0, 0x0e], [0xff; 6]]).to_vec();
    frame.extend([2, 0, 0, 0, 0, 1]);
    for _ in 0..tags {
        frame.extend(random.pick(&[[0x81, 0x00], [0x88, 0xa8]]));
        frame.extend(random.bytes(2));
    }
    frame.extend(u16::to_be_bytes(kind));
    frame.extend(payload);
    frame
}

fn arp(random: &mut Random) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend(random.bytes(20));
    packet
}

/// The protocol of what follows an IP header or an extension header.
fn protocol(random: &mut Random, ipv6: bool) -> u8 {
    let own_icmp = if ipv6 { 58 } else { 1 };
    match random.below(20) {
        0..6 => 6,
        6..10 => 17,
        10..15 => own_icmp,
        15 => 132,
        16 => random.pick(&[1, 58]),
        17 => random.pick(&[4, 41, 47, 50, 51, 59, 135, 139, 140]),
        18 => random.byte(),
        _ => 17,
    }
}

fn ipv4(random: &mut Random, gso: bool) -> Vec<u8> {
    let protocol = protocol(random, false);
    let options = if random.percent(20) { options(random) } else { Vec::new() };
    let fragment = fragment_start(random);
    let payload = if fragment & 0x1fff == 0 { payload::of(random, protocol) } else { rest(random) };
    let payload = even(random, payload, fragment & 0x2000 != 0);
    let mut total = (20 + options.len() + payload.len()) as u16;
    if gso && random.percent(60) {
        total = 0;
    }
    let mut packet = vec![0x45 + (options.len() / 4) as u8, random.byte()];
    packet.extend(total.to_be_bytes());
    packet.extend(random.bytes(2));
    packet.extend(fragment.to_be_bytes());
    packet.extend([random.pick(&[0, 1, 64, 255]), protocol, 0, 0]);
    packet.extend(random.pick(&[[192, 0, 2, 1], [10, 1, 2, 3], [0, 0, 0, 0], [127, 0, 0, 1]]));
    packet.extend(random.pick(&[[192, 0, 2, 2], [224, 0, 0, 1], [255, 255, 255, 255], [10, 1, 2, 3]]));
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// Flags and offset as IPv4 has them: mostly none.
fn fragment_start(random: &mut Random) -> u16 {
    match random.below(16) {
        0 => 0x2000,
        1 => random.pick(&[0x2000, 0]) | random.pick(&[1, 2, 3, 4, 185, 8187, 8188, 8189, 8190, 8191]),
        2 => random.next() as u16,
        3..6 => 0x4000,
        _ => 0,
    }
}

fn rest(random: &mut Random) -> Vec<u8> {
    let length = random.pick(&[0, 1, 3, 7, 8, 16, 24, 64, 1000]);
    random.bytes(length)
}

/// Mostly what may come before another fragment: a multiple of 8.
fn even(random: &mut Random, mut payload: Vec<u8>, more: bool) -> Vec<u8> {
    if more && random.percent(80) {
        payload.resize(payload.len().div_ceil(8) * 8, 0);
    }
    payload
}

fn options(random: &mut Random) -> Vec<u8> {
    let mut options = Vec::new();
    for _ in 0..=random.below(4) {
        let kind = random.pick(&[0, 1, 1, 7, 68, 130, 131, 137, 148, 200]);
        options.push(kind);
        if kind > 1 {
            let length = random.pick(&[2, 3, 4, 4, 8, 11]);
            options.push(if random.percent(5) { random.byte() } else { length as u8 });
            options.extend(random.bytes(length - 2));
        }
    }
    options.resize((options.len().div_ceil(4) * 4).min(40), 0);
    options
}

fn ipv6(random: &mut Random, gso: bool) -> Vec<u8> {
    let mut kinds = Vec::new();
    if random.percent(35) {
        for at in 0..random.pick(&[1, 1, 1, 2, 2, 3, 5, 7, 8, 9]) {
            let first = at == 0 && random.percent(30);
            kinds.push(if first { 0 } else { random.pick(&[60, 60, 60, 43, 44, 51, 60, 43, 44, 0]) });
        }
    }
    let last = protocol(random, true);
    let mut chain = Vec::new();
    let mut later = false;
    let mut more = false;
    for at in 0..kinds.len() {
        let next = kinds.get(at + 1).copied().unwrap_or(last);
        let header = extension(random, kinds[at], next);
        if kinds[at] == 44 {
            later |= u16::from_be_bytes([header[2], header[3]]) > 7;
            more |= header[3] & 1 != 0;
        }
        chain.extend(header);
    }
    let payload = if later { rest(random) } else { payload::of(random, last) };
    chain.extend(even(random, payload, more));
    let mut length = chain.len() as u16;
    if gso && random.percent(60) {
        length = 0;
    }
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.push(kinds.first().copied().unwrap_or(last));
    packet.push(random.pick(&[255, 255, 1, 1, 64, 0]));
    for _ in 0..2 {
        let mut address = random.pick(&[0xfe80_u16, 0xfe80, 0x2001, 0, 0xff02, 0xfec0]).to_be_bytes().to_vec();
        address.extend([0; 14]);
        if random.percent(80) {
            address[15] = random.byte();
        }
        if random.percent(3) {
            address[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        }
        packet.extend(address);
    }
    packet.extend(chain);
    packet
}

fn extension(random: &mut Random, kind: u8, next: u8) -> Vec<u8> {
    let units = random.pick(&[0, 0, 0, 1, 2, 5]);
    match kind {
        44 => {
            let field = match random.below(8) {
                0..4 => 0,
                4 | 5 => 1,
                6 => random.pick(&[8, 9, 16, 24, 64, 0xfff8, 0xfff9]),
                _ => random.next() as u16,
            };
            let mut header = vec![next, 0];
            header.extend(field.to_be_bytes());
            header.extend(random.bytes(4));
            header
        }
        51 => {
            let units = units + usize::from(random.percent(95));
            let mut header = vec![next, units as u8, 0, 0];
            header.extend(random.bytes((units + 2) * 4 - 4));
            header
        }
        _ => {
            let mut header = vec![next, units as u8];
            header.extend(random.bytes((units + 1) * 8 - 2));
            header[2] = random.pick(&[0, 1, 1, 2, 4]);
            header
        }
    }
}

fn damage(random: &mut Random, frame: &mut Vec<u8>) {
    // Mostly in the headers.
    let reach = if random.percent(85) { frame.len().min(90) } else { frame.len() };
    if reach == 0 {
        return;
    }
    let at = random.below(reach);
    match random.below(8) {
        0 | 1 => frame[at] ^= 1 << random.below(8),
        2 | 3 => frame[at] = random.byte(),
        4 => frame[at] = random.pick(&[0, 1, 4, 5, 6, 7, 8, 17, 43, 44, 51, 58, 60, 0x45, 0x4f, 0x7f, 0x80, 0xff]),
        5 => frame[at] = frame[at].wrapping_add(random.pick(&[1, 255, 4, 252])),
        6 => frame.truncate(14 + random.below(frame.len())),
        _ => {
            let from = random.below(frame.len());
            let length = random.below(12).min(frame.len() - from);
            let copied = frame[from..from + length].to_vec();
            frame.splice(at..at, copied);
        }
    }
}
