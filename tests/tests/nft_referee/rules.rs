//! What the rules let open a session, read again without either filter: what neither has a rule for is no difference that
//! could be meant.

use mseg_tests::packets::protocol;

use crate::{
    generate::Unit,
    segment::{ACK, RST, SYN},
    view::View,
};

const GRE: u8 = 47;
pub(crate) const SCTP: u8 = 132;

/// Ports that only one direction may open: protocol, to the far side, port.
const PORTS: [(u8, bool, u16); 5] = [
    (protocol::UDP, true, 53),
    (protocol::UDP, false, 123),
    (SCTP, true, 53),
    (protocol::TCP, true, 80),
    (protocol::TCP, false, 443),
];

/// Whether a rule admits a packet.
pub(crate) fn admits(view: &View, to_far: bool) -> bool {
    let port = view.payload.get(2..4).map(|port| u16::from_be_bytes([port[0], port[1]]));
    let opens =
        view.protocol != protocol::TCP || view.payload.get(13).is_some_and(|flags| flags & (SYN | ACK | RST) == SYN);
    let is_first = view.fragment.is_none_or(|(start, _)| start == 0);
    let by_port = PORTS.iter().any(|&rule| port.is_some_and(|port| rule == (view.protocol, to_far, port)));
    let by_type = match (view.ipv6, view.icmp()) {
        (false, Some(8)) => to_far,
        (false, Some(13)) | (true, Some(128)) => true,
        _ => false,
    };
    is_first && (by_port && opens || by_type || view.protocol == GRE && to_far)
}

/// Whether a rule admits a packet of a unit.
pub(crate) fn admits_any(unit: &Unit) -> bool {
    unit.packets.iter().filter_map(|packet| View::of(packet)).any(|view| admits(&view, unit.to_far))
}
