//! IPv6 extension headers: `hop`, `dst`, `routing0` (and other types), `ah`, `mobility`, `hip`, `shim6`, `frag` (whole),
//! `frag0+`, `frag8`; with `*N` longer by N units, with `!N` of a length field that lies.

use anyhow::{Context, Result, ensure};

use super::words::number;

/// The first next-header value, and the headers, the last of which names `last`.
pub(super) fn chain(names: &[String], last: u8, id: u32) -> Result<(u8, Vec<u8>)> {
    let mut next = last;
    let mut bytes = Vec::new();
    for name in names.iter().rev() {
        let (kind, header) = one(name, next, id).with_context(|| format!("the extension header {name}"))?;
        bytes = [header, bytes].concat();
        next = kind;
    }
    Ok((next, bytes))
}

fn one(name: &str, next: u8, id: u32) -> Result<(u8, Vec<u8>)> {
    let (name, lie) = match name.split_once('!') {
        Some((name, field)) => (name, Some(number(field, "a length")?)),
        None => (name, None),
    };
    let (name, units) = match name.split_once('*') {
        Some((name, units)) => (name, number::<u8>(units, "a length")?),
        None => (name, 0),
    };
    if let Some(offset) = name.strip_prefix("frag") {
        return Ok((44, fragment(offset, next, id)?));
    }
    let (kind, third) = match name {
        "hop" => (0, 1),
        "dst" => (60, 1),
        "ah" => (51, 0),
        "mobility" => (135, 1),
        "hip" => (139, 1),
        "shim6" => (140, 1),
        other => (43, number(other.strip_prefix("routing").context("there is no such one")?, "a routing type")?),
    };
    // AH counts units of 4 bytes less 2 and has 12 at least; all others units of 8 less 1.
    let (field, size) =
        if kind == 51 { (4 + units, 24 + 4 * usize::from(units)) } else { (units, 8 + 8 * usize::from(units)) };
    let mut header = vec![next, lie.unwrap_or(field), third];
    // Options are padded by PadN, whose length byte comes fourth.
    header.push(if matches!(kind, 0 | 60) { u8::try_from(size - 4).context("too long")? } else { 0 });
    header.resize(size, 0);
    Ok((kind, header))
}

fn fragment(offset: &str, next: u8, id: u32) -> Result<Vec<u8>> {
    let more = u16::from(offset.ends_with('+'));
    let digits = offset.trim_end_matches('+');
    let start: u16 = if digits.is_empty() { 0 } else { number(digits, "an offset")? };
    ensure!(start.is_multiple_of(8), "a fragment begins at a multiple of 8");
    Ok([&[next, 0][..], &(start | more).to_be_bytes(), &id.to_be_bytes()].concat())
}
