//! The sockets of this network namespace, by inet_diag (NETLINK_SOCK_DIAG), as `ss` reads them.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    net::IpAddr,
};

use mseg_ebpf::packet::protocol;

use crate::{
    kernel::channel::{Channel, DUMP, attribute, bytes_at, u32_at},
    view::Endpoint,
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Bytes of `struct inet_diag_msg`.
const MESSAGE: usize = 72;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_SKV6ONLY: u16 = 11;

/// States of a socket (`net/tcp_states.h`); UDP has the first, when it is connected, and CLOSE.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const SYN_RECV: u8 = 3;
    pub(crate) const FIN_WAIT1: u8 = 4;
    pub(crate) const FIN_WAIT2: u8 = 5;
    pub(crate) const TIME_WAIT: u8 = 6;
    pub(crate) const CLOSE: u8 = 7;
    pub(crate) const CLOSE_WAIT: u8 = 8;
    pub(crate) const LAST_ACK: u8 = 9;
    pub(crate) const LISTEN: u8 = 10;
    pub(crate) const CLOSING: u8 = 11;
}

/// A TCP or UDP socket with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) protocol: u8,
    /// [`state`].
    pub(crate) state: u8,
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
    /// The interface it is bound to; 0: none.
    pub(crate) bound: u32,
    /// Its inode, by which processes refer to it.
    pub(crate) inode: u32,
    /// Whether it connected; false: it was accepted. `None`: the kernel's counts do not tell.
    pub(crate) connected: Option<bool>,
}

/// What one look at the kernel's sockets found.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) connected: Vec<Socket>,
    waiting: Waiting,
}

/// Where sockets wait for whoever comes first: TCP ones that listen, UDP ones without a peer.
#[derive(Debug, Default)]
struct Waiting {
    at: HashSet<(u8, IpAddr, u16)>,
}

impl Waiting {
    fn add(&mut self, protocol: u8, at: Endpoint, v6_only: bool) {
        self.at.insert((protocol, at.address, at.port));
        if at.address == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) && !v6_only {
            self.at.insert((protocol, IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), at.port));
        }
    }

    fn at(&self, protocol: u8, local: Endpoint) -> bool {
        let any: IpAddr = match local.address {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        [local.address, any].into_iter().any(|address| self.at.contains(&(protocol, address, local.port)))
    }
}

impl Sockets {
    /// Whether the local side is the server: it was connected to. Where the kernel does not tell, it is if somebody waits
    /// at its address and port.
    pub(crate) fn is_server(&self, socket: &Socket) -> bool {
        socket.connected.map_or_else(|| self.waiting.at(socket.protocol, socket.local), |connected| !connected)
    }

    /// Where TCP sockets listen, in order. Of one that takes both families at every address, both.
    pub(crate) fn listening(&self) -> Vec<Endpoint> {
        let tcp = self.waiting.at.iter().filter(|(protocol, _, _)| *protocol == protocol::TCP);
        let mut found: Vec<_> = tcp.map(|(_, address, port)| Endpoint { address: *address, port: *port }).collect();
        found.sort_by_key(|at| (at.port, at.address));
        found
    }

    /// The ports of UDP sockets that are not connected, and may have any number of peers.
    pub(crate) fn unconnected(&self) -> BTreeSet<u16> {
        let udp = self
            .waiting
            .at
            .iter()
            .filter(|(protocol, address, _)| *protocol == protocol::UDP && !address.is_loopback());
        udp.map(|(_, _, port)| *port).collect()
    }

    #[cfg(test)]
    pub(crate) fn waiting_at(protocol: u8, places: &[Endpoint]) -> Self {
        let mut sockets = Self::default();
        places.iter().for_each(|at| sockets.waiting.add(protocol, *at, true));
        sockets
    }

    fn add(&mut self, protocol: u8, body: &[u8]) {
        let Some((socket, v6_only)) = parse(protocol, body) else {
            return;
        };
        let waits = if protocol == protocol::TCP { state::LISTEN } else { state::CLOSE };
        if socket.state == waits {
            self.waiting.add(protocol, socket.local, v6_only);
        } else if socket.remote.port != 0 && socket.state != state::CLOSE {
            self.connected.push(socket);
        }
    }
}

/// Reads all TCP and UDP sockets. What the kernel refuses to tell is returned beside them.
pub(crate) fn read() -> (Sockets, Vec<(&'static str, io::Error)>) {
    let mut sockets = Sockets::default();
    let mut failed = Vec::new();
    for (what, number) in [("TCP sockets", protocol::TCP), ("UDP sockets", protocol::UDP)] {
        if let Err(error) = read_protocol(number, &mut sockets) {
            failed.push((what, error));
        }
    }
    (sockets, failed)
}

fn read_protocol(number: u8, sockets: &mut Sockets) -> io::Result<()> {
    let mut channel = Channel::open(libc::NETLINK_SOCK_DIAG)?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        // struct inet_diag_req_v2: family, protocol, extensions, padding, states, and an id that a dump ignores.
        let mut request = vec![family as u8, number, 1 << (INET_DIAG_INFO - 1), 0];
        // States 1 to 11: not those of a socket that is bound but neither listens nor connects.
        request.extend_from_slice(&0x0ffe_u32.to_ne_bytes());
        request.resize(56, 0);
        channel.ask(SOCK_DIAG_BY_FAMILY, DUMP, &request, &mut |kind, body| {
            if kind == SOCK_DIAG_BY_FAMILY {
                sockets.add(number, body);
            }
        })?;
    }
    Ok(())
}

