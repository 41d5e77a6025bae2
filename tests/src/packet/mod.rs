//! A language for packets, one line each: `ip c>s ttl 64 tcp 40000>80 S`.
//!
//! A packet is a list of headers from the outermost to the innermost, each followed by what is special about it, and by
//! whatever is to be wrong with the frame as a whole:
//!
//! ```text
//! [eth [to MAC] [from MAC] [type N]] [vlan N | svlan N | qinq A B]...
//! ip A>B [ttl N] [id N] [frag OFFSET[+]] [next N] [version N]
//!        IPv4: [ihl N] [total N] [opt LIST]   IPv6: [length N] [ext LIST]
//! tcp A>B FLAGS [seq N] [ack N] [win N] [urgent N] [mss N] [wscale N] [sack] [options HEX] [doff N]
//! udp A>B [len N]   sctp A>B   icmp TYPE[/CODE] [id N] [seq N]   icmp6 TYPE[/CODE] [id N] [seq N]
//! ah   esp   gre   proto N   none   ip A>B ...
//! quote ip A>B ...
//! arp [op N] [hw N] [proto N] [hlen N] [plen N] A>B
//! [data N] [hex BYTES] [gso NxSIZE]
//! [pad N] [cut N | cut -N] [poke AT HEX]
//! ```
//!
//! Addresses are `c` and `s` for the lab's client and server, `c6` and `s6` for their IPv6 addresses, or written out.
//! TCP flags are letters of `FSRPAUEC`, or `null`. What is not said is right: lengths, checksums, next headers.

mod extension;
mod link;
mod network;
mod transport;
pub mod words;

use anyhow::Result;

use crate::lab::{CLIENT_MAC, SERVER_MAC};
use words::Words;

/// Which way a packet goes, as the protected side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    In,
    /// From the server.
    Out,
    /// Likewise, as something the server forwards.
    Through,
    /// Likewise, where it had arrived by the same interface.
    Return,
    /// Likewise, but by an interface to which nothing is attached.
    Beyond,
}

/// A frame, and how the kernel would hand it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
    /// Packets on the wire that it stands for; 0 without segmentation offload.
    pub segments: u32,
    /// Bytes of payload in each.
    pub segment_size: u32,
    /// Bytes of payload behind the headers.
    payload: usize,
}

impl Frame {
    /// Packets on the wire.
    pub fn wire_packets(&self) -> u64 {
        u64::from(self.segments.max(1))
    }

    /// Bytes on the wire: each segment has the headers again.
    pub fn wire_bytes(&self) -> u64 {
        let headers = self.bytes.len().saturating_sub(self.payload);
        self.bytes.len() as u64 + (self.wire_packets() - 1) * headers as u64
    }
}

/// What headers further out must know of the payload.
#[derive(Clone, Copy, Debug, Default)]
struct Payload {
    segments: u32,
    segment_size: u32,
    length: usize,
}

/// The frame that a line describes.
///
/// # Errors
/// What is wrong with the line.
pub fn parse(line: &str, direction: Direction) -> Result<Frame> {
    let (to, from) = match direction {
        Direction::In => (SERVER_MAC, CLIENT_MAC),
        Direction::Out | Direction::Through | Direction::Return | Direction::Beyond => (CLIENT_MAC, SERVER_MAC),
    };
    let mut words = Words::new(line);
    let frame = link::frame(&mut words, to, from)?;
    words.end()?;
    Ok(frame)
}

#[cfg(test)]
mod tests;
