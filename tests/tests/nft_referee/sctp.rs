//! Chunks of an SCTP association, mostly each in its turn.

use std::net::SocketAddr;

use mseg_tests::middlebox::Random;

use crate::{rules::SCTP, view::View};

/// Verification tags: what the opener sends carries the server's, and the other way round.
const TAGS: [u32; 2] = [0x1122_3344, 0x5566_7788];

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const HEARTBEAT: u8 = 4;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;

/// The chunks that open an association, by turns of its opener and its server.
const OPENING: [u8; 4] = [INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK];

/// A packet with the chunk that the turn asks for, or another; `said` packets of the association were before it.
pub(crate) fn message(ends: [SocketAddr; 2], from_opener: bool, said: usize, random: &mut Random) -> Vec<u8> {
    let due = OPENING.get(said).copied().unwrap_or(DATA);
    let kind = if random.once_in(8) { random.one(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64]) } else { due };
    packet(ends, tag(kind, from_opener), &chunk(kind, from_opener))
}

fn tag(kind: u8, from_opener: bool) -> u32 {
    if kind == INIT { 0 } else { TAGS[usize::from(from_opener)] }
}

fn chunk(kind: u8, from_opener: bool) -> Vec<u8> {
    let value = match kind {
        // The tag that the other is to use, a window, one stream each way, the first number; and two parameters, so that
        // it takes five fragments of eight bytes.
        INIT | INIT_ACK => {
            let own = TAGS[usize::from(!from_opener)].to_be_bytes();
            [&own[..], &[0, 1, 0, 0], &[0, 1, 0, 1], &[0, 0, 0, 1], &[0xc0, 0, 0, 4, 0xc0, 0, 0, 4]].concat()
        }
        DATA => [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], b"data"].concat(),
        COOKIE_ACK => Vec::new(),
        _ => vec![0, 1, 0, 4],
    };
    // Data in one piece.
    let flags = if kind == DATA { 3 } else { 0 };
    let length = u16::try_from(4 + value.len()).unwrap_or(0).to_be_bytes();
    [&[kind, flags][..], &length, &value].concat()
}

fn packet([from, to]: [SocketAddr; 2], tag: u32, chunk: &[u8]) -> Vec<u8> {
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let mut packet = [&ports[..], &tag.to_be_bytes(), &[0; 4], chunk].concat();
    resum(&mut packet);
    packet
}

/// Makes its checksum right again.
pub(crate) fn resum(packet: &mut [u8]) {
    if let Some(field) = packet.get_mut(8..12) {
        field.fill(0);
        let sum = crc32c(packet).to_le_bytes();
        packet[8..12].copy_from_slice(&sum);
    }
}

pub(crate) fn has_right_checksum(packet: &[u8]) -> bool {
    let mut right = packet.to_vec();
    resum(&mut right);
    right == packet
}

/// RFC 9260 appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ POLYNOMIAL };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// Whether all packets of an association so far and this one are whole and each in its turn: they open it, and then data
/// and heartbeats follow. `from_opener` of each is with it.
pub(crate) fn are_in_turn<'a>(packets: impl Iterator<Item = (bool, &'a View)>) -> bool {
    let said = packets.filter(|(_, view)| view.protocol == SCTP).enumerate();
    said.into_iter().all(|(number, (from_opener, view))| {
        let kind = view.payload.get(12).copied();
        let due = OPENING.get(number).copied();
        let own_turn = due.is_none_or(|_| from_opener == (number % 2 == 0));
        let is_due = due.map_or(matches!(kind, Some(DATA | HEARTBEAT)), |due| kind == Some(due));
        let whole = kind.is_some_and(|kind| {
            let whole = [&tag(kind, from_opener).to_be_bytes()[..], &[0; 4], &chunk(kind, from_opener)].concat();
            let mut payload = view.payload.get(4..).unwrap_or_default().to_vec();
            payload.get_mut(4..8).unwrap_or_default().fill(0);
            payload == whole && view.fragment.is_none()
        });
        own_turn && is_due && whole
    })
}
