//! Counting what really crossed an interface: the ground truth that sessions are compared with.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};

use crate::{interface, namespace::Namespace};

/// Enough of each frame to tell flows apart.
const HEAD: usize = 128;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets; a segmentation offload's large one is one.
    pub packets: u64,
    /// Bytes with the Ethernet header.
    pub bytes: u64,
}

/// Records every frame of an interface from its start on.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
    frames: Vec<Frame>,
}

/// One frame, as far as it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Sent by the interface, not received.
    pub sent: bool,
    /// IP protocol; 0 for what is not IP.
    pub protocol: u8,
    /// Source and destination port, if it has any; for ICMP type and code in the first.
    pub ports: [u16; 2],
    /// Bytes with the Ethernet header.
    pub bytes: u64,
}

impl Capture {
    /// Begins.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn start(namespace: &Namespace, interface: &str) -> Result<Self> {
        let every = u16::try_from(libc::ETH_P_ALL).expect("ETH_P_ALL fits");
        let socket = namespace.run(|| packet_socket(interface, every))?;
        // Nobody reads until the traffic is over, so all of it must fit.
        setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).context("cannot enlarge the capture's buffer")?;
        Ok(Self { socket, frames: Vec::new() })
    }

    /// What it has seen so far.
    ///
    /// # Errors
    /// When frames were lost.
    pub fn frames(&mut self) -> Result<&[Frame]> {
        while let Some(frame) = self.receive()? {
            self.frames.push(frame);
        }
        ensure!(self.dropped()? == 0, "the capture lost frames");
        Ok(&self.frames)
    }

    /// Sums up the sent and the received frames that `is` picks.
    ///
    /// # Errors
    /// When frames were lost.
    pub fn count(&mut self, is: impl Fn(&Frame) -> bool) -> Result<[Count; 2]> {
        let mut sums = [Count::default(); 2];
        for frame in self.frames()?.iter().filter(|frame| is(frame)) {
            let sum = &mut sums[usize::from(!frame.sent)];
            sum.packets += 1;
            sum.bytes += frame.bytes;
        }
        Ok(sums)
    }

    fn receive(&self) -> Result<Option<Frame>> {
        let mut head = [0_u8; HEAD];
        // SAFETY: an all-zero sockaddr_ll is a valid one.
        let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut length = libc::socklen_t::try_from(size_of_val(&from))?;
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: buffer and address are live, and their sizes are what the call is told.
        let received = unsafe {
            let (head, from) = (head.as_mut_ptr().cast(), (&raw mut from).cast());
            libc::recvfrom(self.socket.as_raw_fd(), head, HEAD, flags, from, &raw mut length)
        };
        if received < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error.into()) };
        }
        let bytes = u64::try_from(received)?;
        let seen = &head[..HEAD.min(usize::try_from(bytes)?)];
        let (protocol, ports) = flow(seen).unwrap_or_default();
        Ok(Some(Frame { sent: from.sll_pkttype == libc::PACKET_OUTGOING, protocol, ports, bytes }))
    }

    fn dropped(&self) -> Result<u32> {
        let mut statistics = [0_u32; 2];
        let mut length = libc::socklen_t::try_from(size_of_val(&statistics))?;
        // SAFETY: the buffer is as long as `length` says: `struct tpacket_stats`, two numbers.
        let answer = unsafe {
            let value = statistics.as_mut_ptr().cast();
            let fd = self.socket.as_raw_fd();
            libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, value, &raw mut length)
        };
        ensure!(answer == 0, "cannot read the capture's statistics");
        Ok(statistics[1])
    }
}

/// IP protocol and ports of an untagged frame without IP options.
fn flow(frame: &[u8]) -> Option<(u8, [u16; 2])> {
    let (protocol, transport) = match frame.get(12..14)? {
        [0x08, 0x00] => (*frame.get(23)?, 34),
        [0x86, 0xdd] => (*frame.get(20)?, 54),
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    Some((protocol, [port(transport).unwrap_or(0), port(transport + 2).unwrap_or(0)]))
}

/// A packet socket of one interface in this thread's network namespace; protocol 0 receives nothing.
///
/// # Errors
/// When there is no such interface.
pub fn packet_socket(interface: &str, protocol: u16) -> Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error()).context("cannot open a packet socket");
    }
    // SAFETY: the descriptor is new and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: an all-zero sockaddr_ll is a valid one.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET)?;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = interface::index(interface)?.cast_signed();
    let length = libc::socklen_t::try_from(size_of_val(&address))?;
    // SAFETY: the address is live and as long as `length` says.
    let answer = unsafe { libc::bind(fd, (&raw const address).cast(), length) };
    if answer < 0 {
        return Err(io::Error::last_os_error()).context("cannot bind a packet socket");
    }
    Ok(socket)
}
