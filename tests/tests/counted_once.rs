//! A packet that passes several attached interfaces of one instance is judged at each and counted once.

use std::{net::SocketAddr, process::Command};

use anyhow::{Result, ensure};
use mseg_tests::{
    documents::{expect, number},
    frames,
    interface::{self, End},
    lab::Lab,
    namespace::Namespace,
    offload::{self, Offload},
    on_both_hooks, packets,
    traffic::{icmp::Pinger, tcp, udp},
    wait::eventually,
};

on_both_hooks! {
    both_ends_of_a_veth_pair_count_a_packet_once,
    bridge_and_its_port_count_a_packet_once,
    handshake_that_one_port_of_a_bridge_makes_up_is_none_at_the_bridge,
    loopback_counts_a_packet_once,
    packet_that_the_second_interface_denies_is_counted_as_denied,
}

const NEAR: [u8; 6] = [2, 0, 0, 0, 1, 1];
const FAR: [u8; 6] = [2, 0, 0, 0, 1, 2];

fn without_ipv6(namespace: &Namespace) -> Result<()> {
    namespace.set("net/ipv6/conf/default/disable_ipv6", "1")
}

fn attach(lab: &Lab, interfaces: &[&str]) -> Result<()> {
    let policy = lab.policy("default in deny\ndefault out allow\nrule all allow in any\n")?;
    let options = ["--hook", lab.hook().name(), "--mode", "enforce", "--policy", policy];
    lab.run("mseg-loader", &[&["attach"], interfaces, &options].concat())?.ok()?;
    Ok(())
}

fn both_ends_of_a_veth_pair_count_a_packet_once(lab: &Lab) -> Result<()> {
    without_ipv6(&lab.server)?;
    let end = |name, mac| End { namespace: &lab.server, name, mac, addresses: &[] };
    interface::join(end("near0", NEAR), end("far0", FAR))?;
    attach(lab, &["near0", "far0"])?;
    let packet = frames::ipv4([198, 51, 100, 1].into(), [198, 51, 100, 2].into(), 17, &frames::udp(5000, 53, b"hello"));
    let frame = frames::ethernet(FAR, NEAR, 0x0800, &packet);
    frames::send_frames(&lab.server, "near0", &vec![frame; 10])?;
    eventually(|| {
        let session = lab.session("udp", 5000)?;
        expect(&session, "/to_server/packets", 10)?;
        expect(&session, "/to_client/packets", 0)?;
        expect(&lab.stats()?, "/packets/seen", 10)
    })
}

fn bridge_and_its_port_count_a_packet_once(lab: &Lab) -> Result<()> {
    for namespace in [&lab.server, &lab.client] {
        without_ipv6(namespace)?;
    }
    interface::join(
        End { namespace: &lab.server, name: "port0", mac: NEAR, addresses: &[] },
        End { namespace: &lab.client, name: "remote0", mac: FAR, addresses: &[([198, 51, 100, 1].into(), 24)] },
    )?;
    for arguments in ["link add bridge0 type bridge", "link set port0 master bridge0", "link set bridge0 up"] {
        let status = lab.server.run(|| Command::new("ip").args(arguments.split(' ')).status())?;
        ensure!(status.success(), "ip {arguments}: {status}");
    }
    let address = [198, 51, 100, 2].into();
    lab.server.run(|| interface::add_address("bridge0", address, 24))?;
    for (namespace, name) in [(&lab.server, "port0"), (&lab.server, "bridge0"), (&lab.client, "remote0")] {
        for what in [Offload::Tso, Offload::Gso, Offload::Gro] {
            offload::set(namespace, name, what, false)?;
        }
    }
    attach(lab, &["port0", "bridge0"])?;
    let before = lab.client.run(|| interface::counters("remote0"))?;
    let seen_before = number(&lab.stats()?, "/packets/seen")?;
    let listener = tcp::listen(&lab.server, SocketAddr::new(address, 80))?;
    tcp::connect(&lab.client, &listener)?.exchange(100_000, 100_000)?;
    udp::Pair::open(&lab.client, &lab.server, SocketAddr::new(address, 53))?.ask(100, 100)?;
    Pinger::new(&lab.client, address)?.ping(100)?;
    eventually(|| {
        let after = lab.client.run(|| interface::counters("remote0"))?;
        let crossed = after.rx_packets + after.tx_packets - before.rx_packets - before.tx_packets;
        let stats = lab.stats()?;
        let seen = number(&stats, "/packets/seen")? - seen_before;
        ensure!(seen == crossed, "{seen} packets seen, {crossed} crossed the cable: {stats:#}");
        expect(&stats, "/packets/denied", 0)
    })
}

