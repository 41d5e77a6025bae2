//! One conversation is one session, with the right ends, states and exact counts.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use mseg_tests::{
    capture::{Capture, Frame},
    documents::{expect, list, number, traffic},
    frames, interface,
    lab::{self, CLIENT_V4, CLIENT_V6, Lab, PEER, PROTECTED, SERVER_V4, SERVER_V6},
    network, on_both_hooks,
    packets::{self, Segment, protocol},
    require_tool,
    traffic::{icmp::Pinger, tcp, udp},
    wait::eventually,
};
use serde_json::Value;

on_both_hooks! {
    tcp_connection_over_ipv4_is_one_session,
    tcp_connection_over_ipv6_is_one_session,
    udp_exchange_is_one_session,
    ping_is_one_session,
    answered_questions_do_not_weigh_on_their_source,
    refused_questions_do_not_weigh_on_their_source,
    nobody_takes_his_own_sessions_off_his_count,
    clients_behind_nat_do_not_hold_each_other_up,
    failsafe_lets_in_a_source_that_is_over_its_limit,
    reset_closes_the_session_at_once,
    connection_that_the_protected_host_opens_goes_out,
    sessions_equal_what_the_interface_counted,
    session_is_listed_counted_got_and_deleted,
    reader_in_another_network_namespace_sees_the_same,
}

fn tcp_connection_over_ipv4_is_one_session(lab: &Lab) -> Result<()> {
    follow_a_connection(lab, SocketAddr::new(SERVER_V4, 8080))
}

fn tcp_connection_over_ipv6_is_one_session(lab: &Lab) -> Result<()> {
    follow_a_connection(lab, SocketAddr::new(SERVER_V6, 8080))
}

/// A resolver asks each question from a port of its own, and hears one answer to each.
fn answered_questions_do_not_weigh_on_their_source(lab: &Lab) -> Result<()> {
    lab.attach(&["--mode", "enforce", "--half-open-per-source", "64"])?;
    let mut pair = udp::Pair::open(&lab.client, &lab.server, SocketAddr::new(SERVER_V4, 53))?;
    for _ in 0..600 {
        pair.next_client(&lab.client)?;
        pair.ask(30, 60)?;
    }
    // Unanswered ones do.
    for _ in 0..600 {
        pair.next_client(&lab.client)?.send(b"?")?;
    }
    eventually(|| {
        let limited = number(&lab.stats()?, "/reasons/source-limit")?;
        ensure!(limited > 300, "{limited} packets were over the limit of their source");
        expect(&lab.stats()?, "/pressure/source_limited", limited)
    })
}

/// Whose errors these tests make up: there the host itself says nothing.
fn silence(lab: &Lab) -> Result<()> {
    lab.server.run(|| interface::remove_address(PROTECTED, SERVER_V4, 24))?;
    lab.server.run(|| interface::remove_address(PROTECTED, SERVER_V6, 64))
}

/// That the port cannot be reached, to who sent a packet.
fn unreachable(packet: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
    let [kind, code] = if from.is_ipv4() { [3, 3] } else { [1, 4] };
    packets::ip(from, to, packets::icmp_of(from), &packets::icmp(from, to, kind, code, [0; 4], packet))
}

fn refused_questions_do_not_weigh_on_their_source(lab: &Lab) -> Result<()> {
    lab.attach(&["--mode", "enforce", "--half-open-per-source", "64"])?;
    silence(lab)?;
    for [client, server] in [[CLIENT_V4, SERVER_V4], [CLIENT_V6, SERVER_V6]] {
        for port in 1000..1600 {
            let (from, to) = (SocketAddr::new(client, port), SocketAddr::new(server, 53));
            let question = packets::ip(client, server, protocol::UDP, &packets::udp(from, to, b"?"));
            let refusal = packets::to_client(&unreachable(&question, server, client));
            frames::send_frames(&lab.client, PEER, &[packets::to_server(&question)])?;
            frames::send_frames(&lab.server, PROTECTED, &[refusal])?;
        }
    }
    let stats = lab.stats()?;
    ensure!(stats["reasons"]["icmp-error"].as_u64() >= Some(1200), "{stats:#}");
    ensure!(stats["reasons"]["source-limit"].is_null(), "{stats:#}");
    Ok(())
}

