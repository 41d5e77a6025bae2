//! The window check of TCP, in the spirit of nf_conntrack's `tcp_in_window` (nf_conntrack_proto_tcp.c; G. van Rooij, Real
//! Stateful TCP Packet Filtering in IP Filter, 2001): a segment belongs to a connection only if both sides may send it now.
//!
//! A window is kept in 16 bits: the shift count in the upper four, `UNKNOWN` for one that was not seen; the window as
//! written, in units of 16 and rounded up to the next, less one, in the lower twelve: never too strict. 0 is a side that has
//! sent nothing yet, so that no window at all is two units.

use crate::{
    abi::session::{Sequence, Session},
    packet::{
        Packet,
        transport::{SCALE, tcp_flag},
    },
};

/// The shift count of a side whose SYN was not seen: taken for the largest there is, 14.
const UNKNOWN: u16 = 15;
/// Acknowledgements may lag behind by so much, whatever the windows (`MAXACKWINCONST` of netfilter).
const LEAST_ACK_WINDOW: u32 = 66_000;

/// One side: what it has sent, and the largest window it has offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// What it has sent.
    pub sent: Sequence,
    /// The largest window it has offered.
    pub window: u16,
}

impl Side {
    /// The side of a session.
    #[inline(always)]
    pub const fn of(session: &Session, client: bool) -> Self {
        if client {
            Self { sent: session.client, window: session.client_window }
        } else {
            Self { sent: session.server, window: session.server_window }
        }
    }

    /// Whether it has sent anything.
    #[inline(always)]
    pub const fn is_known(self) -> bool {
        self.window != 0
    }

    /// This side as if it had sent nothing yet.
    #[inline(always)]
    pub const fn forgotten(self) -> Self {
        Self { window: 0, ..self }
    }

    /// The largest window it has offered: bytes, rounded up.
    #[inline(always)]
    const fn bytes(self) -> u32 {
        let shift = self.window >> 12;
        let shift = if shift == UNKNOWN { 14 } else { shift };
        ((self.window & 0xfff) as u32 + 1) << (4 + shift)
    }

    /// Whether its shift count is known: of a side that has sent a SYN, whether that had the option.
    #[inline(always)]
    pub const fn scales(self) -> bool {
        self.window >> 12 != UNKNOWN
    }

    /// This side with a shift count that was not seen.
    #[inline(always)]
    pub const fn rescaled(self) -> Self {
        Self { window: self.window & 0xfff | UNKNOWN << 12, ..self }
    }

    /// This side without window scaling, as it is when the other side does not offer it (RFC 7323 section 2.2).
    #[inline(always)]
    pub const fn unscaled(self) -> Self {
        if !self.scales() {
            return Self { window: packed(self.window & 0xfff, 0), ..self };
        }
        // The window of a SYN is never scaled, and it was kept shifted down.
        let units = self.bytes() >> 4;
        Self { window: packed(if units > 0x1000 { 0xfff } else { units as u16 - 1 }, 0), ..self }
    }
}

/// The units of a window, less one, with a shift count: never 0.
#[inline(always)]
const fn packed(units: u16, shift: u16) -> u16 {
    if units | shift == 0 { 1 } else { units | shift << 12 }
}

/// `window` as it is kept, with that shift count. That of a SYN is not scaled when it is sent.
#[inline(always)]
const fn kept(window: u16, shift: u16, syn: bool) -> u16 {
    let window = if syn && shift != UNKNOWN { window >> shift } else { window };
    packed(window >> 4, shift)
}

/// Whether `a` comes before `b` (RFC 9293 section 3.4).
#[inline(always)]
const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The sequence number after the segment.
#[inline(always)]
const fn end(packet: &Packet) -> u32 {
    packet.tcp_sequence.wrapping_add(packet.tcp_length)
}

/// Whether `sender` may send the segment now. Both sides must be known.
#[inline(always)]
pub const fn fits(sender: Side, receiver: Side, packet: &Packet) -> bool {
    let room = receiver.bytes();
    // Not beyond what the receiver has ever offered; a reset and a keep-alive have no length.
    let upper = receiver.sent.ack.wrapping_add(room).wrapping_sub(packet.tcp_sequence);
    // Not older than what may be sent again.
    let lower = end(packet).wrapping_sub(sender.sent.end.wrapping_sub(room));
    let mut outside = upper | lower;
    if packet.tcp_flags & tcp_flag::ACK != 0 {
        let lag = sender.bytes();
        let lag = if lag < LEAST_ACK_WINDOW { LEAST_ACK_WINDOW } else { lag };
        // Not of what was never sent, nor of what was acknowledged long ago.
        outside |= receiver.sent.end.wrapping_sub(packet.tcp_acknowledgement);
        outside |= packet.tcp_acknowledgement.wrapping_sub(receiver.sent.end.wrapping_sub(lag));
    }
    // The differences are negative where a bound is passed.
    outside as i32 >= 0
}

