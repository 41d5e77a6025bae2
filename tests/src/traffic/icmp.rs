//! ping, without the program.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::{
    namespace::Namespace,
    wait::{DENIED, SOON},
};

const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;

/// A series of echo requests under one identifier.
#[derive(Debug)]
pub struct Pinger {
    /// An ICMP datagram socket has the calls of a UDP one; the kernel fills in identifier and checksum.
    socket: UdpSocket,
    to: IpAddr,
    sequence: u16,
}

impl Pinger {
    /// Gets ready to ping an address.
    ///
    /// # Errors
    /// When there is no way to the address.
    pub fn new(namespace: &Namespace, to: IpAddr) -> Result<Self> {
        let (family, protocol) = match to {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let socket = namespace.run(|| socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol));
        let socket = UdpSocket::from(socket.context("cannot open an ICMP socket")?);
        socket.connect(SocketAddr::new(to, 0)).with_context(|| format!("no way to {to}"))?;
        Ok(Self { socket, to, sequence: 0 })
    }

    /// The identifier of its requests, which the kernel chose.
    ///
    /// # Errors
    /// Never in practice.
    pub fn id(&self) -> Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends a request with this much data and waits for its reply.
    ///
    /// # Errors
    /// When there is none.
    pub fn ping(&mut self, data: usize) -> Result<()> {
        match self.try_ping(data, SOON)? {
            true => Ok(()),
            false => bail!("no echo reply from {}", self.to),
        }
    }

    /// Fails unless a request is answered within a second: to be tried again and again.
    ///
    /// # Errors
    /// When it is not.
    pub fn ping_once(&mut self) -> Result<()> {
        match self.try_ping(10, DENIED)? {
            true => Ok(()),
            false => bail!("no echo reply from {} within a second", self.to),
        }
    }

    /// Fails if a request is answered.
    ///
    /// # Errors
    /// When it is.
    pub fn is_denied(&mut self) -> Result<()> {
        match self.try_ping(0, DENIED)? {
            true => bail!("an echo reply from {} that must not be", self.to),
            false => Ok(()),
        }
    }

    fn try_ping(&mut self, data: usize, wait: Duration) -> Result<bool> {
        self.sequence += 1;
        let kind = if self.to.is_ipv4() { ECHO_REQUEST } else { ECHO_REQUEST_V6 };
        let sequence = self.sequence.to_be_bytes();
        let mut request = vec![kind, 0, 0, 0, 0, 0, sequence[0], sequence[1]];
        request.resize(8 + data, b'.');
        match self.socket.send(&request) {
            // What the kernel tells the sender when its packet is dropped on the way out.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(false),
            sent => sent.context("cannot send an echo request")?,
        };
        self.socket.set_read_timeout(Some(wait))?;
        loop {
            let mut reply = vec![0; 65_536];
            match self.socket.recv(&mut reply) {
                // An older reply may be late.
                Ok(received) if received >= 8 && reply[6..8] == sequence => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("cannot receive an echo reply"),
            }
        }
    }
}
