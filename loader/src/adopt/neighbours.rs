//! By which port of a bridge an address is reached: the neighbours of an interface, then what the bridge has learnt of their
//! Ethernet addresses.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::IpAddr,
};

use super::way::address;
use crate::kernel::channel::{Channel, DUMP, attribute, u32_at};

const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
/// Bytes of `struct ndmsg`.
const HEADER: usize = 12;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

/// The neighbours and the bridges' tables of this network namespace.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// By interface and address.
    ethernet: HashMap<(u32, IpAddr), Vec<u8>>,
    /// The ports behind which an Ethernet address was seen, of all bridges.
    ports: HashMap<Vec<u8>, HashSet<u32>>,
}

impl Neighbours {
    pub(super) fn read(channel: &mut Channel) -> io::Result<Self> {
        let mut found = Self::default();
        for family in [libc::AF_UNSPEC, libc::AF_BRIDGE] {
            let mut request = [0; HEADER];
            request[0] = family as u8;
            channel.ask(RTM_GETNEIGH, DUMP, &request, &mut |kind, body| {
                if kind == RTM_NEWNEIGH {
                    found.note(body);
                }
            })?;
        }
        Ok(found)
    }

    fn note(&mut self, body: &[u8]) -> Option<()> {
        let (family, ifindex) = (i32::from(*body.first()?), u32_at(body, 4)?);
        let attributes = body.get(HEADER..)?;
        let ethernet = attribute(attributes, NDA_LLADDR)?.to_vec();
        if family == libc::AF_BRIDGE {
            self.ports.entry(ethernet).or_default().insert(ifindex);
            return Some(());
        }
        self.ethernet.insert((ifindex, address(attribute(attributes, NDA_DST)?)?), ethernet);
        Some(())
    }

    /// The one of `ports` behind which an address is that is reached by an interface, if it is known, and but one.
    pub(super) fn port(&self, ifindex: u32, address: IpAddr, ports: &[u32]) -> Option<u32> {
        let ethernet = self.ethernet.get(&(ifindex, address))?;
        let mut behind = ports.iter().filter(|port| self.ports.get(ethernet).is_some_and(|seen| seen.contains(port)));
        let port = behind.next()?;
        behind.next().is_none().then_some(*port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::channel::push_attribute;

    fn message(family: i32, ifindex: u32, address: Option<IpAddr>, ethernet: [u8; 6]) -> Vec<u8> {
        let mut body = vec![0; HEADER];
        body[0] = family as u8;
        body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        match address {
            Some(IpAddr::V4(v4)) => push_attribute(&mut body, NDA_DST, &v4.octets()),
            Some(IpAddr::V6(v6)) => push_attribute(&mut body, NDA_DST, &v6.octets()),
            None => {}
        }
        push_attribute(&mut body, NDA_LLADDR, &ethernet);
        body
    }

    #[test]
    fn an_address_is_behind_the_one_port_at_which_its_ethernet_address_was_seen() {
        let (first, second, third) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3]);
        let addresses: [IpAddr; 3] = ["192.0.2.1", "2001:db8::2", "192.0.2.3"].map(|text| text.parse().unwrap());
        let mut found = Neighbours::default();
        for message in [
            message(libc::AF_INET, 10, Some(addresses[0]), first),
            message(libc::AF_INET6, 10, Some(addresses[1]), second),
            message(libc::AF_INET, 10, Some(addresses[2]), third),
            message(libc::AF_BRIDGE, 4, None, first),
            message(libc::AF_BRIDGE, 5, None, second),
            message(libc::AF_BRIDGE, 4, None, third),
            message(libc::AF_BRIDGE, 5, None, third),
        ] {
            // Two bytes at its end are padding.
            assert!((0..message.len() - 2).all(|length| Neighbours::default().note(&message[..length]).is_none()));
            found.note(&message).unwrap();
        }
        let ports = [4, 5, 6];
        assert_eq!(found.port(10, addresses[0], &ports), Some(4));
        assert_eq!(found.port(10, addresses[1], &ports), Some(5));
        assert_eq!(found.port(10, addresses[2], &ports), None, "two ports have seen it");
        assert_eq!(found.port(10, addresses[2], &[5, 6]), Some(5), "two ports, of which one matters");
        assert_eq!(found.port(11, addresses[0], &ports), None, "another interface");
    }
}
