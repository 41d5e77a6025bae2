//! Attaching in enforce mode does not cut what was open before, unless the policy denies it.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::symlink,
    },
};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    documents::{expect, number},
    frames, interface,
    lab::{self, CLIENT_V4, CLIENT_V6, Lab, PEER, PROTECTED, SERVER_V4},
    namespace::Namespace,
    network::{self, FAR_HERE, WORKLOAD},
    on_both_hooks, packets,
    process::Ran,
    traffic::{tcp, udp},
    wait::{DENIED, SOON, eventually},
};
use serde_json::Value;

const POLICY: &str = "default in deny\ndefault out deny\nbuiltin icmp-errors off\n\
    rule web allow in tcp from any to any port 8080\nrule far allow out tcp from any to any port 9090\n\
    rule dns allow out udp from any to any port 53\n";

on_both_hooks! {
    open_connections_go_on_under_a_policy_that_allows_them,
    without_adoption_open_connections_are_cut,
    connection_that_the_policy_denies_is_cut_and_its_rule_named,
    half_closed_connections_can_be_finished,
    accepted_connection_whose_listener_is_closed_goes_on,
    connection_from_a_port_that_is_listened_on_goes_on,
    observe_adopts_too_and_a_second_time_nothing,
    what_is_not_adopted_is_reported,
    attach_that_fails_takes_back_what_it_adopted,
    connection_that_arrives_elsewhere_than_its_answers_leave_goes_on_if_either_interface_allows_it,
    connection_to_a_workload_is_adopted_in_its_zone,
    connections_of_workloads_on_a_bridge_are_adopted_at_their_ports,
    full_table_is_reported_and_nobody_is_pushed_out,
    stranger_does_not_cut_off_an_adopted_connection,
    fin_of_a_stranger_does_not_let_an_adopted_connection_expire,
    connection_that_no_rule_allows_opens_within_no_adopted_one,
    connection_that_was_opened_unseen_takes_the_place_of_one_that_was_closed,
}

/// TCP both ways over both families, one of them by a socket of the other family; UDP outwards.
struct Open {
    inbound: Vec<tcp::Connection>,
    outbound: Vec<tcp::Connection>,
    asked: Vec<udp::Pair>,
    _listeners: Vec<TcpListener>,
}

impl Open {
    fn new(lab: &Lab) -> Result<Self> {
        // Takes IPv4 as well, by v4-mapped addresses.
        let both = tcp::listen(&lab.server, "[::]:8080".parse()?)?;
        let mut open = Self { inbound: Vec::new(), outbound: Vec::new(), asked: Vec::new(), _listeners: Vec::new() };
        for address in lab::server(8080) {
            open.inbound.push(tcp::connect_to(&lab.client, &both, address)?);
        }
        open._listeners.push(both);
        for address in [CLIENT_V4, CLIENT_V6] {
            let listener = tcp::listen(&lab.client, SocketAddr::new(address, 9090))?;
            open.outbound.push(tcp::connect(&lab.server, &listener)?);
            open._listeners.push(listener);
            let pair = udp::Pair::open(&lab.server, &lab.client, SocketAddr::new(address, 53))?;
            pair.ask(10, 10)?;
            open.asked.push(pair);
        }
        open.tcp().try_for_each(|connection| connection.exchange(1000, 1000))?;
        Ok(open)
    }

    fn tcp(&mut self) -> impl Iterator<Item = &mut tcp::Connection> {
        self.inbound.iter_mut().chain(&mut self.outbound)
    }
}

fn answer_arrives(pair: &udp::Pair) -> Result<()> {
    pair.server.send_to(b"late", pair.client.local_addr()?)?;
    pair.client.set_read_timeout(Some(SOON))?;
    let received = pair.client.recv(&mut [0; 16]).context("the late answer does not arrive")?;
    ensure!(received == 4);
    Ok(())
}

