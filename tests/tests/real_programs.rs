//! What hosts really run, under default deny with the rules one would write: each is allowed by its own, and denied
//! without it.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    thread,
};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    documents::{expect, number},
    frames::{ethernet, send_frames},
    lab::{self, CLIENT_MAC, CLIENT_V4, CLIENT_V6, Lab, PEER, PROTECTED, SERVER_V4, SERVER_V6},
    on_both_hooks,
    packets::{self, protocol},
    traffic::{icmp::Pinger, tcp, udp},
    wait::{SOON, eventually},
};

/// Everything is denied, and the rules come last.
fn only(rules: &str) -> String {
    format!("default in deny\ndefault out deny\n{rules}")
}

on_both_hooks! {
    name_server_answers_over_udp_and_over_tcp,
    web_server_answers_over_both_families,
    ping_of_65000_bytes_passes_in_fragments,
    neighbours_and_routers_are_found_unless_discovery_is_off,
}

/// A question for a name, as a client asks it.
const QUESTION: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x10\x00\x01";

/// An answer to it with this many bytes of records; cut short, if it says so.
fn answer(question: &[u8], records: usize, cut_short: bool) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] = 0x84 | u8::from(cut_short) << 1;
    answer.resize(question.len() + records, 0xc0);
    answer
}

fn name_server_answers_over_udp_and_over_tcp(lab: &Lab) -> Result<()> {
    let rules = "rule dns-udp allow out udp to any port 53\nrule dns-tcp allow out tcp to any port 53\n";
    lab.attach(&["--policy", lab.policy(&only(rules))?, "--mode", "enforce"])?;
    for address in [CLIENT_V4, CLIENT_V6].map(|address| SocketAddr::new(address, 53)) {
        // The protected host asks; the answer is too long for a datagram, so it asks again over TCP.
        let pair = udp::Pair::open(&lab.server, &lab.client, address)?;
        pair.client.set_read_timeout(Some(SOON))?;
        pair.server.set_read_timeout(Some(SOON))?;
        pair.client.send(QUESTION)?;
        let mut buffer = [0; 512];
        let (length, from) = pair.server.recv_from(&mut buffer).context("the question does not arrive")?;
        pair.server.send_to(&answer(&buffer[..length], 400, true), from)?;
        let length = pair.client.recv(&mut buffer).context("the answer does not arrive")?;
        ensure!(buffer[..2] == QUESTION[..2] && buffer[2] & 2 != 0 && length == QUESTION.len() + 400);
        lab.unhindered("udp", pair.client.local_addr()?, address, [QUESTION.len() as u64, 400])?;

        let listener = tcp::listen(&lab.client, address)?;
        let mut connection = tcp::connect(&lab.server, &listener)?;
        let ends = (connection.client.local_addr()?, address);
        send_message(&mut connection.client, QUESTION)?;
        let question = receive_message(&mut connection.server)?;
        send_message(&mut connection.server, &answer(&question, 20_000, false))?;
        ensure!(receive_message(&mut connection.client)?.len() == QUESTION.len() + 20_000);
        connection.finish_client()?;
        connection.finish_server()?;
        let session = lab.unhindered("tcp", ends.0, ends.1, [QUESTION.len() as u64, 20_000])?;
        expect(&session, "/direction", "out")?;
        expect(&session, "/rule", "dns-tcp")?;

        // Another port, and a question to the protected host.
        udp::Pair::open(&lab.server, &lab.client, SocketAddr::new(address.ip(), 5353))?.is_denied()?;
    }
    for address in lab::server(53) {
        udp::Pair::open(&lab.client, &lab.server, address)?.is_denied()?;
        tcp::is_denied(&lab.client, address)?;
    }
    Ok(())
}

/// DNS over TCP: two bytes of length come first (RFC 1035 section 4.2.2).
fn send_message(to: &mut TcpStream, message: &[u8]) -> Result<()> {
    to.write_all(&u16::try_from(message.len())?.to_be_bytes())?;
    to.write_all(message).context("cannot send a message")
}

fn receive_message(from: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    from.read_exact(&mut length).context("no message arrives")?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    from.read_exact(&mut message).context("a message is cut short")?;
    Ok(message)
}

fn web_server_answers_over_both_families(lab: &Lab) -> Result<()> {
    const BODY: usize = 400_000;
    lab.attach(&["--policy", lab.policy(&only("rule web allow in tcp to any port 80\n"))?, "--mode", "enforce"])?;
    for (open, closed) in lab::server(80).into_iter().zip(lab::server(8080)) {
        let listener = tcp::listen(&lab.server, open)?;
        let connection = tcp::connect(&lab.client, &listener)?;
        let ends = (connection.client.local_addr()?, open);
        let server = thread::spawn(move || serve(connection.server, BODY));
        // Twice over one connection, then the server closes it.
        let mut client = connection.client;
        for (path, last) in [("/first", false), ("/second", true)] {
            let how = if last { "close" } else { "keep-alive" };
            write!(client, "GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: {how}\r\n\r\n")?;
            let head = read_head(&mut client)?;
            ensure!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            ensure!(head.contains(&format!("Content-Length: {BODY}\r\n")), "{head}");
            let mut body = vec![0; BODY];
            client.read_exact(&mut body).context("the body is cut short")?;
            ensure!(body.iter().all(|&byte| byte == path.as_bytes()[1]), "the body is another one");
        }
        ensure!(client.read(&mut [0])? == 0, "more than the body");
        server.join().expect("the server does not panic")?;
        drop(client);
        let session = eventually(|| {
            let session = lab.unhindered("tcp", ends.0, ends.1, [100, 2 * BODY as u64])?;
            expect(&session, "/state", "closed")?;
            Ok(session)
        })?;
        expect(&session, "/rule", "web")?;
        expect(&session, "/tcp_state", "time-wait")?;
        tcp::is_denied(&lab.client, closed)?;
        ensure!(!lab.denied(&["--port", "8080"])?.is_empty(), "the denial is listed");
    }
    Ok(())
}

