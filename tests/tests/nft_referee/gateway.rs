//! A gateway with one of the two filters, and what comes out at its other side.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mseg_tests::{
    frames::ethernet,
    lab::{CLIENT_MAC, Lab, PEER, SERVER_MAC},
    middlebox::tap,
    packets::{self, protocol},
    topology::{FAR, FAR_MAC, FAR_PEER, GATEWAY_FAR_MAC},
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, recv, send},
};

use crate::{generate::Unit, view};

/// What every policy lets through and no test sends: when it arrives, what was sent before it has arrived, or never
/// will.
pub(crate) const BARRIER_PORT: u16 = 9;
const BARRIER: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 254);

/// What became of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No packet of it arrived.
    Nothing,
    /// Some of its fragments arrived, but not a whole datagram.
    Part,
    /// It arrived; of a datagram in fragments, every byte did.
    Whole,
}

/// Both sides of a gateway.
pub(crate) struct Gateway<'a> {
    pub(crate) lab: &'a Lab,
    near: OwnedFd,
    far: OwnedFd,
    barriers: u32,
}

impl<'a> Gateway<'a> {
    pub(crate) fn new(lab: &'a Lab) -> Result<Self> {
        let far = lab.between.first().context("there is no far host")?;
        Ok(Self { lab, near: tap(&lab.client, PEER)?, far: tap(far, FAR_PEER)?, barriers: 0 })
    }

    /// Protects it by a ruleset of nftables.
    pub(crate) fn load_nft(&self, ruleset: &str) -> Result<()> {
        let mut nft = self
            .lab
            .server
            .run(|| Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn())?;
        nft.stdin.take().context("nft has no input")?.write_all(ruleset.as_bytes())?;
        let output = nft.wait_with_output()?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        // Room for the pieces of all datagrams that are never complete.
        self.lab.server.set("net/ipv4/ipfrag_high_thresh", "268435456")?;
        self.lab.server.set("net/netfilter/nf_conntrack_frag6_high_thresh", "268435456")?;
        // A packet in mid-stream opens nothing, as with `--midstream strict`.
        self.lab.server.set("net/netfilter/nf_conntrack_tcp_loose", "0")
    }

    /// Sends a unit from its side, and says what of it arrives at the other.
    pub(crate) fn send(&mut self, unit: &Unit) -> Result<Outcome> {
        self.barriers += 1;
        let number = self.barriers;
        let (from, to) = if unit.to_far { (&self.near, &self.far) } else { (&self.far, &self.near) };
        while receive(to, false)?.is_some() {}
        for packet in &unit.packets {
            transmit(from, unit.to_far, packet)?;
        }
        transmit(from, unit.to_far, &barrier(unit.to_far, number))?;
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut arrived = Vec::new();
        while Instant::now() < deadline {
            let Some(frame) = receive(to, true)? else { continue };
            let Some(packet) = frame.get(14..) else { continue };
            if packet.ends_with(&mark(number)) && packet.get(9) == Some(&protocol::UDP) {
                return Ok(view::arrived(unit, &arrived));
            }
            arrived.push(packet.to_vec());
        }
        bail!("the barrier does not arrive after {unit:?}")
    }
}

/// What a barrier ends with.
fn mark(number: u32) -> Vec<u8> {
    [b"barrier", &number.to_be_bytes()[..]].concat()
}

fn barrier(to_far: bool, number: u32) -> Vec<u8> {
    let mut ends = [IpAddr::V4(BARRIER), FAR[0]].map(|address| SocketAddr::new(address, BARRIER_PORT));
    if !to_far {
        ends.reverse();
    }
    let [from, to] = ends;
    packets::ip(from.ip(), to.ip(), protocol::UDP, &packets::udp(from, to, &mark(number)))
}

fn transmit(socket: &OwnedFd, to_far: bool, packet: &[u8]) -> Result<()> {
    let kind = if packet.first().is_some_and(|byte| byte >> 4 == 6) { 0x86dd } else { 0x0800 };
    let (to, from) = if to_far { (SERVER_MAC, CLIENT_MAC) } else { (GATEWAY_FAR_MAC, FAR_MAC) };
    send(socket.as_raw_fd(), &ethernet(to, from, kind, packet), MsgFlags::empty()).context("cannot send a frame")?;
    Ok(())
}

/// The next frame at a side; without waiting, or for a short while.
fn receive(socket: &OwnedFd, wait: bool) -> Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 2048];
    match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(Some(buffer))
        }
        Err(nix::Error::EAGAIN) if wait => {
            poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(100_u8))?;
            Ok(None)
        }
        Err(nix::Error::EAGAIN) => Ok(None),
        Err(error) => Err(error).context("cannot receive a frame"),
    }
}
