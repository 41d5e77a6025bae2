//! The caller's connections as the datapath judges them: a live session by what is stored in it, and what has none by the
//! way it takes.

use std::collections::BTreeSet;

use mseg_ebpf::{
    abi::{
        interface::{FLAG_INGRESS_ONLY, Interface, ROLE_WORKLOAD},
        policy::timeout,
        session::{FLAG_OUT, Session, SessionKey, SessionState},
    },
    session::{opener, progress},
};

use super::{Connection, Link, NextHop};
use crate::{
    adopt::flow::{Flow, Towards},
    clock::Clock,
    error::Result,
    instance::{Instance, interface_name},
    policy::evaluate::PacketDirection,
    view::{self, SessionId},
};

/// The sessions that packets of this host may belong to.
pub(super) struct Sessions<'a> {
    instance: &'a Instance,
    clock: Clock,
    zones: BTreeSet<u16>,
    /// All that are attached, or about to be: a session's index is looked up among them.
    pub(super) interfaces: &'a [(u32, Interface)],
}

impl<'a> Sessions<'a> {
    /// Those of the zones of `here`, the interfaces of this network namespace.
    pub(super) fn new(
        instance: &'a Instance,
        interfaces: &'a [(u32, Interface)],
        here: &[(u32, Interface)],
    ) -> Result<Self> {
        let zones = here.iter().map(|(_, record)| record.zone).collect();
        Ok(Self { instance, clock: Clock::now()?, zones, interfaces })
    }

    /// The live sessions of a flow: one in each zone it passes.
    pub(super) fn of(&self, flow: &Flow) -> Result<Vec<(SessionKey, Session)>> {
        let [client, server] = [flow.client, flow.server].map(|end| (end.address, end.port));
        let mut found = Vec::new();
        for zone in &self.zones {
            let SessionId(key) = SessionId::between(flow.protocol, client, server, 0, *zone);
            let live = self.instance.session(&key)?.filter(|(_, session)| !view::is_expired(&self.clock, session));
            found.extend(live.map(|(_, session)| (key, session)));
        }
        Ok(found)
    }
}

/// As what a flow is judged, of which these sessions are live. `route` is the interface by which packets leave to its other
/// end: that of the flow only if no session of that zone tells, for packets may arrive at another one.
pub(super) fn connections(
    flow: &Flow,
    route: Option<Interface>,
    sessions: &[(SessionKey, Session)],
    interfaces: &[(u32, Interface)],
) -> Vec<Connection> {
    let live = sessions.iter().flat_map(|(key, session)| of_session(flow, route, key, session, interfaces));
    let unseen = route.filter(|record| sessions.iter().all(|(key, _)| key.zone != record.zone));
    live.chain(unseen.map(|record| of_route(flow, &record))).collect()
}

fn of_route(flow: &Flow, record: &Interface) -> Connection {
    let (incoming, inbound) = (flow.towards == Towards::Client, inbound(record.role == ROLE_WORKLOAD));
    Connection {
        client: flow.client,
        server: flow.server,
        incoming,
        direction: if incoming || is_one_way(record) { inbound } else { inbound.reversed() },
        inbound,
        interface: interface_name(record).to_owned(),
        is_unseen: flow.state != SessionState::None,
        timeout: timeout::TCP_ESTABLISHED,
        links: Vec::new(),
    }
}

fn of_session(
    flow: &Flow,
    route: Option<Interface>,
    key: &SessionKey,
    session: &Session,
    interfaces: &[(u32, Interface)],
) -> Vec<Connection> {
    let record = match session.ifindex {
        // Its next packet tells.
        0 => route.filter(|record| record.zone == key.zone),
        ifindex => interfaces.iter().find(|(index, _)| *index == ifindex).map(|(_, record)| *record),
    };
    let (client, server) = view::endpoints(key, session.flags);
    let incoming = flow.towards == Towards::Client;
    let as_opened = Connection {
        client,
        server,
        incoming: incoming == (client == flow.client),
        direction: if session.flags & FLAG_OUT != 0 { PacketDirection::Out } else { PacketDirection::In },
        inbound: inbound(key.zone != 0),
        interface: record.map_or_else(String::new, |record| interface_name(&record).to_owned()),
        is_unseen: false,
        timeout: progress::timeout(key.protocol, session.state as u8, session.tcp_state as u8),
        links: Vec::new(),
    };
    if client == flow.client {
        return vec![as_opened];
    }
    // Picked up from the other side.
    let direction =
        if record.as_ref().is_some_and(is_one_way) { as_opened.direction } else { as_opened.direction.reversed() };
    let turned = Connection { client: server, server: client, incoming, direction, ..as_opened.clone() };
    // If the policy denies the former, the datapath takes it for the latter.
    if opener::is_guess(key, session) { vec![turned] } else { vec![as_opened, turned] }
}