/// A `struct inet_diag_msg` with its attributes. The flag: it takes no IPv4.
fn parse(protocol: u8, body: &[u8]) -> Option<(Socket, bool)> {
    let (family, state) = (i32::from(*body.first()?), *body.get(1)?);
    let attributes = body.get(MESSAGE..)?;
    // Both have room for IPv6; an IPv4 address comes first. A v4-mapped one is what the wire carries: IPv4.
    let address = |offset| -> Option<IpAddr> {
        match family {
            libc::AF_INET => Some(IpAddr::from(bytes_at::<4>(body, offset)?)),
            libc::AF_INET6 => Some(IpAddr::from(bytes_at::<16>(body, offset)?).to_canonical()),
            _ => None,
        }
    };
    let port = |offset| Some(u16::from_be_bytes(bytes_at(body, offset)?));
    let socket = Socket {
        protocol,
        state,
        local: Endpoint { address: address(8)?, port: port(4)? },
        remote: Endpoint { address: address(24)?, port: port(6)? },
        bound: u32_at(body, 40)?,
        inode: u32_at(body, 68)?,
        connected: u32_at(body, 60)
            .zip(attribute(attributes, INET_DIAG_INFO))
            .filter(|_| protocol == protocol::TCP)
            .and_then(|(queued, info)| connected(state, queued, info)),
    };
    let v6_only = attribute(attributes, INET_DIAG_SKV6ONLY).is_some_and(|value| value.first() == Some(&1));
    Some((socket, v6_only))
}

