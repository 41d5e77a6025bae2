//! Interfaces of the namespace a thread is in: veth pairs, addresses, neighbours, counters.

use std::{
    fs,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
};

use anyhow::{Context, Result};

use crate::{namespace::Namespace, netlink::Message};

/// `IFLA_INFO_KIND`, `IFLA_INFO_DATA` and `VETH_INFO_PEER`, which libc lacks.
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

/// One end of a veth pair to be.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Where it will be.
    pub namespace: &'a Namespace,
    /// Its name there.
    pub name: &'a str,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its addresses with their prefix lengths.
    pub addresses: &'a [(IpAddr, u8)],
}

/// Joins two namespaces by a veth pair, both ends up and addressed.
///
/// # Errors
/// When the kernel refuses a part of it.
pub fn join(one: End<'_>, other: End<'_>) -> Result<()> {
    join_at(one, 0, other)
}

/// Like [`join`], with this interface index for `one`, which must be free; 0 for any.
///
/// # Errors
/// When the kernel refuses a part of it.
pub fn join_at(one: End<'_>, index: u32, other: End<'_>) -> Result<()> {
    one.namespace.run(|| add_pair(one, index, other)).context("cannot make a veth pair")?;
    for end in [one, other] {
        end.namespace.run(|| -> Result<()> {
            set_up(end.name)?;
            end.addresses.iter().try_for_each(|&(address, prefix)| add_address(end.name, address, prefix))
        })?;
    }
    Ok(())
}

fn add_pair(one: End<'_>, index: u32, other: End<'_>) -> Result<()> {
    let peer_namespace = other.namespace.as_fd().as_raw_fd().cast_unsigned();
    Message::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &link_header(index, 0))
        .with(libc::IFLA_IFNAME, &name(one.name))
        .with(libc::IFLA_ADDRESS, &one.mac)
        .with_nested(libc::IFLA_LINKINFO, &[], |info| {
            info.with(INFO_KIND, b"veth").with_nested(INFO_DATA, &[], |data| {
                data.with_nested(VETH_INFO_PEER, &link_header(0, 0), |peer| {
                    peer.with(libc::IFLA_IFNAME, &name(other.name))
                        .with(libc::IFLA_ADDRESS, &other.mac)
                        .with(libc::IFLA_NET_NS_FD, &peer_namespace.to_ne_bytes())
                })
            })
        })
        .apply()
}

/// Makes a bridge of interfaces, and turns it on.
///
/// # Errors
/// When the kernel refuses it, or has no bridges.
pub fn add_bridge(bridge: &str, ports: &[&str]) -> Result<()> {
    Message::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &link_header(0, 0))
        .with(libc::IFLA_IFNAME, &name(bridge))
        .with_nested(libc::IFLA_LINKINFO, &[], |info| info.with(INFO_KIND, b"bridge"))
        .apply()
        .with_context(|| format!("cannot make the bridge {bridge}"))?;
    let master = index(bridge)?.to_ne_bytes();
    for port in ports {
        Message::new(libc::RTM_NEWLINK, 0, &link_header(index(port)?, 0))
            .with(libc::IFLA_MASTER, &master)
            .apply()
            .with_context(|| format!("cannot make {port} a port of {bridge}"))?;
    }
    set_up(bridge)
}

/// Turns an interface on.
///
/// # Errors
/// When there is none of that name.
pub fn set_up(interface: &str) -> Result<()> {
    Message::new(libc::RTM_NEWLINK, 0, &link_header(index(interface)?, libc::IFF_UP.cast_unsigned()))
        .apply()
        .with_context(|| format!("cannot turn {interface} on"))
}

/// Turns an interface off.
///
/// # Errors
/// When there is none of that name.
pub fn set_down(interface: &str) -> Result<()> {
    let mut header = link_header(index(interface)?, 0);
    // The mask of what changes.
    header[12..16].copy_from_slice(&libc::IFF_UP.to_ne_bytes());
    Message::new(libc::RTM_NEWLINK, 0, &header).apply().with_context(|| format!("cannot turn {interface} off"))
}

/// Moves an interface to another network namespace.
///
/// # Errors
/// When there is none of that name.
pub fn move_to(interface: &str, namespace: &Namespace) -> Result<()> {
    Message::new(libc::RTM_NEWLINK, 0, &link_header(index(interface)?, 0))
        .with(libc::IFLA_NET_NS_FD, &namespace.as_fd().as_raw_fd().to_ne_bytes())
        .apply()
        .with_context(|| format!("cannot move {interface}"))
}

/// Removes an interface.
///
/// # Errors
/// When there is none of that name.
pub fn remove(interface: &str) -> Result<()> {
    Message::new(libc::RTM_DELLINK, 0, &link_header(index(interface)?, 0))
        .apply()
        .with_context(|| format!("cannot remove {interface}"))
}

