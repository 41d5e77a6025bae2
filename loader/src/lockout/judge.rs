//! The judgement itself, of connections and listening sockets as they are given.

use std::net::IpAddr;

use mseg_ebpf::packet::protocol;

use super::needs::{self, Need};
pub use crate::adopt::way::NextHop;
use crate::{
    attach::Mode,
    explain::{self, Answer},
    policy::{
        Policy, SOURCE_PORT,
        evaluate::{Packet, PacketDirection},
    },
    view::Endpoint,
};

/// A TCP connection of the caller's through an attached interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who opened it.
    pub client: Endpoint,
    /// The other side.
    pub server: Endpoint,
    /// Whether the server is this host.
    pub incoming: bool,
    /// The direction of the packet that opened it.
    pub direction: PacketDirection,
    /// The direction of what comes to this host through the interface: `out` of a workload, else `in`.
    pub inbound: PacketDirection,
    /// The interface's name; empty if it is not attached, so that rules for an interface match nothing.
    pub interface: String,
    /// Whether it is open and no session is live of it: its packets are in mid-stream.
    pub is_unseen: bool,
    /// Which timeout its session idles by: an index of [`mod@mseg_ebpf::abi::policy::timeout`].
    pub timeout: usize,
    /// What is exchanged with neighbours, so that it goes on, passes these.
    pub links: Vec<Link>,
}

/// An attached interface, and a neighbour there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub interface: String,
    /// The direction of what comes to this host through it: `out` of a workload, else `in`.
    pub inbound: PacketDirection,
    /// Who must be asked for his hardware address, or asks for this host's.
    pub neighbour: NextHop,
}

impl Connection {
    /// The packet that opened it, by which its session is judged.
    pub fn packet(&self) -> Packet {
        Packet {
            direction: self.direction,
            protocol: protocol::TCP,
            source: self.client.address,
            destination: self.server.address,
            source_port: self.client.port,
            destination_port: self.server.port,
            icmp_type: 0,
            icmp_code: 0,
            interface: self.interface.clone(),
        }
    }

    /// A connection from its other side to a socket that listens here; `None` if it is not for that.
    fn to_listener(&self, at: Endpoint) -> Option<Packet> {
        let (remote, local) = if self.incoming { (self.client, self.server) } else { (self.server, self.client) };
        let address = if at.address.is_unspecified() { local.address } else { at.address };
        let same_family = at.address.is_ipv4() == remote.address.is_ipv4();
        // Through an interface that is not attached, nothing is lost.
        (same_family && !is_loopback(address) && !self.interface.is_empty()).then(|| Packet {
            direction: self.inbound,
            source: remote.address,
            destination: address,
            source_port: SOURCE_PORT,
            destination_port: at.port,
            ..self.packet()
        })
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The caller, and the host as he sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// By which he is here; none on a console, and none if they pass no attached interface.
    pub connections: Vec<Connection>,
    /// Tunnels that the caller's packets pass.
    pub carried: Vec<String>,
    /// Where TCP sockets listen.
    pub listening: Vec<Endpoint>,
    /// What of this could not be read, and why.
    pub unread: Vec<String>,
}

/// A policy and whether it is enforced.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The mode.
    pub mode: Mode,
    /// Whether a connection without a session goes on whenever it sends.
    pub picks_up: bool,
}

impl Standing<'_> {
    /// Why it drops a packet; `None` if it lets it pass.
    fn drops(&self, packet: &Packet) -> Option<Answer> {
        (self.mode == Mode::Enforce).then(|| explain::answer(self.policy, packet)).filter(|answer| !answer.allow)
    }
}

/// What a change would do to the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Connections that the policy denies, and why; while observing they go on.
    pub cut: Vec<(Connection, Answer)>,
    /// What those would lack that it lets pass, and have now; likewise.
    pub lacking: Vec<(Connection, Need)>,
    /// Listening sockets that he can reach now and could not reach then, by the packet that would be dropped.
    pub lost: Vec<(Packet, Answer)>,
}

