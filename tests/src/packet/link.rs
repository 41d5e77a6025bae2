//! Ethernet, VLAN tags, ARP, and what is done to the frame as a whole.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};

use super::{
    Frame, Payload, network, transport,
    words::{Words, hex},
};

/// A whole line.
pub(super) fn frame(words: &mut Words<'_>, mut to: [u8; 6], mut from: [u8; 6]) -> Result<Frame> {
    let mut forced = None;
    if words.accept("eth") {
        loop {
            if words.accept("to") {
                to = mac(words.take("an Ethernet address")?)?;
            } else if words.accept("from") {
                from = mac(words.take("an Ethernet address")?)?;
            } else if words.accept("type") {
                forced = Some(words.number("an EtherType")?);
            } else {
                break;
            }
        }
    }
    let tags = tags(words)?;
    let mut payload = Payload::default();
    let (kind, body) = if words.accept("ip") {
        network::ip(words, &mut payload)?
    } else if words.accept("arp") {
        (0x0806, arp(words, from, to)?)
    } else {
        (0x0800, transport::data(words, &mut payload)?)
    };
    let kind: u16 = forced.unwrap_or(kind);
    let mut bytes = [&to[..], &from[..]].concat();
    for (tag_kind, id) in tags {
        bytes.extend([u16::to_be_bytes(tag_kind), id.to_be_bytes()].concat());
    }
    bytes.extend(kind.to_be_bytes());
    bytes.extend(body);
    spoil(words, &mut bytes)?;
    Ok(Frame { bytes, segments: payload.segments, segment_size: payload.segment_size, payload: payload.length })
}

fn tags(words: &mut Words<'_>) -> Result<Vec<(u16, u16)>> {
    const CUSTOMER: u16 = 0x8100;
    const SERVICE: u16 = 0x88a8;
    let mut tags = Vec::new();
    loop {
        if words.accept("vlan") {
            tags.push((CUSTOMER, words.number("a VLAN")?));
        } else if words.accept("svlan") {
            tags.push((SERVICE, words.number("a VLAN")?));
        } else if words.accept("qinq") {
            tags.push((SERVICE, words.number("the outer VLAN")?));
            tags.push((CUSTOMER, words.number("the inner VLAN")?));
        } else {
            return Ok(tags);
        }
    }
}

fn arp(words: &mut Words<'_>, from_mac: [u8; 6], to_mac: [u8; 6]) -> Result<Vec<u8>> {
    let (mut hardware, mut protocol, mut hlen, mut plen, mut operation) = (1_u16, 0x0800_u16, 6_u8, 4_u8, 1_u16);
    loop {
        if words.accept("op") {
            operation = words.number("an operation")?;
        } else if words.accept("hw") {
            hardware = words.number("a hardware type")?;
        } else if words.accept("proto") {
            protocol = words.number("a protocol type")?;
        } else if words.accept("hlen") {
            hlen = words.number("an address length")?;
        } else if words.accept("plen") {
            plen = words.number("an address length")?;
        } else {
            break;
        }
    }
    let (from, to) = words.pair("two addresses")?;
    let address = |word| -> Result<[u8; 4]> {
        network::address(word)?.parse::<Ipv4Addr>().map(|a| a.octets()).context("ARP is of IPv4 addresses")
    };
    let head = [&hardware.to_be_bytes()[..], &protocol.to_be_bytes(), &[hlen, plen], &operation.to_be_bytes()].concat();
    Ok([&head[..], &from_mac, &address(from)?, &to_mac, &address(to)?].concat())
}

/// Makes the frame longer or shorter, and overwrites bytes.
fn spoil(words: &mut Words<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    loop {
        if words.accept("pad") {
            bytes.resize(bytes.len() + words.number::<usize>("bytes to add")?, 0);
        } else if words.accept("cut") {
            let word = words.take("a length")?;
            let length = match word.strip_prefix('-') {
                Some(fewer) => bytes.len().checked_sub(super::words::number(fewer, "bytes to cut")?),
                None => Some(super::words::number(word, "a length")?).filter(|length| *length <= bytes.len()),
            };
            bytes.truncate(length.with_context(|| format!("the frame has {} bytes only", bytes.len()))?);
        } else if words.accept("poke") {
            let at: usize = words.number("an offset")?;
            let new = hex(words.take("bytes")?)?;
            let old = bytes.get_mut(at..at + new.len()).context("there is nothing to overwrite")?;
            old.copy_from_slice(&new);
        } else {
            return Ok(());
        }
    }
}

fn mac(word: &str) -> Result<[u8; 6]> {
    let bytes = hex(&word.replace(':', ""))?;
    ensure!(bytes.len() == 6, "not an Ethernet address: {word:?}");
    bytes.try_into().ok().context("not an Ethernet address")
}