/// Gives an interface an address, usable at once.
///
/// # Errors
/// When the kernel refuses it.
pub fn add_address(interface: &str, address: IpAddr, prefix: u8) -> Result<()> {
    const NO_DAD: u8 = 2;
    let mut fixed = vec![family(address), prefix, NO_DAD, 0];
    fixed.extend_from_slice(&index(interface)?.to_ne_bytes());
    Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &fixed)
        .with(libc::IFA_LOCAL, &octets(address))
        .with(libc::IFA_ADDRESS, &octets(address))
        .apply()
        .with_context(|| format!("cannot give {interface} the address {address}"))
}

/// Takes an address from an interface.
///
/// # Errors
/// When it has none such.
pub fn remove_address(interface: &str, address: IpAddr, prefix: u8) -> Result<()> {
    let mut fixed = vec![family(address), prefix, 0, 0];
    fixed.extend_from_slice(&index(interface)?.to_ne_bytes());
    Message::new(libc::RTM_DELADDR, 0, &fixed)
        .with(libc::IFA_LOCAL, &octets(address))
        .apply()
        .with_context(|| format!("cannot take the address {address} from {interface}"))
}

/// Sets the longest packet an interface sends and takes, in bytes without the Ethernet header.
///
/// # Errors
/// When the kernel refuses it.
pub fn set_mtu(interface: &str, mtu: u32) -> Result<()> {
    Message::new(libc::RTM_NEWLINK, 0, &link_header(index(interface)?, 0))
        .with(libc::IFLA_MTU, &mtu.to_ne_bytes())
        .apply()
        .with_context(|| format!("cannot set the MTU of {interface} to {mtu}"))
}

/// Sends packets to one address out of an interface: by a gateway, or straight.
///
/// # Errors
/// When the kernel refuses it.
pub fn add_route(to: IpAddr, interface: &str, gateway: Option<IpAddr>) -> Result<()> {
    add_network_route(to, if to.is_ipv4() { 32 } else { 128 }, interface, gateway)
}

/// Like [`add_route`], to the addresses with this prefix length.
///
/// # Errors
/// When the kernel refuses it.
pub fn add_network_route(to: IpAddr, prefix: u8, interface: &str, gateway: Option<IpAddr>) -> Result<()> {
    const ONLINK: u32 = 4;
    let scope = if gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
    let fixed =
        [family(to), prefix, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, scope, libc::RTN_UNICAST].into_iter();
    let flags = if gateway.is_some() { ONLINK } else { 0 };
    let fixed: Vec<u8> = fixed.chain(flags.to_ne_bytes()).collect();
    let mut route = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &fixed)
        .with(libc::RTA_DST, &octets(to))
        .with(libc::RTA_OIF, &index(interface)?.to_ne_bytes());
    if let Some(gateway) = gateway {
        route = route.with(libc::RTA_GATEWAY, &octets(gateway));
    }
    route.apply().with_context(|| format!("cannot add a route to {to}"))
}

/// Makes a neighbour's Ethernet address known for good, so that nobody asks for it.
///
/// # Errors
/// When the kernel refuses it.
pub fn add_neighbour(interface: &str, address: IpAddr, mac: [u8; 6]) -> Result<()> {
    const DESTINATION: u16 = 1;
    const LINK_LAYER_ADDRESS: u16 = 2;
    const PERMANENT: u16 = 0x80;
    let mut fixed = vec![family(address), 0, 0, 0];
    fixed.extend_from_slice(&index(interface)?.to_ne_bytes());
    fixed.extend_from_slice(&PERMANENT.to_ne_bytes());
    fixed.extend_from_slice(&[0, 0]);
    Message::new(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &fixed)
        .with(DESTINATION, &octets(address))
        .with(LINK_LAYER_ADDRESS, &mac)
        .apply()
        .with_context(|| format!("cannot make the neighbour {address} known"))
}

/// The index of an interface in this thread's namespace.
///
/// # Errors
/// When there is none of that name.
pub fn index(interface: &str) -> Result<u32> {
    nix::net::if_::if_nametoindex(interface).with_context(|| format!("no interface {interface}"))
}

/// What an interface counted: packets, and bytes with the Ethernet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received packets.
    pub rx_packets: u64,
    /// Received bytes.
    pub rx_bytes: u64,
    /// Sent packets.
    pub tx_packets: u64,
    /// Sent bytes.
    pub tx_bytes: u64,
}

/// The counters of an interface in this thread's namespace.
///
/// # Errors
/// When there is none of that name.
pub fn counters(interface: &str) -> Result<Counters> {
    // Not /proc/net: that shows the namespace of the process's first thread.
    let table = fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
    let line = line.with_context(|| format!("no interface {interface}"))?;
    let field = |at: usize| -> Result<u64> { Ok(line.split_whitespace().nth(at).context("a short line")?.parse()?) };
    Ok(Counters { rx_bytes: field(0)?, rx_packets: field(1)?, tx_bytes: field(8)?, tx_packets: field(9)? })
}

/// `struct ifinfomsg`; the flags are both value and mask.
fn link_header(index: u32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn name(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).expect("address families are small")
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
