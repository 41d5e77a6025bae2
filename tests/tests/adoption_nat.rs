//! What nf_conntrack knows is adopted too: forwarded flows, and the addresses that the wire has of those behind NAT.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    documents::{expect, list, number},
    frames, interface,
    lab::{self, Lab, PEER, PROTECTED, SERVER_V4, SERVER_V6},
    namespace::Namespace,
    network::{self, FAR, FAR_HERE, FAR_INTERFACE, nft},
    on_both_hooks, on_both_hooks_over,
    packets::{self, Segment},
    require_tool,
    traffic::{tcp, udp},
};
use serde_json::Value;

const POLICY: &str = "default in deny\ndefault out deny\n\
    rule through allow in tcp from any to any port 7000\nrule beyond allow out tcp from any to any port 7000\n\
    rule ask allow in udp from any to any port 7000\nrule ask-beyond allow out udp from any to any port 7000\n\
    rule redirected allow in tcp from any to any port 80\n";

const WEB: &str = "default in deny\ndefault out deny\nrule web allow both tcp to any port 80\n";

on_both_hooks! {
    forwarded_flows_are_adopted,
    forwarded_connection_that_conntrack_picked_up_is_adopted_whoever_spoke_first,
    forwarded_connection_that_was_picked_up_from_its_server_is_turned_around,
    forwarded_connection_to_a_server_port_is_its_clients_as_soon_as_that_is_heard,
    forwarded_connection_whose_client_only_listens_goes_on_by_a_rule_of_the_clients_interface,
    forwarded_connection_that_is_denied_at_both_interfaces_is_cut_whoever_opened_it,
    forwarded_connection_that_was_first_seen_leaving_is_judged_where_it_arrives,
    forwarded_flows_behind_snat_are_adopted_on_both_sides,
    packet_in_the_name_that_nat_gives_lets_no_denied_connection_pass,
    redirected_connection_is_adopted_by_the_port_on_the_wire,
    forwarded_flow_that_no_attached_interface_sees_is_reported,
}

on_both_hooks_over! { OneArm:
    server_speaks_first_in_connections_that_a_one_armed_router_adopted,
    new_connections_pass_a_one_armed_router_that_has_adopted_others,
    connections_pass_a_one_armed_router_that_forwards_by_a_bridge_above_its_interface,
}

const TRACK: &str = "table inet t { chain c { type filter hook forward priority 0; ct state new accept; }; }";
const MASQUERADE: &str =
    "table ip t { chain c { type nat hook postrouting priority 100; oifname mseg1 masquerade; }; }";
const POOL: &str =
    "table ip t { chain c { type nat hook postrouting priority 100; oifname mseg1 snat to 203.0.113.5; }; }";
const REDIRECT: &str =
    "table inet t { chain c { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }; }";

fn enforce(lab: &Lab, interfaces: &[&str]) -> Result<Value> {
    enforce_policy(lab, POLICY, interfaces)
}

fn enforce_policy(lab: &Lab, policy: &str, interfaces: &[&str]) -> Result<Value> {
    let policy = lab.policy(policy)?;
    let options =
        ["-j", "attach", "--hook", lab.hook().name(), "--mode", "enforce", "--midstream", "strict", "--policy", policy];
    let mut document = lab.run("mseg-loader", &[&options, interfaces].concat())?.ok()?.json()?;
    Ok(document["adoption"].take())
}

/// Connections through the router, from the client to a port of the far host.
fn connections(lab: &Lab, far: &Namespace, port: u16) -> Result<Vec<tcp::Connection>> {
    let mut connections = Vec::new();
    for address in FAR {
        let listener = tcp::listen(far, SocketAddr::new(address, port))?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        connection.exchange(1000, 1000)?;
        connections.push(connection);
    }
    Ok(connections)
}

