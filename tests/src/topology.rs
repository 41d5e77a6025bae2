//! What lies between the lab's two hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::{
    interface::{self, End},
    lab::{CLIENT_MAC, CLIENT_V4, CLIENT_V6, PEER, PROTECTED, SERVER_MAC, SERVER_V4, SERVER_V6},
    namespace::Namespace,
    network,
    offload::{self, Offload},
};

/// The longest packet of the hop in the middle of [`Topology::NarrowHop`], in bytes without the Ethernet header.
pub const NARROW: u32 = 1280;

/// The middle's interface towards the client; of the client's router, and of the middlebox.
pub const TO_CLIENT: &str = "to-client";
/// The middle's interface towards the server; of the server's router, and of the middlebox.
pub const TO_SERVER: &str = "to-server";

/// How client and server are joined. The hosts have the same addresses in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// A veth pair.
    Cable,
    /// Two routers, the client's and the server's, whose link to each other takes packets of [`NARROW`] bytes only.
    NarrowHop,
    /// A host that forwards nothing by itself, for [`crate::middlebox`]. No end makes a packet that is longer than the
    /// cable takes, or one without its checksum.
    Middlebox,
    /// The server is a gateway between the client's side and another host's. Both ends are mute: they have no
    /// addresses, and the gateway knows the way to [`NEAR`] and to [`FAR`] without asking. What they send is what a test
    /// sends for them.
    Gateway,
    /// The server is a router with one interface: the client and a host with the addresses that [`network::far`] has are on
    /// the same switch, each in a network of its own. [`network::route`] makes it forward. That host is the first between.
    OneArm,
}

/// The networks at the client's side of a [`Topology::Gateway`].
pub const NEAR: [(IpAddr, u8); 2] = [
    (IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x18, 0, 0, 0, 0, 0)), 64),
];
/// The host behind a [`Topology::Gateway`].
pub const FAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9))];
/// The far host's interface.
pub const FAR_PEER: &str = "far0";
/// The far host's Ethernet address.
pub const FAR_MAC: [u8; 6] = [0x02, 0, 0, 0, 2, 1];
/// The gateway's Ethernet address towards the far host.
pub const GATEWAY_FAR_MAC: [u8; 6] = [0x02, 0, 0, 0, 1, 2];

impl Topology {
    /// Joins the hosts, and returns what is between them, from the client to the server.
    pub(crate) fn join(self, client: &Namespace, server: &Namespace) -> Result<Vec<Namespace>> {
        match self {
            Self::Cable => {
                let client = End { addresses: &[(CLIENT_V4, 24), (CLIENT_V6, 64)], ..client_end(client) };
                let server = End { addresses: &[(SERVER_V4, 24), (SERVER_V6, 64)], ..server_end(server) };
                interface::join(server, client).map(|()| Vec::new())
            }
            Self::NarrowHop => narrow_hop(client, server),
            Self::Middlebox => middlebox(client, server),
            Self::Gateway => gateway(client, server),
            Self::OneArm => one_arm(client, server),
        }
    }
}

const fn client_end(namespace: &Namespace) -> End<'_> {
    End { namespace, name: PEER, mac: CLIENT_MAC, addresses: &[(CLIENT_V4, 32), (CLIENT_V6, 128)] }
}

const fn server_end(namespace: &Namespace) -> End<'_> {
    End { namespace, name: PROTECTED, mac: SERVER_MAC, addresses: &[(SERVER_V4, 32), (SERVER_V6, 128)] }
}

/// An interface between the hosts, by a number of its own.
const fn middle_end<'a>(namespace: &'a Namespace, name: &'a str, number: u8) -> End<'a> {
    End { namespace, name, mac: [0x02, 0, 0, 0, 1, number], addresses: &[] }
}

/// The addresses of a router.
const fn router(number: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number as u16);
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, number)), IpAddr::V6(v6)]
}

fn narrow_hop(client: &Namespace, server: &Namespace) -> Result<Vec<Namespace>> {
    const LINK: &str = "narrow";
    let routers = [Namespace::new()?, Namespace::new()?];
    let [near_client, near_server] = &routers;
    interface::join(client_end(client), middle_end(near_client, TO_CLIENT, 1))?;
    interface::join(server_end(server), middle_end(near_server, TO_SERVER, 2))?;
    interface::join(middle_end(near_client, LINK, 3), middle_end(near_server, LINK, 4))?;
    for (router_at, number, host_side) in [(near_client, 1, TO_CLIENT), (near_server, 2, TO_SERVER)] {
        router_at.set("net/ipv4/ip_forward", "1")?;
        router_at.set("net/ipv6/conf/all/forwarding", "1")?;
        let (hosts, others) = match number {
            1 => ([CLIENT_V4, CLIENT_V6], [SERVER_V4, SERVER_V6]),
            _ => ([SERVER_V4, SERVER_V6], [CLIENT_V4, CLIENT_V6]),
        };
        router_at.run(|| -> Result<()> {
            interface::set_mtu(LINK, NARROW)?;
            for (((own, next), host), other) in
                router(number).into_iter().zip(router(3 - number)).zip(hosts).zip(others)
            {
                // On both: asked for an IPv6 address, an interface answers only for its own.
                for interface in [host_side, LINK] {
                    interface::add_address(interface, own, if own.is_ipv4() { 32 } else { 128 })?;
                }
                interface::add_route(host, host_side, None)?;
                interface::add_route(other, LINK, Some(next))?;
            }
            Ok(())
        })?;
    }
    for (host, name, number, others) in
        [(client, PEER, 1, [SERVER_V4, SERVER_V6]), (server, PROTECTED, 2, [CLIENT_V4, CLIENT_V6])]
    {
        host.run(|| {
            let routes = router(number).into_iter().zip(others);
            routes.into_iter().try_for_each(|(gateway, other)| interface::add_route(other, name, Some(gateway)))
        })?;
    }
    Ok(routers.into())
}

