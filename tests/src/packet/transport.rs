//! Transport headers, and what they carry.

use anyhow::{Context, Result, bail};

use super::{
    Payload, network,
    words::{Words, number},
};

/// The header that comes next and everything in it: its protocol number and bytes.
pub(super) fn parse(words: &mut Words<'_>, payload: &mut Payload) -> Result<(u8, Vec<u8>)> {
    let (protocol, header) = match words.take("a transport protocol")? {
        "tcp" => (6, tcp(words)?),
        "udp" => return udp(words, payload),
        // Without a chunk there is no packet: here one of type INIT, without its body.
        "sctp" => (132, [&ports(words)?[..], &[0; 8], &[1, 0, 0, 4]].concat()),
        "icmp" => (1, icmp(words)?),
        "icmp6" => (58, icmp(words)?),
        "esp" => (50, vec![0, 0, 1, 0, 0, 0, 0, 1]),
        "gre" => (47, vec![0, 0, 8, 0]),
        "none" => (59, Vec::new()),
        "proto" => (words.number("a protocol")?, Vec::new()),
        "ah" => {
            let (next, inner) = parse(words, payload)?;
            let header = [next, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
            return Ok((51, [&header[..], &[0; 12], &inner].concat()));
        }
        "ip" => {
            let (kind, inner) = network::ip(words, payload)?;
            return Ok((if kind == 0x0800 { 4 } else { 41 }, inner));
        }
        other => bail!("there is no protocol {other:?}"),
    };
    Ok((protocol, [header, body(words, payload)?].concat()))
}

/// What follows the header: the packet that an error quotes, or data.
fn body(words: &mut Words<'_>, payload: &mut Payload) -> Result<Vec<u8>> {
    if words.accept("quote") {
        anyhow::ensure!(words.accept("ip"), "an ICMP error quotes an IP packet");
        return Ok(network::ip(words, payload)?.1);
    }
    data(words, payload)
}

/// `data N`, `hex BYTES`, `gso NxSIZE`: as many as there are.
pub(super) fn data(words: &mut Words<'_>, payload: &mut Payload) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if words.accept("data") {
            bytes.resize(bytes.len() + words.number::<usize>("a length")?, 0);
        } else if words.accept("hex") {
            bytes.extend(words.hex("bytes")?);
        } else if words.accept("gso") {
            let (segments, size) = words.take("segments")?.split_once('x').context("segments are written NxSIZE")?;
            payload.segments = number(segments, "segments")?;
            payload.segment_size = number(size, "a segment's size")?;
            bytes.resize((payload.segments * payload.segment_size) as usize, 0);
        } else {
            payload.length = bytes.len();
            return Ok(bytes);
        }
    }
}

fn ports(words: &mut Words<'_>) -> Result<Vec<u8>> {
    let (from, to) = words.pair("two ports")?;
    Ok([number::<u16>(from, "a port")?, number(to, "a port")?].map(u16::to_be_bytes).concat())
}

fn tcp(words: &mut Words<'_>) -> Result<Vec<u8>> {
    let ports = ports(words)?;
    tcp_after_ports(words, &ports)
}

/// The rest of a TCP header: flags and fields.
fn tcp_after_ports(words: &mut Words<'_>, ports: &[u8]) -> Result<Vec<u8>> {
    let flags = flags(words.take("TCP flags")?)?;
    let (mut seq, mut ack, mut window, mut urgent) = (1_u32, 0_u32, 64_240_u16, 0_u16);
    let (mut options, mut data_offset) = (Vec::new(), None);
    loop {
        if words.accept("seq") {
            seq = words.number("a sequence number")?;
        } else if words.accept("ack") {
            ack = words.number("an acknowledgement")?;
        } else if words.accept("win") {
            window = words.number("a window")?;
        } else if words.accept("urgent") {
            urgent = words.number("an urgent pointer")?;
        } else if words.accept("mss") {
            options.extend([2, 4]);
            options.extend(words.number::<u16>("a segment size")?.to_be_bytes());
        } else if words.accept("wscale") {
            options.extend([1, 3, 3, words.number("a shift")?]);
        } else if words.accept("sack") {
            options.extend([1, 1, 4, 2]);
        } else if words.accept("options") {
            options.extend(words.hex("options")?);
        } else if words.accept("doff") {
            data_offset = Some(words.number::<u8>("a data offset")?);
        } else {
            break;
        }
    }
    options.resize(options.len().next_multiple_of(4), 0);
    let data_offset = data_offset.unwrap_or(u8::try_from(5 + options.len() / 4).unwrap_or(15));
    let mut header = ports.to_vec();
    header.extend([seq, ack].map(u32::to_be_bytes).concat());
    header.extend([data_offset << 4, flags]);
    header.extend([window, 0, urgent].map(u16::to_be_bytes).concat());
    header.extend(options);
    Ok(header)
}

fn flags(word: &str) -> Result<u8> {
    if word == "null" {
        return Ok(0);
    }
    let bit = |letter| "FSRPAUEC".find(letter).with_context(|| format!("{letter} in {word} is no TCP flag"));
    word.chars().try_fold(0, |flags, letter| Ok(flags | 1 << bit(letter)?))
}

fn udp(words: &mut Words<'_>, payload: &mut Payload) -> Result<(u8, Vec<u8>)> {
    let ports = ports(words)?;
    let claimed = if words.accept("len") { Some(words.number("a length")?) } else { None };
    let data = body(words, payload)?;
    let length: u16 = claimed.unwrap_or(u16::try_from(8 + data.len()).context("the datagram is too long")?);
    Ok((17, [&ports[..], &length.to_be_bytes(), &[0, 0], &data].concat()))
}

fn icmp(words: &mut Words<'_>) -> Result<Vec<u8>> {
    let word = words.take("an ICMP type")?;
    let (kind, code) = word.split_once('/').unwrap_or((word, "0"));
    let (mut id, mut seq) = (0_u16, 0_u16);
    loop {
        if words.accept("id") {
            id = words.number("an identifier")?;
        } else if words.accept("seq") {
            seq = words.number("a sequence number")?;
        } else {
            break;
        }
    }
    let head = [number(kind, "an ICMP type")?, number(code, "an ICMP code")?, 0, 0];
    Ok([&head[..], &id.to_be_bytes(), &seq.to_be_bytes()].concat())
}