/// Judges by what would hold `then`. `now` is what holds; `None`: everything passes.
pub fn judge(now: Option<Standing<'_>>, then: Standing<'_>, surroundings: &Surroundings) -> Judged {
    let Surroundings { connections, listening, .. } = surroundings;
    let denied = |connection: &Connection| {
        let answer = explain::answer(then.policy, &connection.packet());
        (!answer.allow).then(|| (connection.clone(), answer))
    };
    let mut packets: Vec<Packet> = Vec::new();
    for packet in connections.iter().flat_map(|from| listening.iter().filter_map(|at| from.to_listener(*at))) {
        if !packets.contains(&packet) {
            packets.push(packet);
        }
    }
    let lost = packets.into_iter().filter_map(|packet| {
        let answer = then.drops(&packet)?;
        let reachable = now.is_none_or(|now| now.drops(&packet).is_none());
        reachable.then_some((packet, answer))
    });
    // What it has to do without already, it can.
    let now = now.filter(|now| now.mode == Mode::Enforce);
    let lacking = connections.iter().flat_map(|connection| {
        let before = now.map_or_else(Vec::new, |now| needs::lacking(&now, connection));
        let after = needs::lacking(&then, connection);
        let worse = move |need: &Need| !before.iter().any(|had| had.is_at_least(need));
        after.into_iter().filter(worse).map(|need| (connection.clone(), need))
    });
    Judged { lacking: lacking.collect(), lost: lost.collect(), cut: connections.iter().filter_map(denied).collect() }
}

#[cfg(test)]
mod tests {
    use mseg_ebpf::abi::policy::timeout;

    use super::*;
    use crate::policy;