/// And questions.
fn flows(lab: &Lab, far: &Namespace) -> Result<(Vec<tcp::Connection>, Vec<udp::Pair>)> {
    let mut pairs = Vec::new();
    let connections = connections(lab, far, 7000)?;
    for address in FAR {
        let pair = udp::Pair::open(&lab.client, far, SocketAddr::new(address, 7000))?;
        pair.ask(10, 10)?;
        pairs.push(pair);
    }
    Ok((connections, pairs))
}

fn go_on(connections: &mut [tcp::Connection], pairs: &[udp::Pair]) -> Result<()> {
    connections.iter_mut().try_for_each(|connection| connection.exchange(5000, 5000))?;
    pairs.iter().try_for_each(|pair| pair.ask(10, 10))
}

fn session(lab: &Lab, client: (IpAddr, u16), server: SocketAddr) -> Result<Value> {
    let (address, port) = (client.0.to_string(), client.1.to_string());
    let found = lab.sessions(&["--proto", "tcp", "--ip", &address, "--port", &port])?;
    let [session] = &found[..] else { anyhow::bail!("expected one session of {client:?}: {found:#?}") };
    expect(session, "/client/address", address)?;
    expect(session, "/client/port", client.1)?;
    expect(session, "/server/address", server.ip().to_string())?;
    expect(session, "/server/port", server.port())?;
    expect(session, "/picked_up", true)?;
    Ok(session.clone())
}

/// Each is a session that its client has opened, by the rule and where it arrives.
fn clients_opened(lab: &Lab, connections: &[tcp::Connection]) -> Result<()> {
    for connection in connections {
        let (client, server) = (connection.client.local_addr()?, connection.client.peer_addr()?);
        let session = session(lab, (client.ip(), client.port()), server)?;
        expect(&session, "/direction", "in")?;
        expect(&session, "/interface", PROTECTED)?;
        expect(&session, "/rule", "through")?;
    }
    Ok(())
}

fn forwarded_flows_are_adopted(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    nft(&lab.server, TRACK)?;
    let (mut connections, pairs) = flows(lab, &far)?;
    // Both interfaces are of the host's zone: each flow is one session, opened where its client is.
    let adoption = enforce(lab, &[PROTECTED, FAR_INTERFACE])?;
    expect(&adoption, "/adopted", 4)?;
    expect(&adoption, "/by_protocol/udp", 2)?;
    go_on(&mut connections, &pairs)?;
    clients_opened(lab, &connections)?;
    ensure!(number(&lab.stats()?, "/packets/denied")? == 0, "{:#}", lab.stats()?);
    Ok(())
}

fn forwarded_connection_that_conntrack_picked_up_is_adopted_whoever_spoke_first(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    let (mut connections, _) = flows(lab, &far)?;
    nft(&lab.server, TRACK)?;
    // To conntrack the server has opened them.
    connections.iter_mut().try_for_each(|connection| connection.exchange_to_client(1000))?;
    connections.iter().try_for_each(tcp::Connection::settle)?;
    expect(&enforce(lab, &[PROTECTED, FAR_INTERFACE])?, "/by_protocol/tcp", 2)?;
    connections.iter_mut().try_for_each(|connection| connection.exchange_to_client(1000))?;
    connections.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))?;
    clients_opened(lab, &connections)?;
    expect(&lab.stats()?, "/packets/denied", 0)
}

/// A port that may as well be a client's.
const HIGH: u16 = 65_000;

/// Connections through the router to [`HIGH`] that observing has picked up by their servers' packets.
fn opened_by_servers(lab: &Lab) -> Result<Vec<tcp::Connection>> {
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    let mut connections = connections(lab, &far, HIGH)?;
    observe(lab, &[PROTECTED, FAR_INTERFACE])?;
    servers_speak(&mut connections)?;
    ensure!(lab.sessions(&["--proto", "tcp", "--sport", "65000"])?.len() == 2, "taken for opened by the server");
    Ok(connections)
}