fn middlebox(client: &Namespace, server: &Namespace) -> Result<Vec<Namespace>> {
    let middle = Namespace::new()?;
    // It must not answer, or ask, for itself.
    middle.set("net/ipv6/conf/default/disable_ipv6", "1")?;
    let client_end = End { addresses: &[(CLIENT_V4, 24), (CLIENT_V6, 64)], ..client_end(client) };
    let server_end = End { addresses: &[(SERVER_V4, 24), (SERVER_V6, 64)], ..server_end(server) };
    interface::join(client_end, middle_end(&middle, TO_CLIENT, 1))?;
    interface::join(server_end, middle_end(&middle, TO_SERVER, 2))?;
    for (namespace, name) in [(client, PEER), (server, PROTECTED), (&middle, TO_CLIENT), (&middle, TO_SERVER)] {
        for what in [Offload::Tso, Offload::Gso, Offload::Gro, Offload::Checksum] {
            offload::set(namespace, name, what, false)?;
        }
    }
    Ok(vec![middle])
}

fn gateway(client: &Namespace, server: &Namespace) -> Result<Vec<Namespace>> {
    let far = Namespace::new()?;
    for mute in [client, &far] {
        mute.set("net/ipv6/conf/default/disable_ipv6", "1")?;
    }
    interface::join(server_end(server), End { addresses: &[], ..client_end(client) })?;
    interface::join(
        End { namespace: &far, name: FAR_PEER, mac: FAR_MAC, addresses: &[] },
        middle_end(server, TO_SERVER, GATEWAY_FAR_MAC[5]),
    )?;
    server.set("net/ipv4/ip_forward", "1")?;
    server.set("net/ipv6/conf/all/forwarding", "1")?;
    for interface in ["all", PROTECTED, TO_SERVER] {
        server.set(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
        // It tells nobody of a better way, or that it got something it will not take.
        server.set(&format!("net/ipv4/conf/{interface}/send_redirects"), "0")?;
    }
    server.run(|| -> Result<()> {
        for ((network, prefix), next) in NEAR.into_iter().zip([CLIENT_V4, CLIENT_V6]) {
            interface::add_neighbour(PROTECTED, next, CLIENT_MAC)?;
            interface::add_network_route(network, prefix, PROTECTED, Some(next))?;
        }
        for host in FAR {
            interface::add_neighbour(TO_SERVER, host, FAR_MAC)?;
            interface::add_route(host, TO_SERVER, None)?;
        }
        Ok(())
    })?;
    Ok(vec![far])
}

fn one_arm(client: &Namespace, server: &Namespace) -> Result<Vec<Namespace>> {
    const TO_FAR: &str = "to-far";
    let (far, switch) = (Namespace::new()?, Namespace::new()?);
    // It must not speak for itself.
    switch.set("net/ipv6/conf/default/disable_ipv6", "1")?;
    let both = |[v4, v6]: [IpAddr; 2]| [(v4, 24), (v6, 64)];
    let here = [both([SERVER_V4, SERVER_V6]), both(network::FAR_HERE)].concat();
    let there = both(network::FAR);
    let near = both([CLIENT_V4, CLIENT_V6]);
    interface::join(End { addresses: &near, ..client_end(client) }, middle_end(&switch, TO_CLIENT, 1))?;
    interface::join(End { addresses: &here, ..server_end(server) }, middle_end(&switch, TO_SERVER, 2))?;
    let far_end = End { namespace: &far, name: FAR_PEER, mac: FAR_MAC, addresses: &there };
    interface::join(far_end, middle_end(&switch, TO_FAR, 3))?;
    switch.run(|| interface::add_bridge("switch", &[TO_CLIENT, TO_SERVER, TO_FAR]))?;
    for interface in ["all", PROTECTED] {
        // Its neighbours could do without it; it does not tell them.
        server.set(&format!("net/ipv4/conf/{interface}/send_redirects"), "0")?;
    }
    // Of IPv6 that cannot be turned off there.
    client.set(&format!("net/ipv6/conf/{PEER}/accept_redirects"), "0")?;
    far.set(&format!("net/ipv6/conf/{FAR_PEER}/accept_redirects"), "0")?;
    Ok(vec![far, switch])
}
