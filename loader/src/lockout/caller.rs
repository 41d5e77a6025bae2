//! By which connections the caller is here: `$SSH_CONNECTION`, and what sshd or another server of logins holds that he
//! descends from.

use std::{collections::HashSet, io, net::IpAddr};

use mseg_ebpf::{
    abi::{
        interface::Interface,
        session::{SessionState, TcpState},
    },
    packet::protocol,
};

use super::{
    Connection, Surroundings,
    live::{self, Sessions},
    process::Process,
};
use crate::{
    adopt::{
        conntrack::{self, Tracked},
        flow::{self, Flow, Found, Towards},
        socket::{self, Socket, Sockets, state},
        way::{Way, Ways},
    },
    error::{Error, Result},
    view::Endpoint,
};

/// Finds the caller's connections: those that have one of these sessions, or take a way through `attached`, which are of
/// this network namespace.
pub(super) fn look(
    ssh_connection: Option<&str>,
    attached: &[(u32, Interface)],
    sessions: &Sessions<'_>,
) -> Result<Surroundings> {
    let (sockets, failed) = socket::read();
    let mut unread: Vec<_> = failed.into_iter().map(|(what, error)| format!("{what} ({error})")).collect();
    // Without it sockets are taken for what the wire has.
    let tracked = conntrack::read().unwrap_or_default();
    let (flows, mut carried) = follow(ssh_connection, &sockets, &tracked, &mut unread);
    let mut connections = Vec::new();
    if !flows.is_empty() {
        let mut ways = Ways::new(attached).map_err(|e| Error::system("read addresses and links", &e))?;
        for flow in flows {
            for connection in connections_of(&flow, &mut ways, sessions)? {
                if !connections.contains(&connection) {
                    connections.push(connection);
                }
            }
            carried.extend(ways.tunnel(&flow).map_err(no_route)?);
        }
    }
    carried.sort();
    carried.dedup();
    Ok(Surroundings { connections, carried, listening: sockets.listening(), unread })
}

fn no_route(error: io::Error) -> Error {
    Error::system("ask for a route", &error)
}

/// As what a flow is judged: by its sessions, and the way it takes.
fn connections_of(flow: &Flow, ways: &mut Ways<'_>, sessions: &Sessions<'_>) -> Result<Vec<Connection>> {
    let route = match ways.of(flow).map_err(no_route)? {
        Some(Way::Attached(_, record)) => Some(record),
        _ => None,
    };
    let live = sessions.of(flow)?;
    let arrive = live.iter().map(|(_, session)| session.ifindex);
    let links: Vec<_> = ways.neighbours(flow, arrive).map_err(no_route)?.iter().map(live::link).collect();
    let found = live::connections(flow, route, &live, sessions.interfaces).into_iter();
    Ok(found.map(|connection| Connection { links: links.clone(), ..connection }).collect())
}

/// The caller's flows. Where he logged in from this host itself, he came by those of who holds the other end, too; and what
/// holds it that came by none, and is no terminal's, carries him from elsewhere.
fn follow(
    ssh_connection: Option<&str>,
    sockets: &Sockets,
    tracked: &[Tracked],
    unread: &mut Vec<String>,
) -> (Vec<Flow>, Vec<String>) {
    let (mut flows, mut carried) = (Vec::new(), Vec::new());
    let mut processes = vec![(Process::own(), ssh_connection.map(str::to_owned))];
    while let Some((process, said)) = processes.pop() {
        let login = process.login();
        let said = said.or(login.variable);
        let named = said.as_deref().and_then(parse);
        // What sshd writes if the connection is no TCP.
        if let (Some(said), None) = (&said, named)
            && !said.starts_with("UNKNOWN ")
        {
            unread.push(format!("$SSH_CONNECTION (`{said}`)"));
        }
        let found = flows_of(named, &login.held, sockets, tracked);
        if found.is_empty() && process != Process::own() && !process.has_terminal() {
            carried.push(process.name());
        }
        for flow in found {
            if flows.contains(&flow) {
                continue;
            }
            flows.push(flow);
            let turned = |socket: &&Socket| (socket.local, socket.remote) == (flow.peer(), flow.near());
            if let Some(other_end) = sockets.connected.iter().find(turned) {
                processes.extend(Process::holding(other_end.inode).map(|holder| (holder, None)));
            }
        }
    }
    (flows, carried)
}

/// The flows that count. A variable can outlive its connection, as in a terminal multiplexer: then those that came in at
/// the same port count in its place, or it alone if there are none.
fn flows_of(
    said: Option<(Endpoint, Endpoint)>,
    held: &HashSet<u32>,
    sockets: &Sockets,
    tracked: &[Tracked],
) -> Vec<Flow> {
    let found = flow::of_sockets(sockets, tracked);
    let open: Vec<(&Socket, Flow)> = sockets
        .connected
        .iter()
        .zip(found)
        .filter(|(socket, _)| socket.protocol == protocol::TCP && socket.state == state::ESTABLISHED)
        .map(|(socket, Found::Flow(flow) | Found::Idle(flow))| (socket, flow))
        .collect();
    let incoming = |flow: &Flow| flow.towards == Towards::Client;
    let is_held = |socket: &Socket| socket.inode != 0 && held.contains(&socket.inode);
    let mut flows: Vec<Flow> =
        open.iter().filter(|(socket, flow)| is_held(socket) && incoming(flow)).map(|(_, flow)| *flow).collect();
    let Some((remote, local)) = said else { return flows };
    match open.iter().find(|(socket, _)| (socket.remote, socket.local) == (remote, local)) {
        // The variable knows who connected, even if nobody listens there any more.
        Some((_, flow)) => flows.push(Flow { bound: flow.bound, ..incoming_flow(flow.peer(), flow.near()) }),
        None if !flows.is_empty() => {}
        None => {
            let same_port = open.iter().filter(|(socket, flow)| socket.local.port == local.port && incoming(flow));
            flows.extend(same_port.map(|(_, flow)| *flow));
            if flows.is_empty() {
                // No socket has it.
                flows.push(Flow { state: SessionState::None, ..incoming_flow(remote, local) });
            }
        }
    }
    flows
}

