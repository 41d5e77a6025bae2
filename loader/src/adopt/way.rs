//! Which attached interface a flow's packets pass: what the kernel's routes say, then what is below that interface, and by
//! which port of a bridge it is.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv6Addr},
};

use mseg_ebpf::abi::interface::{Interface, ROLE_HOST};

use super::{
    flow::{Flow, Towards},
    links::Links,
    neighbours::Neighbours,
};
use crate::{
    kernel::channel::{Channel, DUMP, ONE, attribute, push_attribute, u32_at},
    view::mapped,
};

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
/// Bytes of `struct ifaddrmsg` and `struct rtmsg`, before the attributes.
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_VIA: u16 = 18;
const RTN_LOCAL: u8 = 2;
/// Stands for any link-local address.
pub(crate) const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The index of the loopback interface, in every network namespace.
const LOOPBACK: u32 = 1;

/// What the kernel says of the way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// It is this host.
    Local,
    /// Out of this interface: to the peer itself, or by a gateway.
    Interface(u32, Option<IpAddr>),
    /// There is none.
    None,
}

/// Where packets pass mseg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// This attached interface.
    Attached(u32, Interface),
    /// Nowhere: they take an interface that is not attached. 0: there is no route.
    Elsewhere(u32),
    /// One of the workload interfaces that are ports of this bridge; it does not know which one, either.
    SomePort(u32),
}

/// To whom packets go next, or who sends them on to this host, by a link on which hardware addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its address, of either family.
    pub address: IpAddr,
    /// Whether it is a gateway, not the peer itself.
    pub is_gateway: bool,
}

/// The network namespace's addresses, links and routes, as of one look.
pub(crate) struct Ways<'a> {
    attached: &'a [(u32, Interface)],
    addresses: HashMap<IpAddr, Vec<u32>>,
    links: Links,
    channel: Channel,
    routes: HashMap<(Option<IpAddr>, IpAddr), Route>,
    /// Read when they are needed first.
    neighbours: Option<Neighbours>,
}

impl<'a> Ways<'a> {
    pub(crate) fn new(attached: &'a [(u32, Interface)]) -> io::Result<Self> {
        let mut channel = Channel::open(libc::NETLINK_ROUTE)?;
        let mut addresses: HashMap<IpAddr, Vec<u32>> = HashMap::new();
        channel.ask(RTM_GETADDR, DUMP, &[0; ADDRESS_HEADER], &mut |kind, body| {
            if kind == RTM_NEWADDR
                && let Some((address, ifindex)) = parse_address(body)
            {
                addresses.entry(address).or_default().push(ifindex);
            }
        })?;
        let links = Links::read(&mut channel)?;
        Ok(Self { attached, addresses, links, channel, routes: HashMap::new(), neighbours: None })
    }

    /// The name of an interface, for reports.
    pub(crate) fn name(&self, ifindex: u32) -> String {
        self.links.name(ifindex).map_or_else(|| format!("#{ifindex}"), str::to_owned)
    }

    /// Where a flow passes. `None`: this side of it is here, and passes nothing.
    pub(crate) fn of(&mut self, flow: &Flow) -> io::Result<Option<Way>> {
        let (near, peer) = (flow.near().address, flow.peer().address);
        if flow.bound != 0 {
            return self.through_port(flow.bound, peer, near).map(Some);
        }
        Ok(match self.route(near, peer)? {
            Route::Interface(ifindex, gateway) => Some(self.through_port(ifindex, gateway.unwrap_or(peer), near)?),
            Route::None => Some(self.through(0, Some(near))),
            Route::Local if flow.local => Some(self.through(LOOPBACK, None)),
            // Conntrack's flow between two local ends passes loopback with the original addresses.
            Route::Local if flow.towards == Towards::Client && self.route(peer, near)? == Route::Local => {
                Some(self.through(LOOPBACK, None))
            }
            Route::Local => None,
        })
    }

