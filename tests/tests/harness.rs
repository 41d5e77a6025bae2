//! The harness itself, without mseg: what passes a bare cable, so that a denial elsewhere means something.

use std::{net::SocketAddr, os::fd::AsFd};

use anyhow::{Result, ensure};
use mseg_tests::{
    bpf,
    capture::Count,
    frames,
    hook::{self, Attached, Hook},
    interface,
    lab::{self, CLIENT_MAC, CLIENT_V4, Lab, PEER, PROTECTED, SERVER_MAC, SERVER_V4, SERVER_V6},
    namespace::Namespace,
    require_root,
    traffic::{icmp::Pinger, tcp, udp},
    wait::eventually,
};

#[test]
fn ping_passes_a_bare_cable() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Tcx)?;
    for to in [SERVER_V4, SERVER_V6] {
        let mut pinger = Pinger::new(&lab.client, to)?;
        pinger.ping(56)?;
        ensure!(pinger.id()? != 0, "an identifier was chosen");
        pinger.ping(1000)?;
    }
    Ok(())
}

#[test]
fn nobody_answers_for_an_address_that_is_not_there() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Tcx)?;
    // Reachable by Ethernet, but the server drops it: the silence that a filter makes.
    let nobody = "192.0.2.9".parse()?;
    lab.client.run(|| interface::add_neighbour(PEER, nobody, SERVER_MAC))?;
    Pinger::new(&lab.client, nobody)?.is_denied()?;
    tcp::is_denied(&lab.client, SocketAddr::new(nobody, 80))
}

#[test]
fn tcp_passes_a_bare_cable_and_is_counted_exactly() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Tcx)?;
    for address in lab::server(8080) {
        let listener = tcp::listen(&lab.server, address)?;
        let mut capture = lab.capture()?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        let port = connection.client.local_addr()?.port();
        connection.exchange(300_000, 100_000)?;
        connection.finish_client()?;
        connection.finish_server()?;
        let [sent, received] = capture.count(|frame| frame.protocol == 6 && frame.ports.contains(&port))?;
        ensure!(sent.bytes > 300_000 && received.bytes > 100_000, "{sent:?} {received:?}");
        ensure!(sent.packets >= 4 && received.packets >= 3, "{sent:?} {received:?}");
    }
    Ok(())
}

#[test]
fn a_reset_is_seen_at_the_other_end() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Tcx)?;
    let listener = tcp::listen(&lab.server, lab::server(8080)[0])?;
    tcp::connect(&lab.client, &listener)?.reset()
}

#[test]
fn udp_passes_a_bare_cable_and_is_counted_exactly() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Tcx)?;
    for (address, header) in lab::server(53).into_iter().zip([42_u64, 62]) {
        let mut capture = lab.capture()?;
        let pair = udp::Pair::open(&lab.client, &lab.server, address)?;
        pair.ask(100, 200)?;
        pair.ask(10, 20)?;
        let counted = capture.count(|frame| frame.protocol == 17 && frame.ports.contains(&53))?;
        let expected = |bytes| Count { packets: 2, bytes: bytes + 2 * header };
        ensure!(counted == [expected(110), expected(220)], "{counted:?}");
    }
    Ok(())
}

#[test]
fn interface_and_capture_count_the_same() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Tcx)?;
    lab.server.set(&format!("net/ipv6/conf/{PROTECTED}/disable_ipv6"), "1")?;
    lab.client.set(&format!("net/ipv6/conf/{PEER}/disable_ipv6"), "1")?;
    let mut capture = lab.capture()?;
    let before = lab.client.run(|| interface::counters(PEER))?;
    let listener = tcp::listen(&lab.server, lab::server(80)[0])?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    connection.exchange(200_000, 200_000)?;
    connection.reset()?;
    eventually(|| {
        let after = lab.client.run(|| interface::counters(PEER))?;
        let [sent, received] = capture.count(|_| true)?;
        ensure!(after.tx_bytes - before.tx_bytes == sent.bytes, "{before:?} {after:?} {sent:?}");
        ensure!(after.rx_bytes - before.rx_bytes == received.bytes, "{before:?} {after:?} {received:?}");
        ensure!(after.tx_packets - before.tx_packets == sent.packets, "{before:?} {after:?} {sent:?}");
        ensure!(after.rx_packets - before.rx_packets == received.packets, "{before:?} {after:?} {received:?}");
        Ok(())
    })
}

