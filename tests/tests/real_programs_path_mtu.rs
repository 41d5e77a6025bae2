//! Path MTU discovery through a default-deny policy: a hop in the middle takes 1,280 bytes, both ends' cables 1,500.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    frames::send_frames,
    lab::{self, CLIENT_V4, CLIENT_V6, Lab},
    on_both_hooks_over, packets,
    topology::{NARROW, TO_SERVER},
    traffic::{tcp, udp},
    wait::{SOON, eventually},
};

const POLICY: &str = "default in deny
default out deny
rule web  allow in tcp to any port 80
rule echo allow in udp to any port 7
rule ask  allow out tcp to any port 81
";

on_both_hooks_over! { NarrowHop:
    large_transfer_finds_its_way_through_a_narrow_hop,
    datagrams_that_must_not_be_cut_learn_the_path,
    nothing_is_learnt_while_the_rule_is_off,
    forged_error_about_no_session_is_denied,
}

/// Packets that tell of a narrow hop which were let through so far.
fn errors(lab: &Lab) -> Result<u64> {
    lab.reason("icmp-error")
}

fn large_transfer_finds_its_way_through_a_narrow_hop(lab: &Lab) -> Result<()> {
    const DATA: usize = 3_000_000;
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    for address in lab::server(80) {
        let before = errors(lab)?;
        let listener = tcp::listen(&lab.server, address)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        let client = connection.client.local_addr()?;
        connection.exchange(DATA, DATA)?;
        connection.finish_client()?;
        connection.finish_server()?;
        ensure!(errors(lab)? > before, "nobody told the protected host of the narrow hop");
        lab.unhindered("tcp", client, address, [DATA as u64; 2])?;
    }
    // The same with the protected host as the client.
    for address in [CLIENT_V4, CLIENT_V6].map(|address| SocketAddr::new(address, 81)) {
        let listener = tcp::listen(&lab.client, address)?;
        let mut connection = tcp::connect(&lab.server, &listener)?;
        connection.exchange(DATA, 1000)?;
        lab.unhindered("tcp", connection.client.local_addr()?, address, [DATA as u64, 1000])?;
    }
    no_errors_denied(lab)
}

fn no_errors_denied(lab: &Lab) -> Result<()> {
    let denied = lab.reason("icmp-error-unrelated")?;
    ensure!(denied == 0, "{denied} errors about a live session were denied");
    Ok(())
}

/// A client that asked the protected host's UDP server, which answers with datagrams that must not be cut.
fn asked(lab: &Lab, address: SocketAddr) -> Result<udp::Pair> {
    let pair = udp::Pair::open(&lab.client, &lab.server, address)?;
    pair.client.send(b"?")?;
    pair.server.set_read_timeout(Some(SOON))?;
    let (_, from) = pair.server.recv_from(&mut [0; 16]).context("the question does not arrive")?;
    pair.server.connect(from)?;
    set(&pair.server, if address.is_ipv4() { IP_MTU_DISCOVER } else { IPV6_MTU_DISCOVER }, libc::IP_PMTUDISC_DO)?;
    Ok(pair)
}

/// Level and name of a socket option.
type Setting = (libc::c_int, libc::c_int);
const IP_MTU_DISCOVER: Setting = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
const IPV6_MTU_DISCOVER: Setting = (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER);
const IP_MTU: Setting = (libc::IPPROTO_IP, libc::IP_MTU);
const IPV6_MTU: Setting = (libc::IPPROTO_IPV6, libc::IPV6_MTU);

fn set(socket: &UdpSocket, (level, name): Setting, value: libc::c_int) -> Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value))?;
    // SAFETY: the value is live and as long as `length` says.
    let answer = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    ensure!(answer == 0, "cannot set a socket option: {}", std::io::Error::last_os_error());
    Ok(())
}

/// The path MTU that the kernel knows for a connected socket.
fn path_mtu(socket: &UdpSocket) -> Result<u32> {
    let (level, name) = if socket.local_addr()?.is_ipv4() { IP_MTU } else { IPV6_MTU };
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value))?;
    // SAFETY: the value is live and as long as `length` says.
    let answer = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) };
    ensure!(answer == 0, "cannot get the path MTU: {}", std::io::Error::last_os_error());
    Ok(u32::try_from(value)?)
}