fn observe(lab: &Lab, interfaces: &[&str]) -> Result<()> {
    let options = ["attach", "--hook", lab.hook().name(), "--midstream", "strict", "--no-adopt"];
    lab.run("mseg-loader", &[&options, interfaces].concat())?.ok()?;
    Ok(())
}

fn servers_speak(connections: &mut [tcp::Connection]) -> Result<()> {
    connections.iter_mut().try_for_each(|connection| connection.exchange_to_client(1000))?;
    connections.iter().try_for_each(tcp::Connection::settle)
}

/// Applies a policy that denies whatever no rule of it allows, and enforces it.
fn enforce_rules(lab: &Lab, rules: &str) -> Result<()> {
    lab.ctl(&["policy", "apply", lab.policy(&format!("default in deny\ndefault out deny\n{rules}"))?])?;
    lab.ctl(&["mode", "set", "enforce"])?;
    Ok(())
}

fn rule_at_the_clients_interface() -> String {
    format!("rule through allow in tcp to any port 7000,{HIGH} iface {PROTECTED}\n")
}

fn forwarded_connection_that_was_picked_up_from_its_server_is_turned_around(lab: &Lab) -> Result<()> {
    let mut connections = opened_by_servers(lab)?;
    enforce_rules(lab, &rule_at_the_clients_interface())?;
    connections.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))?;
    clients_opened(lab, &connections)?;
    // A rule has decided it: when that is gone, so is the connection.
    lab.ctl(&["policy", "apply", lab.policy("default in deny\ndefault out allow\n")?])?;
    connections.iter_mut().try_for_each(tcp::Connection::is_cut)
}

fn forwarded_connection_to_a_server_port_is_its_clients_as_soon_as_that_is_heard(lab: &Lab) -> Result<()> {
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    let mut connections = connections(lab, &far, 7000)?;
    observe(lab, &[PROTECTED, FAR_INTERFACE])?;
    servers_speak(&mut connections)?;
    let established = lab.sessions(&["--proto", "tcp", "--dport", "7000", "--iface", PROTECTED])?;
    ensure!(established.len() == 2 && established.iter().all(|it| it["state"] == "established"), "{established:#?}");
    Ok(())
}

fn forwarded_connection_whose_client_only_listens_goes_on_by_a_rule_of_the_clients_interface(lab: &Lab) -> Result<()> {
    let mut connections = opened_by_servers(lab)?;
    enforce_rules(lab, &rule_at_the_clients_interface())?;
    // Denied, nothing would have the client answer: where it arrives, the route says.
    servers_speak(&mut connections)?;
    clients_opened(lab, &connections)
}

fn forwarded_connection_that_is_denied_at_both_interfaces_is_cut_whoever_opened_it(lab: &Lab) -> Result<()> {
    let mut connections = opened_by_servers(lab)?;
    enforce_rules(
        lab,
        &format!(
            "rule here deny in tcp iface {PROTECTED}\nrule there deny in tcp iface {FAR_INTERFACE}\n\
             rule others allow in tcp\n"
        ),
    )?;
    connections.iter_mut().try_for_each(tcp::Connection::is_cut)
}

fn forwarded_connection_that_was_first_seen_leaving_is_judged_where_it_arrives(lab: &Lab) -> Result<()> {
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    let (mut connections, _) = flows(lab, &far)?;
    observe(lab, &[FAR_INTERFACE])?;
    connections.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))?;
    ensure!(lab.sessions(&["--proto", "tcp", "--iface", FAR_INTERFACE])?.len() == 2, "taken for leaving");
    observe(lab, &[PROTECTED])?;
    connections.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))?;
    enforce_rules(lab, &rule_at_the_clients_interface())?;
    connections.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))?;
    clients_opened(lab, &connections)
}