pub(super) const fn incoming_flow(client: Endpoint, server: Endpoint) -> Flow {
    Flow {
        protocol: protocol::TCP,
        client,
        server,
        towards: Towards::Client,
        state: SessionState::Established,
        tcp_state: TcpState::Established,
        fins: 0,
        bound: 0,
        local: true,
        guessed: false,
    }
}

/// `$SSH_CONNECTION`: the client's address and port, then the server's (ssh(1)). Nothing if the connection is no TCP.
fn parse(variable: &str) -> Option<(Endpoint, Endpoint)> {
    let mut words = variable.split_ascii_whitespace();
    let mut endpoint = || {
        // A link-local address comes with its interface.
        let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        Some(Endpoint { address: address.to_canonical(), port: words.next()?.parse().ok()? })
    };
    Some((endpoint()?, endpoint()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Endpoint {
        let at: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: at.ip(), port: at.port() }
    }

    /// An established socket: local, remote, inode.
    fn socket((local, remote, inode): (&str, &str, u32)) -> Socket {
        let (local, remote) = (end(local), end(remote));
        Socket { protocol: protocol::TCP, state: state::ESTABLISHED, local, remote, bound: 0, inode, connected: None }
    }

    /// These sockets, and sshd listening.
    fn sockets(open: &[(&str, &str, u32)]) -> Sockets {
        let mut sockets = Sockets::waiting_at(protocol::TCP, &[end("0.0.0.0:22")]);
        sockets.connected.extend(open.iter().copied().map(socket));
        sockets
    }

    fn clients(said: Option<&str>, held: &[u32], sockets: &Sockets) -> Vec<String> {
        let flows = flows_of(said.and_then(parse), &held.iter().copied().collect(), sockets, &[]);
        flows.iter().map(|flow| flow.client.to_string()).collect()
    }

    const MINE: (&str, &str, u32) = ("192.0.2.2:22", "192.0.2.1:40000", 7);
    const OTHERS: (&str, &str, u32) = ("192.0.2.2:22", "192.0.2.9:50000", 8);
    const OUTGOING: (&str, &str, u32) = ("192.0.2.2:41000", "192.0.2.3:443", 9);

    #[test]
    fn the_variable_names_the_connection() {
        let said = Some("192.0.2.1 40000 192.0.2.2 22");
        assert_eq!(clients(said, &[], &sockets(&[OTHERS, MINE, OUTGOING])), ["192.0.2.1:40000"]);
    }

    #[test]
    fn a_connection_keeps_the_interface_that_its_addresses_are_of() {
        let mut sockets = Sockets::waiting_at(protocol::TCP, &[end("[::]:22")]);
        sockets.connected.push(Socket { bound: 5, ..socket(("[fe80::2]:22", "[fe80::1]:40000", 7)) });
        for said in [Some("fe80::1%eth0 40000 fe80::2%eth0 22"), None] {
            let flows = flows_of(said.and_then(parse), &[7].into(), &sockets, &[]);
            assert!(!flows.is_empty() && flows.iter().all(|flow| flow.bound == 5), "{said:?}: {flows:?}");
        }
    }

    #[test]
    fn the_variable_knows_the_client_when_nobody_listens_any_more() {
        let mut sockets = Sockets::default();
        sockets.connected.push(socket(MINE));
        assert_eq!(clients(Some("192.0.2.1 40000 192.0.2.2 22"), &[], &sockets), ["192.0.2.1:40000"]);
    }

    #[test]
    fn without_the_variable_what_sshd_holds_above_the_caller_counts() {
        assert_eq!(clients(None, &[3, 7, 9], &sockets(&[OTHERS, MINE, OUTGOING])), ["192.0.2.1:40000"]);
    }

    #[test]
    fn a_console_has_no_connection() {
        assert!(clients(None, &[], &sockets(&[OTHERS, OUTGOING])).is_empty());
        assert!(clients(Some("UNKNOWN 65535 UNKNOWN 65535"), &[], &sockets(&[OTHERS])).is_empty());
    }

    #[test]
    fn a_variable_that_outlived_its_connection_stands_for_the_port() {
        let said = Some("192.0.2.4 1 192.0.2.2 22");
        assert_eq!(clients(said, &[], &sockets(&[OTHERS, MINE, OUTGOING])), ["192.0.2.9:50000", "192.0.2.1:40000"]);
        assert_eq!(clients(said, &[], &sockets(&[OUTGOING])), ["192.0.2.4:1"]);
        assert_eq!(clients(said, &[7], &sockets(&[OTHERS, MINE])), ["192.0.2.1:40000"]);
    }

    #[test]
    fn addresses_of_the_variable_are_those_of_the_wire() {
        let (client, server) = parse("fe80::1%eth0 40000 ::ffff:192.0.2.2 22").unwrap();
        assert_eq!((client.to_string(), server.to_string()), ("[fe80::1]:40000".into(), "192.0.2.2:22".into()));
        for wrong in ["", "192.0.2.1", "192.0.2.1 1 192.0.2.2", "a b c d", "192.0.2.1 70000 192.0.2.2 22"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