/// Attaches and returns what the loader says of adoption.
fn attach(lab: &Lab, interfaces: &[&str], options: &[&str]) -> Result<Value> {
    let arguments = [&["-j", "attach", "--hook", lab.hook().name()], interfaces, options].concat();
    let mut document = lab.run("mseg-loader", &arguments)?.ok()?.json()?;
    Ok(document["adoption"].take())
}

fn enforce(lab: &Lab, more: &[&str]) -> Result<Value> {
    let options = [&["--mode", "enforce", "--midstream", "strict", "--policy", lab.policy(POLICY)?], more].concat();
    attach(lab, &[PROTECTED], &options)
}

fn unplaced<'a>(adoption: &'a Value, reason: &str) -> Option<&'a Value> {
    adoption["unplaced"].as_array()?.iter().find(|group| group["reason"] == reason)
}

fn open_connections_go_on_under_a_policy_that_allows_them(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    let adoption = enforce(lab, &[])?;
    expect(&adoption, "/adopted", 6)?;
    expect(&lab.stats()?, "/pressure/adopted", 6)?;
    expect(&adoption, "/by_protocol/tcp", 4)?;
    expect(&adoption, "/by_protocol/udp", 2)?;
    expect(&adoption, "/unplaced", Value::Array(Vec::new()))?;
    // What is adopted is open before a packet has said so.
    let (before, port) = (lab.sessions(&[])?, open.inbound[0].client.local_addr()?.port());
    ensure!(before.len() == 6 && before.iter().all(|session| session["picked_up"] == true), "{before:#?}");
    expect(&lab.session("tcp", port)?, "/to_server/packets", 0)?;

    open.asked.iter().try_for_each(answer_arrives)?;
    for connection in open.tcp() {
        connection.exchange(5000, 5000)?;
    }
    open.asked.iter().try_for_each(|pair| pair.ask(10, 10))?;
    expect(&lab.stats()?, "/packets/denied", 0)?;
    let sessions = lab.sessions(&["--proto", "tcp", "--proto", "udp"])?;
    ensure!(sessions.len() == 6, "one session each: {sessions:#?}");

    let ends = |session: &Value, client: SocketAddr, server: SocketAddr, direction: &str, rule: &str| -> Result<()> {
        expect(session, "/client/address", client.ip().to_string())?;
        expect(session, "/server/address", server.ip().to_string())?;
        expect(session, "/server/port", server.port())?;
        expect(session, "/direction", direction)?;
        expect(session, "/interface", PROTECTED)?;
        expect(session, "/rule", rule)?;
        expect(session, "/verdict", "allow")?;
        expect(session, "/state", "established")?;
        ensure!(number(session, "/to_server/packets")? > 0 && number(session, "/to_client/packets")? > 0);
        Ok(())
    };
    for (connections, direction, rule) in [(&open.inbound, "in", "web"), (&open.outbound, "out", "far")] {
        for connection in connections {
            let (client, server) = (connection.client.local_addr()?, connection.client.peer_addr()?);
            let session = lab.session("tcp", client.port())?;
            ends(&session, client, server, direction, rule)?;
            expect(&session, "/tcp_state", "established")?;
        }
    }
    for pair in &open.asked {
        let (client, server) = (pair.client.local_addr()?, pair.server.local_addr()?);
        ends(&lab.session("udp", client.port())?, client, server, "out", "dns")?;
    }
    // An adopted session ends like any other.
    let mut connection = open.inbound.remove(0);
    connection.finish_client()?;
    connection.finish_server()?;
    eventually(|| expect(&lab.session("tcp", port)?, "/state", "closed"))
}

