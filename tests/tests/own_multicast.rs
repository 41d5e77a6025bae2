//! What the protected host sends to a group that it is in: the copy that the stack gives back to it.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, bail, ensure};
use mseg_tests::{
    lab::{Lab, PROTECTED, SERVER_V4},
    on_both_hooks,
    wait::SOON,
};
use nix::sys::socket::{setsockopt, sockopt};

on_both_hooks! { ones_own_multicast_and_broadcast_come_back }

/// The copy comes in at the interface that the packet leaves by, without its Ethernet header (`dev_loopback_xmit`).
fn ones_own_multicast_and_broadcast_come_back(lab: &Lab) -> Result<()> {
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
    lab.attach(&["--policy", lab.policy("default in deny\ndefault out allow\n")?, "--mode", "enforce"])?;
    let std::net::IpAddr::V4(own) = SERVER_V4 else { bail!("it is IPv4") };
    let socket = lab.server.run(|| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 5353))?;
        setsockopt(&socket, sockopt::BindToDevice, &PROTECTED.into())?;
        socket.join_multicast_v4(&GROUP, &own)?;
        socket.set_broadcast(true)?;
        Ok(socket)
    })?;
    socket.set_read_timeout(Some(SOON))?;
    for to in [GROUP, Ipv4Addr::BROADCAST] {
        socket.send_to(b"hello", (to, 5353))?;
        let received =
            socket.recv(&mut [0; 16]).with_context(|| format!("what was sent to {to} does not come back"))?;
        ensure!(received == 5);
    }
    ensure!(lab.reason("own-copy")? >= 2, "the copies are taken for something else: {}", lab.stats()?["reasons"]);
    ensure!(lab.reason("not-ip")? == 0, "its own packets are taken for something else: {:#?}", lab.denied(&[])?);
    Ok(())
}
