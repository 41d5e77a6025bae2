//! A look at a packet that shares nothing with the filter's parser.

use mseg_tests::packets::protocol;

use crate::{gateway::Outcome, generate::Unit, rules::SCTP, sctp};

/// What a packet's headers say. The fields of a malformed one are what can be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) ipv6: bool,
    /// Both addresses, as they stand.
    pub(crate) addresses: Vec<u8>,
    /// Numbers of the extension headers, in their order.
    pub(crate) extensions: Vec<u8>,
    /// Types of its routing headers.
    pub(crate) routing: Vec<u8>,
    /// What the walk ends at.
    pub(crate) protocol: u8,
    /// Where its fragment begins in the datagram, and whether more follow.
    pub(crate) fragment: Option<(usize, bool)>,
    /// From the end of the IP headers on.
    pub(crate) payload: Vec<u8>,
    /// Of a fragment: from the end of the unfragmentable part on.
    pub(crate) fragmented: usize,
    /// It ends within its IPv6 extension headers, or before them.
    pub(crate) cut: bool,
}

impl View {
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        Self::within(packet, true)
    }

    /// Looks no further than the length in the IP header says, or at all there is: an ICMP error's quote.
    fn within(packet: &[u8], length: bool) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::of_ipv4(packet, length),
            6 => Self::of_ipv6(packet, length),
            _ => None,
        }
    }

    fn of_ipv4(packet: &[u8], length: bool) -> Option<Self> {
        let header = usize::from(packet[0] & 15) * 4;
        let total = if length { usize::from(word(packet, 2)?).min(packet.len()) } else { packet.len() };
        let field = word(packet, 6)?;
        let start = usize::from(field & 0x1fff) * 8;
        let more = field & 0x2000 != 0;
        let payload = packet.get(header..total).unwrap_or_default().to_vec();
        Some(Self {
            addresses: packet.get(12..20)?.to_vec(),
            protocol: *packet.get(9)?,
            fragment: (more || start > 0).then_some((start, more)),
            fragmented: payload.len(),
            payload,
            ..Self::default()
        })
    }

    fn of_ipv6(packet: &[u8], length: bool) -> Option<Self> {
        let end = if length { (40 + usize::from(word(packet, 4)?)).min(packet.len()) } else { packet.len() };
        let mut view = Self { ipv6: true, addresses: packet.get(8..40)?.to_vec(), ..Self::default() };
        let (mut next, mut at) = (packet[6], 40);
        while matches!(next, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
            let Some(header) = packet.get(at..end).filter(|header| header.len() >= 8) else {
                view.cut = true;
                break;
            };
            view.extensions.push(next);
            let size = match next {
                protocol::FRAGMENT => 8,
                51 => (usize::from(*header.get(1)?) + 2) * 4,
                _ => (usize::from(*header.get(1)?) + 1) * 8,
            };
            if next == protocol::ROUTING {
                view.routing.push(*header.get(2)?);
            }
            if next == protocol::FRAGMENT {
                let field = word(header, 2)?;
                let fragment = (usize::from(field & !7), field & 1 != 0);
                view.fragment = (fragment != (0, false)).then_some(fragment);
                view.fragmented = end.saturating_sub(at + 8);
            }
            next = *header.first()?;
            at += size;
            if view.fragment.is_some_and(|(start, _)| start > 0) {
                break;
            }
        }
        view.protocol = next;
        view.cut |= at > end;
        view.payload = packet.get(at..end).unwrap_or_default().to_vec();
        Some(view)
    }

    /// Whether its transport checksum is right, where it has one that can be told. (A fragment's cannot.)
    pub(crate) fn has_right_checksum(&self) -> bool {
        let length = self.payload.len();
        let at = match self.protocol {
            protocol::TCP => 16,
            protocol::UDP => 6,
            protocol::ICMP if !self.ipv6 => 2,
            protocol::ICMPV6 if self.ipv6 => 2,
            SCTP => 8,
            _ => return true,
        };
        if self.protocol == SCTP && self.fragment.is_none() && length >= 12 {
            return sctp::has_right_checksum(&self.payload);
        }
        if self.fragment.is_some() || self.payload.len() < at + 2 {
            return true;
        }
        if self.protocol == protocol::UDP && self.payload[6..8] == [0, 0] {
            return true;
        }
        let mut all = Vec::new();
        if self.protocol != protocol::ICMP {
            all.extend(&self.addresses);
            all.extend(u32::try_from(length).unwrap_or(0).to_be_bytes());
            all.extend([0, 0, 0, self.protocol]);
        }
        all.extend(&self.payload);
        let sum = all.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
        let sum: u64 = sum.sum();
        sum > 0 && sum.is_multiple_of(0xffff)
    }

    /// Type of ICMP of its own family, if there is a type and a code.
    pub(crate) fn icmp(&self) -> Option<u8> {
        let own = if self.ipv6 { protocol::ICMPV6 } else { protocol::ICMP };
        let is_first = self.fragment.is_none_or(|(start, _)| start == 0);
        (self.protocol == own && is_first && self.payload.len() >= 2).then(|| self.payload[0])
    }

    pub(crate) fn is_echo(&self) -> bool {
        let echoes = if self.ipv6 { [128, 129] } else { [8, 0] };
        self.icmp().is_some_and(|kind| echoes.contains(&kind))
    }

    /// The bytes that an ICMP error quotes.
    pub(crate) fn quote(&self) -> Option<&[u8]> {
        let kind = self.icmp()?;
        let is_error = if self.ipv6 { kind < 128 } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
        if is_error { self.payload.get(8..) } else { None }
    }

    /// What an ICMP error quotes, as far as it does.
    pub(crate) fn quoted(&self) -> Option<Self> {
        Self::within(self.quote()?, false)
    }
}

/// Whether a router's own stack drops it: an IPv4 header checksum that is wrong, or no hop left.
pub(crate) fn is_dropped_by_stack(packet: &[u8]) -> bool {
    let (Some(first), Some(v4_hops), Some(v6_hops)) = (packet.first(), packet.get(8), packet.get(7)) else {
        return true;
    };
    if first >> 4 == 6 {
        return *v6_hops <= 1;
    }
    let header = packet.get(..usize::from(first & 15) * 4).unwrap_or_default();
    let sum: u64 = header.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1])).sum();
    *v4_hops <= 1 || !sum.is_multiple_of(0xffff)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// What of a unit is among the packets that arrived.
pub(crate) fn arrived(unit: &Unit, packets: &[Vec<u8>]) -> Outcome {
    let Some(sent) = unit.packets.iter().find_map(|packet| View::of(packet)) else {
        // Nothing that forwards by address takes it.
        return Outcome::Nothing;
    };
    let views = packets.iter().filter_map(|packet| View::of(packet));
    let ours: Vec<_> = views.filter(|view| view.addresses == sent.addresses).collect();
    let Some(expected) = unit.datagram else {
        return if ours.is_empty() { Outcome::Nothing } else { Outcome::Whole };
    };
    let mut covered = vec![false; expected];
    for view in &ours {
        let (start, _) = view.fragment.unwrap_or((0, false));
        let end = (start + view.fragmented).min(expected);
        covered.get_mut(start..end).unwrap_or_default().fill(true);
    }
    match (ours.is_empty(), covered.iter().all(|&byte| byte)) {
        (true, _) => Outcome::Nothing,
        (_, true) => Outcome::Whole,
        _ => Outcome::Part,
    }
}