fn without_adoption_open_connections_are_cut(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    expect(&enforce(lab, &["--no-adopt"])?, "", Value::Null)?;
    open.tcp().try_for_each(tcp::Connection::is_cut)?;
    ensure!(number(&lab.stats()?, "/reasons/tcp-midstream")? >= 4, "{:#}", lab.stats()?);
    for pair in &open.asked {
        pair.server.send_to(b"late", pair.client.local_addr()?)?;
        pair.client.set_read_timeout(Some(DENIED))?;
        ensure!(pair.client.recv(&mut [0; 16]).is_err(), "an answer arrived that must be denied");
    }
    ensure!(lab.sessions(&[])?.is_empty(), "a denied packet makes no session");
    // Adoption makes good for it, also later. Not of what the host itself could not send: Linux 6.1 gives those up after a
    // few seconds, and attaching may take as long.
    let adopted = number(&enforce(lab, &[])?, "/adopted")?;
    ensure!((4..=6).contains(&adopted), "{adopted}");
    for connection in &mut open.inbound {
        connection.exchange_late(1, 1000)?;
    }
    Ok(())
}

fn connection_that_the_policy_denies_is_cut_and_its_rule_named(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    let policy = lab.policy("rule no-web deny in tcp from any to any port 8080\n")?;
    let options = ["--mode", "enforce", "--midstream", "strict", "--policy", policy];
    expect(&attach(lab, &[PROTECTED], &options)?, "/adopted", 6)?;
    for connection in &mut open.inbound {
        connection.is_cut()?;
        let session = lab.session("tcp", connection.client.local_addr()?.port())?;
        expect(&session, "/rule", "no-web")?;
        expect(&session, "/verdict", "deny")?;
    }
    ensure!(number(&lab.rule("no-web")?, "/hits/packets")? >= 2, "its denials are counted");
    let stats = lab.stats()?;
    ensure!(stats.pointer("/reasons/tcp-midstream").is_none_or(|n| *n == 0), "{stats:#}");
    open.outbound.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))
}

fn half_closed_connections_can_be_finished(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    open.inbound[0].finish_client()?;
    open.inbound[1].finish_server()?;
    open.outbound[0].finish_client()?;
    open.outbound[1].finish_server()?;
    expect(&enforce(lab, &[])?, "/adopted", 6)?;
    let state = |connection: &tcp::Connection| -> Result<Value> {
        Ok(lab.session("tcp", connection.client.local_addr()?.port())?["tcp_state"].take())
    };
    for connections in [&open.inbound, &open.outbound] {
        ensure!(state(&connections[0])? == "fin-wait" && state(&connections[1])? == "close-wait");
    }
    for connections in [&mut open.inbound, &mut open.outbound] {
        // The other side still talks, then ends.
        let [first, second] = &mut connections[..] else { unreachable!("there are two") };
        send(&first.server, &first.client)?;
        send(&second.client, &second.server)?;
        // A FIN is believed once its receiver was heard, if only by an acknowledgement.
        for (connection, answers) in [(&*first, "to_server"), (&*second, "to_client")] {
            eventually(|| {
                let session = lab.session("tcp", connection.client.local_addr()?.port())?;
                ensure!(session[answers]["packets"] != 0, "the receiver was not heard");
                Ok(())
            })?;
        }
        first.finish_server()?;
        second.finish_client()?;
    }
    for connection in open.inbound.iter().chain(&open.outbound) {
        eventually(|| {
            let state = state(connection)?;
            ensure!(state == "time-wait", "{state}");
            Ok(())
        })?;
    }
    Ok(())
}

fn send(mut from: &TcpStream, mut to: &TcpStream) -> Result<()> {
    use std::io::{Read, Write};
    from.write_all(b"half")?;
    to.read_exact(&mut [0; 4]).context("what the open half sends does not arrive")
}

fn accepted_connection_whose_listener_is_closed_goes_on(lab: &Lab) -> Result<()> {
    let Open { mut inbound, _listeners: listeners, .. } = Open::new(lab)?;
    drop(listeners);
    enforce(lab, &[])?;
    for connection in &mut inbound {
        let session = lab.session("tcp", connection.client.local_addr()?.port())?;
        expect(&session, "/direction", "in")?;
        connection.exchange(1000, 1000)?;
    }
    expect(&lab.stats()?, "/packets/denied", 0)
}