    /// Who must be asked for his hardware address, or asks for this host's, so that a flow goes on, each with an attached
    /// interface that passes: the next hop at what is below the interface by which packets leave, and who sends on those that
    /// `arrive` at others, and at the bridges of which these are ports. Of the ports of a bridge that packets leave by it is the
    /// one that leads there, or all if that is not known.
    pub(crate) fn neighbours(
        &mut self,
        flow: &Flow,
        arrive: impl IntoIterator<Item = u32>,
    ) -> io::Result<Vec<(Interface, NextHop)>> {
        let peer = flow.peer().address;
        let mut passed: HashMap<u32, NextHop> = HashMap::new();
        // Who that is the host does not know: any, by its link-local address.
        let address = if peer.is_ipv4() { peer } else { LINK_LOCAL.into() };
        let before = NextHop { address, is_gateway: false };
        for ifindex in arrive.into_iter().filter(|ifindex| self.links.has_neighbours(*ifindex)) {
            passed.extend(self.links.with_masters(ifindex).into_iter().map(|ifindex| (ifindex, before)));
        }
        if let Some((ifindex, gateway)) = self.leaves_by(flow)?
            && self.links.has_neighbours(ifindex)
        {
            let next = NextHop { address: gateway.unwrap_or(peer), is_gateway: gateway.is_some() };
            let below = self.links.below(ifindex);
            let port = self.port(ifindex, next.address, &below)?;
            let is_passed = |i: &&u32| port.is_none_or(|port| **i == port) || !self.links.is_port(**i, &below);
            passed.extend(below.iter().filter(is_passed).map(|ifindex| (*ifindex, next)));
        }
        let attached = self.attached.iter();
        Ok(attached.filter_map(|(ifindex, record)| Some((*record, *passed.get(ifindex)?))).collect())
    }

    /// The tunnel by which a flow's packets leave: they pass another interface within others.
    pub(crate) fn tunnel(&mut self, flow: &Flow) -> io::Result<Option<String>> {
        let tunnel = self.leaves_by(flow)?.filter(|(ifindex, _)| self.links.is_tunnel(*ifindex));
        Ok(tunnel.map(|(ifindex, _)| self.name(ifindex)))
    }

    /// The interface by which a flow's packets leave for its peer, and the gateway there; `None` if by none.
    fn leaves_by(&mut self, flow: &Flow) -> io::Result<Option<(u32, Option<IpAddr>)>> {
        Ok(match self.route(flow.near().address, flow.peer().address)? {
            Route::Interface(ifindex, gateway) if [0, ifindex].contains(&flow.bound) => Some((ifindex, gateway)),
            _ if flow.bound != 0 => Some((flow.bound, None)),
            Route::Interface(..) | Route::Local | Route::None => None,
        })
    }

    /// The way from `near`, on this side, to `peer`. Rules of policy routing that look at marks, ports or users are not
    /// followed: the kernel is asked for the way of an unmarked packet.
    pub(crate) fn route(&mut self, near: IpAddr, peer: IpAddr) -> io::Result<Route> {
        // The kernel takes no source that is not its own.
        let source = self.addresses.contains_key(&near).then_some(near);
        if let Some(route) = self.routes.get(&(source, peer)) {
            return Ok(*route);
        }
        let route = self.ask_route(source, peer)?;
        self.routes.insert((source, peer), route);
        Ok(route)
    }

    fn ask_route(&mut self, source: Option<IpAddr>, peer: IpAddr) -> io::Result<Route> {
        let mut request = vec![0; ROUTE_HEADER];
        let bits = if peer.is_ipv4() { 32 } else { 128 };
        request[0] = if peer.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u8;
        request[1] = bits;
        push_attribute(&mut request, RTA_DST, &octets(peer));
        if let Some(source) = source.filter(|source| source.is_ipv4() == peer.is_ipv4()) {
            request[2] = bits;
            push_attribute(&mut request, RTA_SRC, &octets(source));
        }
        let mut route = Route::None;
        let asked = self.channel.ask(RTM_GETROUTE, ONE, &request, &mut |kind, body| {
            if kind == RTM_NEWROUTE {
                route = parse_route(body);
            }
        });
        match asked {
            Ok(()) => Ok(route),
            // Unreachable, prohibited, or an address that nothing is sent to.
            Err(e)
                if [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL]
                    .contains(&e.raw_os_error().unwrap_or(0)) =>
            {
                Ok(Route::None)
            }
            Err(e) => Err(e),
        }
    }

    fn attached(&self, ifindex: u32) -> Option<(u32, Interface)> {
        self.attached.iter().find(|(attached, _)| *attached == ifindex).copied()
    }

