//! What the host sends under its own address arrives nowhere else: whoever claims it there is not believed.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Result, ensure};
use mseg_tests::{
    documents::expect,
    frames, interface,
    lab::{CLIENT_V6, Lab, PEER, PROTECTED, SERVER_V6},
    network::{self, FAR_INTERFACE},
    on_both_hooks, packets,
    traffic::udp,
    wait::{DENIED, eventually},
};

on_both_hooks! {
    session_of_the_host_with_itself_lets_nothing_in_from_the_network,
    session_of_the_host_itself_lets_nothing_in_at_another_interface,
}

fn attach(lab: &Lab, interfaces: &[&str], rule: &str) -> Result<()> {
    let policy = lab.policy(&format!("default in deny\ndefault out deny\n{rule}\n"))?;
    let options = ["--hook", lab.hook().name(), "--mode", "enforce", "--no-adopt", "--policy", policy];
    lab.run("mseg-loader", &[&["attach"], interfaces, &options].concat())?.ok()?;
    Ok(())
}

/// An IPv6 datagram: Linux itself refuses IPv4 from its own addresses.
fn datagram(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    packets::ip(from.ip(), to.ip(), packets::protocol::UDP, &packets::udp(from, to, b"forged"))
}

fn is_refused(lab: &Lab, receiver: &UdpSocket) -> Result<()> {
    eventually(|| expect(&lab.stats()?, "/reasons/wrong-way", 1))?;
    receiver.set_read_timeout(Some(DENIED))?;
    ensure!(receiver.recv(&mut [0; 16]).is_err(), "what a stranger sent has arrived");
    Ok(())
}

fn session_of_the_host_with_itself_lets_nothing_in_from_the_network(lab: &Lab) -> Result<()> {
    lab.server.run(|| interface::set_up("lo"))?;
    attach(lab, &["lo", PROTECTED], "rule local allow in any iface lo")?;
    let pair = udp::Pair::open(&lab.server, &lab.server, SocketAddr::new(SERVER_V6, 5000))?;
    pair.ask(10, 10)?;
    let forged = packets::to_server(&datagram(pair.client.local_addr()?, pair.server.local_addr()?));
    frames::send_frames(&lab.client, PEER, &[forged])?;
    is_refused(lab, &pair.server)?;
    pair.ask(10, 10)
}

fn session_of_the_host_itself_lets_nothing_in_at_another_interface(lab: &Lab) -> Result<()> {
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    attach(lab, &[PROTECTED, FAR_INTERFACE], "rule ask allow out udp to any port 5000")?;
    let pair = udp::Pair::open(&lab.server, &lab.client, SocketAddr::new(CLIENT_V6, 5000))?;
    pair.ask(10, 10)?;
    let packet = datagram(pair.client.local_addr()?, pair.server.local_addr()?);
    let forged = frames::ethernet(network::FAR_HERE_MAC, network::FAR_MAC, 0x86dd, &packet);
    frames::send_frames(&far, network::FAR_PEER, &[forged])?;
    is_refused(lab, &pair.server)?;
    pair.ask(10, 10)
}