fn connection_from_a_port_that_is_listened_on_goes_on(lab: &Lab) -> Result<()> {
    use nix::sys::socket::{Backlog, SockaddrStorage, connect, listen};
    let own = SocketAddr::new(SERVER_V4, 8080);
    let [listening, connecting] = [(), ()].map(|()| lab.server.run(|| shared_socket(own)));
    let (listening, connecting) = (listening?, connecting?);
    let far = tcp::listen(&lab.client, SocketAddr::new(CLIENT_V4, 9090))?;
    connect(connecting.as_raw_fd(), &SockaddrStorage::from(far.local_addr()?))?;
    listen(&listening, Backlog::new(1)?)?;
    let mut connection = tcp::Connection { client: connecting.into(), server: far.accept()?.0 };
    enforce(lab, &[])?;
    expect(&lab.session("tcp", own.port())?, "/direction", "out")?;
    connection.exchange(1000, 1000)?;
    expect(&lab.stats()?, "/packets/denied", 0)
}

/// A TCP socket that shares its address and port with others, as those of BGP speakers do.
fn shared_socket(at: SocketAddr) -> Result<OwnedFd> {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt::ReusePort,
    };
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    setsockopt(&socket, ReusePort, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at))?;
    Ok(socket)
}

fn observe_adopts_too_and_a_second_time_nothing(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    let policy = lab.policy(POLICY)?;
    expect(&attach(lab, &[PROTECTED], &["--no-adopt", "--policy", policy])?, "", Value::Null)?;
    ensure!(lab.sessions(&[])?.is_empty());
    expect(&attach(lab, &[PROTECTED], &[])?, "/adopted", 6)?;
    open.inbound[0].exchange(10, 10)?;
    let port = open.inbound[0].client.local_addr()?.port();
    let created = lab.session("tcp", port)?["created"].take();
    let again = attach(lab, &[PROTECTED], &["--adopt"])?;
    expect(&again, "/adopted", 0)?;
    expect(&again, "/known", 6)?;
    let session = lab.session("tcp", port)?;
    ensure!(number(&session, "/to_server/packets")? > 0, "a session that is there is left as it is: {session:#}");
    expect(&session, "/created", created)?;
    // Enforcing afterwards by another program cuts nothing.
    attach(lab, &[PROTECTED], &["--midstream", "strict"])?;
    lab.ctl(&["mode", "set", "enforce"])?;
    open.tcp().try_for_each(|connection| connection.exchange(1000, 1000))?;
    expect(&lab.stats()?, "/packets/denied", 0)
}

