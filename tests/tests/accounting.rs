//! Every packet ends in exactly one reason; what is malformed is named and denied.

use std::net::IpAddr;

use anyhow::{Result, bail, ensure};
use mseg_tests::{
    documents::{expect, number},
    frames::{self, ethernet, ipv4, tcp},
    interface,
    lab::{CLIENT_MAC, CLIENT_V4, Lab, PEER, PROTECTED, SERVER_MAC, SERVER_V4, server},
    on_both_hooks,
    traffic::{icmp::Pinger, tcp as connection, udp},
    wait::eventually,
};
use serde_json::Value;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

on_both_hooks! {
    reasons_add_up_to_what_the_interface_counted,
    malformed_frames_are_denied_by_name,
    malformed_frames_pass_in_observe_mode_and_are_named,
    frames_that_are_not_ip_are_denied_unless_built_in,
    flood_of_denied_packets_makes_no_session,
}

fn reasons_add_up_to_what_the_interface_counted(lab: &Lab) -> Result<()> {
    lab.without_offloads()?;
    lab.attach(&[])?;
    let before = lab.server.run(|| interface::counters(PROTECTED))?;
    let seen_before = number(&lab.stats()?, "/packets/seen")?;
    for address in server(80) {
        let listener = connection::listen(&lab.server, address)?;
        connection::connect(&lab.client, &listener)?.exchange(100_000, 100_000)?;
        udp::Pair::open(&lab.client, &lab.server, address)?.ask(100, 100)?;
        Pinger::new(&lab.client, address.ip())?.ping(100)?;
    }
    lab.send(malformed()?.into_iter().map(|(_, frame)| frame).collect())?;
    // Other packets, such as multicast listener reports, come whenever they like: before the reading or after it.
    eventually(|| {
        let after = lab.server.run(|| interface::counters(PROTECTED))?;
        let stats = lab.stats()?;
        let crossed = after.rx_packets + after.tx_packets - before.rx_packets - before.tx_packets;
        let seen = number(&stats, "/packets/seen")? - seen_before;
        ensure!(seen == crossed, "{seen} packets seen, {crossed} crossed the interface");
        ensure!(reasons(&stats) == number(&stats, "/packets/seen")?, "the reasons do not add up: {stats:#}");
        let verdicts = ["allowed", "denied", "observed"].map(|verdict| number(&stats, &format!("/packets/{verdict}")));
        let sum: u64 = verdicts.into_iter().sum::<Result<u64>>()?;
        ensure!(sum == number(&stats, "/packets/seen")?, "the verdicts do not add up: {stats:#}");
        Ok(())
    })
}

fn malformed_frames_are_denied_by_name(lab: &Lab) -> Result<()> {
    lab.attach(&["--mode", "enforce"])?;
    for (reason, frame) in malformed()? {
        let before = lab.stats()?;
        lab.send(vec![frame])?;
        eventually(|| {
            let after = lab.stats()?;
            let grown = number(&after, &format!("/reasons/{reason}"))? - count(&before, reason);
            ensure!(grown == 1, "{reason} grew by {grown}: {after:#}");
            ensure!(number(&after, "/packets/denied")? == number(&before, "/packets/denied")? + 1, "it is not denied");
            Ok(())
        })?;
    }
    lab.session_count(0)
}

fn malformed_frames_pass_in_observe_mode_and_are_named(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    for (reason, frame) in malformed()? {
        lab.send(vec![frame])?;
        eventually(|| {
            let after = lab.stats()?;
            ensure!(number(&after, &format!("/reasons/{reason}"))? > 0, "{reason} is not counted");
            expect(&after, "/packets/denied", 0)
        })?;
    }
    Ok(())
}

fn frames_that_are_not_ip_are_denied_unless_built_in(lab: &Lab) -> Result<()> {
    const LOCAL_EXPERIMENTAL: u16 = 0x88b5;
    lab.attach(&["--mode", "enforce"])?;
    lab.send(vec![ethernet(SERVER_MAC, CLIENT_MAC, LOCAL_EXPERIMENTAL, &[0; 46])])?;
    eventually(|| expect(&lab.stats()?, "/reasons/not-ip", 1))?;
    Pinger::new(&lab.client, SERVER_V4)?.ping(8)?;
    ensure!(number(&lab.stats()?, "/reasons/builtin")? > 0, "ARP passes");
    Ok(())
}

