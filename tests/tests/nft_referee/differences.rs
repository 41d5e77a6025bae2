//! The differences that are meant, each with a name that man/mseg.7 explains.

use mseg_tests::packets::protocol;

use crate::{
    gateway::Outcome::{self, Nothing, Part, Whole},
    generate::Unit,
    rules::{self, SCTP},
    sctp,
    segment::Header,
    tcp_differences as tcp,
    track::Track,
    view::{self, View},
};

/// One unit of a conversation that the two filters treated differently.
pub(crate) struct Difference<'a> {
    /// What was sent in this conversation before.
    pub(crate) before: &'a [Unit],
    /// Which of that passed: the same of both.
    pub(crate) passed: &'a [bool],
    pub(crate) unit: &'a Unit,
    pub(crate) nft: Outcome,
    pub(crate) mseg: Outcome,
}

impl Difference<'_> {
    fn views(&self) -> impl Iterator<Item = View> {
        self.unit.packets.iter().filter_map(|packet| View::of(packet))
    }

    fn any(&self, is: impl Fn(&View) -> bool) -> bool {
        self.views().any(|view| is(&view))
    }

    /// Whether it is so of a packet, or of what an ICMP error quotes.
    fn any_or_quoted(&self, is: impl Fn(&View) -> bool) -> bool {
        self.any(|view| is(view) || view.quoted().is_some_and(|quoted| is(&quoted)))
    }

    /// The name of its class, if it is of one.
    pub(crate) fn class(&self) -> Option<&'static str> {
        // Whatever mseg lets pass more of: a rule admits it, or what came before it in this conversation.
        if self.nft_denies() && !self.before.iter().chain([self.unit]).any(rules::admits_any) {
            return None;
        }
        CLASSES.iter().find(|(_, is)| is(self)).map(|(name, _)| *name)
    }

    /// What passed before.
    pub(crate) fn passed(&self) -> impl Iterator<Item = &Unit> {
        self.before.iter().zip(self.passed).filter(|&(_, &passed)| passed).map(|(unit, _)| unit)
    }

    /// Its TCP header.
    pub(crate) fn header(&self) -> Option<Header> {
        Header::of(self.unit.packets.first()?)
    }

    /// The TCP connection as far as it has passed.
    pub(crate) fn track(&self) -> Track {
        let mut track = Track::default();
        for (unit, &passed) in self.before.iter().zip(self.passed) {
            match unit.packets.first().and_then(|packet| Header::of(packet)) {
                Some(header) if passed => track.pass(unit.to_far, &header),
                Some(header) => track.deny(unit.to_far, &header),
                None => {}
            }
        }
        track
    }

    /// mseg lets more of it pass.
    pub(crate) fn nft_denies(&self) -> bool {
        self.nft == Nothing
    }

    /// mseg lets less of it pass.
    pub(crate) fn mseg_denies(&self) -> bool {
        self.nft == Whole
    }

    /// Where each fragment begins and ends, in the order in which they were sent.
    fn spans(&self) -> Vec<(usize, usize)> {
        let span = |view: View| {
            let start = view.fragment.map_or(0, |(start, _)| start);
            (start, start + view.fragmented)
        };
        self.views().map(span).collect()
    }

    /// Whether its fragments are one datagram: every byte once.
    fn is_datagram(&self) -> bool {
        let mut spans = self.spans();
        spans.sort_unstable();
        spans.windows(2).all(|pair| pair[0].1 == pair[1].0)
            && spans.first().is_some_and(|span| span.0 == 0)
            && spans.last().map(|span| span.1) == self.unit.datagram
    }
}