/// Whether a TCP socket connected. The kernel does not say so, but counts the SYN of who connects among the bytes that were
/// acknowledged, and not that of who accepts (`tcp_rcv_synsent_state_process` and `tcp_create_openreq_child`). Nothing, if
/// that does not come out even: the counts are of different moments.
///
/// `queued`: bytes not yet acknowledged, sent or not. `info`: a `struct tcp_info`.
fn connected(state: u8, queued: u32, info: &[u8]) -> Option<bool> {
    let count = |offset| bytes_at(info, offset).map(u64::from_ne_bytes);
    let (acknowledged, sent, sent_again) = (count(120)?, count(200)?, count(208)?);
    let unsent = u32_at(info, 144)?;
    let under_way = queued.checked_sub(unsent)?;
    // A FIN counts like a SYN. It is the last to be sent.
    let fin = match state {
        state::FIN_WAIT2 => 1,
        state::FIN_WAIT1 | state::CLOSING | state::LAST_ACK if unsent == 0 => 1,
        state::ESTABLISHED | state::CLOSE_WAIT | state::FIN_WAIT1 | state::CLOSING | state::LAST_ACK => 0,
        _ => return None,
    };
    let without_syn = sent.checked_sub(sent_again)?.checked_add(fin)?;
    match acknowledged.checked_add(under_way.into())?.checked_sub(without_syn)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::channel::push_attribute;

    fn message(family: i32, state: u8, local: (&[u8], u16), remote: (&[u8], u16)) -> Vec<u8> {
        let mut body = vec![0; MESSAGE];
        body[0] = family as u8;
        body[1] = state;
        body[4..6].copy_from_slice(&local.1.to_be_bytes());
        body[6..8].copy_from_slice(&remote.1.to_be_bytes());
        body[8..8 + local.0.len()].copy_from_slice(local.0);
        body[24..24 + remote.0.len()].copy_from_slice(remote.0);
        body[40..44].copy_from_slice(&3u32.to_ne_bytes());
        body
    }

    const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];

    #[test]
    fn a_v4_mapped_socket_is_an_ipv4_one() {
        let plain = message(libc::AF_INET, state::ESTABLISHED, (&[192, 0, 2, 1], 80), (&[192, 0, 2, 2], 4000));
        let mut peer = MAPPED;
        peer[15] = 2;
        let mapped = message(libc::AF_INET6, state::ESTABLISHED, (&MAPPED, 80), (&peer, 4000));
        let (socket, _) = parse(protocol::TCP, &plain).unwrap();
        assert_eq!(parse(protocol::TCP, &mapped).unwrap().0, socket);
        assert_eq!(
            (socket.local.to_string(), socket.remote.to_string()),
            ("192.0.2.1:80".into(), "192.0.2.2:4000".into())
        );
        assert_eq!(socket.bound, 3);
    }

    #[test]
    fn a_message_that_is_cut_short_is_no_socket() {
        let whole = message(libc::AF_INET, state::ESTABLISHED, (&[1, 2, 3, 4], 80), (&[1, 2, 3, 5], 4000));
        assert!(parse(protocol::TCP, &whole).is_some());
        assert!((0..MESSAGE).all(|length| parse(protocol::TCP, &whole[..length]).is_none()));
        assert!(parse(protocol::TCP, &message(libc::AF_UNIX, 1, (&[], 1), (&[], 1))).is_none());
    }

    #[test]
    fn the_side_that_is_waited_at_is_the_server() {
        let listening = |family, at: &[u8], port, v6_only| {
            let mut sockets = Sockets::default();
            let mut body = message(family, state::LISTEN, (at, port), (&[], 0));
            push_attribute(&mut body, INET_DIAG_SKV6ONLY, &[v6_only]);
            sockets.add(protocol::TCP, &body);
            sockets
        };
        let v4 = message(libc::AF_INET, state::ESTABLISHED, (&[192, 0, 2, 1], 80), (&[192, 0, 2, 2], 4000));
        let (v4, _) = parse(protocol::TCP, &v4).unwrap();
        assert!(listening(libc::AF_INET, &[192, 0, 2, 1], 80, 0).is_server(&v4));
        assert!(listening(libc::AF_INET, &[0; 4], 80, 0).is_server(&v4));
        assert!(listening(libc::AF_INET6, &[0; 16], 80, 0).is_server(&v4));
        assert!(listening(libc::AF_INET6, &MAPPED, 80, 0).is_server(&v4));
        assert!(!listening(libc::AF_INET6, &[0; 16], 80, 1).is_server(&v4));
        assert!(!listening(libc::AF_INET, &[192, 0, 2, 3], 80, 0).is_server(&v4));
        assert!(!listening(libc::AF_INET, &[0; 4], 4000, 0).is_server(&v4));
        assert!(!listening(libc::AF_INET, &[0; 4], 80, 0).is_server(&Socket { protocol: protocol::UDP, ..v4 }));
    }

    #[test]
    fn the_kernel_tells_of_our_own_sockets() {
        let listener =
            std::net::TcpListener::bind("[::]:0").or_else(|_| std::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (sockets, failed) = read();
        if !failed.is_empty() {
            eprintln!("SKIPPED: this kernel has no inet_diag: {failed:?}");
            return;
        }
        let own = stream.local_addr().unwrap().port();
        let ours = |s: &&Socket| s.protocol == protocol::TCP && [s.local.port, s.remote.port] == [own, port];
        let socket = sockets.connected.iter().find(ours).unwrap();
        assert_eq!(socket.state, state::ESTABLISHED);
        assert!(!sockets.is_server(socket));
        let other = Socket { local: socket.remote, remote: socket.local, connected: None, ..*socket };
        assert!(sockets.is_server(&other));
    }

    #[test]
    fn the_kernel_tells_who_connected_whatever_was_sent_and_closed_and_though_nobody_listens_any_more() {
        use std::{
            io::{Read, Write},
            net::{Shutdown, TcpListener, TcpStream},
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        drop(listener);
        let ports = [client.local_addr().unwrap().port(), server.local_addr().unwrap().port()];
        let check = |when: &str| {
            let (sockets, failed) = read();
            if !failed.is_empty() {
                eprintln!("SKIPPED: this kernel has no inet_diag: {failed:?}");
                return;
            }
            let is = |local, remote| {
                let of = |s: &&Socket| s.protocol == protocol::TCP && [s.local.port, s.remote.port] == [local, remote];
                sockets.connected.iter().find(of).map(|socket| sockets.is_server(socket))
            };
            assert_eq!([is(ports[0], ports[1]), is(ports[1], ports[0])], [Some(false), Some(true)], "{when}");
        };
        check("idle");
        let (mut client, mut server) = (&client, &server);
        for (mut from, mut to) in [(client, server), (server, client)] {
            for length in [1, 1000] {
                from.write_all(&vec![1; length]).unwrap();
                to.read_exact(&mut vec![0; length]).unwrap();
                check("after data");
            }
        }
        // More than the other side takes: some is under way, some waits.
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 65_536]).is_ok() {}
        std::thread::sleep(std::time::Duration::from_millis(300));
        check("with a full queue");
        client.set_nonblocking(false).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        check("with a FIN that waits");
        server.read_to_end(&mut Vec::new()).unwrap();
        check("half closed");
    }

    #[test]
    fn counts_that_do_not_come_out_even_tell_nothing() {
        let told = |acknowledged: u64, sent: u64, queued: u32| {
            let mut info = vec![0; 216];
            info[120..128].copy_from_slice(&acknowledged.to_ne_bytes());
            info[200..208].copy_from_slice(&sent.to_ne_bytes());
            let told = connected(state::ESTABLISHED, queued, &info);
            // As an older kernel has it.
            assert_eq!(connected(state::ESTABLISHED, queued, &info[..200]), None);
            told
        };
        assert_eq!([told(101, 100, 0), told(51, 100, 50), told(100, 100, 0)], [Some(true), Some(true), Some(false)]);
        assert_eq!([told(99, 100, 0), told(102, 100, 0), told(u64::MAX, 0, 1)], [None; 3]);
    }
}