fn nobody_takes_his_own_sessions_off_his_count(lab: &Lab) -> Result<()> {
    lab.attach(&["--mode", "enforce", "--half-open-per-source", "64"])?;
    silence(lab)?;
    let (client, server) = (CLIENT_V4, SERVER_V4);
    for port in 1000..1600 {
        let (from, to) = (SocketAddr::new(client, port), SocketAddr::new(server, 81));
        let segment = |sequence, acknowledgement, flags| Segment { sequence, acknowledgement, flags, window: 8192 };
        let packet = |from: SocketAddr, to: SocketAddr, segment| {
            packets::ip(from.ip(), to.ip(), protocol::TCP, &packets::tcp(from, to, segment, &[]))
        };
        let question = packet(from, to, segment(1000, 0, 0x02));
        let answer = packet(to, from, segment(5000, 1001, 0x12));
        frames::send_frames(&lab.client, PEER, &[packets::to_server(&question)])?;
        // What goes out without a session is told to who sends it.
        let _ = frames::send_frames(&lab.server, PROTECTED, &[packets::to_client(&answer)]);
        // That he did not ask for the answer; and, in the host's name, that the host does not answer.
        let refusals = [unreachable(&answer, client, server), unreachable(&question, server, client)];
        frames::send_frames(&lab.client, PEER, &refusals.map(|refusal| packets::to_server(&refusal)))?;
    }
    eventually(|| {
        let limited = number(&lab.stats()?, "/reasons/source-limit")?;
        ensure!(limited > 300, "{limited} packets were over the limit of their source");
        Ok(())
    })
}

fn clients_behind_nat_do_not_hold_each_other_up(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    let masquerade = format!(
        "table ip t {{ chain c {{ type nat hook postrouting priority 100; oifname {PROTECTED} masquerade; }}; }}"
    );
    network::nft(&lab.server, &masquerade)?;
    lab.attach(&["--mode", "enforce", "--half-open-per-source", "64"])?;
    let mut pair = udp::Pair::open(&far, &lab.client, SocketAddr::new(CLIENT_V4, 53))?;
    for _ in 0..600 {
        pair.next_client(&far)?.send(b"?")?;
    }
    udp::Pair::open(&far, &lab.client, SocketAddr::new(CLIENT_V4, 54))?.ask(30, 60)?;
    let listener = tcp::listen(&lab.client, SocketAddr::new(CLIENT_V4, 80))?;
    for client in [&far, &lab.server] {
        tcp::connect(client, &listener)?.exchange(1000, 1000)?;
    }
    let stats = lab.stats()?;
    ensure!(stats["reasons"]["source-limit"].is_null(), "{stats:#}");
    ensure!(number(&stats, "/sessions/half_open")? >= 500, "{stats:#}");
    Ok(())
}

fn failsafe_lets_in_a_source_that_is_over_its_limit(lab: &Lab) -> Result<()> {
    let policy = lab.policy("default in deny\nrule web allow in tcp to any port 81,82\n")?;
    lab.attach(&["--mode", "enforce", "--half-open-per-source", "16", "--policy", policy])?;
    // In the client's name, past its stack, and nobody answers.
    lab.server.run(|| interface::remove_address(PROTECTED, SERVER_V4, 24))?;
    lab.syns((1000..1600).collect())?;
    eventually(|| {
        ensure!(lab.stats()?["reasons"]["source-limit"].as_u64() > Some(300), "the source is not limited");
        Ok(())
    })?;
    lab.server.run(|| interface::add_address(PROTECTED, SERVER_V4, 24))?;
    let ssh = tcp::listen(&lab.server, SocketAddr::new(SERVER_V4, 22))?;
    tcp::connect(&lab.client, &ssh)?.exchange(100, 100)
}

