//! IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail, ensure};

use super::{
    Payload, extension, transport,
    words::{Words, hex},
};
use crate::{
    frames::checksum,
    lab::{CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6},
};

/// Fields that are set by hand.
#[derive(Default)]
struct Fields {
    hop_limit: Option<u8>,
    id: u32,
    /// Offset in bytes, and whether more fragments follow.
    fragment: Option<(u16, bool)>,
    next: Option<u8>,
    version: Option<u8>,
    header_length: Option<u8>,
    length: Option<u16>,
    /// IPv4 options.
    options: Vec<u8>,
    /// IPv6 extension headers.
    extensions: Vec<String>,
}

/// An IP packet and its `EtherType`; the word `ip` was taken.
pub(super) fn ip(words: &mut Words<'_>, payload: &mut Payload) -> Result<(u16, Vec<u8>)> {
    let (from, to) = words.pair("two addresses")?;
    let parse = |word| address(word)?.parse::<IpAddr>().with_context(|| format!("not an address: {word:?}"));
    let fields = fields(words)?;
    match (parse(from)?, parse(to)?) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (protocol, body) = transport::parse(words, payload)?;
            Ok((0x0800, ipv4(from, to, protocol, &body, &fields)?))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (protocol, body) = transport::parse(words, payload)?;
            Ok((0x86dd, ipv6(from, to, protocol, &body, &fields)?))
        }
        _ => bail!("the addresses are of two families"),
    }
}

/// An address, which may be one of the lab's by its short name.
pub(super) fn address(word: &str) -> Result<String> {
    Ok(match word {
        "c" => CLIENT_V4.to_string(),
        "s" => SERVER_V4.to_string(),
        "c6" => CLIENT_V6.to_string(),
        "s6" => SERVER_V6.to_string(),
        other => other.to_owned(),
    })
}

fn fields(words: &mut Words<'_>) -> Result<Fields> {
    let mut fields = Fields::default();
    loop {
        if words.accept("ttl") {
            fields.hop_limit = Some(words.number("a TTL")?);
        } else if words.accept("id") {
            fields.id = words.number("an identification")?;
        } else if words.accept("frag") {
            let word = words.take("a fragment's offset")?;
            let offset: u16 = super::words::number(word.trim_end_matches('+'), "a fragment's offset")?;
            ensure!(offset.is_multiple_of(8), "a fragment begins at a multiple of 8");
            fields.fragment = Some((offset, word.ends_with('+')));
        } else if words.accept("next") {
            fields.next = Some(words.number("a protocol")?);
        } else if words.accept("version") {
            fields.version = Some(words.number("a version")?);
        } else if words.accept("ihl") {
            fields.header_length = Some(words.number("a header length")?);
        } else if words.accept("total") || words.accept("length") {
            fields.length = Some(words.number("a length")?);
        } else if words.accept("opt") {
            fields.options = options(words.take("options")?)?;
        } else if words.accept("ext") {
            fields.extensions = words.take("extension headers")?.split(',').map(str::to_owned).collect();
        } else {
            return Ok(fields);
        }
    }
}

/// IPv4 options by name, or in hexadecimal.
fn options(list: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for name in list.split(',') {
        bytes.extend(match name {
            "end" => vec![0],
            "nop" => vec![1],
            "record-route" => vec![7, 7, 4, 0, 0, 0, 0],
            "timestamp" => vec![68, 8, 5, 0, 0, 0, 0, 0],
            "security" => vec![130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "lsrr" => vec![131, 7, 4, 10, 0, 0, 1],
            "cipso" => vec![134, 6, 0, 0, 0, 1],
            "stream-id" => vec![136, 4, 0, 1],
            "ssrr" => vec![137, 7, 4, 10, 0, 0, 1],
            "alert" => vec![148, 4, 0, 0],
            other => hex(other)?,
        });
    }
    Ok(bytes)
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8], fields: &Fields) -> Result<Vec<u8>> {
    ensure!(fields.extensions.is_empty(), "IPv4 has no extension headers");
    let mut options = fields.options.clone();
    options.resize(options.len().next_multiple_of(4), 0);
    let words = u8::try_from(5 + options.len() / 4).ok().filter(|n| *n < 16).context("too many options")?;
    let (version, header_length) = (fields.version.unwrap_or(4), fields.header_length.unwrap_or(words));
    let length = u16::try_from(20 + options.len() + body.len()).context("the packet is too long")?;
    let length = fields.length.unwrap_or(length);
    let (offset, more) = fields.fragment.unwrap_or((0, false));
    let id = u16::try_from(fields.id).context("IPv4 has identifications of 16 bits")?;
    let mut header = vec![(version << 4) | (header_length & 15), 0];
    header.extend([length, id, (offset / 8) | (u16::from(more) << 13)].map(u16::to_be_bytes).concat());
    header.extend([fields.hop_limit.unwrap_or(64), fields.next.unwrap_or(protocol), 0, 0]);
    header.extend([from.octets(), to.octets()].concat());
    header.extend(options);
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    Ok([&header[..], body].concat())
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, body: &[u8], fields: &Fields) -> Result<Vec<u8>> {
    ensure!(fields.options.is_empty() && fields.header_length.is_none(), "IPv6 has no options and no header length");
    let mut extensions = fields.extensions.clone();
    if let Some((offset, more)) = fields.fragment {
        extensions.push(format!("frag{offset}{}", if more { "+" } else { "" }));
    }
    let (next, chain) = extension::chain(&extensions, fields.next.unwrap_or(protocol), fields.id)?;
    let length = u16::try_from(chain.len() + body.len()).context("the packet is too long")?;
    let mut header = vec![fields.version.unwrap_or(6) << 4, 0, 0, 0];
    header.extend(fields.length.unwrap_or(length).to_be_bytes());
    header.extend([next, fields.hop_limit.unwrap_or(64)]);
    header.extend([from.octets(), to.octets()].concat());
    Ok([&header[..], &chain, body].concat())
}
