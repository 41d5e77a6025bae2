//! Conversations that chance alone would seldom make.

use std::net::SocketAddr;

use mseg_tests::{
    middlebox::Random,
    packets::{self, protocol},
    topology::FAR,
};

use crate::{
    generate::{Unit, own_end},
    rules::SCTP,
    sctp, shape,
};

/// A question that has no hop left at the gateway, and the answer to it.
pub(crate) fn dropped_by_the_stack(number: usize) -> Vec<Unit> {
    let (near, far) = (own_end(number, false), SocketAddr::new(FAR[0], 53));
    let mut question = packets::ip(near.ip(), far.ip(), protocol::UDP, &packets::udp(near, far, b"question"));
    question[8] = 1;
    packets::resum(&mut question);
    let answer = packets::ip(far.ip(), near.ip(), protocol::UDP, &packets::udp(far, near, b"answer"));
    [(true, question, "message without a hop left"), (false, answer, "message")].map(unit).into()
}

/// An SCTP packet in fragments, the first of which does not hold all of its header.
pub(crate) fn cut_header(number: usize, random: &mut Random) -> Vec<Unit> {
    let (near, far) = (own_end(number, true), SocketAddr::new(FAR[1], 53));
    let whole = sctp::message([near, far], true, 0, random);
    let shaped = shape::in_fragments_of(8, "in order", near.ip(), far.ip(), SCTP, &whole, number * 8);
    vec![Unit { to_far: true, packets: shaped.packets, datagram: shaped.datagram, what: shaped.what }]
}

fn unit((to_far, packet, what): (bool, Vec<u8>, &str)) -> Unit {
    Unit { to_far, packets: vec![packet], datagram: None, what: what.to_owned() }
}

/// An error that quotes a packet only to the middle of its extension headers.
pub(crate) fn cut_quote(number: usize) -> Vec<Unit> {
    const GRE: u8 = 47;
    let (near, far) = (own_end(number, true).ip(), FAR[1]);
    let options = [GRE, 0, 1, 4, 0, 0, 0, 0];
    let packet = packets::ip(near, far, protocol::DESTINATION_OPTIONS, &[&options[..], &[0, 0, 8, 0]].concat());
    let error = packets::icmp(far, near, 1, 4, [0; 4], &packet[..42]);
    let error = packets::ip(far, near, protocol::ICMPV6, &error);
    [(true, packet, "message"), (false, error, "error quoting two bytes of the options")].map(unit).into()
}
