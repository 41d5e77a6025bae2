//! Just enough rtnetlink to build a laboratory and to see what is attached in it, without any program installed.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const HEADER: usize = 16;

/// A message in the making, or one received: fixed header of the family, then attributes.
#[derive(Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of one `RTM_*` kind; `fixed` is the struct that follows the netlink header.
    pub fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let flags = u16::try_from(flags).expect("netlink flags have 16 bits");
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self { bytes }.padded()
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).expect("attributes are short");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.padded()
    }

    /// Adds an attribute that holds attributes, after an optional fixed struct.
    #[must_use]
    pub fn with_nested(self, kind: u16, fixed: &[u8], fill: impl FnOnce(Self) -> Self) -> Self {
        let inner = fill(Self { bytes: fixed.to_vec() });
        self.with(kind, &inner.bytes)
    }

    fn padded(mut self) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// The struct after the netlink header, of `length` bytes.
    pub fn fixed(&self, length: usize) -> Option<&[u8]> {
        self.bytes.get(HEADER..HEADER + length)
    }

    /// The value of the first attribute of one kind, after a fixed struct of `length` bytes.
    pub fn attribute(&self, length: usize, kind: u16) -> Option<&[u8]> {
        let mut rest = self.bytes.get(HEADER + length..)?;
        while rest.len() >= 4 {
            let size = usize::from(u16_at(rest, 0)?);
            let value = rest.get(4..size)?;
            if u16_at(rest, 2)? == kind {
                return Some(value);
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
        None
    }

    /// Sends it in the network namespace of this thread and waits for the acknowledgement.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn apply(self) -> Result<()> {
        self.exchange(libc::NLM_F_REQUEST | libc::NLM_F_ACK).map(drop)
    }

    /// Sends it as a dump and returns every object.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn dump(self) -> Result<Vec<Self>> {
        self.exchange(libc::NLM_F_REQUEST | libc::NLM_F_DUMP)
    }

    fn exchange(mut self, flags: i32) -> Result<Vec<Self>> {
        let length = u32::try_from(self.bytes.len())?;
        let flags = u16_at(&self.bytes, 6).unwrap_or(0) | u16::try_from(flags)?;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        let socket: OwnedFd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
                .context("cannot open a netlink socket")?;
        send(socket.as_raw_fd(), &self.bytes, MsgFlags::empty()).context("cannot send a netlink request")?;
        let mut objects = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let received = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).context("no netlink answer")?;
            let mut rest = &buffer[..received];
            while rest.len() >= HEADER {
                let size = u32_at(rest, 0).map_or(0, |size| size as usize);
                let Some(message) = rest.get(..size.max(HEADER)) else { bail!("a netlink answer is cut short") };
                match u16_at(message, 4).map(i32::from) {
                    Some(libc::NLMSG_DONE) => return Ok(objects),
                    Some(libc::NLMSG_ERROR) => return errno(message).map(|()| objects),
                    _ => objects.push(Self { bytes: message.to_vec() }),
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn errno(message: &[u8]) -> Result<()> {
    match u32_at(message, HEADER).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(code) => Err(nix::Error::from_raw(-code)).context("netlink request refused"),
        None => bail!("a netlink answer is cut short"),
    }
}

/// A native-endian number within a message.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}