fn what_is_not_adopted_is_reported(lab: &Lab) -> Result<()> {
    let other = network::far(lab)?;
    let far = tcp::listen(&lab.server, SocketAddr::new(FAR_HERE[0], 8080))?;
    let _elsewhere = tcp::connect(&other, &far)?;
    let own = tcp::listen(&lab.server, "127.0.0.1:8080".parse()?)?;
    let mut loops = Vec::new();
    for _ in 0..6 {
        loops.push(tcp::connect(&lab.server, &own)?);
    }
    // Nobody answers there: its SYN is on its way for ever. Without an Ethernet address it would not even leave.
    lab.server.run(|| interface::add_neighbour(PROTECTED, "192.0.2.77".parse()?, [2, 0, 0, 0, 0, 77]))?;
    let opening = lab.server.run(|| opening("192.0.2.77:80".parse()?))?;
    let adoption = enforce(lab, &[])?;
    expect(&adoption, "/adopted", 0)?;
    let (state, elsewhere) = (unplaced(&adoption, "state"), unplaced(&adoption, "not-attached"));
    let (state, elsewhere) =
        (state.context("the unanswered one is not reported")?, elsewhere.context("the others are not reported")?);
    expect(state, "/count", 1)?;
    expect(state, "/connections/0/server/address", "192.0.2.77")?;
    // Loopback's have both their ends here, and are counted once; those of an interface come first.
    expect(elsewhere, "/count", 7)?;
    expect(elsewhere, "/connections/0/interface", "mseg1")?;
    expect(elsewhere, "/connections/0/server/address", FAR_HERE[0].to_string())?;
    expect(elsewhere, "/connections/6/interface", "lo")?;
    drop(opening);
    // Whom a socket that is not connected talks with, nobody knows.
    let socket = lab.server.run(|| std::net::UdpSocket::bind("0.0.0.0:123"))?;
    let adoption = attach(lab, &[PROTECTED], &["--adopt"])?;
    let unread = adoption["unread"].to_string();
    ensure!(unread.contains("the peers of UDP sockets that are not connected (ports 123)"), "{unread}");
    drop(socket);

    let arguments = ["attach", PROTECTED, "--adopt", "--hook", lab.hook().name()];
    let Ran { stdout, .. } = lab.run("mseg-loader", &arguments)?.ok()?;
    ensure!(stdout.contains("adopted: 0 open connections"), "{stdout}");
    ensure!(stdout.contains("7 that pass no attached interface") && stdout.contains("and 2 more"), "{stdout}");
    // Once it is attached there, it is theirs.
    expect(&attach(lab, &["mseg1"], &[])?, "/adopted", 1)?;
    let workload = network::workload(lab)?;
    let adoption = attach(lab, &["mseg2"], &["--role", "workload"])?;
    drop(workload);
    let unread = adoption["unread"].as_array().context("unread")?;
    ensure!(unread.iter().any(|u| u["what"] == "the workload behind mseg2"), "{adoption:#}");
    Ok(())
}

fn connection_that_was_opened_unseen_takes_the_place_of_one_that_was_closed(lab: &Lab) -> Result<()> {
    const PORT: u16 = 5555;
    let [to, _] = lab::server(8080);
    let listener = tcp::listen(&lab.server, to)?;
    enforce(lab, &[])?;
    // In the client's name, past its stack, which answers the answer with a reset.
    let from = SocketAddr::new(CLIENT_V4, PORT);
    let syn = packets::Segment { sequence: 1000, acknowledgement: 0, flags: SYN, window: 65_535 };
    let syn = packets::ip(from.ip(), to.ip(), packets::protocol::TCP, &packets::tcp(from, to, syn, &[]));
    frames::send_frames(&lab.client, PEER, &[packets::to_server(&syn)])?;
    eventually(|| expect(&lab.session("tcp", PORT)?, "/tcp_state", "close"))?;
    lab.run("mseg-loader", &["detach", PROTECTED])?.ok()?;
    let mut connection = tcp::connect_from(&lab.client, from, &listener)?;
    expect(&enforce(lab, &[])?, "/adopted", 1)?;
    expect(&lab.session("tcp", PORT)?, "/tcp_state", "established")?;
    connection.exchange(1000, 1000)?;
    expect(&lab.session("tcp", PORT)?, "/tcp_state", "established")?;
    // What has been seen since is not taken for outdated.
    expect(&enforce(lab, &[])?, "/adopted", 0)
}

/// A TCP connection that is being opened.
fn opening(to: SocketAddr) -> Result<OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
    let refused = connect(socket.as_raw_fd(), &SockaddrStorage::from(to));
    ensure!(refused == Err(nix::errno::Errno::EINPROGRESS), "{refused:?}");
    Ok(socket)
}

