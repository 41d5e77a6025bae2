//! From sockets and conntrack's entries to flows: who opened what, in which state, and how TC sees it.
//!
//! TC stands outside of netfilter: on ingress a packet is seen before conntrack and DNAT, on egress after SNAT. So an
//! interface towards a flow's opener sees, both ways, conntrack's original tuple; an interface towards the other side
//! sees the reply tuple, turned around. A forwarded flow passes both, a local one only that towards its peer. A socket
//! has the addresses inside of NAT: where conntrack has an entry for it, that says what the wire has.

use std::collections::HashMap;

use mseg_ebpf::{
    abi::session::{SessionState, TcpState},
    packet::protocol,
    session::tcp::{self, FIN_CLIENT, FIN_SERVER},
};
use zerocopy::TryFromBytes;

use super::{
    conntrack::{Tracked, Tuple},
    socket::{Socket, Sockets, state},
};
use crate::view::Endpoint;

/// Which of its two sides an interface is towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Towards {
    Client,
    Server,
}

/// A flow, as it looks on one side of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) protocol: u8,
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) towards: Towards,
    pub(crate) state: SessionState,
    pub(crate) tcp_state: TcpState,
    pub(crate) fins: u8,
    /// The interface it is bound to; 0: none.
    pub(crate) bound: u32,
    /// Whether it is a socket's, whose near end is certainly here.
    pub(crate) local: bool,
    /// Whether it may be the other side that opened it.
    pub(crate) guessed: bool,
}

impl Flow {
    /// The end beyond the interface.
    pub(crate) fn peer(&self) -> Endpoint {
        if self.towards == Towards::Client { self.client } else { self.server }
    }

    /// The end on this side of the interface.
    pub(crate) fn near(&self) -> Endpoint {
        if self.towards == Towards::Client { self.server } else { self.client }
    }
}

/// What becomes of a socket or entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// To be adopted.
    Flow(Flow),
    /// In a state in which it needs no session, or must not have one: its next packet is judged by itself.
    Idle(Flow),
}

/// What NAT makes of sockets: from (protocol, local, remote) to the same on the wire.
type Translated = HashMap<(u8, Endpoint, Endpoint), (Endpoint, Endpoint)>;

fn translated(tracked: &[Tracked]) -> Translated {
    let mut changed = HashMap::new();
    for Tracked { protocol, original, reply, .. } in tracked {
        let turned = Tuple { source: reply.destination, destination: reply.source };
        if *original != turned {
            // The opener's own socket, seen beyond NAT by the interface towards the server; and the other way about.
            changed.insert((*protocol, original.source, original.destination), (turned.source, turned.destination));
            changed.insert((*protocol, turned.destination, turned.source), (original.destination, original.source));
        }
    }
    changed
}

/// The flows of all connected sockets.
pub(crate) fn of_sockets(sockets: &Sockets, tracked: &[Tracked]) -> Vec<Found> {
    let translated = translated(tracked);
    sockets.connected.iter().map(|socket| of_socket(socket, sockets.is_server(socket), &translated)).collect()
}

fn of_socket(socket: &Socket, is_server: bool, translated: &Translated) -> Found {
    let (local, remote) = translated
        .get(&(socket.protocol, socket.local, socket.remote))
        .copied()
        .unwrap_or((socket.local, socket.remote));
    let (client, server, towards) =
        if is_server { (remote, local, Towards::Client) } else { (local, remote, Towards::Server) };
    let mut flow = Flow {
        protocol: socket.protocol,
        client,
        server,
        towards,
        state: SessionState::Established,
        tcp_state: TcpState::None,
        fins: 0,
        bound: socket.bound,
        local: true,
        // That somebody listens where it is may be chance.
        guessed: socket.protocol == protocol::TCP && socket.connected.is_none(),
    };
    // A UDP socket with a peer is meant to be answered, whether it was yet or not.
    if socket.protocol != protocol::TCP {
        return Found::Flow(flow);
    }
    let (own, others) = if is_server { (FIN_SERVER, FIN_CLIENT) } else { (FIN_CLIENT, FIN_SERVER) };
    let (tcp_state, fins) = match socket.state {
        state::ESTABLISHED => (TcpState::Established, 0),
        state::SYN_RECV => (TcpState::SynRecv, 0),
        state::FIN_WAIT1 | state::FIN_WAIT2 => (after_fin(own), own),
        state::CLOSE_WAIT => (after_fin(others), others),
        state::CLOSING | state::LAST_ACK => (TcpState::LastAck, FIN_CLIENT | FIN_SERVER),
        state::TIME_WAIT => (TcpState::TimeWait, FIN_CLIENT | FIN_SERVER),
        // SYN_SENT: the SYN is sent again, and opens the session then. Nothing else is left.
        _ => (TcpState::None, 0),
    };
    if tcp_state == TcpState::None {
        flow.state = SessionState::New;
        flow.tcp_state = TcpState::SynSent;
        return Found::Idle(flow);
    }
    flow.set_tcp_state(tcp_state, fins);
    Found::Flow(flow)
}

