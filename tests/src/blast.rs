//! Frames sent as fast as one thread can, and datagrams received likewise.

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

use anyhow::{Context, Result, ensure};

use crate::{capture, namespace::Namespace};

/// Frames a system call.
const BATCH: usize = 64;

/// Sends frames in turn, again and again.
#[derive(Debug)]
pub struct Blaster {
    socket: OwnedFd,
    frames: Vec<Vec<u8>>,
    next: usize,
}

impl Blaster {
    /// Out of an interface, past its queueing discipline.
    ///
    /// # Errors
    /// When the interface is missing, or there is no frame.
    pub fn new(namespace: &Namespace, interface: &str, frames: Vec<Vec<u8>>) -> Result<Self> {
        ensure!(!frames.is_empty(), "no frame to send");
        let socket: OwnedFd = namespace.run(|| capture::packet_socket(interface, 0))?;
        let on: libc::c_int = 1;
        // SAFETY: the value is live and as long as the call is told.
        let answer = unsafe {
            let (value, length) = ((&raw const on).cast(), size_of_val(&on).try_into()?);
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, value, length)
        };
        ensure!(answer == 0, "cannot bypass the queue: {}", io::Error::last_os_error());
        Ok(Self { socket, frames, next: 0 })
    }

    /// Takes up from this frame.
    pub fn rewind(&mut self, to: usize) {
        self.next = to % self.frames.len();
    }

    /// Sends the next frames.
    ///
    /// # Errors
    /// When the interface refuses one for another reason than a full queue, where it is as good as lost.
    pub fn send(&mut self, frames: usize) -> Result<()> {
        let mut left = frames;
        while left > 0 {
            let batch = left.min(BATCH).min(self.frames.len() - self.next);
            let sent = self.send_batch(batch).context("cannot send frames")?;
            self.next = (self.next + sent) % self.frames.len();
            left -= sent;
        }
        Ok(())
    }

    fn send_batch(&self, batch: usize) -> io::Result<usize> {
        let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
        for (part, frame) in parts.iter_mut().zip(&self.frames[self.next..self.next + batch]) {
            // Sending only reads it.
            *part = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
        }
        messages(self.socket.as_raw_fd(), &mut parts[..batch], false)
    }
}

/// Receives and counts whatever is there by now; waits for nothing.
///
/// # Errors
/// When the socket fails.
pub fn drain(socket: &UdpSocket) -> io::Result<usize> {
    let mut buffer = [0_u8; 64];
    // All into the same few bytes: they are only counted.
    let mut parts = [libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }; BATCH];
    messages(socket.as_raw_fd(), &mut parts, true)
}

/// One message a part, sent or received.
fn messages(socket: i32, parts: &mut [libc::iovec], receive: bool) -> io::Result<usize> {
    // SAFETY: an all-zero header is a valid one.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    let count = parts.len().min(BATCH);
    for (header, part) in headers.iter_mut().zip(parts) {
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
    }
    let length = u32::try_from(count).unwrap_or(0);
    // SAFETY: `count` headers are live, and each has one part, whose bytes the callers hold.
    let answer = unsafe {
        match receive {
            true => libc::recvmmsg(socket, headers.as_mut_ptr(), length, libc::MSG_DONTWAIT, ptr::null_mut()),
            false => libc::sendmmsg(socket, headers.as_mut_ptr(), length, 0),
        }
    };
    match (usize::try_from(answer), io::Error::last_os_error()) {
        (Ok(done), _) => Ok(done),
        (Err(_), error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        // The peer's queue is full: the first frame is lost.
        (Err(_), error) if error.raw_os_error() == Some(libc::ENOBUFS) && !receive => Ok(1),
        (Err(_), error) => Err(error),
    }
}
