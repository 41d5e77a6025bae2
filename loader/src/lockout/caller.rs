//! By which connections the caller is here: `$SSH_CONNECTION`, his own or that of a process he descends from, and what
//! sshd or another server of logins holds that he descends from; in a terminal that descends from none, what any of them
//! holds.

use std::{
    collections::HashSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

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

/// Generations of processes to go back: more than anyone nests shells.
const ANCESTORS: usize = 64;
/// Programs by which one logs in from elsewhere, up to a hyphen: sshd-session is one. What other programs serve, as an
/// agent that runs this, is not the caller's connection.
const LOGIN_SERVERS: [&str; 7] = ["sshd", "dropbear", "telnetd", "in.telnetd", "rlogind", "in.rlogind", "login"];

/// Finds the caller's connections: those that have one of these sessions, or take a way through `attached`, which are of
/// this network namespace.
pub(super) fn look(
    ssh_connection: Option<&str>,
    attached: &[(u32, Interface)],
    sessions: &Sessions<'_>,
) -> Result<Surroundings> {
    let lineage = lineage();
    let said = ssh_connection.map(str::to_owned).or_else(|| lineage.iter().find_map(|process| variable(process)));
    let servers: Vec<_> = lineage.iter().filter(|process| serves_logins(process)).cloned().collect();
    // In a terminal multiplexer, which may be older than any log-in, or by su from another's: any that is here may be his.
    let servers = if servers.is_empty() && is_on_pseudo_terminal() {
        processes().filter(|process| serves_logins(process)).collect()
    } else {
        servers
    };
    let held: HashSet<u32> = servers.iter().flat_map(|process| inodes(process)).collect();
    let (sockets, failed) = socket::read();
    let mut unread: Vec<_> = failed.into_iter().map(|(what, error)| format!("{what} ({error})")).collect();
    let named = said.as_deref().and_then(parse);
    // What sshd writes if the connection is no TCP.
    if let (Some(said), None) = (&said, named)
        && !said.starts_with("UNKNOWN ")
    {
        unread.push(format!("$SSH_CONNECTION (`{said}`)"));
    }
    // Without it sockets are taken for what the wire has.
    let tracked = conntrack::read().unwrap_or_default();
    let flows = flows_of(named, &held, &sockets, &tracked);
    let (mut connections, mut carried) = (Vec::new(), Vec::new());
    if !flows.is_empty() {
        let mut ways = Ways::new(attached).map_err(|e| Error::system("read addresses and links", &e))?;
        for flow in flows {
            let way = ways.of(&flow).map_err(|e| Error::system("ask for a route", &e))?;
            let route = match way {
                Some(Way::Attached(_, record)) => Some(record),
                _ => None,
            };
            let next_hop = ways.next_hop(&flow).map_err(|e| Error::system("ask for a route", &e))?;
            let found = live::connections(&flow, route, &sessions.of(&flow)?, sessions.interfaces);
            carried.extend(ways.tunnel(&flow).map_err(|e| Error::system("ask for a route", &e))?);
            for connection in found {
                let connection = Connection { next_hop, ..connection };
                if !connections.contains(&connection) {
                    connections.push(connection);
                }
            }
        }
    }
    carried.dedup();
    Ok(Surroundings { connections, carried, listening: sockets.listening(), unread })
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

/// The directories in /proc of this process and those it descends from, but for the first of all.
fn lineage() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pid = std::process::id();
    while pid > 1 && found.len() < ANCESTORS {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let Ok(status) = fs::read_to_string(process.join("status")) else { break };
        found.push(process);
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        pid = parent.and_then(|parent| parent.trim().parse().ok()).unwrap_or(0);
    }
    found
}

/// `$SSH_CONNECTION` of a process; sudo and others take it out of ours.
fn variable(process: &Path) -> Option<String> {
    let environment = fs::read(process.join("environ")).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// Whether the controlling terminal is a pseudo-terminal: major numbers 136 to 143 (Documentation/admin-guide/devices.txt).
fn is_on_pseudo_terminal() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold anything: state, parent, group, session, terminal (proc_pid_stat(5)).
    let terminal = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(4)?.parse::<u32>().ok());
    terminal.is_some_and(|device| (136..=143).contains(&(device >> 8 & 0xfff)))
}

/// The directories in /proc of all processes.
fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).map(|entry| entry.path())
}

fn serves_logins(process: &Path) -> bool {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    LOGIN_SERVERS.iter().any(|server| name.trim_end().split('-').next() == Some(server))
}

/// The inodes of the sockets that a process holds.
fn inodes(process: &Path) -> Vec<u32> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
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

    #[test]
    fn a_process_descends_from_itself_first() {
        assert_eq!(lineage()[0], PathBuf::from(format!("/proc/{}", std::process::id())));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!inodes(&lineage()[0]).is_empty());
        drop(listener);
    }
}