fn udp_exchange_is_one_session(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    for (address, header) in lab::server(53).into_iter().zip([42, 62]) {
        let mut capture = lab.capture()?;
        let pair = udp::Pair::open(&lab.client, &lab.server, address)?;
        let port = pair.client.local_addr()?.port();
        pair.client.send(&[0; 100])?;
        eventually(|| expect(&lab.session("udp", port)?, "/state", "new"))?;
        pair.ask(100, 300)?;
        let session = counted(lab, "udp", port, &mut capture, |frame| frame.ports.contains(&port))?;
        has_ends(&session, address, port)?;
        expect(&session, "/state", "established")?;
        expect(&session, "/to_server/bytes", 200 + 2 * header)?;
        expect(&session, "/to_client/bytes", 300 + header)?;
    }
    Ok(())
}

fn ping_is_one_session(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    for (to, protocol, number) in [(SERVER_V4, "icmp", 1), (SERVER_V6, "icmpv6", 58)] {
        let mut capture = lab.capture()?;
        let mut pinger = Pinger::new(&lab.client, to)?;
        for _ in 0..3 {
            pinger.ping(56)?;
        }
        let id = pinger.id()?;
        // Neighbour discovery is ICMPv6 too; echo requests and replies are types 8, 0, 128 and 129 of code 0.
        let is_echo = |frame: &Frame| frame.protocol == number && [0x0800, 0, 0x8000, 0x8100].contains(&frame.ports[0]);
        let session = counted(lab, protocol, id, &mut capture, is_echo)?;
        has_ends(&session, SocketAddr::new(to, id), id)?;
        expect(&session, "/state", "established")?;
        expect(&session, "/to_server/packets", 3)?;
        expect(&session, "/to_client/packets", 3)?;
    }
    Ok(())
}

fn reset_closes_the_session_at_once(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    for address in lab::server(8080) {
        let listener = tcp::listen(&lab.server, address)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        let port = connection.client.local_addr()?.port();
        connection.exchange(10, 10)?;
        connection.reset()?;
        let session = eventually(|| {
            let session = lab.session("tcp", port)?;
            expect(&session, "/state", "closed")?;
            Ok(session)
        })?;
        expect(&session, "/tcp_state", "close")?;
    }
    Ok(())
}

fn connection_that_the_protected_host_opens_goes_out(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    for address in [CLIENT_V4, CLIENT_V6] {
        let listener = tcp::listen(&lab.client, SocketAddr::new(address, 8080))?;
        let mut connection = tcp::connect(&lab.server, &listener)?;
        connection.exchange(1000, 2000)?;
        let session = lab.session("tcp", connection.client.local_addr()?.port())?;
        expect(&session, "/direction", "out")?;
        expect(&session, "/server/address", address.to_string())?;
        expect(&session, "/server/port", 8080)?;
        expect(&session, "/state", "established")?;
    }
    Ok(())
}

fn sessions_equal_what_the_interface_counted(lab: &Lab) -> Result<()> {
    lab.without_offloads()?;
    // Without IPv6 and ARP nothing else is on the cable.
    lab.server.set(&format!("net/ipv6/conf/{PROTECTED}/disable_ipv6"), "1")?;
    lab.client.set(&format!("net/ipv6/conf/{PEER}/disable_ipv6"), "1")?;
    lab.server.run(|| interface::add_neighbour(PROTECTED, CLIENT_V4, lab::CLIENT_MAC))?;
    lab.client.run(|| interface::add_neighbour(PEER, SERVER_V4, lab::SERVER_MAC))?;
    lab.attach(&[])?;
    let before = lab.server.run(|| interface::counters(PROTECTED))?;
    let listener = tcp::listen(&lab.server, SocketAddr::new(SERVER_V4, 80))?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    let port = connection.client.local_addr()?.port();
    connection.exchange(500_000, 1_000_000)?;
    connection.finish_client()?;
    connection.finish_server()?;
    eventually(|| {
        let after = lab.server.run(|| interface::counters(PROTECTED))?;
        let [to_server, to_client] = traffic(&lab.session("tcp", port)?)?;
        let same = after.rx_packets - before.rx_packets == to_server.packets
            && after.rx_bytes - before.rx_bytes == to_server.bytes
            && after.tx_packets - before.tx_packets == to_client.packets
            && after.tx_bytes - before.tx_bytes == to_client.bytes;
        ensure!(same, "{before:?} {after:?} {to_server:?} {to_client:?}");
        let seen = number(&lab.stats()?, "/packets/seen")?;
        ensure!(seen == to_server.packets + to_client.packets, "{seen} packets seen");
        Ok(())
    })
}