fn attach_that_fails_takes_back_what_it_adopted(lab: &Lab) -> Result<()> {
    let _other = network::far(lab)?;
    let mut open = Open::new(lab)?;
    open.tcp().try_for_each(|connection| connection.settle())?;
    lab.attach(&["--no-adopt", "--policy", lab.policy(POLICY)?])?;
    // Whoever is heard first, by then both were.
    open.inbound[0].exchange(10, 10)?;
    open.inbound[0].exchange(10, 10)?;
    let before = lab.sessions(&[])?.len();
    ensure!(before == 1, "only what was seen");
    // What is pinned as the program is none.
    lab.mounts.run(|| -> Result<()> {
        let program = "/sys/fs/bpf/mseg/default/progs/host_in";
        std::fs::remove_file(program)?;
        Ok(symlink("/sys/fs/bpf/mseg/default/maps/META", program)?)
    })?;
    let arguments = ["attach", "mseg1", "--adopt", "--mode", "enforce", "--hook", lab.hook().name()];
    lab.run("mseg-loader", &arguments)?.exits(1)?;
    ensure!(lab.sessions(&[])?.len() == before, "{:#?}", lab.sessions(&[])?);
    expect(&lab.stats()?, "/pressure/sessions_evicted", 0)?;
    expect(&lab.json(&["mode", "show"])?, "/mode", "observe")
}

fn connection_that_arrives_elsewhere_than_its_answers_leave_goes_on_if_either_interface_allows_it(
    lab: &Lab,
) -> Result<()> {
    let end = |namespace, name, mac| interface::End { namespace, name, mac, addresses: &[] };
    interface::join(
        end(&lab.server, "answers0", [2, 0, 0, 0, 3, 1]),
        end(&lab.client, "answers1", [2, 0, 0, 0, 3, 2]),
    )?;
    lab.server.run(|| interface::add_route(CLIENT_V4, "answers0", None))?;
    lab.client.set("net/ipv4/conf/all/rp_filter", "0")?;
    lab.client.set("net/ipv4/conf/answers1/rp_filter", "0")?;
    let listener = tcp::listen(&lab.server, SocketAddr::new(SERVER_V4, 8080))?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    connection.exchange(1000, 1000)?;
    let only_at = |interface: &str| {
        lab.policy(&format!(
            "default in deny\ndefault out deny\nrule web allow in tcp from any to any port 8080 iface {interface}\n"
        ))
    };
    let judged_at = |interface: &str| {
        let policy = only_at(interface)?;
        attach(lab, &[PROTECTED, "answers0"], &["--mode", "enforce", "--midstream", "strict", "--policy", policy])
    };
    expect(&judged_at(PROTECTED)?, "/adopted", 1)?;
    connection.exchange(1000, 1000)?;
    expect(&lab.session("tcp", 8080)?, "/interface", PROTECTED)?;
    // What the route's interface allows, nobody cuts by what he sends elsewhere in the client's name.
    lab.detach_all()?;
    expect(&judged_at("answers0")?, "/adopted", 1)?;
    connection.exchange(1000, 1000)?;
    expect(&lab.session("tcp", 8080)?, "/interface", "answers0")?;
    // Nor does it matter how much was seen of it, observing, before a policy came; or who was heard first, be it a stranger.
    for options in [&["--midstream", "strict"][..], &["--no-adopt", "--midstream", "pickup"]] {
        lab.detach_all()?;
        attach(lab, &[PROTECTED, "answers0"], options)?;
        if options.len() == 2 {
            guess(lab, "answers1", std::slice::from_ref(&connection), 12_345, ACK)?;
        }
        connection.exchange_to_client(1000)?;
        connection.exchange(1000, 1000)?;
        lab.ctl(&["policy", "apply", only_at(PROTECTED)?])?;
        connection.exchange(1000, 1000)?;
        lab.ctl(&["mode", "set", "enforce"])?;
        connection.exchange(1000, 1000)?;
        expect(&lab.session("tcp", 8080)?, "/interface", PROTECTED)?;
        expect(&lab.session("tcp", 8080)?, "/direction", "in")?;
    }
    Ok(())
}

