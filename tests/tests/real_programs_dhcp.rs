//! A DHCP client on the protected host under default deny: the built-in rule lets it have a lease, nothing else does.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use mseg_tests::{
    dhcp::{self, Kind, Message},
    documents::{expect, number},
    interface,
    lab::{CLIENT_V4, Lab, PEER, PROTECTED, SERVER_MAC, SERVER_V4},
    namespace::Namespace,
    on_both_hooks,
    wait::{DENIED, SOON, eventually},
};
use nix::sys::socket::{setsockopt, sockopt};

const CLOSED: &str = "default in deny\ndefault out deny\n";

on_both_hooks! {
    lease_is_had_and_renewed_unless_the_rule_is_off,
    lease_over_ipv6_is_had_unless_the_rule_is_off,
}

/// The lab's client is the server of addresses here.
fn socket(namespace: &Namespace, interface: &str, port: u16) -> Result<UdpSocket> {
    namespace.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
        socket.set_broadcast(true)?;
        setsockopt(&socket, sockopt::BindToDevice, &interface.into())?;
        Ok(socket)
    })
}

/// Sends a message, if the filter lets it out.
fn tell(from: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> Result<()> {
    match from.send_to(bytes, to) {
        // What the kernel tells the sender when its packet is dropped on the way out.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOBUFS)) => Ok(()),
        sent => sent.map(drop).context("cannot send"),
    }
}

/// The next message of this exchange, and who sent it; none if nothing comes.
fn hear(at: &UdpSocket, wait: Duration) -> Result<Option<(Message, SocketAddr)>> {
    at.set_read_timeout(Some(wait))?;
    let mut buffer = [0; 1500];
    match at.recv_from(&mut buffer) {
        Ok((length, from)) => Ok(Some((Message::parse(&buffer[..length])?, from))),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn heard(at: &UdpSocket, kind: Kind) -> Result<(Message, SocketAddr)> {
    let (message, from) = hear(at, SOON)?.with_context(|| format!("no {kind:?} arrives"))?;
    ensure!(message.kind == kind, "{message:?} instead of {kind:?}");
    Ok((message, from))
}

/// A protected host without an address, and the server of addresses.
fn without_address(lab: &Lab) -> Result<[UdpSocket; 2]> {
    for filter in ["all", PROTECTED] {
        lab.server.set(&format!("net/ipv4/conf/{filter}/rp_filter"), "0")?;
    }
    lab.server.run(|| interface::remove_address(PROTECTED, SERVER_V4, 24))?;
    Ok([socket(&lab.server, PROTECTED, dhcp::CLIENT)?, socket(&lab.client, PEER, dhcp::SERVER)?])
}

fn lease_is_had_and_renewed_unless_the_rule_is_off(lab: &Lab) -> Result<()> {
    let [client, server] = without_address(lab)?;
    let (IpAddr::V4(given), IpAddr::V4(identifier)) = (SERVER_V4, CLIENT_V4) else { bail!("both are IPv4") };
    let to_server = SocketAddr::from((Ipv4Addr::BROADCAST, dhcp::SERVER));
    let to_client = SocketAddr::from((Ipv4Addr::BROADCAST, dhcp::CLIENT));
    let discover = Message {
        kind: Kind::Discover,
        transaction: 0x6d73_6567,
        hardware: SERVER_MAC,
        has: Ipv4Addr::UNSPECIFIED,
        address: Ipv4Addr::UNSPECIFIED,
        server: Ipv4Addr::UNSPECIFIED,
    };
    let offer = Message { kind: Kind::Offer, address: given, server: identifier, ..discover };

    // Off: nothing gets out. Off, and a rule that lets it out: no answer comes in, as it is no reply to a broadcast.
    let off = format!("{CLOSED}builtin dhcp off\n");
    lab.attach(&["--policy", lab.policy(&off)?, "--mode", "enforce"])?;
    tell(&client, to_server, &discover.bytes())?;
    ensure!(hear(&server, DENIED)?.is_none(), "a discovery gets out");
    let half = format!("{off}rule half allow out udp to any port {}\n", dhcp::SERVER);
    lab.ctl(&["policy", "apply", lab.policy(&half)?])?;
    tell(&client, to_server, &discover.bytes())?;
    heard(&server, Kind::Discover)?;
    tell(&server, to_client, &offer.bytes())?;
    ensure!(hear(&client, DENIED)?.is_none(), "an offer comes in");
    ensure!(!lab.denied(&["--proto", "udp", "--dport", "68", "--src", "192.0.2.1"])?.is_empty(), "it is not listed");

    lab.ctl(&["policy", "apply", lab.policy(CLOSED)?])?;
    let denied = lab.reason("default-deny")?;
    tell(&client, to_server, &discover.bytes())?;
    let (_, from) = heard(&server, Kind::Discover)?;
    ensure!(from == SocketAddr::from((Ipv4Addr::UNSPECIFIED, dhcp::CLIENT)), "from {from}");
    tell(&server, to_client, &offer.bytes())?;
    let (offered, _) = heard(&client, Kind::Offer)?;
    let request = Message { kind: Kind::Request, ..offered };
    tell(&client, to_server, &request.bytes())?;
    let (requested, _) = heard(&server, Kind::Request)?;
    tell(&server, to_client, &Message { kind: Kind::Ack, ..requested }.bytes())?;
    let (lease, _) = heard(&client, Kind::Ack)?;

    // With its address the client renews the lease, straight with the server.
    lab.server.run(|| interface::add_address(PROTECTED, lease.address.into(), 24))?;
    let renew = Message { kind: Kind::Request, has: lease.address, ..lease };
    let own = SocketAddr::from((lease.address, dhcp::CLIENT));
    let servers = SocketAddr::from((lease.server, dhcp::SERVER));
    tell(&client, servers, &renew.bytes())?;
    let (renewed, from) = heard(&server, Kind::Request)?;
    ensure!(from == own, "renewed from {from}");
    tell(&server, from, &Message { kind: Kind::Ack, ..renewed }.bytes())?;
    heard(&client, Kind::Ack)?;
    // The broadcasts before it have the same ports.
    let ip = own.ip().to_string();
    let sessions = lab.sessions(&["--proto", "udp", "--src", &ip, "--dport", "67"])?;
    ensure!(sessions.len() == 1, "expected one session of {own} with {servers}: {sessions:#?}");
    expect(&sessions[0], "/state", "established")?;
    ensure!(lab.reason("default-deny")? == denied, "a packet was denied: {:#?}", lab.denied(&[])?);
    ensure!(number(&lab.rule("dhcp")?, "/hits/packets")? >= 4, "the built-in rule counts");
    Ok(())
}

fn lease_over_ipv6_is_had_unless_the_rule_is_off(lab: &Lab) -> Result<()> {
    const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
    const ADVERTISE: &[u8] = &[2, 1, 2, 3];
    let bind = |namespace: &Namespace, name: &str, port: u16| -> Result<(UdpSocket, u32)> {
        namespace.run(|| {
            let index = interface::index(name)?;
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
            if port == 547 {
                socket.join_multicast_v6(&ALL_SERVERS, index)?;
            }
            Ok((socket, index))
        })
    };
    let (client, index) = bind(&lab.server, PROTECTED, 546)?;
    let (server, _) = bind(&lab.client, PEER, 547)?;
    let solicit = |wait| -> Result<Option<SocketAddr>> {
        tell(&client, SocketAddrV6::new(ALL_SERVERS, 547, 0, index).into(), &[1, 1, 2, 3])?;
        server.set_read_timeout(Some(wait))?;
        Ok(server.recv_from(&mut [0; 64]).ok().map(|(_, from)| from))
    };
    let advertise = |to: SocketAddr, wait| -> Result<bool> {
        server.send_to(ADVERTISE, to)?;
        client.set_read_timeout(Some(wait))?;
        Ok(client.recv_from(&mut [0; 64]).is_ok())
    };
    let off = format!("{CLOSED}builtin dhcp off\n");
    lab.attach(&["--policy", lab.policy(&off)?, "--mode", "enforce"])?;
    ensure!(solicit(DENIED)?.is_none(), "a solicitation gets out");
    let half = format!("{off}rule half allow out udp to any port 547\n");
    lab.ctl(&["policy", "apply", lab.policy(&half)?])?;
    let asker = eventually(|| solicit(DENIED)?.context("no solicitation arrives"))?;
    ensure!(!advertise(asker, DENIED)?, "an advertisement comes in: it is no reply to a multicast");
    lab.ctl(&["policy", "apply", lab.policy(CLOSED)?])?;
    let asker = eventually(|| solicit(DENIED)?.context("no solicitation arrives"))?;
    ensure!(advertise(asker, SOON)?, "no advertisement comes in");
    ensure!(number(&lab.rule("dhcp")?, "/hits/packets")? >= 2, "the built-in rule counts");
    Ok(())
}
