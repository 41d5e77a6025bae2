//! The differences that are meant, each with a name that man/mseg.7 explains.

use mseg_tests::packets::protocol;

use crate::{
    gateway::Outcome::{self, Nothing, Whole},
    generate::Unit,
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

    fn is_tcp(&self) -> bool {
        self.any(|view| view.protocol == protocol::TCP)
    }

    fn tcp_flags(&self) -> Option<u8> {
        let mut views = self.views().filter(|view| view.protocol == protocol::TCP);
        views.find_map(|view| view.payload.get(13).copied())
    }

    /// Whether both sides have shown their numbers, and the client that it knows the server's: in the last connection
    /// of these ends, which a SYN opens after a FIN or a reset.
    fn is_established(&self) -> bool {
        let before = self.before.iter().zip(self.passed).filter(|&(_, &passed)| passed).map(|(unit, _)| unit);
        let passed = before.filter_map(|unit| Some((unit.to_far, View::of(unit.packets.first()?)?)));
        let (mut seen, mut client, mut closed) = (0, false, false);
        for (to_far, view) in passed {
            let flags = view.payload.get(13).copied().unwrap_or(0);
            closed |= flags & (FIN | RST) != 0;
            seen = match (seen, flags & (SYN | ACK | RST)) {
                (_, SYN) if seen == 0 || closed => {
                    (client, closed) = (to_far, false);
                    1
                }
                (1, flags) if flags == SYN | ACK && to_far != client => 2,
                (2, ACK) if to_far == client => 3,
                _ => seen,
            };
        }
        seen == 3
    }

    /// Whether a SYN of each side has passed.
    fn is_opened_by_both(&self) -> bool {
        let mut opened = [false; 2];
        for (unit, passed) in self.before.iter().zip(self.passed) {
            let view = unit.packets.first().and_then(|packet| View::of(packet));
            let flags = view.and_then(|view| view.payload.get(13).copied()).unwrap_or(0);
            opened[usize::from(unit.to_far)] |= *passed && flags & (SYN | ACK) == SYN;
        }
        opened == [true; 2]
    }

    /// Whether a reset has passed.
    fn is_refused(&self) -> bool {
        self.before.iter().zip(self.passed).any(|(unit, passed)| {
            let view = unit.packets.first().and_then(|packet| View::of(packet));
            *passed && view.and_then(|view| view.payload.get(13).copied()).is_some_and(|flags| flags & RST != 0)
        })
    }

    /// Whether both sides have closed, and a SYN that would open a new connection in its place was denied.
    fn is_reopened_in_vain(&self) -> bool {
        let mut closed = [false; 2];
        self.before.iter().zip(self.passed).any(|(unit, passed)| {
            let view = unit.packets.first().and_then(|packet| View::of(packet));
            let flags = view.and_then(|view| view.payload.get(13).copied()).unwrap_or(0);
            closed[usize::from(unit.to_far)] |= *passed && flags & FIN != 0;
            !passed && flags & (SYN | ACK) == SYN && closed == [true; 2]
        })
    }

    /// Whether it is more than any window behind what its sender has sent before, or acknowledges such.
    fn is_old(&self) -> bool {
        const FAR: u32 = 1 << 19;
        let numbers = |unit: &Unit| {
            let view = View::of(unit.packets.first()?)?;
            let number = |at: usize| Some(u32::from_be_bytes(view.payload.get(at..at + 4)?.try_into().ok()?));
            Some([number(4)?, number(8)?])
        };
        let Some([sequence, acknowledgement]) = numbers(self.unit) else { return false };
        self.before.iter().filter_map(|unit| Some((unit.to_far, numbers(unit)?))).any(|(to_far, [then, _])| {
            let now = if to_far == self.unit.to_far { sequence } else { acknowledgement };
            (FAR..1 << 31).contains(&then.wrapping_sub(now))
        })
    }

    /// mseg lets more of it pass.
    fn nft_denies(&self) -> bool {
        self.nft == Nothing
    }

    /// mseg lets less of it pass.
    fn mseg_denies(&self) -> bool {
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

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const AUTHENTICATION: u8 = 51;
const GRE: u8 = 47;
const SCTP: u8 = 132;

/// Every class: its name, and whether a difference is of it.
pub(crate) const CLASSES: &[(&str, Predicate)] = &[
    ("before-the-stack", |it| {
        let mut earlier = it.before.iter().flat_map(|unit| &unit.packets);
        it.nft_denies() && earlier.any(|packet| view::is_dropped_by_stack(packet))
    }),
    ("checksum", |it| it.nft_denies() && it.any(|view| !view.has_right_checksum())),
    ("echo-code", |it| {
        let so_far = it.before.iter().chain([it.unit]).flat_map(|unit| &unit.packets);
        let mut views = so_far.filter_map(|packet| View::of(packet));
        it.nft_denies()
            && it.any_or_quoted(View::is_echo)
            && views.any(|view| {
                [view.quoted(), Some(view)].into_iter().flatten().any(|view| view.is_echo() && view.payload[1] != 0)
            })
    }),
    ("fragment-order", |it| it.mseg_denies() && it.spans().first().is_some_and(|&(start, _)| start > 0)),
    ("fragment-reassembly", |it| it.nft_denies() && it.any(|view| view.fragment.is_some()) && !it.is_datagram()),
    ("gre-header", |it| {
        // Version 0 is in the last three bits of the second of four bytes.
        let is_plain = |view: &View| view.payload.len() >= 4 && view.payload[1] & 7 == 0;
        it.nft_denies() && it.any_or_quoted(|view| view.protocol == GRE && !is_plain(view))
    }),
    ("icmp-error-quote", |it| {
        let cut_in_headers = |view: &View| view.quote().is_some() && view.quoted().is_none_or(|quoted| quoted.cut);
        let impossible = |view: &View| !view.ipv6 && view.quote().is_some_and(|quote| quote.first() < Some(&0x45));
        let cut_in_echo =
            |view: &View| view.quoted().is_some_and(|quoted| quoted.is_echo() && quoted.payload.len() < 8);
        (it.mseg_denies() && it.any(|view| cut_in_headers(view) || impossible(view)))
            || (it.nft_denies() && it.any(cut_in_echo))
    }),
    ("icmp-fragments", |it| {
        it.mseg_denies() && it.unit.datagram.is_some() && it.any(|view| view.icmp().is_some() && !view.is_echo())
    }),
    ("icmp-query", |it| {
        it.mseg_denies() && it.any_or_quoted(|view| !view.ipv6 && matches!(view.icmp(), Some(13..=18)))
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
    ("sctp-chunks", |it| it.nft_denies() && it.any(|view| view.protocol == SCTP)),
    ("tcp-handshake", |it| {
        it.is_tcp() && !it.is_established() && (it.nft_denies() || it.is_opened_by_both() || it.is_refused())
    }),
    ("tcp-old", |it| it.mseg_denies() && it.tcp_flags().is_some_and(|flags| flags & RST == 0) && it.is_old()),
    ("tcp-reopen", |it| it.nft_denies() && it.is_tcp() && it.is_reopened_in_vain()),
    ("tcp-reset", |it| it.mseg_denies() && it.tcp_flags().is_some_and(|flags| flags & RST != 0)),
    ("tcp-syn", |it| it.nft_denies() && it.tcp_flags().is_some_and(|flags| flags & (SYN | ACK) == SYN)),
];
