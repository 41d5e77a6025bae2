//! Fragments: the later ones follow their first, and none passes without it.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use mseg_tests::{
    documents::number,
    frames::{ethernet, ipv4, send_frames},
    lab::{self, CLIENT_MAC, CLIENT_V4, Lab, PEER, SERVER_MAC, SERVER_V4},
    on_both_hooks,
    traffic::{icmp::Pinger, udp},
};

const POLICY: &str = "default in deny
default out deny
rule echo  allow in udp to any port 7
rule ping  allow in icmp type echo-request
rule ping6 allow in icmpv6 type echo-request
";

on_both_hooks! {
    large_datagrams_pass_and_belong_to_one_session,
    later_fragments_without_their_first_are_denied,
    fragments_that_overlap_the_first_are_denied,
    the_rest_of_a_denied_datagram_is_denied,
}

fn large_datagrams_pass_and_belong_to_one_session(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    for address in lab::server(7) {
        udp::Pair::open(&lab.client, &lab.server, address)?.ask(20_000, 30_000)?;
        Pinger::new(&lab.client, address.ip())?.ping(40_000)?;
    }
    let sessions = lab.sessions(&[])?;
    ensure!(sessions.len() == 4, "one for each conversation: {sessions:#?}");
    for session in sessions {
        ensure!(number(&session, "/to_server/packets")? >= 14, "every fragment is counted: {session:#}");
        ensure!(number(&session, "/to_server/bytes")? > 20_000, "in full: {session:#}");
    }
    ensure!(number(&lab.stats()?, "/packets/denied")? == 0, "nothing was denied");
    Ok(())
}

/// A fragment of a UDP datagram from the client to the server: where it begins, in bytes, whether more follow, and
/// what it carries.
fn fragment(id: u16, start: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(client), IpAddr::V4(server)) = (CLIENT_V4, SERVER_V4) else { unreachable!("they are IPv4") };
    let mut packet = ipv4(client, server, 17, payload);
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&((start / 8) | (u16::from(more) << 13)).to_be_bytes());
    ethernet(SERVER_MAC, CLIENT_MAC, 0x0800, &packet)
}

/// The start of a datagram of 1,000 bytes to a port: its UDP header and 24 bytes more.
fn start_of_datagram(port: u16) -> Vec<u8> {
    let header = [40_000u16, port, 1000, 0].map(u16::to_be_bytes).concat();
    [&header[..], &[0; 24]].concat()
}

fn denied_for(lab: &Lab, reason: &str, frames: &[Vec<u8>]) -> Result<u64> {
    let count = || Ok::<_, anyhow::Error>(lab.stats()?["reasons"][reason].as_u64().unwrap_or(0));
    let before = count()?;
    send_frames(&lab.client, PEER, frames)?;
    Ok(count()? - before)
}

fn later_fragments_without_their_first_are_denied(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    let later = [fragment(1, 32, true, &[0; 32]), fragment(1, 64, false, &[0; 32])];
    ensure!(denied_for(lab, "fragment", &later)? == 2);
    let first = fragment(2, 0, true, &start_of_datagram(7));
    let of_another = fragment(3, 32, false, &[0; 32]);
    ensure!(denied_for(lab, "fragment", &[first, of_another])? == 1, "another datagram's first is none");
    Ok(())
}

fn fragments_that_overlap_the_first_are_denied(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    let first = fragment(4, 0, true, &start_of_datagram(7));
    let frames =
        [first, fragment(4, 8, true, &[0; 32]), fragment(4, 24, false, &[0; 32]), fragment(4, 32, false, &[0; 8])];
    ensure!(denied_for(lab, "fragment-overlap", &frames)? == 2, "those at 8 and at 24, not the one at 32");
    Ok(())
}

fn the_rest_of_a_denied_datagram_is_denied(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    let frames = [fragment(5, 0, true, &start_of_datagram(9)), fragment(5, 32, false, &[0; 32])];
    ensure!(denied_for(lab, "fragment", &frames)? == 1);
    ensure!(lab.sessions(&[])?.is_empty());
    Ok(())
}