    fn end(text: &str) -> Endpoint {
        let at: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: at.ip(), port: at.port() }
    }

    fn links(address: IpAddr, is_gateway: bool) -> Vec<Link> {
        let link = |interface: &str| Link {
            interface: interface.to_owned(),
            inbound: PacketDirection::In,
            neighbour: NextHop { address, is_gateway },
        };
        ["eth0", "br0"].map(link).to_vec()
    }

    fn ssh() -> Surroundings {
        Surroundings {
            connections: vec![Connection {
                client: end("192.0.2.1:40000"),
                server: end("192.0.2.2:22"),
                incoming: true,
                direction: PacketDirection::In,
                inbound: PacketDirection::In,
                interface: "eth0".to_owned(),
                is_unseen: false,
                timeout: timeout::TCP_ESTABLISHED,
                links: links([192, 0, 2, 1].into(), false),
            }],
            listening: ["0.0.0.0:22", "[::]:22", "0.0.0.0:80", "192.0.2.2:81", "127.0.0.1:82"].map(end).to_vec(),
            ..Surroundings::default()
        }
    }

    fn judged(now: (&str, Mode), then: (&str, Mode), surroundings: &Surroundings) -> Judged {
        let [before, after] = [now.0, then.0].map(|text| policy::parse("test", text).unwrap());
        let [now, then] =
            [(&before, now.1), (&after, then.1)].map(|(policy, mode)| Standing { policy, mode, picks_up: false });
        judge(Some(now), then, surroundings)
    }

    /// The rules that cut, and the ports lost, by a change from one policy and mode to another.
    fn change(now: (&str, Mode), then: (&str, Mode), surroundings: &Surroundings) -> (Vec<String>, Vec<u16>) {
        let judged = judged(now, then, surroundings);
        let cut = judged.cut.into_iter().map(|(_, answer)| answer.rule).collect();
        (cut, judged.lost.into_iter().map(|(packet, _)| packet.destination_port).collect())
    }

    const OPEN: &str = "default in allow\n";
    const CLOSED: &str = "default in deny\nbuiltin failsafe off\n";
    const FAILSAFE: &str = "default in deny\n";

    #[test]
    fn the_connection_is_judged_by_its_first_packet() {
        let mine =
            "default in deny\nbuiltin failsafe off\nrule me allow in tcp from 192.0.2.1 to any port 22 iface eth0\n";
        let observe = Mode::Observe;
        for (then, cut) in [(OPEN, &[][..]), (CLOSED, &["default-in"]), (FAILSAFE, &[]), (mine, &[])] {
            assert_eq!(change((OPEN, observe), (then, Mode::Enforce), &ssh()).0, cut, "{then}");
            assert_eq!(change((OPEN, observe), (then, observe), &ssh()).0, cut, "{then}");
        }
    }

    #[test]
    fn an_outgoing_connection_is_judged_as_outgoing() {
        let mut out = ssh();
        (out.connections[0].incoming, out.connections[0].direction) = (false, PacketDirection::Out);
        let deny = "default out deny\n";
        assert_eq!(change((OPEN, Mode::Observe), (deny, Mode::Enforce), &out).0, ["default-out"]);
    }

    #[test]
    fn nothing_that_listens_is_lost_through_an_interface_that_is_not_attached() {
        let mut detached = ssh();
        detached.connections[0].interface.clear();
        let enforce = Mode::Enforce;
        assert_eq!(change((OPEN, enforce), (CLOSED, enforce), &detached), (vec!["default-in".to_owned()], vec![]));
    }

    #[test]
    fn what_listens_is_lost_only_if_it_could_be_reached() {
        let enforce = Mode::Enforce;
        assert_eq!(change((OPEN, enforce), (FAILSAFE, enforce), &ssh()).1, [80, 81]);
        assert_eq!(change((OPEN, enforce), (CLOSED, enforce), &ssh()).1, [22, 80, 81]);
        assert_eq!(change((FAILSAFE, enforce), (CLOSED, enforce), &ssh()).1, [22]);
        assert!(change((OPEN, enforce), (CLOSED, Mode::Observe), &ssh()).1.is_empty());
        assert_eq!(change((FAILSAFE, Mode::Observe), (FAILSAFE, enforce), &ssh()).1, [80, 81]);
    }

    #[test]
    fn a_connection_needs_its_neighbour_and_time_to_idle() {
        let by = |next: &str, is_gateway| {
            let mut ssh = ssh();
            ssh.connections[0].links = links(next.parse().unwrap(), is_gateway);
            ssh
        };
        let needs = |now: &str, then: &str, surroundings: &Surroundings| -> Vec<String> {
            let judged = judged((now, Mode::Enforce), (then, Mode::Enforce), surroundings);
            judged.lacking.iter().map(|(_, need)| need.to_string()).collect()
        };
        let nothing = [""; 0];
        let (arp, nd) = ("builtin arp off\n", "builtin nd off\ndefault in deny\n");
        let (v4, gateway) = (by("192.0.2.1", false), by("fe80::9", true));
        assert_eq!(needs(OPEN, arp, &v4), ["loses its neighbour, as `builtin arp off` denies ARP (not-ip)"]);
        assert_eq!(needs(OPEN, nd, &v4), nothing);
        assert_eq!(needs(arp, arp, &v4), nothing, "he is here without");
        // Also of IPv4 by a gateway of IPv6.
        let denied = "loses its neighbour, as neighbour discovery is denied by default-in (default-deny)";
        assert_eq!(needs(OPEN, nd, &gateway), [denied]);
        assert_eq!(needs(OPEN, arp, &gateway), nothing);
        let with = |rule: &str| format!("{nd}rule discovery allow in icmpv6 {rule}\n");
        assert_eq!(needs(OPEN, &with("from 2001:db8::/32"), &gateway), [denied]);
        assert_eq!(needs(OPEN, &with("from fe80::/10"), &gateway), nothing);
        let only = "default in deny\nrule tcp allow in tcp\nbuiltin nd off\nrule discovery allow in icmpv6 iface";
        assert_eq!(needs(OPEN, &format!("{only} eth0\n"), &gateway), [denied], "it passes br0, too");
        assert_eq!(needs(OPEN, &format!("{only} eth0\nrule bridge allow in icmpv6 iface br0\n"), &gateway), nothing);
        assert_eq!(needs(OPEN, &with("from any type 135\nrule answers allow in icmpv6 type 136"), &gateway), [denied]);
        let short = "timeout tcp-established 59s\n";
        let idle = "may not idle for longer than 59 s, by `timeout tcp-established` (tcp-midstream)";
        assert_eq!(needs(OPEN, short, &gateway), [idle]);
        assert_eq!(needs(OPEN, "timeout tcp-established 60s\n", &v4), nothing);
        assert_eq!(needs("timeout tcp-established 30s\n", short, &v4), nothing, "it was less");
        let mut one_sided = ssh();
        one_sided.connections[0].timeout = timeout::TCP_SYN_SENT;
        assert_eq!(needs(OPEN, short, &one_sided), nothing);
        let idle = "may not idle for longer than 5 s, by `timeout tcp-syn-sent` (tcp-midstream)";
        assert_eq!(needs(OPEN, "timeout tcp-syn-sent 5s\n", &one_sided), [idle]);
        let mut tunnel = ssh();
        tunnel.connections[0].links.clear();
        assert_eq!(needs(OPEN, &format!("{nd}{arp}"), &tunnel), nothing);
    }

    #[test]
    fn on_a_console_nothing_is_cut_or_lost() {
        let console = Surroundings { connections: Vec::new(), ..ssh() };
        assert_eq!(change((OPEN, Mode::Enforce), (CLOSED, Mode::Enforce), &console), (vec![], vec![]));
    }
}
