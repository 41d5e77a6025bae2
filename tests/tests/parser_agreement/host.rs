//! What the parser on the host says of a frame.

use mseg_ebpf::{
    abi::reason::Reason,
    packet::{Frame, Kind, Packet, parse},
};
use zerocopy::FromBytes;

use crate::generate::Sample;

impl Frame for Sample {
    const PLAIN: bool = false;
    const LAZY: bool = false;

    fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T> {
        self.frame.as_slice().read(offset)
    }

    fn length(&self) -> usize {
        self.frame.len()
    }

    fn is_gso(&self) -> bool {
        self.gso
    }
}

/// The outcome, and what was read before it.
pub(crate) fn parsed(sample: &Sample) -> (Result<Kind, Reason>, Packet) {
    let mut packet = Packet::default();
    let outcome = parse(sample, &mut packet);
    (outcome, packet)
}
