//! What a compiled policy says of a packet. The programs, the compiler's check of what it wrote, and the tests run this
//! same code.

mod bucket;
mod filter;
mod look_up;
mod search;

pub use bucket::{Entry, Key, buckets};
pub use filter::{KEYS_IN_WORD, bits_of};
pub use look_up::{
    Maps, Question, Steps, find_interface, find_network, find_service, find_source_port, likely_length, look_up,
    note_address, prepare, try_shapes,
};
pub use search::{longer, shorter};

use crate::abi::interface;

/// What rules look at in a packet that would open a session.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Source address in the order of the wire, IPv4 as v4-mapped.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Name of the interface, padded with zeros.
    pub interface: [u8; interface::NAME_LEN],
    /// Source port in the host's order; 0 where the protocol has none.
    pub source_port: u16,
    /// Destination port in the host's order; of ICMP and ICMPv6 the type (upper byte) and code.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 1 for IPv6, 0 for IPv4.
    pub ipv6: u8,
    /// One `DIRECTION_*` bit.
    pub direction: u8,
    /// Zero.
    pub reserved: u8,
}