fn full_table_is_reported_and_nobody_is_pushed_out(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    lab.attach(&["--no-adopt", "--half-open-per-source", "0"])?;
    fill(lab, 7_600)?;
    let before = number(&lab.json(&["session", "count", "--proto", "udp"])?, "/count")?;
    ensure!(before >= 7_500, "only {before} sessions were made");
    let adoption = attach(lab, &[PROTECTED], &["--adopt"])?;
    // TCP has a table of its own.
    expect(&adoption, "/adopted", 4)?;
    expect(unplaced(&adoption, "table-full").context("not reported")?, "/count", 2)?;
    let after = number(&lab.json(&["session", "count", "--proto", "udp"])?, "/count")?;
    ensure!(after == before, "{before} sessions before, {after} after");
    open.inbound[0].exchange(10, 10)
}

/// Makes that many UDP sessions: questions past the client's stack, answers past the server's.
fn fill(lab: &Lab, count: u32) -> Result<()> {
    let ends = |n: u32| -> Result<[SocketAddr; 2]> {
        let (port, service) = (1024 + u16::try_from(n % 60_000)?, 40_000 + u16::try_from(n / 60_000)?);
        Ok([SocketAddr::new(CLIENT_V4, port), SocketAddr::new(SERVER_V4, service)])
    };
    // What is not answered yet waits in a small table, and is promoted when the client goes on.
    for from in (0..count).step_by(2000) {
        let (mut questions, mut answers) = (Vec::new(), Vec::new());
        for n in from..(from + 2000).min(count) {
            let [client, server] = ends(n)?;
            questions.push(packets::to_server(&ip(client, server)));
            answers.push(frames::ethernet(lab::CLIENT_MAC, lab::SERVER_MAC, 0x0800, &ip(server, client)));
        }
        frames::send_frames(&lab.client, PEER, &questions)?;
        frames::send_frames(&lab.server, PROTECTED, &answers)?;
        frames::send_frames(&lab.client, PEER, &questions)?;
    }
    Ok(())
}

fn ip(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    packets::ip(from.ip(), to.ip(), packets::protocol::UDP, &packets::udp(from, to, b""))
}

fn connection_to_a_workload_is_adopted_in_its_zone(lab: &Lab) -> Result<()> {
    let workload = network::workload(lab)?;
    let listener = tcp::listen(&workload, SocketAddr::new(WORKLOAD, 8080))?;
    let mut connection = tcp::connect(&lab.server, &listener)?;
    let options = ["--role", "workload", "--mode", "enforce", "--midstream", "strict", "--policy", lab.policy(POLICY)?];
    expect(&attach(lab, &["mseg2"], &options)?, "/adopted", 1)?;
    connection.exchange(1000, 1000)?;
    let session = lab.session("tcp", connection.client.local_addr()?.port())?;
    expect(&session, "/direction", "in")?;
    expect(&session, "/rule", "web")?;
    expect(&session, "/zone", 1)?;
    expect(&session, "/interface", "mseg2")
}

