//! rtnetlink: requests and their answers, in the caller's network namespace.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoPortKind, LinkAttribute, LinkExtentMask, LinkInfo, LinkLayerType, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
    pub(crate) link_layer: LinkLayerType,
    /// Whether it is a port of a bridge.
    pub(crate) bridge_port: bool,
}

/// One answer of a dump.
pub(crate) enum Answer {
    /// A message that was understood.
    Message(RouteNetlinkMessage),
    /// A message that was not: it exists, and is not one of ours.
    Unreadable,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Sends one request and returns the answers up to the acknowledgement or the end of the dump.
pub(crate) fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<Answer>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    let dump = flags & NLM_F_DUMP == NLM_F_DUMP;
    header.flags = NLM_F_REQUEST | flags | if dump { 0 } else { NLM_F_ACK };
    header.sequence_number = 1;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    socket.send(&buffer, 0)?;

    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while rest.len() >= 16 {
            let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            if length < 16 || length > rest.len() {
                return Err(invalid("a netlink message of a wrong length"));
            }
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&rest[..length]).map(|m| m.payload) {
                Ok(NetlinkPayload::Error(error)) => {
                    return match error.code {
                        None => Ok(answers),
                        Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
                    };
                }
                Ok(NetlinkPayload::Done(_)) => return Ok(answers),
                Ok(NetlinkPayload::InnerMessage(inner)) => answers.push(Answer::Message(inner)),
                Ok(_) => {}
                Err(_) => answers.push(Answer::Unreadable),
            }
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// The interface of that name, if there is one.
pub(crate) fn interface(name: &str) -> io::Result<Option<Interface>> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    // Interfaces with hundreds of virtual functions do not fit the answer otherwise.
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let answers = match request(RouteNetlinkMessage::GetLink(message), 0) {
        Ok(answers) => answers,
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV)) => return Ok(None),
        Err(e) => return Err(e),
    };
    answers
        .into_iter()
        .find_map(|answer| match answer {
            Answer::Message(RouteNetlinkMessage::NewLink(link)) => Some(Interface {
                ifindex: link.header.index,
                name: link
                    .attributes
                    .iter()
                    .find_map(|a| if let LinkAttribute::IfName(name) = a { Some(name.clone()) } else { None })
                    .unwrap_or_else(|| name.to_owned()),
                link_layer: link.header.link_layer_type,
                bridge_port: link.attributes.iter().any(|a| {
                    let port = LinkInfo::PortKind(InfoPortKind::Bridge);
                    matches!(a, LinkAttribute::LinkInfo(infos) if infos.contains(&port))
                }),
            }),
            _ => None,
        })
        .map_or_else(|| Err(invalid("an answer without an interface")), |found| Ok(Some(found)))
}
