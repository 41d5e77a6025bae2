//! What the host sends under its own address arrives nowhere else: whoever claims it there is not believed.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Result, ensure};
use mseg_tests::{
    documents::expect,
    frames, interface,
    lab::{CLIENT_V6, Lab, PEER, PROTECTED, SERVER_V6},
    network::{self, FAR, FAR_HERE, FAR_INTERFACE, nft},
    on_both_hooks,
    packets::{self, Segment},
    require_tool,
    traffic::{tcp, udp},
    wait::{DENIED, eventually},
};

on_both_hooks! {
    session_of_the_host_with_itself_lets_nothing_in_from_the_network,
    session_of_the_host_itself_lets_nothing_in_at_another_interface,
    what_leaves_by_nat_needs_a_rule_whoever_sends_in_the_router_s_name,
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

fn what_leaves_by_nat_needs_a_rule_whoever_sends_in_the_router_s_name(lab: &Lab) -> Result<()> {
    const SYN: Segment = Segment { sequence: 1, acknowledgement: 0, flags: 0x02, window: u16::MAX };
    require_tool!("nft");
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    let rules = "type nat hook postrouting priority 100; oifname mseg1 meta l4proto tcp masquerade to :41000;";
    nft(&lab.server, &format!("table ip t {{ chain c {{ {rules} }}; }}"))?;
    attach(lab, &[PROTECTED, FAR_INTERFACE], &format!("rule client allow in tcp iface {PROTECTED}"))?;
    let server = SocketAddr::new(FAR[0], 7000);
    let _listener = tcp::listen(&far, server)?;
    let router = SocketAddr::new(FAR_HERE[0], 41_000);
    let segment = packets::tcp(router, server, SYN, &[]);
    let forged = packets::to_server(&packets::ip(router.ip(), server.ip(), packets::protocol::TCP, &segment));
    frames::send_frames(&lab.client, PEER, &[forged])?;
    eventually(|| {
        ensure!(lab.sessions(&["--port", "41000"])?.len() == 1, "its session is not there");
        Ok(())
    })?;
    tcp::is_denied(&lab.client, server)?;
    eventually(|| {
        ensure!(lab.json(&["denied", "list"])?.to_string().contains("41000"), "what left by NAT was not denied");
        Ok(())
    })
}
