//! The flows that nf_conntrack follows in this network namespace, by ctnetlink (NETLINK_NETFILTER), as `conntrack -L`
//! reads them.

use std::{io, net::IpAddr, path::Path};

use crate::{
    kernel::channel::{Channel, DUMP, attribute, bytes_at},
    view::Endpoint,
};

/// Only there once the kernel has nf_conntrack: asking a kernel for its entries would load the module.
const PRESENT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`, and the answer's `IPCTNL_MSG_CT_NEW`.
const GET: u16 = 0x101;
const NEW: u16 = 0x100;
/// Bytes of `struct nfgenmsg`.
const HEADER: usize = 4;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
/// `struct nf_ct_tcp_flags` of either side: flags, mask.
const CTA_PROTOINFO_TCP_FLAGS: [u16; 2] = [4, 5];
/// No windows are checked. Both sides have it if the first packet was no SYN (`tcp_new` in nf_conntrack_proto_tcp.c).
const IP_CT_TCP_FLAG_BE_LIBERAL: u8 = 0x08;
const IPS_SEEN_REPLY: u32 = 1 << 1;

/// The addresses of one direction, by whom its packets come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) source: Endpoint,
    pub(crate) destination: Endpoint,
}

/// A flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tracked {
    pub(crate) protocol: u8,
    /// As its opener sends.
    pub(crate) original: Tuple,
    /// As the other side answers: the original turned around, but for what NAT changed.
    pub(crate) reply: Tuple,
    /// Packets went both ways.
    pub(crate) replied: bool,
    /// `enum tcp_conntrack`, whose first nine are those of the ABI's `TcpState`.
    pub(crate) tcp_state: Option<u8>,
    /// It was picked up in mid-stream: who opened it is a guess.
    pub(crate) picked_up: bool,
}

/// Reads all flows; none if the kernel has no nf_conntrack, or it is not loaded.
pub(crate) fn read() -> io::Result<Vec<Tracked>> {
    let mut flows = Vec::new();
    if !Path::new(PRESENT).exists() {
        return Ok(flows);
    }
    // struct nfgenmsg: any family, version 0, resource 0.
    Channel::open(libc::NETLINK_NETFILTER)?.ask(GET, DUMP, &[0; HEADER], &mut |kind, body| {
        if kind == NEW {
            flows.extend(body.get(HEADER..).and_then(parse));
        }
    })?;
    Ok(flows)
}

fn parse(attributes: &[u8]) -> Option<Tracked> {
    let (protocol, original) = tuple(attribute(attributes, CTA_TUPLE_ORIG)?)?;
    let (_, reply) = tuple(attribute(attributes, CTA_TUPLE_REPLY)?)?;
    let status = u32::from_be_bytes(bytes_at(attribute(attributes, CTA_STATUS)?, 0)?);
    let tcp = attribute(attributes, CTA_PROTOINFO).and_then(|info| attribute(info, CTA_PROTOINFO_TCP));
    let first = |kind| attribute(tcp?, kind)?.first().copied();
    let is_liberal = |kind| first(kind).is_some_and(|flags| flags & IP_CT_TCP_FLAG_BE_LIBERAL != 0);
    Some(Tracked {
        protocol,
        original,
        reply,
        replied: status & IPS_SEEN_REPLY != 0,
        tcp_state: first(CTA_PROTOINFO_TCP_STATE),
        picked_up: CTA_PROTOINFO_TCP_FLAGS.into_iter().all(is_liberal),
    })
}

fn tuple(attributes: &[u8]) -> Option<(u8, Tuple)> {
    let (ip, proto) = (attribute(attributes, CTA_TUPLE_IP)?, attribute(attributes, CTA_TUPLE_PROTO)?);
    let address = |v4, v6| -> Option<IpAddr> {
        match attribute(ip, v4) {
            Some(value) => Some(bytes_at::<4>(value, 0)?.into()),
            None => Some(bytes_at::<16>(attribute(ip, v6)?, 0)?.into()),
        }
    };
    // Protocols without ports have none here.
    let port = |kind| attribute(proto, kind).and_then(|value| bytes_at(value, 0)).map_or(0, u16::from_be_bytes);
    let protocol = *attribute(proto, 1)?.first()?;
    let source = Endpoint { address: address(1, 3)?, port: port(2) };
    Some((protocol, Tuple { source, destination: Endpoint { address: address(2, 4)?, port: port(3) } }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::channel::push_attribute;

    fn list(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, value) in attributes {
            push_attribute(&mut bytes, *kind, value);
        }
        bytes
    }

    fn tuple_of(source: [u8; 4], from: u16, destination: [u8; 4], to: u16) -> Vec<u8> {
        let ip = list(&[(1, &source), (2, &destination)]);
        let proto = list(&[(1, &[6]), (2, &from.to_be_bytes()), (3, &to.to_be_bytes())]);
        list(&[(CTA_TUPLE_IP | 0x8000, &ip), (CTA_TUPLE_PROTO | 0x8000, &proto)])
    }

    fn entry() -> Vec<u8> {
        let state = list(&[(CTA_PROTOINFO_TCP, &list(&[(CTA_PROTOINFO_TCP_STATE, &[3])]))]);
        list(&[
            (CTA_TUPLE_ORIG, &tuple_of([192, 0, 2, 1], 4000, [198, 51, 100, 1], 80)),
            (CTA_TUPLE_REPLY, &tuple_of([10, 0, 0, 1], 8080, [192, 0, 2, 1], 4000)),
            (CTA_STATUS, &(IPS_SEEN_REPLY | 4).to_be_bytes()),
            (CTA_PROTOINFO, &state),
        ])
    }

    #[test]
    fn an_entry_has_both_directions_as_the_wire_has_them() {
        let tracked = parse(&entry()).unwrap();
        assert_eq!((tracked.protocol, tracked.replied, tracked.tcp_state), (6, true, Some(3)));
        assert_eq!(tracked.original.source.to_string(), "192.0.2.1:4000");
        assert_eq!(tracked.original.destination.to_string(), "198.51.100.1:80");
        assert_eq!(tracked.reply.source.to_string(), "10.0.0.1:8080");
    }

    #[test]
    fn an_entry_that_both_sides_have_as_liberal_was_picked_up() {
        let of = |flags: [u8; 2]| {
            let [original, reply] = flags.map(|flags| [flags, 0]);
            let tcp = list(&[(CTA_PROTOINFO_TCP_FLAGS[0], &original), (CTA_PROTOINFO_TCP_FLAGS[1], &reply)]);
            list(&[
                (CTA_TUPLE_ORIG, &tuple_of([192, 0, 2, 1], 4000, [198, 51, 100, 1], 80)),
                (CTA_TUPLE_REPLY, &tuple_of([198, 51, 100, 1], 80, [192, 0, 2, 1], 4000)),
                (CTA_STATUS, &0u32.to_be_bytes()),
                (CTA_PROTOINFO, &list(&[(CTA_PROTOINFO_TCP, &tcp)])),
            ])
        };
        assert!(parse(&of([0x0a, 0x0a])).unwrap().picked_up);
        assert!(!parse(&of([0x0a, 0x02])).unwrap().picked_up && !parse(&entry()).unwrap().picked_up);
    }

    #[test]
    fn an_entry_that_is_cut_short_is_none() {
        let whole = entry();
        for length in 0..whole.len() - 16 {
            // What it lacks may be the state alone; nothing else may go missing unnoticed.
            assert!(parse(&whole[..length]).is_none_or(|t| t.tcp_state.is_none() && t.replied), "{length}");
        }
    }
}