fn forwarded_flows_behind_snat_are_adopted_on_both_sides(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    nft(&lab.server, TRACK)?;
    nft(&lab.server, MASQUERADE)?;
    let (mut connections, pairs) = flows(lab, &far)?;
    // Over IPv4 there are two tuples, one on each cable; over IPv6 one.
    expect(&enforce(lab, &[PROTECTED, FAR_INTERFACE])?, "/adopted", 6)?;
    go_on(&mut connections, &pairs)?;
    let (client, server) = (connections[0].client.local_addr()?, connections[0].client.peer_addr()?);
    let inside = session(lab, (client.ip(), client.port()), server)?;
    expect(&inside, "/direction", "in")?;
    expect(&inside, "/interface", PROTECTED)?;
    let outside = session(lab, (FAR_HERE[0], connections[0].server.peer_addr()?.port()), server)?;
    expect(&outside, "/direction", "out")?;
    expect(&outside, "/interface", FAR_INTERFACE)?;
    expect(&outside, "/rule", "beyond")?;
    for side in [&inside, &outside] {
        ensure!(number(side, "/to_server/packets")? > 0 && number(side, "/to_client/packets")? > 0, "{side:#}");
    }
    ensure!(number(&lab.stats()?, "/packets/denied")? == 0, "{:#}", lab.stats()?);
    Ok(())
}