/// As what is exchanged with a neighbour at an interface is judged.
pub(super) fn link((record, neighbour): &(Interface, NextHop)) -> Link {
    let interface = interface_name(record).to_owned();
    Link { interface, inbound: inbound(record.role == ROLE_WORKLOAD), neighbour: *neighbour }
}

const fn inbound(workload: bool) -> PacketDirection {
    if workload { PacketDirection::Out } else { PacketDirection::In }
}

/// Whether its packets have the same direction both ways.
const fn is_one_way(record: &Interface) -> bool {
    record.flags & FLAG_INGRESS_ONLY != 0
}

#[cfg(test)]
mod tests {
    use mseg_ebpf::{
        abi::{
            interface::ROLE_HOST,
            session::{FLAG_CLIENT_IS_LOWER, FLAG_HALF_OPEN, FLAG_PICKED_UP},
        },
        packet::protocol,
    };

    use super::{super::caller::incoming_flow, *};
    use crate::{instance::interfaces::planned, view::Endpoint};

    fn end(text: &str) -> Endpoint {
        let at: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: at.ip(), port: at.port() }
    }

    fn flow() -> Flow {
        incoming_flow(end("192.0.2.1:40000"), end("192.0.2.2:22"))
    }

    /// What is judged of a session of the flow: packets, and whether something is unseen. Attached are `eth0`, which is the
    /// route, `eth1` and the workload `work0`, as 2, 3 and 4.
    fn judged(route: bool, zone: u16, ifindex: u32, flags: u8) -> Vec<(String, bool)> {
        let work = Interface { zone: 7, ..planned("work0", ROLE_WORKLOAD) };
        let attached = [(2, planned("eth0", ROLE_HOST)), (3, planned("eth1", ROLE_HOST)), (4, work)];
        let flow = flow();
        let [client, server] = [flow.client, flow.server].map(|end| (end.address, end.port));
        let SessionId(key) = SessionId::between(protocol::TCP, client, server, 0, zone);
        let session = Session { ifindex, flags, ..Session::default() };
        let found = connections(&flow, route.then_some(attached[0].1), &[(key, session)], &attached);
        found.iter().map(|connection| (connection.packet().to_string(), connection.is_unseen)).collect()
    }

    const MINE: &str = "tcp from 192.0.2.1 port 40000 to 192.0.2.2 port 22";
    const TURNED: &str = "tcp from 192.0.2.2 port 22 to 192.0.2.1 port 40000";
    const AS_OPENED: u8 = FLAG_CLIENT_IS_LOWER;

    #[test]
    fn session_is_judged_by_its_own_interface_whatever_the_route() {
        for route in [true, false] {
            assert_eq!(judged(route, 0, 3, AS_OPENED), [(format!("in {MINE} iface eth1"), false)]);
            assert_eq!(judged(route, 0, 9, AS_OPENED), [(format!("in {MINE}"), false)], "it was detached");
        }
        assert_eq!(judged(true, 0, 0, AS_OPENED), [(format!("in {MINE} iface eth0"), false)], "not known yet");
    }

    #[test]
    fn session_that_was_picked_up_from_the_other_side_is_judged_both_ways_unless_it_would_be_turned_around() {
        let both = [(format!("out {TURNED} iface eth1"), false), (format!("in {MINE} iface eth1"), false)];
        assert_eq!(judged(true, 0, 3, FLAG_OUT), both);
        assert_eq!(judged(true, 0, 3, FLAG_OUT | FLAG_PICKED_UP | FLAG_HALF_OPEN), both, "it would be forgotten");
        assert_eq!(judged(true, 0, 3, FLAG_OUT | FLAG_PICKED_UP), both[1..]);
    }

    #[test]
    fn workload_s_session_does_not_speak_for_the_host_s() {
        let work = (format!("out {MINE} iface work0"), false);
        assert_eq!(judged(false, 7, 4, AS_OPENED | FLAG_OUT), std::slice::from_ref(&work));
        assert_eq!(judged(true, 7, 4, AS_OPENED | FLAG_OUT), [work, (format!("in {MINE} iface eth0"), true)]);
    }
}
