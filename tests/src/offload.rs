//! Segmentation and checksum offloads of an interface, switched as ethtool does, without the program.

use std::{io, net::UdpSocket, os::fd::AsRawFd};

use anyhow::{Context, Result, bail};

use crate::namespace::Namespace;

/// What a network interface can take off the stack's hands. The numbers are the `ETHTOOL_S*` commands that set it; the
/// one before each reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Offload {
    /// It computes transport checksums.
    Checksum = 0x17,
    /// It cuts large TCP packets up.
    Tso = 0x1f,
    /// The stack sends large packets, cut up last.
    Gso = 0x24,
    /// The stack joins received packets.
    Gro = 0x2c,
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Turns an offload of an interface on or off, and reads it back.
///
/// # Errors
/// When the interface refuses it, or takes no notice.
pub fn set(namespace: &Namespace, interface: &str, offload: Offload, on: bool) -> Result<()> {
    namespace.run(|| {
        let command = offload as u32;
        call(interface, EthtoolValue { command, data: u32::from(on) })
            .with_context(|| format!("cannot turn {offload:?} of {interface} {on}"))?;
        let is = call(interface, EthtoolValue { command: command - 1, data: 0 })?;
        if (is != 0) != on {
            bail!("{offload:?} of {interface} stays {}", is != 0);
        }
        Ok(())
    })
}

/// One `SIOCETHTOOL`; what the kernel wrote into `data`.
fn call(interface: &str, mut value: EthtoolValue) -> io::Result<u32> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request names an `ethtool_value` that outlives the call, which is what both commands take.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(value.data) }
}