    /// Where packets pass mseg that leave by `ifindex` for a neighbour there, or arrive from it.
    fn through_port(&mut self, ifindex: u32, neighbour: IpAddr, near: IpAddr) -> io::Result<Way> {
        let way = self.through(ifindex, Some(near));
        if !matches!(way, Way::SomePort(_)) {
            return Ok(way);
        }
        Ok(match self.port(ifindex, neighbour, &self.links.below(ifindex))? {
            Some(port) => {
                self.attached(port).map_or(Way::Elsewhere(port), |(_, interface)| Way::Attached(port, interface))
            }
            None => way,
        })
    }

    /// The one of `below`, what is below an interface, behind which a neighbour there is, if that is known.
    fn port(&mut self, ifindex: u32, neighbour: IpAddr, below: &[u32]) -> io::Result<Option<u32>> {
        let neighbours = match &mut self.neighbours {
            Some(read) => read,
            unread => unread.insert(Neighbours::read(&mut self.channel)?),
        };
        Ok(neighbours.port(ifindex, neighbour, below))
    }

    /// Where packets that leave or arrive by `ifindex` pass mseg. `near` is their end on this side, to which packets may
    /// come by another way than they go; `None` if none do.
    pub(crate) fn through(&self, ifindex: u32, near: Option<IpAddr>) -> Way {
        let passed = self.links.below(ifindex);
        let found: Vec<(u32, Interface)> = passed.iter().filter_map(|i| self.attached(*i)).collect();
        if let Some((i, interface)) = found.iter().find(|(i, r)| *i == ifindex || r.role == ROLE_HOST) {
            return Way::Attached(*i, *interface);
        }
        if let [(i, interface), ..] = found[..] {
            // A VLAN's lower interface is certain, a bridge's port is not.
            return if self.links.is_port(i, &passed) { Way::SomePort(ifindex) } else { Way::Attached(i, interface) };
        }
        // Packets to an address of an attached interface may arrive there. Host interfaces share a zone, so any will do.
        let homes: HashSet<u32> = near
            .and_then(|near| self.addresses.get(&near))
            .into_iter()
            .flatten()
            .flat_map(|home| self.links.below(*home))
            .collect();
        match self.attached.iter().find(|(i, record)| homes.contains(i) && record.role == ROLE_HOST) {
            Some((i, interface)) => Way::Attached(*i, *interface),
            None => Way::Elsewhere(ifindex),
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(_) => mapped(address).to_vec(),
    }
}

fn parse_address(body: &[u8]) -> Option<(IpAddr, u32)> {
    let attributes = body.get(ADDRESS_HEADER..)?;
    // Of a point-to-point interface, ADDRESS is the peer's.
    let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    Some((address(value)?, u32_at(body, 4)?))
}

/// The address in an attribute.
pub(super) fn address(value: &[u8]) -> Option<IpAddr> {
    Some(match value.len() {
        4 => <[u8; 4]>::try_from(value).ok()?.into(),
        _ => <[u8; 16]>::try_from(value).ok()?.into(),
    })
}

fn parse_route(body: &[u8]) -> Route {
    if body.get(7) == Some(&RTN_LOCAL) {
        return Route::Local;
    }
    let attributes = body.get(ROUTE_HEADER..).unwrap_or_default();
    // A gateway of the other family comes with that: `struct rtvia`.
    let via = || attribute(attributes, RTA_VIA).and_then(|via| via.get(2..));
    let gateway = attribute(attributes, RTA_GATEWAY).or_else(via).and_then(address);
    let out = attribute(attributes, RTA_OIF).and_then(|value| u32_at(value, 0));
    out.map_or(Route::None, |ifindex| Route::Interface(ifindex, gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_host() {
        let mut ways = Ways::new(&[]).unwrap();
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(ways.route(loopback, loopback).unwrap(), Route::Local);
        assert_eq!(ways.route(loopback, loopback).unwrap(), Route::Local, "from the cache");
        assert_eq!(ways.through(1, None), Way::Elsewhere(1));
        assert_eq!(ways.name(1), "lo");
    }

    #[test]
    fn a_route_that_is_cut_short_is_none() {
        let mut body = vec![0; ROUTE_HEADER];
        push_attribute(&mut body, RTA_OIF, &9u32.to_ne_bytes());
        assert_eq!(parse_route(&body), Route::Interface(9, None));
        assert!((0..body.len()).all(|length| parse_route(&body[..length]) == Route::None));
        body[7] = RTN_LOCAL;
        assert_eq!(parse_route(&body), Route::Local);
    }
}