fn connections_of_workloads_on_a_bridge_are_adopted_at_their_ports(lab: &Lab) -> Result<()> {
    const PORTS: [&str; 2] = ["port0", "port1"];
    let address = |host| IpAddr::from([203, 0, 113, host]);
    let mut workloads = Vec::new();
    for (number, port) in (0..).zip(PORTS) {
        let workload = Namespace::new()?;
        let addresses = [(address(2 + number), 24)];
        interface::join(
            interface::End { namespace: &lab.server, name: port, mac: [2, 0, 0, 0, 4, number], addresses: &[] },
            interface::End { namespace: &workload, name: "work0", mac: [2, 0, 0, 0, 5, number], addresses: &addresses },
        )?;
        workloads.push(workload);
    }
    lab.server.run(|| {
        interface::add_bridge("bridge0", &PORTS)?;
        interface::add_address("bridge0", address(1), 24)
    })?;
    let mut connections = Vec::new();
    for (number, workload) in (0..).zip(&workloads) {
        // One that the host opens, and one that it is asked for.
        let to = tcp::listen(workload, SocketAddr::new(address(2 + number), 8080))?;
        let from = tcp::listen(&lab.server, SocketAddr::new(address(1), 9090 + u16::from(number)))?;
        connections.push((tcp::connect(&lab.server, &to)?, PORTS[usize::from(number)], "in"));
        connections.push((tcp::connect(workload, &from)?, PORTS[usize::from(number)], "out"));
    }
    let policy = lab.policy(
        "default in deny\ndefault out deny\nrule web allow in tcp from any to any port 8080\n\
        rule back allow out tcp from any to any port 9090-9091\n",
    )?;
    let options = ["--role", "workload", "--mode", "enforce", "--midstream", "strict", "--policy", policy];
    let adoption = attach(lab, &PORTS, &options)?;
    expect(&adoption, "/adopted", 4)?;
    ensure!(unplaced(&adoption, "workload-port").is_none(), "{adoption:#}");
    for (connection, port, direction) in &mut connections {
        connection.exchange_to_client(1000)?;
        connection.exchange(1000, 1000)?;
        let session = lab.session("tcp", connection.client.local_addr()?.port())?;
        expect(&session, "/interface", *port)?;
        expect(&session, "/direction", *direction)?;
    }
    Ok(())
}

fn stranger_does_not_cut_off_an_adopted_connection(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    enforce(lab, &[])?;
    // Ahead of the connection's numbers and behind.
    for (sequence, flags) in [(0x1234_5678_u32, ACK), (0x9234_5678, ACK), (0x5234_5678, FIN | ACK)] {
        guess(lab, PEER, &open.inbound, sequence, flags)?;
        open.inbound.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))?;
    }
    expect(&lab.stats()?, "/packets/denied", 0)
}

fn fin_of_a_stranger_does_not_let_an_adopted_connection_expire(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    enforce(lab, &[])?;
    guess(lab, PEER, &open.inbound, 0x1234_5678, FIN | ACK)?;
    for connection in &mut open.inbound {
        let session = lab.session("tcp", connection.client.local_addr()?.port())?;
        expect(&session, "/tcp_state", "established")?;
        connection.exchange(1000, 1000)?;
    }
    expect(&lab.stats()?, "/packets/denied", 0)
}

fn connection_that_no_rule_allows_opens_within_no_adopted_one(lab: &Lab) -> Result<()> {
    let mut open = Open::new(lab)?;
    enforce(lab, &[])?;
    // What the other sides of outgoing connections send, were they to connect to the same ports.
    for connection in &open.outbound {
        let (inside, far) = (connection.client.local_addr()?, connection.client.peer_addr()?);
        let segment = packets::Segment { sequence: 1, acknowledgement: 0, flags: SYN, window: 65_535 };
        let packet = packets::tcp(far, inside, segment, b"");
        let frame = packets::to_server(&packets::ip(far.ip(), inside.ip(), packets::protocol::TCP, &packet));
        frames::send_frames(&lab.client, PEER, &[frame])?;
    }
    expect(&lab.stats()?, "/reasons/default-deny", open.outbound.len())?;
    open.outbound.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Segments in the clients' names, past their stack, with numbers of their own.
fn guess(lab: &Lab, interface: &str, connections: &[tcp::Connection], sequence: u32, flags: u8) -> Result<()> {
    let mut frames = Vec::new();
    for connection in connections {
        let (client, server) = (connection.client.local_addr()?, connection.client.peer_addr()?);
        let acknowledgement = sequence.wrapping_mul(3);
        let segment = packets::Segment { sequence, acknowledgement, flags, window: 65_535 };
        let packet = packets::tcp(client, server, segment, b"x");
        frames.push(packets::to_server(&packets::ip(client.ip(), server.ip(), packets::protocol::TCP, &packet)));
    }
    frames::send_frames(&lab.client, interface, &frames)
}
