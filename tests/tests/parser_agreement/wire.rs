//! Real packets through the cable: what the kernel takes in no test run, and skbs whose headers are not in one piece.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use anyhow::{Context, Result, bail, ensure};
use mseg_tests::{
    capture, interface,
    lab::{Lab, PEER, PROTECTED},
    wait::eventually,
};

use crate::{
    generate::Sample,
    host,
    program::{Program, expected},
};

/// The largest that a veth pair has.
const MTU: u32 = 65_535;
/// The longest frame that goes through.
pub(crate) const LONGEST: usize = 65_535 + 14;
/// A frame is in several pieces only from a page on (`packet_alloc_skb` in net/packet/af_packet.c).
pub(crate) const SCATTERED: usize = 4200;

/// The client's end of the cable.
pub(crate) struct Wire<'a> {
    program: &'a Program,
    socket: OwnedFd,
}

impl<'a> Wire<'a> {
    /// Makes the cable carry large frames.
    pub(crate) fn new(lab: &Lab, program: &'a Program) -> Result<Self> {
        lab.server.run(|| interface::set_mtu(PROTECTED, MTU))?;
        lab.client.run(|| interface::set_mtu(PEER, MTU))?;
        let socket = lab.client.run(|| capture::packet_socket(PEER, 0))?;
        // Each frame behind a header that says how much of it is linear.
        let on = 1_i32;
        const PACKET_VNET_HDR: i32 = 15;
        // SAFETY: the value is a number, and as long as the call is told.
        let answer = unsafe {
            let (value, length) = ((&raw const on).cast(), size_of_val(&on) as libc::socklen_t);
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, PACKET_VNET_HDR, value, length)
        };
        ensure!(answer == 0, "cannot choose how much is linear: {}", io::Error::last_os_error());
        Ok(Self { program, socket })
    }

    /// Sends a frame of which `linear` bytes are in the skb's linear part, if it is [`SCATTERED`] long. The program must
    /// count it as the host's parser makes expect.
    pub(crate) fn agrees(&self, frame: &[u8], linear: u16) -> Result<()> {
        let Some(received) = received(frame) else {
            return Ok(());
        };
        let (outcome, packet) = host::parsed(&received);
        let (verdict, reason) = expected(outcome, &packet);
        let before = self.program.counter(verdict, reason)?;
        self.send(frame, linear)?;
        // Of what is allowed the stack may answer some, and the answer is allowed too.
        let done = |packets, wanted| if reason.allows() { packets >= wanted } else { packets == wanted };
        eventually(|| {
            let after = self.program.counter(verdict, reason)?;
            if done(after.packets, before.packets + 1) {
                return Ok(());
            }
            bail!("it is not counted under {reason:?}: {:?}", self.program.all()?)
        })
    }

    fn send(&self, frame: &[u8], linear: u16) -> Result<()> {
        // `struct virtio_net_hdr`, of which only `hdr_len` is set.
        let mut message = vec![0; 10];
        message[2..4].copy_from_slice(&linear.to_ne_bytes());
        message.extend_from_slice(frame);
        // SAFETY: the buffer is live and as long as the call is told.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        ensure!(sent >= 0, "cannot send {} bytes: {}", frame.len(), io::Error::last_os_error());
        Ok(())
    }
}

/// What the program sees of it: the kernel takes the outermost tag out of the frame (`skb_vlan_untag` in
/// net/core/skbuff.c), or drops the frame if that is not all there.
fn received(frame: &[u8]) -> Option<Sample> {
    let mut frame = frame.to_vec();
    if matches!(frame.get(12..14)?, [0x81, 0x00] | [0x88, 0xa8]) {
        if frame.len() < 20 {
            return None;
        }
        frame.drain(12..16);
    }
    Some(Sample { frame, gso: false })
}

/// The frame with so much padding that it can be in pieces.
pub(crate) fn padded(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame.len() < SCATTERED {
        frame.resize(SCATTERED, 0xa5);
    }
    frame
}

/// Sends a frame as it is, and in pieces.
pub(crate) fn agrees_whole_and_in_pieces(wire: &Wire<'_>, frame: &[u8], linear: u16) -> Result<()> {
    wire.agrees(frame, 0).context("in one piece")?;
    wire.agrees(&padded(frame), linear).with_context(|| format!("of which {linear} bytes are linear"))
}