const fn after_fin(of: u8) -> TcpState {
    if of == FIN_CLIENT { TcpState::FinWait } else { TcpState::CloseWait }
}

impl Flow {
    fn set_tcp_state(&mut self, tcp_state: TcpState, fins: u8) {
        self.tcp_state = tcp_state;
        self.fins = fins;
        self.state = SessionState::try_read_from_bytes(&[tcp::session_state(tcp_state as u8)]).unwrap_or_default();
    }
}

/// The two sides of a conntrack entry: towards its opener, and towards the other end.
pub(crate) fn of_tracked(tracked: &Tracked) -> [Found; 2] {
    [(tracked.original.source, tracked.original.destination, Towards::Client), {
        (tracked.reply.destination, tracked.reply.source, Towards::Server)
    }]
    .map(|(client, server, towards)| of_side(tracked, client, server, towards))
}

fn of_side(tracked: &Tracked, client: Endpoint, server: Endpoint, towards: Towards) -> Found {
    let mut flow = Flow {
        protocol: tracked.protocol,
        client,
        server,
        towards,
        state: if tracked.replied { SessionState::Established } else { SessionState::New },
        tcp_state: TcpState::None,
        fins: 0,
        bound: 0,
        local: false,
        guessed: tracked.picked_up,
    };
    if tracked.protocol != protocol::TCP {
        return if tracked.replied { Found::Flow(flow) } else { Found::Idle(flow) };
    }
    // Netfilter's names are ours, but it does not say whose FIN it saw: none is noted, and the next one counts.
    let known = tracked.tcp_state.and_then(|number| TcpState::try_read_from_bytes(&[number]).ok()).unwrap_or_default();
    let fins = if known >= TcpState::LastAck { FIN_CLIENT | FIN_SERVER } else { 0 };
    flow.set_tcp_state(known, fins);
    match known {
        TcpState::None | TcpState::SynSent | TcpState::Close => Found::Idle(flow),
        _ => Found::Flow(flow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Endpoint {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: address.ip(), port: address.port() }
    }

    fn tracked(original: [&str; 2], reply: [&str; 2], tcp_state: u8) -> Tracked {
        let tuple = |[source, destination]: [&str; 2]| Tuple { source: end(source), destination: end(destination) };
        let (original, reply) = (tuple(original), tuple(reply));
        Tracked {
            protocol: protocol::TCP,
            original,
            reply,
            replied: true,
            tcp_state: Some(tcp_state),
            picked_up: false,
        }
    }

    fn socket(local: &str, remote: &str, state: u8) -> Socket {
        Socket {
            protocol: protocol::TCP,
            state,
            local: end(local),
            remote: end(remote),
            bound: 0,
            inode: 0,
            connected: None,
        }
    }

    fn flow(found: Found) -> Flow {
        match found {
            Found::Flow(flow) => flow,
            Found::Idle(flow) => panic!("idle: {flow:?}"),
        }
    }

    #[test]
    fn who_sent_a_fin_is_told_from_the_sockets_state_and_side() {
        use TcpState::{CloseWait, Established, FinWait, LastAck, SynRecv, TimeWait};
        let cases = [
            (state::ESTABLISHED, Established, Established, 0, 0),
            (state::SYN_RECV, SynRecv, SynRecv, 0, 0),
            (state::FIN_WAIT1, FinWait, CloseWait, FIN_CLIENT, FIN_SERVER),
            (state::FIN_WAIT2, FinWait, CloseWait, FIN_CLIENT, FIN_SERVER),
            (state::CLOSE_WAIT, CloseWait, FinWait, FIN_SERVER, FIN_CLIENT),
            (state::CLOSING, LastAck, LastAck, 3, 3),
            (state::LAST_ACK, LastAck, LastAck, 3, 3),
            (state::TIME_WAIT, TimeWait, TimeWait, 3, 3),
        ];
        for (number, as_client, as_server, client_fins, server_fins) in cases {
            let socket = socket("192.0.2.1:4000", "192.0.2.2:80", number);
            let found = flow(of_socket(&socket, false, &Translated::new()));
            assert_eq!((found.tcp_state, found.fins), (as_client, client_fins), "{number}");
            assert_eq!((found.client, found.towards), (socket.local, Towards::Server));
            let found = flow(of_socket(&socket, true, &Translated::new()));
            assert_eq!((found.tcp_state, found.fins), (as_server, server_fins), "{number}");
            assert_eq!((found.client, found.towards), (socket.remote, Towards::Client));
        }
        // SYN_SENT.
        let opening = socket("192.0.2.1:4000", "192.0.2.2:80", 2);
        assert!(matches!(of_socket(&opening, false, &Translated::new()), Found::Idle(_)));
    }

    #[test]
    fn a_forwarded_flow_has_the_original_tuple_towards_its_client_and_the_translated_one_towards_its_server() {
        // Its client is behind SNAT to 203.0.113.1, and 198.51.100.1:80 is DNATed to 10.0.0.1:8080.
        let entry = tracked(
            ["192.0.2.1:4000", "198.51.100.1:80"],
            ["10.0.0.1:8080", "203.0.113.1:5000"],
            TcpState::Established as u8,
        );
        let [towards_client, towards_server] = of_tracked(&entry).map(flow);
        assert_eq!((towards_client.client, towards_client.server), (end("192.0.2.1:4000"), end("198.51.100.1:80")));
        assert_eq!(towards_client.peer(), end("192.0.2.1:4000"));
        assert_eq!((towards_server.client, towards_server.server), (end("203.0.113.1:5000"), end("10.0.0.1:8080")));
        assert_eq!(towards_server.peer(), end("10.0.0.1:8080"));
    }

    #[test]
    fn a_socket_behind_nat_is_adopted_as_the_wire_has_it() {
        // Redirected from port 80 to 8080, here.
        let inbound = tracked(["198.51.100.9:4000", "192.0.2.1:80"], ["192.0.2.1:8080", "198.51.100.9:4000"], 3);
        let found = flow(of_socket(
            &socket("192.0.2.1:8080", "198.51.100.9:4000", state::ESTABLISHED),
            true,
            &translated(&[inbound]),
        ));
        assert_eq!((found.client, found.server), (end("198.51.100.9:4000"), end("192.0.2.1:80")));
        // Masqueraded on the way out.
        let outbound = tracked(["10.0.0.1:4000", "198.51.100.9:443"], ["198.51.100.9:443", "192.0.2.1:6000"], 3);
        let found = flow(of_socket(
            &socket("10.0.0.1:4000", "198.51.100.9:443", state::ESTABLISHED),
            false,
            &translated(&[outbound]),
        ));
        assert_eq!((found.client, found.server), (end("192.0.2.1:6000"), end("198.51.100.9:443")));
    }

    #[test]
    fn what_conntrack_saw_no_reply_of_is_not_adopted() {
        let mut entry = tracked(["192.0.2.1:4000", "192.0.2.2:80"], ["192.0.2.2:80", "192.0.2.1:4000"], 1);
        assert!(of_tracked(&entry).iter().all(|found| matches!(found, Found::Idle(_))));
        entry.protocol = protocol::UDP;
        entry.tcp_state = None;
        assert!(of_tracked(&entry).iter().all(|found| matches!(found, Found::Flow(_))));
        entry.replied = false;
        assert!(of_tracked(&entry).iter().all(|found| matches!(found, Found::Idle(_))));
    }
}