/// Answers GET requests with the second letter of their path, until a client wants no more.
fn serve(mut connection: TcpStream, length: usize) -> Result<()> {
    loop {
        let request = read_head(&mut connection)?;
        let letter = *request.as_bytes().get("GET /".len()).context("no path")?;
        write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
        connection.write_all(&vec![letter; length])?;
        if request.contains("Connection: close") {
            return Ok(());
        }
    }
}

fn read_head(connection: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).context("a head is cut short")?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head)?)
}

fn ping_of_65000_bytes_passes_in_fragments(lab: &Lab) -> Result<()> {
    const DATA: usize = 65_000;
    let rules = "rule ping allow in icmp type echo-request\nrule ping6 allow in icmpv6 type echo-request\n";
    lab.attach(&["--policy", lab.policy(&only(rules))?, "--mode", "enforce"])?;
    for (address, protocol) in [(SERVER_V4, "icmp"), (SERVER_V6, "icmpv6")] {
        let mut pinger = Pinger::new(&lab.client, address)?;
        pinger.ping(DATA)?;
        pinger.ping(DATA)?;
        let id = pinger.id()?;
        let client = if address.is_ipv4() { CLIENT_V4 } else { CLIENT_V6 };
        let [client, server] = [client, address].map(|address| SocketAddr::new(address, id));
        let session = lab.unhindered(protocol, client, server, [2 * DATA as u64; 2])?;
        ensure!(number(&session, "/to_server/packets")? >= 2 * 44, "every fragment is counted: {session:#}");
    }
    expect(&lab.stats()?, "/packets/denied", 0)?;
    // Only asking is allowed to the others.
    for address in [CLIENT_V4, CLIENT_V6] {
        Pinger::new(&lab.server, address)?.is_denied()?;
    }
    lab.ctl(&["rule", "delete", "ping"])?;
    lab.ctl(&["rule", "delete", "ping6"])?;
    for address in [SERVER_V4, SERVER_V6] {
        let mut pinger = Pinger::new(&lab.client, address)?;
        ensure!(pinger.ping_once().is_err(), "a ping passes without a rule");
    }
    ensure!(lab.reason("default-deny")? > 0, "the denial is counted");
    Ok(())
}

/// The prefix that the router of the next test announces.
const ANNOUNCED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0);

/// A router advertisement (RFC 4861 section 4.2) with a prefix for autonomous addresses (section 4.6.2).
fn router_advertisement() -> Vec<u8> {
    const HOUR: [u8; 4] = 3600_u32.to_be_bytes();
    let router = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xff));
    let everyone = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    // Router lifetime half an hour; on-link and autonomous.
    let prefix = [&[3, 4, 64, 0xc0][..], &HOUR, &HOUR, &[0; 4], &ANNOUNCED.octets()].concat();
    let body = [&[0; 8][..], &prefix, &[1, 1], &CLIENT_MAC].concat();
    let message = packets::icmp(router, everyone, 134, 0, [64, 0, 0x07, 0x08], &body);
    let mut packet = packets::ip(router, everyone, protocol::ICMPV6, &message);
    packet[7] = 255;
    ethernet([0x33, 0x33, 0, 0, 0, 1], CLIENT_MAC, 0x86dd, &packet)
}

/// Whether the protected interface has an address with the announced prefix.
fn has_announced_address(lab: &Lab) -> Result<bool> {
    let addresses = lab.server.run(|| fs::read_to_string("/proc/thread-self/net/if_inet6"))?;
    Ok(addresses.lines().any(|line| line.starts_with("20010db800770000") && line.contains(PROTECTED)))
}

fn neighbours_and_routers_are_found_unless_discovery_is_off(lab: &Lab) -> Result<()> {
    let rules = "rule ping6 allow in icmpv6 type echo-request\n";
    lab.server.set(&format!("net/ipv6/conf/{PROTECTED}/accept_ra"), "1")?;
    let off = only(&format!("{rules}builtin nd off\n"));
    lab.attach(&["--policy", lab.policy(&off)?, "--mode", "enforce"])?;
    Pinger::new(&lab.client, SERVER_V6)?.is_denied()?;
    send_frames(&lab.client, PEER, &[router_advertisement()])?;
    eventually(|| {
        let denied = lab.denied(&["--proto", "icmpv6", "--ip", "fe80::ff"])?;
        ensure!(!denied.is_empty(), "the advertisement is not denied");
        Ok(())
    })?;
    ensure!(!has_announced_address(lab)?, "a denied advertisement made an address");

    lab.ctl(&["policy", "apply", lab.policy(&only(rules))?])?;
    eventually(|| Pinger::new(&lab.client, SERVER_V6)?.ping_once())?;
    send_frames(&lab.client, PEER, &[router_advertisement()])?;
    eventually(|| {
        ensure!(has_announced_address(lab)?, "the kernel made no address of the advertisement");
        Ok(())
    })?;
    let hits = number(&lab.rule("nd")?, "/hits/packets")?;
    ensure!(hits >= 3, "a solicitation, its answer and the advertisement: {hits}");
    // One that a router has forwarded is no discovery.
    let mut forwarded = router_advertisement();
    forwarded[14 + 7] = 254;
    let before = lab.reason("default-deny")?;
    send_frames(&lab.client, PEER, &[forwarded])?;
    ensure!(lab.reason("default-deny")? > before, "hop limit 254 passes as neighbour discovery");
    Ok(())
}