fn packet_in_the_name_that_nat_gives_lets_no_denied_connection_pass(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    let far = network::far(lab)?;
    network::route(lab, &far)?;
    nft(&lab.server, POOL)?;
    // As is usual with a pool: what nobody has sent for goes round in no circles.
    ip(&lab.server, "route add blackhole 203.0.113.0/28")?;
    ip(&far, &format!("route add 203.0.113.0/28 via {}", FAR_HERE[0]))?;
    for interface in ["all", PROTECTED] {
        lab.server.set(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
    }
    let lan = format!(
        "default in deny\ndefault out deny\nrule lan allow in tcp from any to any port 7000 iface {PROTECTED}\n"
    );
    let both = format!("{lan}rule wan allow out tcp from 203.0.113.5 to any port 7000 iface {FAR_INTERFACE}\n");
    enforce_policy(lab, &both, &[PROTECTED, FAR_INTERFACE])?;
    let listener = tcp::listen(&far, SocketAddr::new(FAR[0], 7000))?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    connection.exchange(1000, 1000)?;
    lab.ctl(&["policy", "apply", lab.policy(&lan)?])?;
    let (pool, server) = (connection.server.peer_addr()?, connection.server.local_addr()?);
    ensure!(pool.ip() == IpAddr::from([203, 0, 113, 5]), "{pool}");
    let guess = Segment { sequence: 1, acknowledgement: 1, flags: 0x10, window: 1000 };
    let bytes = packets::tcp(pool, server, guess, &[]);
    let frame = packets::to_server(&packets::ip(pool.ip(), server.ip(), packets::protocol::TCP, &bytes));
    connection.is_cut()?;
    frames::send_frames(&lab.client, PEER, &[frame])?;
    connection.is_cut()
}

fn ip(namespace: &Namespace, arguments: &str) -> Result<()> {
    let ran = namespace.run(|| Command::new("ip").args(arguments.split(' ')).status())?;
    ensure!(ran.success(), "ip {arguments}: {ran}");
    Ok(())
}

fn redirected_connection_is_adopted_by_the_port_on_the_wire(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    nft(&lab.server, REDIRECT)?;
    let listener = tcp::listen(&lab.server, "[::]:8080".parse()?)?;
    let mut connections = Vec::new();
    for address in lab::server(80) {
        connections.push((tcp::connect_to(&lab.client, &listener, address)?, address));
    }
    expect(&enforce(lab, &[PROTECTED])?, "/adopted", 2)?;
    for (connection, address) in &mut connections {
        connection.exchange(1000, 1000)?;
        let client = connection.client.local_addr()?;
        let session = session(lab, (client.ip(), client.port()), *address)?;
        expect(&session, "/direction", "in")?;
        expect(&session, "/rule", "redirected")?;
    }
    Ok(())
}

fn forwarded_flow_that_no_attached_interface_sees_is_reported(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    let (far, workload) = (network::far(lab)?, network::workload(lab)?);
    network::route(lab, &far)?;
    nft(&lab.server, TRACK)?;
    let (_connections, _pairs) = flows(lab, &far)?;
    let adoption = enforce(lab, &[network::WORKLOAD_INTERFACE])?;
    drop(workload);
    expect(&adoption, "/adopted", 0)?;
    let group =
        adoption["unplaced"].as_array().and_then(|groups| groups.iter().find(|g| g["reason"] == "not-attached"));
    expect(group.context("they are not reported")?, "/count", 4)
}

/// Makes the lab's server forward by its one interface, opens a connection through it over each family, and enforces.
fn adopted_by_one_arm(lab: &Lab) -> Result<(Vec<TcpListener>, Vec<tcp::Connection>)> {
    let far = &lab.between[0];
    network::route(lab, far)?;
    nft(&lab.server, TRACK)?;
    let (mut listeners, mut connections) = (Vec::new(), Vec::new());
    for address in FAR {
        let listener = tcp::listen(far, SocketAddr::new(address, 80))?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        connection.exchange(1000, 1000)?;
        // What the client acknowledged late would leave before the server says more.
        connection.settle()?;
        listeners.push(listener);
        connections.push(connection);
    }
    expect(&enforce_policy(lab, WEB, &[PROTECTED])?, "/adopted", 2)?;
    Ok((listeners, connections))
}

/// Of what the hosts may report of themselves meanwhile, such as their multicast groups, nothing is said.
fn nothing_is_denied(lab: &Lab) -> Result<()> {
    let denied = list(&lab.json(&["denied", "list"])?, "mseg.denied-list/1", "denied")?;
    ensure!(denied.iter().all(|denied| denied["protocol"] != "tcp"), "{denied:#?}");
    Ok(())
}

fn server_speaks_first_in_connections_that_a_one_armed_router_adopted(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    let (_listeners, mut connections) = adopted_by_one_arm(lab)?;
    for connection in &mut connections {
        connection.exchange_to_client(1000)?;
        connection.exchange(5000, 5000)?;
    }
    nothing_is_denied(lab)
}

fn new_connections_pass_a_one_armed_router_that_has_adopted_others(lab: &Lab) -> Result<()> {
    require_tool!("nft");
    let (listeners, mut connections) = adopted_by_one_arm(lab)?;
    for (listener, adopted) in listeners.iter().zip(&mut connections) {
        let mut new = tcp::connect(&lab.client, listener)?;
        new.exchange_to_client(1000)?;
        new.exchange(5000, 5000)?;
        adopted.exchange(5000, 5000)?;
    }
    nothing_is_denied(lab)
}

fn connections_pass_a_one_armed_router_that_forwards_by_a_bridge_above_its_interface(lab: &Lab) -> Result<()> {
    let far = &lab.between[0];
    lab.server.run(|| -> Result<()> {
        interface::add_bridge("bridge0", &[PROTECTED])?;
        for (addresses, prefix) in [([SERVER_V4, FAR_HERE[0]], 24), ([SERVER_V6, FAR_HERE[1]], 64)] {
            for address in addresses {
                interface::remove_address(PROTECTED, address, prefix)?;
                interface::add_address("bridge0", address, prefix)?;
            }
        }
        Ok(())
    })?;
    network::route(lab, far)?;
    enforce_policy(lab, "default in deny\ndefault out deny\nrule web allow in tcp to any port 80\n", &[PROTECTED])?;
    for address in FAR {
        let listener = tcp::listen(far, SocketAddr::new(address, 80))?;
        tcp::connect(&lab.client, &listener)?.exchange(5000, 5000)?;
        let denied = tcp::listen(far, SocketAddr::new(address, 81))?;
        tcp::is_denied(&lab.client, denied.local_addr()?)?;
    }
    Ok(())
}
