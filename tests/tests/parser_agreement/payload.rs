//! Transport headers with what follows them, by protocol number.

use mseg::policy::arbitrary::Random;

/// A transport header and some payload; noise for protocols that the parser does not look into.
pub(crate) fn of(random: &mut Random, protocol: u8) -> Vec<u8> {
    match protocol {
        6 => tcp(random),
        17 => udp(random),
        1 => icmp(random),
        58 => icmpv6(random),
        132 => sctp(random),
        _ => {
            let length = random.pick(&[0, 4, 8, 20, 40]);
            random.bytes(length)
        }
    }
}

fn data(random: &mut Random) -> Vec<u8> {
    let length = random.pick(&[0, 0, 1, 5, 8, 32, 100, 1400]);
    vec![0x41; length]
}

fn port(random: &mut Random) -> [u8; 2] {
    random.pick(&[0, 22, 53, 67, 68, 80, 546, 547, 4789, 40_000, 65_535_u16]).to_be_bytes()
}

fn tcp(random: &mut Random) -> Vec<u8> {
    let options = match random.below(4) {
        0 => vec![2, 4, 5, 0xb4, 1, 3, 3, random.pick(&[0, 7, 14, 15])],
        1 => {
            let length = random.below(10) * 4;
            random.bytes(length)
        }
        _ => Vec::new(),
    };
    let mut header = [port(random), port(random)].concat();
    header.extend(random.bytes(8));
    let words = 5 + options.len() / 4;
    let words = if random.percent(5) { random.below(16) } else { words };
    header.push((words as u8) << 4 | random.byte() & 1);
    let usual = [0x02, 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0xc2];
    header.push(if random.percent(85) { random.pick(&usual) } else { random.byte() });
    header.extend(random.bytes(6));
    header.extend(options);
    header.extend(data(random));
    header
}

fn udp(random: &mut Random) -> Vec<u8> {
    let data = data(random);
    let mut length = (8 + data.len()) as u16;
    if random.percent(10) {
        length = random.pick(&[0, 7, 8, length + 1, length - 1, 9, 65_535]);
    }
    let mut header = [port(random), port(random), length.to_be_bytes(), [0, 0]].concat();
    header.extend(data);
    header
}

fn sctp(random: &mut Random) -> Vec<u8> {
    let mut packet = [port(random), port(random)].concat();
    let length = random.pick(&[4, 8, 11, 12, 16, 40]);
    packet.extend(random.bytes(length));
    packet
}

fn icmp(random: &mut Random) -> Vec<u8> {
    let mut message = vec![random.pick(&[0, 3, 3, 4, 5, 8, 8, 11, 12, 13]), random.pick(&[0, 0, 1, 4]), 0, 0];
    message.extend(random.bytes(4));
    // What an error quotes.
    message.extend([0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, random.pick(&[6, 17, 1, 58]), 0, 0]);
    message.extend([192, 0, 2, 2, 192, 0, 2, 1, 0x9c, 0x40, 0, 80, 0, 0, 0, 0]);
    shortened(random, message)
}

fn icmpv6(random: &mut Random) -> Vec<u8> {
    let kinds = [1, 2, 3, 4, 100, 128, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143, 143, 200];
    let mut message = vec![random.pick(&kinds), random.pick(&[0, 0, 0, 0, 1]), 0, 0];
    let length = discovery_length(random);
    message.extend(random.bytes(length));
    message
}

/// What remains of the lengths that discovery knows.
fn discovery_length(random: &mut Random) -> usize {
    random.pick(&[0, 3, 4, 4, 8, 11, 12, 19, 20, 20, 20, 21, 23, 24, 24, 28, 35, 36, 40, 68])
}

fn shortened(random: &mut Random, mut message: Vec<u8>) -> Vec<u8> {
    if random.percent(15) {
        message.truncate(random.below(message.len()));
    }
    message
}
