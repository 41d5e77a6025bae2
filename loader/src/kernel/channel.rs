//! A netlink socket of any protocol: raw requests, raw answers, attributes read with every length checked.

use std::io;

use netlink_sys::{Socket, SocketAddr};

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_MIN_TYPE: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;

/// `NLM_F_DUMP`: ask for all objects.
pub(crate) const DUMP: u16 = 0x300;
/// No flag: ask for one object.
pub(crate) const ONE: u16 = 0;

/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` are not part of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;

/// An open netlink socket of the caller's network namespace.
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
}

impl Channel {
    /// Opens one of a `NETLINK_*` protocol.
    pub(crate) fn open(protocol: i32) -> io::Result<Self> {
        let mut socket = Socket::new(protocol as isize)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends one request, and calls `visit` with the type and the body of each answer.
    ///
    /// # Errors
    /// The system's, or `InvalidData` for an answer that is no netlink message.
    pub(crate) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        visit: &mut dyn FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let dump = flags & DUMP == DUMP;
        let flags = NLM_F_REQUEST | flags | if dump { 0 } else { NLM_F_ACK };
        let length = u32::try_from(HEADER + body.len()).map_err(|_| cut_short())?;
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend_from_slice(&length.to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&flags.to_ne_bytes());
        request.extend_from_slice(&self.sequence.to_ne_bytes());
        request.extend_from_slice(&[0; 4]);
        request.extend_from_slice(body);
        self.socket.send(&request, 0)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            if answers(&datagram, self.sequence, visit)? {
                return Ok(());
            }
        }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a netlink message of a wrong length")
}

/// Reads the messages of one datagram. Whether the last one was among them.
fn answers(datagram: &[u8], sequence: u32, visit: &mut dyn FnMut(u16, &[u8])) -> io::Result<bool> {
    let mut rest = datagram;
    while rest.len() >= HEADER {
        let length = u32_at(rest, 0).map_or(0, |length| length as usize);
        let (Some(message), true) = (rest.get(..length), length >= HEADER) else {
            return Err(cut_short());
        };
        let (kind, body) = (u16_at(message, 4).unwrap_or(0), &message[HEADER..]);
        // What was left unread of an earlier request.
        if u32_at(message, 8) == Some(sequence) {
            match kind {
                // Both begin with a negative errno; DONE has one when a dump fails on its way.
                NLMSG_ERROR | NLMSG_DONE => {
                    let code = u32_at(body, 0).unwrap_or(0).cast_signed();
                    return if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(true) };
                }
                kind if kind >= NLMSG_MIN_TYPE => visit(kind, body),
                _ => {}
            }
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The attributes in `bytes`: type and value. Ends at the first one whose length is wrong.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of one type.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// Appends an attribute to a request.
pub(crate) fn push_attribute(request: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // Ours are addresses and numbers.
    let length = (value.len() + 4) as u16;
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(value);
    request.resize(request.len().next_multiple_of(4), 0);
}

/// A copy of the `N` bytes at `offset`.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// A number in the machine's byte order.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes_at(bytes, offset).map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes_at(bytes, offset).map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn read(datagram: &[u8]) -> (io::Result<bool>, Vec<(u16, Vec<u8>)>) {
        let mut seen = Vec::new();
        let end = answers(datagram, 7, &mut |kind, body| seen.push((kind, body.to_vec())));
        (end, seen)
    }

    #[test]
    fn answers_end_with_done_and_those_of_another_request_are_not_ours() {
        let datagram = [message(20, 7, b"abcde"), message(20, 6, b"old"), message(NLMSG_DONE, 7, &[0; 4])].concat();
        let (end, seen) = read(&datagram);
        assert!(end.unwrap());
        assert_eq!(seen, [(20, b"abcde".to_vec())]);
        assert!(!read(&message(20, 7, b"")).0.unwrap());
    }

    #[test]
    fn an_error_is_the_systems_also_at_the_end_of_a_dump() {
        for kind in [NLMSG_ERROR, NLMSG_DONE] {
            let error = read(&message(kind, 7, &(-libc::ENOENT).to_ne_bytes())).0.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        }
    }

    #[test]
    fn lengths_that_lie_are_refused_and_nothing_past_the_end_is_read() {
        for length in [0u32, 15, 17, u32::MAX] {
            let mut bytes = message(20, 7, b"");
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(read(&bytes).0.unwrap_err().kind(), io::ErrorKind::InvalidData, "{length}");
        }
        let mut list = Vec::new();
        push_attribute(&mut list, 1, b"one");
        push_attribute(&mut list, 2 | 0x8000, b"");
        assert_eq!(attributes(&list).collect::<Vec<_>>(), [(1, &b"one"[..]), (2, &b""[..])]);
        assert_eq!(attribute(&list, 2), Some(&b""[..]));
        for length in [0u16, 3, 200] {
            list[..2].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(attributes(&list).count(), 0, "{length}");
        }
        for cut in 0..list.len() {
            attributes(&list[..cut]).for_each(drop);
        }
    }
}