/// Whether a segment that does not fit goes beyond the receiver's window by less than that window. There are senders that
/// do so, and `tcp_in_window` lets it pass without believing anything of it.
#[inline(always)]
pub const fn overshoots(sender: Side, receiver: Side, packet: &Packet) -> bool {
    let room = receiver.bytes();
    let further = Sequence { ack: receiver.sent.ack.wrapping_add(room), ..receiver.sent };
    before(further.ack, packet.tcp_sequence)
        && fits(sender, Side { sent: further, ..receiver }, packet)
        && before(end(packet), further.ack.wrapping_add(room))
}

/// What may be assumed of a sender that is not known, so that its segment suits what the receiver has sent.
#[inline(always)]
pub const fn assumed(receiver: Side, packet: &Packet) -> Side {
    Side { sent: Sequence { end: receiver.sent.ack, ack: 0 }, window: kept(packet.tcp_window, UNKNOWN, false) }
}

/// Whether a reset has just the number that is expected next, so that the connection is surely over (RFC 5961 section
/// 3.2), or ends what its sender has sent: then it follows segments that are still under way.
#[inline(always)]
pub const fn resets(sender: Side, receiver: Side, packet: &Packet) -> bool {
    packet.tcp_sequence == receiver.sent.ack || packet.tcp_sequence == sender.sent.end
}

/// Whether a reset lies before what the receiver expects: it is old, or made up.
#[inline(always)]
pub const fn is_old(receiver: Side, packet: &Packet) -> bool {
    before(packet.tcp_sequence, receiver.sent.ack)
}

/// Whether all of a segment was acknowledged before.
#[inline(always)]
pub const fn is_repeated(receiver: Side, packet: &Packet) -> bool {
    !before(receiver.sent.ack, end(packet))
}

/// Whether the segment acknowledges a SYN: `receiver` is the side that sent it, and nothing else that counts. `first`: it
/// has not been acknowledged before, so that [`Sequence::ack`] is still the number of the SYN ([`learnt`]).
#[inline(always)]
pub const fn acknowledges_syn(receiver: Side, packet: &Packet, first: bool) -> bool {
    // Data on the SYN need not be acknowledged (RFC 7413 section 4.2.2).
    packet.tcp_flags & tcp_flag::ACK != 0
        && receiver.sent.end.wrapping_sub(packet.tcp_acknowledgement) < LEAST_ACK_WINDOW
        && (!first || before(receiver.sent.ack, packet.tcp_acknowledgement))
}

/// The sender as the segment shows it, whatever it had sent before. What a SYN without ACK has acknowledged is its own
/// number, until the other side is heard.
#[inline(always)]
pub const fn learnt(sender: Side, packet: &Packet) -> Side {
    let syn = packet.tcp_flags & tcp_flag::SYN != 0;
    let shift = if syn {
        if packet.tcp_scale >= SCALE { (packet.tcp_scale - SCALE) as u16 } else { UNKNOWN }
    } else if sender.is_known() {
        sender.window >> 12
    } else {
        UNKNOWN
    };
    let ack = if packet.tcp_flags & tcp_flag::ACK != 0 { packet.tcp_acknowledgement } else { packet.tcp_sequence };
    Side { sent: Sequence { end: end(packet), ack }, window: kept(packet.tcp_window, shift, syn) }
}

/// The sender after a segment that fits.
#[inline(always)]
pub const fn sent(sender: Side, packet: &Packet) -> Side {
    let mut after = sender;
    if before(sender.sent.end, end(packet)) {
        after.sent.end = end(packet);
    }
    if packet.tcp_flags & tcp_flag::ACK != 0 && before(sender.sent.ack, packet.tcp_acknowledgement) {
        after.sent.ack = packet.tcp_acknowledgement;
    }
    let window = kept(packet.tcp_window, sender.window >> 12, packet.tcp_flags & tcp_flag::SYN != 0);
    if window & 0xfff > sender.window & 0xfff {
        after.window = window;
    }
    after
}