#[test]
fn a_frame_written_by_hand_is_answered() -> Result<()> {
    require_root!();
    const SYN: u8 = 2;
    let lab = Lab::new(Hook::Tcx)?;
    let (std::net::IpAddr::V4(client), std::net::IpAddr::V4(server)) = (CLIENT_V4, SERVER_V4) else {
        anyhow::bail!("both are IPv4")
    };
    let packet = frames::ipv4(client, server, 17, &[0x30, 0x39, 0, 99, 0, 8, 0, 0]);
    let mut capture = lab.capture()?;
    frames::send_frames(&lab.client, PEER, &[frames::ethernet(SERVER_MAC, CLIENT_MAC, 0x0800, &packet)])?;
    eventually(|| {
        let [sent, _] = capture.count(|frame| frame.ports == [12345, 99])?;
        let [_, unreachable] = capture.count(|frame| frame.protocol == 1 && frame.ports[0] == 0x0303)?;
        ensure!((sent.packets, unreachable.packets) == (1, 1), "{sent:?} {unreachable:?}");
        Ok(())
    })?;
    ensure!(frames::tcp(1, 2, SYN).len() == 20);
    Ok(())
}

#[test]
fn a_clsact_qdisc_of_another_tool_is_seen() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Clsact)?;
    lab.is_clean()?;
    lab.server.run(|| hook::add_clsact(PROTECTED))?;
    let attached = lab.attached()?;
    ensure!(attached == Attached { qdiscs: vec!["clsact".to_owned()], ..Attached::default() }, "{attached:?}");
    ensure!(lab.is_clean().is_err());
    Ok(())
}

#[test]
fn a_foreign_pin_is_seen_and_stays_private() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Tcx)?;
    lab.is_clean()?;
    lab.mounts.run(|| -> Result<()> {
        let map = bpf::make_map(bpf::HASH, 4, 8, 16)?;
        Ok(bpf::pin(&map, "/sys/fs/bpf/foreign".as_ref())?)
    })?;
    ensure!(lab.mounts.pins()? == ["/sys/fs/bpf/foreign"], "{:?}", lab.mounts.pins()?);
    ensure!(!std::path::Path::new("/sys/fs/bpf/foreign").exists(), "the pin is seen outside");
    ensure!(lab.mounts.is_bpffs("/sys/fs/bpf"));
    lab.mounts.unmount_bpffs()?;
    ensure!(!lab.mounts.is_bpffs("/sys/fs/bpf"));
    Ok(())
}

#[test]
fn a_namespace_ends_with_its_last_descriptor() -> Result<()> {
    require_root!();
    let (one, other) = (Namespace::new()?, Namespace::new()?);
    let end = |namespace, name, mac| interface::End { namespace, name, mac, addresses: &[] };
    interface::join(end(&one, "one", CLIENT_MAC), end(&other, "other", SERVER_MAC))?;
    ensure!(one.as_fd().try_clone_to_owned().is_ok());
    drop(other);
    // The peer goes with its namespace, and takes this end along.
    eventually(|| {
        ensure!(one.run(|| interface::index("one")).is_err(), "the pair is still there");
        Ok(())
    })
}

#[test]
fn a_program_runs_inside_as_another_user() -> Result<()> {
    require_root!();
    let lab = Lab::new(Hook::Tcx)?;
    lab.run_as_nobody("mseg-loader", &["--version"])?.ok()?;
    lab.run("mseg-loader", &["--version"])?.ok()?;
    Ok(())
}
