//! What a TCP segment says, and where it lies.

use mseg_tests::packets::protocol;

use crate::view::View;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
const SYN_ACK: u8 = SYN | ACK;
const FIN_ACK: u8 = FIN | ACK;
const RST_ACK: u8 = RST | ACK;

/// Acknowledgements may lag behind by so much in any case (`MAXACKWINCONST`).
pub(crate) const LEAST_ACK_WINDOW: u32 = 66_000;

/// Whether one number comes behind another.
pub(crate) fn later(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// What a TCP segment's header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    /// The number after the segment.
    pub(crate) end: u32,
    /// As written.
    pub(crate) window: u32,
    pub(crate) scale: Option<u32>,
}

impl Header {
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let view = View::of(packet).filter(|view| view.protocol == protocol::TCP && view.fragment.is_none())?;
        let bytes = &view.payload;
        let long = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let header = usize::from(bytes.get(12)? >> 4) * 4;
        let (flags, options) = (bytes[13], bytes.get(20..header)?);
        let data = u32::try_from(bytes.len() - header).ok()?;
        let ends = [SYN, FIN].iter().filter(|&&flag| flags & flag != 0).count();
        Some(Self {
            flags,
            sequence: long(4)?,
            acknowledgement: long(8)?,
            end: long(4)?.wrapping_add(data).wrapping_add(u32::try_from(ends).ok()?),
            window: u32::from(u16::from_be_bytes(bytes.get(14..16)?.try_into().ok()?)),
            // No other options are sent.
            scale: options.strip_prefix(&[3, 3]).and_then(|rest| rest.first()).map(|&scale| u32::from(scale)),
        })
    }

    /// Whether a TCP may send these flags together.
    pub(crate) fn is_sensible(self) -> bool {
        matches!(self.flags & (SYN | FIN | RST | ACK), SYN | ACK | RST | SYN_ACK | FIN_ACK | RST_ACK)
    }

    /// Whether it opens a connection.
    pub(crate) fn opens(self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN
    }

    pub(crate) fn answers(self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN | ACK
    }

    pub(crate) fn resets(self) -> bool {
        self.flags & RST != 0
    }
}

/// How far a segment is beyond each of the bounds of `tcp_in_window`; up to 0 is within.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Begins behind the receiver's window.
    pub(crate) over: i32,
    /// Ends behind it.
    pub(crate) overshoot: i32,
    /// Ends before what may be sent again.
    pub(crate) under: i32,
    /// Acknowledges what was not sent.
    pub(crate) acknowledges_more: i32,
    /// Acknowledges what was acknowledged long ago.
    pub(crate) acknowledges_less: i32,
}

impl Place {
    pub(crate) fn is_within(self) -> bool {
        self.over <= 0 && self.under <= 0 && self.acknowledges_more <= 0 && self.acknowledges_less <= 0
    }

    /// Behind everything that its sender may send now, in one way, and before no bound.
    pub(crate) fn is_old(self) -> bool {
        self.over <= 0 && self.acknowledges_more <= 0 && (self.under > 0 || self.acknowledges_less > 0)
    }
}