fn session_is_listed_counted_got_and_deleted(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let listener = tcp::listen(&lab.server, lab::server(8080)[0])?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    connection.exchange(10, 10)?;
    let port = connection.client.local_addr()?.port();
    let session = lab.session("tcp", port)?;
    let id = session["id"].as_str().unwrap_or_default().to_owned();
    ensure!(!id.is_empty() && !id.contains(':'), "an id for shells: {id:?}");
    for key in ["created", "last_seen", "expires_in_s", "rule", "tcp_state"] {
        ensure!(!session[key].is_null(), "{key} is missing in {session:#}");
    }
    expect(&lab.json(&["session", "count", "--proto", "tcp"])?, "/count", 1)?;
    expect(&lab.json(&["session", "get", &id])?, "/id", id.as_str())?;
    lab.ctl(&["session", "delete", &id])?;
    ensure!(lab.sessions(&["--proto", "tcp"])?.is_empty(), "it is deleted");
    lab.run("msegctl", &["session", "get", &id])?.exits(1)?;
    lab.run("msegctl", &["session", "delete", &id])?.exits(1)?;
    // Within the grace period after attach it is picked up again.
    connection.exchange(10, 10)
}

fn reader_in_another_network_namespace_sees_the_same(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    Pinger::new(&lab.client, SERVER_V4)?.ping(8)?;
    let place = mseg_tests::process::Place { network: &lab.client, ..lab.place() };
    let listed = lab.run_in(place, "msegctl", &["-j", "session", "list", "--proto", "icmp"])?.ok()?.json()?;
    let sessions = list(&listed, "mseg.session-list/1", "sessions")?;
    ensure!(sessions.len() == 1, "{sessions:#?}");
    expect(&sessions[0], "/interface", PROTECTED)
}

fn follow_a_connection(lab: &Lab, address: SocketAddr) -> Result<()> {
    lab.without_offloads()?;
    lab.attach(&[])?;
    let mut capture = lab.capture()?;
    let listener = tcp::listen(&lab.server, address)?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    let port = connection.client.local_addr()?.port();
    let of_this = move |frame: &Frame| frame.protocol == 6 && frame.ports.contains(&port);

    connection.exchange(300_000, 700_000)?;
    let session = counted(lab, "tcp", port, &mut capture, of_this)?;
    has_ends(&session, address, port)?;
    expect(&session, "/state", "established")?;
    expect(&session, "/tcp_state", "established")?;
    let [to_server, to_client] = traffic(&session)?;
    ensure!(to_server.bytes > 300_000 && to_client.bytes > 700_000, "more than the data: {session:#}");

    connection.finish_client()?;
    let session = counted(lab, "tcp", port, &mut capture, of_this)?;
    expect(&session, "/state", "closing")?;
    connection.finish_server()?;
    // The last acknowledgement may still be on its way.
    eventually(|| {
        let session = counted(lab, "tcp", port, &mut capture, of_this)?;
        expect(&session, "/state", "closed")?;
        expect(&session, "/tcp_state", "time-wait")
    })
}

fn has_ends(session: &Value, server: SocketAddr, client_port: u16) -> Result<()> {
    let client = if server.is_ipv4() { CLIENT_V4 } else { CLIENT_V6 };
    expect(session, "/client/address", client.to_string())?;
    expect(session, "/client/port", client_port)?;
    expect(session, "/server/address", server.ip().to_string())?;
    expect(session, "/server/port", server.port())?;
    expect(session, "/direction", "in")?;
    expect(session, "/interface", PROTECTED)?;
    expect(session, "/verdict", "allow")
}

/// The session, once it has counted exactly what was on the cable.
fn counted(lab: &Lab, protocol: &str, port: u16, capture: &mut Capture, is: impl Fn(&Frame) -> bool) -> Result<Value> {
    eventually(|| {
        let session = lab.session(protocol, port)?;
        let (counted, crossed) = (traffic(&session)?, capture.count(&is)?);
        ensure!(counted == crossed, "the session counted {counted:?}, on the cable were {crossed:?}");
        Ok(session)
    })
}