fn datagrams_that_must_not_be_cut_learn_the_path(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    for address in lab::server(7) {
        let pair = asked(lab, address)?;
        ensure!(path_mtu(&pair.server)? == 1500, "it is known too early");
        let before = errors(lab)?;
        pair.server.send(&[b'!'; 1400]).context("the first one is sent")?;
        eventually(|| {
            let mtu = path_mtu(&pair.server)?;
            ensure!(mtu == NARROW, "the path MTU is still {mtu}");
            Ok(())
        })?;
        ensure!(errors(lab)? == before + 1, "one error passed");
        // The error itself is told to the socket once.
        let _ = pair.server.take_error()?;
        let error = pair.server.send(&[b'!'; 1400]).expect_err("too long a datagram is refused by the stack itself");
        ensure!(error.raw_os_error() == Some(libc::EMSGSIZE), "{error}");
        pair.server.send(&[b'!'; 1200])?;
        pair.client.set_read_timeout(Some(SOON))?;
        ensure!(pair.client.recv(&mut [0; 1500]).context("what fits does not arrive")? == 1200);
        lab.unhindered("udp", pair.client.local_addr()?, address, [1, 2600])?;
    }
    no_errors_denied(lab)
}

fn nothing_is_learnt_while_the_rule_is_off(lab: &Lab) -> Result<()> {
    let off = format!("{POLICY}builtin icmp-errors off\n");
    lab.attach(&["--policy", lab.policy(&off)?, "--mode", "enforce"])?;
    for address in lab::server(7) {
        let pair = asked(lab, address)?;
        let before = lab.reason("default-deny")?;
        pair.server.send(&[b'!'; 1400])?;
        eventually(|| {
            ensure!(lab.reason("default-deny")? > before, "no error is denied");
            Ok(())
        })?;
        ensure!(path_mtu(&pair.server)? == 1500, "a denied error was believed");
    }
    Ok(())
}

/// An error that says the packet of `from` to `to` was too long for a hop, as a router sends it.
fn too_long(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let quoted = packets::ip(from.ip(), to.ip(), packets::protocol::UDP, &packets::udp(from, to, &[0; 64]));
    let mtu = NARROW.to_be_bytes();
    let (router, kind, code): (IpAddr, u8, u8) = match from {
        SocketAddr::V4(_) => (IpAddr::from([198, 51, 100, 2]), 3, 4),
        SocketAddr::V6(_) => ("2001:db8:1::2".parse().expect("it is an address"), 2, 0),
    };
    let message = packets::icmp(router, from.ip(), kind, code, mtu, &quoted);
    packets::to_server(&packets::ip(router, from.ip(), packets::icmp_of(router), &message))
}

fn forged_error_about_no_session_is_denied(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    let router = &lab.between[1];
    for (server, client) in lab::server(7).into_iter().zip([CLIENT_V4, CLIENT_V6]) {
        let pair = asked(lab, server)?;
        let asker = pair.client.local_addr()?;
        let stranger = SocketAddr::new(client, asker.port() ^ 1);
        let [denied, passed] = [lab.reason("icmp-error-unrelated")?, errors(lab)?];
        send_frames(router, TO_SERVER, &[too_long(server, stranger)])?;
        // The live session's client, and another port of the protected host.
        send_frames(router, TO_SERVER, &[too_long(SocketAddr::new(server.ip(), 9), asker)])?;
        eventually(|| {
            ensure!(lab.reason("icmp-error-unrelated")? == denied + 2, "they are not denied");
            Ok(())
        })?;
        ensure!(path_mtu(&pair.server)? == 1500, "a forged error was believed");
        // The same about the live session passes, and is believed: so the denial above was for its session's sake.
        send_frames(router, TO_SERVER, &[too_long(server, asker)])?;
        eventually(|| {
            ensure!(path_mtu(&pair.server)? == NARROW, "an error about a live session is not believed");
            Ok(())
        })?;
        ensure!(errors(lab)? == passed + 1);
    }
    Ok(())
}