fn handshake_that_one_port_of_a_bridge_makes_up_is_none_at_the_bridge(lab: &Lab) -> Result<()> {
    for namespace in [&lab.server, &lab.client] {
        without_ipv6(namespace)?;
    }
    for (port, remote) in [("port0", "remote0"), ("port1", "remote1")] {
        interface::join(
            End { namespace: &lab.server, name: port, mac: NEAR, addresses: &[] },
            End { namespace: &lab.client, name: remote, mac: FAR, addresses: &[] },
        )?;
    }
    lab.server.run(|| interface::add_bridge("bridge0", &["port0", "port1"]))?;
    attach(lab, &["port0", "port1", "bridge0"])?;
    let segment = |from_client: bool, flags, sequence, acknowledgement| {
        let ends: [SocketAddr; 2] = [([198, 51, 100, 1], 5000).into(), ([198, 51, 100, 2], 80).into()];
        let (from, to) = if from_client { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        let segment = packets::Segment { sequence, acknowledgement, flags, window: 65_535 };
        let bytes = packets::tcp(from, to, segment, &[]);
        // To everybody, so that it leaves by the other port and arrives at the bridge, too.
        frames::ethernet([0xff; 6], FAR, 0x0800, &packets::ip(from.ip(), to.ip(), packets::protocol::TCP, &bytes))
    };
    let handshake = [
        segment(true, 0x02, 1000, 0),
        segment(false, 0x12, 5000, 1001),
        segment(true, 0x10, 1001, 5001),
        segment(true, 0x10, 1001, 5001),
    ];
    frames::send_frames(&lab.client, "remote0", &handshake)?;
    eventually(|| expect(&lab.session("tcp", 5000)?, "/to_server/packets", 3))?;
    expect(&lab.session("tcp", 5000)?, "/tcp_state", "syn-sent")?;
    expect(&lab.stats()?, "/sessions/promoted", 0)?;
    // An answer from where it leads is one.
    frames::send_frames(&lab.client, "remote1", &[segment(false, 0x12, 7000, 1001)])?;
    eventually(|| expect(&lab.session("tcp", 5000)?, "/tcp_state", "syn-recv"))
}

fn loopback_counts_a_packet_once(lab: &Lab) -> Result<()> {
    lab.server.run(|| interface::set_up("lo"))?;
    attach(lab, &["lo"])?;
    let address: SocketAddr = ([127, 0, 0, 1], 53).into();
    let seen_before = number(&lab.stats()?, "/packets/seen")?;
    udp::Pair::open(&lab.server, &lab.server, address)?.ask(100, 100)?;
    eventually(|| {
        let seen = number(&lab.stats()?, "/packets/seen")? - seen_before;
        ensure!(seen == 2, "{seen} packets seen of one question and one answer");
        Ok(())
    })
}

fn packet_that_the_second_interface_denies_is_counted_as_denied(lab: &Lab) -> Result<()> {
    without_ipv6(&lab.server)?;
    let end = |name, mac| End { namespace: &lab.server, name, mac, addresses: &[] };
    interface::join(end("near0", NEAR), end("far0", FAR))?;
    // Each of them is judged by itself.
    let policy = lab.policy("default in deny\ndefault out deny\nrule ts allow out icmp type timestamp-request\n")?;
    let options = ["--hook", lab.hook().name(), "--mode", "enforce", "--policy", policy];
    lab.run("mseg-loader", &[&["attach", "near0", "far0"], &options[..]].concat())?.ok()?;
    let request = [&[13, 0][..], &[0; 18]].concat();
    let packet = frames::ipv4([198, 51, 100, 1].into(), [198, 51, 100, 2].into(), 1, &request);
    let frame = frames::ethernet(FAR, NEAR, 0x0800, &packet);
    let bytes = u64::try_from(10 * frame.len())?;
    frames::send_frames(&lab.server, "near0", &vec![frame; 10])?;
    eventually(|| {
        let stats = lab.stats()?;
        expect(&stats, "/reasons/rule-allow", 10)?;
        expect(&stats, "/reasons/default-deny", 10)?;
        expect(&stats, "/packets/denied", 10)?;
        expect(&stats, "/bytes/denied", bytes)?;
        expect(&lab.rule("default-in")?, "/hits/packets", 10)?;
        let denied = lab.json(&["denied", "list"])?;
        expect(&denied, "/denied/0/denied/packets", 10)
    })
}