fn flood_of_denied_packets_makes_no_session(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy("default in deny\n")?, "--mode", "enforce"])?;
    let (client, server) = addresses()?;
    let opening = |port| ethernet(SERVER_MAC, CLIENT_MAC, IPV4, &ipv4(client, server, 6, &tcp(port, 81, SYN)));
    lab.send((1..=5000).map(opening).collect())?;
    eventually(|| {
        let denied = number(&lab.stats()?, "/reasons/default-deny")?;
        ensure!(denied >= 5000, "{denied} packets denied");
        Ok(())
    })?;
    lab.session_count(0)
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;

/// Frames to the server, each wrong in one way, with the reason it must be counted under.
fn malformed() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let (client, server) = addresses()?;
    let frame = |packet: &[u8]| ethernet(SERVER_MAC, CLIENT_MAC, IPV4, packet);
    let packet = ipv4(client, server, 6, &tcp(1000, 80, SYN));
    let changed = |at: usize, value: u8| {
        let mut packet = packet.clone();
        packet[at] = value;
        frame(&packet)
    };
    let with_flags = |flags| frame(&ipv4(client, server, 6, &tcp(1000, 80, flags)));
    let routing0 = [&[59, 2, 0, 1, 0, 0, 0, 0][..], &[0; 16]].concat();
    Ok(vec![
        ("ipv4-short", frame(&packet[..19])),
        ("ipv4-version", changed(0, 0x55)),
        ("ipv4-header-length", changed(0, 0x44)),
        ("ipv4-total-length", changed(3, 200)),
        ("transport-short", frame(&ipv4(client, server, 6, &tcp(1000, 80, SYN)[..19]))),
        ("tcp-data-offset", changed(32, 0x40)),
        ("tcp-flags", with_flags(0)),
        ("tcp-flags", with_flags(SYN | FIN)),
        ("tcp-flags", with_flags(SYN | RST)),
        ("udp-length", frame(&ipv4(client, server, 17, &[3, 232, 0, 80, 0, 7, 0, 0]))),
        ("ipv6-short", ethernet(SERVER_MAC, CLIENT_MAC, IPV6, &[0x60; 39])),
        ("ipv6-version", ethernet(SERVER_MAC, CLIENT_MAC, IPV6, &[0x40; 60])),
        ("ipv6-routing-type0", ethernet(SERVER_MAC, CLIENT_MAC, IPV6, &ipv6(43, &routing0))),
        ("ipv6-payload-length", ethernet(SERVER_MAC, CLIENT_MAC, IPV6, &ipv6(59, &[0; 8])[..44])),
    ])
}

fn addresses() -> Result<(std::net::Ipv4Addr, std::net::Ipv4Addr)> {
    match (CLIENT_V4, SERVER_V4) {
        (IpAddr::V4(client), IpAddr::V4(server)) => Ok((client, server)),
        _ => bail!("both are IPv4"),
    }
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    for last in [1, 2] {
        packet.extend_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    [&packet[..], payload].concat()
}

fn reasons(stats: &Value) -> u64 {
    stats["reasons"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

fn count(stats: &Value, reason: &str) -> u64 {
    stats["reasons"][reason].as_u64().unwrap_or(0)
}

trait Sending {
    fn send(&self, frames: Vec<Vec<u8>>) -> Result<()>;
    fn session_count(&self, expected: u64) -> Result<()>;
}

impl Sending for Lab {
    fn send(&self, frames: Vec<Vec<u8>>) -> Result<()> {
        frames::send_frames(&self.client, PEER, &frames)
    }

    fn session_count(&self, expected: u64) -> Result<()> {
        let found = self.sessions(&[])?;
        // Multicast listener reports and the like are not TCP.
        let tcp = u64::try_from(found.iter().filter(|session| session["protocol"] == "tcp").count())?;
        ensure!(tcp == expected, "{tcp} sessions: {found:#?}");
        Ok(())
    }
}