type Predicate = fn(&Difference<'_>) -> bool;

const AUTHENTICATION: u8 = 51;
const GRE: u8 = 47;

/// Every class: its name, and whether a difference is of it.
pub(crate) const CLASSES: &[(&str, Predicate)] = &[
    ("before-the-stack", |it| {
        let opens = |unit: &Unit| {
            rules::admits_any(unit) && unit.packets.iter().any(|packet| view::is_dropped_by_stack(packet))
        };
        it.nft_denies() && it.before.iter().any(opens)
    }),
    ("checksum", |it| it.nft_denies() && it.any(|view| !view.has_right_checksum())),
    ("echo-code", |it| {
        let passed: Vec<_> = it.passed().flat_map(|unit| &unit.packets).filter_map(|packet| View::of(packet)).collect();
        let is_other = |view: &View| passed.iter().any(|other| other.is_echo() && other.payload[1] != view.payload[1]);
        it.nft_denies() && it.any_or_quoted(|view| view.is_echo() && is_other(view))
    }),
    ("fragment-order", |it| it.mseg_denies() && it.spans().first().is_some_and(|&(start, _)| start > 0)),
    ("fragment-reassembly", |it| it.nft_denies() && it.any(|view| view.fragment.is_some()) && !it.is_datagram()),
    ("fragment-tiny", |it| {
        // The ports of SCTP are in the first 12 bytes with the rest of its header.
        it.mseg_denies()
            && it.any(|view| view.protocol == SCTP && view.fragment == Some((0, true)) && view.payload.len() < 12)
    }),
    ("gre-header", |it| {
        // Version 0 is in the last three bits of the second of four bytes.
        let is_plain = |view: &View| view.payload.len() >= 4 && view.payload[1] & 7 == 0;
        it.nft_denies() && it.any_or_quoted(|view| view.protocol == GRE && !is_plain(view))
    }),
    ("icmp-error-quote", |it| {
        let cut_in_headers = |view: &View| view.quote().is_some() && view.quoted().is_none_or(|quoted| quoted.cut);
        let impossible = |view: &View| {
            let own = if view.ipv6 { 0x60..=0x6f } else { 0x45..=0x4f };
            view.quote().is_some_and(|quote| quote.first().is_none_or(|byte| !own.contains(byte)))
        };
        let cut_in_echo =
            |view: &View| view.quoted().is_some_and(|quoted| quoted.is_echo() && quoted.payload.len() < 8);
        (it.mseg_denies() && it.any(|view| cut_in_headers(view) || impossible(view)))
            || (it.nft_denies() && it.any(cut_in_echo))
    }),
    ("icmp-fragments", |it| {
        // An error whose first piece ends before the quoted ports does not pass at all.
        let quotes_less = it.any(|view| view.quoted().is_some_and(|quoted| quoted.payload.len() < 8));
        let passes_less = it.mseg == Part || it.unit.datagram.is_some() && quotes_less;
        it.mseg_denies() && passes_less && it.any(|view| view.icmp().is_some() && !view.is_echo())
    }),
    ("icmp-query", |it| {
        // A reply, or what quotes any of them.
        let is = |view: &View, kinds: &[u8]| !view.ipv6 && view.icmp().is_some_and(|kind| kinds.contains(&kind));
        let quotes = |view: &View| view.quoted().is_some_and(|quoted| is(&quoted, &[13, 14, 15, 16, 17, 18]));
        it.mseg_denies() && it.any(|view| is(view, &[14, 16, 18]) || quotes(view))
    }),
    ("icmp-redirect", |it| it.mseg_denies() && it.any(|view| !view.ipv6 && view.icmp() == Some(5))),
    ("ipv6-authentication", |it| it.nft_denies() && it.any(|view| view.extensions.contains(&AUTHENTICATION))),
    ("ipv6-extension-depth", |it| it.mseg_denies() && it.any_or_quoted(|view| view.extensions.len() > 8)),
    ("ipv6-extension-order", |it| {
        it.mseg_denies()
            && it.any_or_quoted(|view| {
                let count = |kind| view.extensions.iter().filter(|&&other| other == kind).count();
                view.extensions.iter().skip(1).any(|&kind| kind == protocol::HOP_BY_HOP)
                    || count(protocol::FRAGMENT) > 1
            })
    }),
    ("ipv6-routing-type0", |it| it.mseg_denies() && it.any_or_quoted(|view| view.routing.contains(&0))),
    ("sctp-chunks", is_of_sctp_chunks),
    ("tcp-handshake", tcp::is_of_handshake),
    ("tcp-old", tcp::is_old),
    ("tcp-overshoot", tcp::is_of_overshoot),
    ("tcp-reopen", tcp::is_reopened),
    ("tcp-reset", tcp::is_of_reset),
    ("tcp-syn", tcp::is_of_syn),
    ("tcp-window", tcp::is_of_wider_window),
];

/// A packet of SCTP that a rule or the packets before let pass, and that does not follow them as chunks.
fn is_of_sctp_chunks(it: &Difference<'_>) -> bool {
    let opens_to_far = it.unit.packets.first().and_then(|packet| View::of(packet)).is_some_and(|view| {
        let port = view.payload.get(if it.unit.to_far { 2..4 } else { 0..2 });
        port.is_some_and(|port| u16::from_be_bytes([port[0], port[1]]) == 53)
    });
    let units = it.passed().chain([it.unit]);
    let views: Vec<_> = units
        .flat_map(|unit| {
            unit.packets.iter().filter_map(|packet| Some((unit.to_far == opens_to_far, View::of(packet)?)))
        })
        .collect();
    it.nft_denies()
        && it.any(|view| view.protocol == SCTP)
        && !sctp::are_in_turn(views.iter().map(|(from_opener, view)| (*from_opener, view)))
}
