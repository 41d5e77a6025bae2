//! Counters as a document.

use std::collections::BTreeMap;

use mseg_ebpf::abi::{
    reason::Reason,
    stats::{self, Counter, EventStats},
};

use super::Totals;

/// Everything that is counted.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Stats")]
pub struct StatsView {
    /// Packets by verdict.
    pub packets: PacketsView,
    /// Bytes by verdict, with the Ethernet header.
    pub bytes: PacketsView,
    /// Packets by reason, those that are not zero. Their sum is `packets.seen`.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Sessions.
    pub sessions: SessionsView,
    /// Events.
    pub events: EventsView,
    /// The maps.
    pub maps: Vec<MapView>,
}

/// Packets, or bytes, by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "ByVerdict")]
pub struct PacketsView {
    /// The sum of the others.
    pub seen: u64,
    /// Went on.
    pub allowed: u64,
    /// Were dropped.
    pub denied: u64,
    /// Would have been dropped, but the mode is observe.
    pub observed: u64,
}

/// Sessions: how many there are, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "SessionCounts")]
pub struct SessionsView {
    /// With a reply, not expired.
    pub active: u64,
    /// Without one, not expired.
    pub half_open: u64,
    /// Created since the maps were made.
    pub created: u64,
    /// Got their first reply.
    pub promoted: u64,
    /// TCP sessions that reached closed.
    pub closed: u64,
    /// Found expired by a packet, and opened anew.
    pub expired: u64,
    /// Judged again because the policy had changed.
    pub rejudged: u64,
}

/// Events.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "EventCounts")]
pub struct EventsView {
    /// Put into the ring.
    pub submitted: u64,
    /// Lost because the ring was full.
    pub lost: u64,
}

/// A map.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Map")]
pub struct MapView {
    /// Its name.
    pub name: String,
    /// Entries in use, expired ones included; null where that means nothing.
    pub entries: Option<u64>,
    /// Entries at most.
    pub max_entries: u32,
    /// Kernel memory.
    pub bytes: u64,
}

impl StatsView {
    /// Puts the counters in order. `counters` is indexed by [`stats::index`]; what is missing counts as zero.
    pub fn new(counters: &[Counter], events: &EventStats, active: u64, half_open: u64, maps: Vec<MapView>) -> Self {
        let mut reasons = BTreeMap::new();
        let mut sums = [Totals::default(); stats::VERDICTS as usize];
        for (verdict, sum) in (0..).zip(&mut sums) {
            for reason in Reason::ALL {
                let counter = counters.get(stats::index(verdict, *reason) as usize).copied().unwrap_or_default();
                sum.packets += counter.packets;
                sum.bytes += counter.bytes;
                if counter.packets != 0 {
                    *reasons.entry(reason.name()).or_default() += counter.packets;
                }
            }
        }
        Self {
            packets: PacketsView::new(sums.map(|s| s.packets)),
            bytes: PacketsView::new(sums.map(|s| s.bytes)),
            reasons,
            sessions: SessionsView {
                active,
                half_open,
                created: events.sessions_created,
                promoted: events.sessions_promoted,
                closed: events.sessions_closed,
                expired: events.sessions_expired,
                rejudged: events.sessions_rejudged,
            },
            events: EventsView { submitted: events.submitted, lost: events.lost },
            maps,
        }
    }
}

impl PacketsView {
    fn new(by_verdict: [u64; stats::VERDICTS as usize]) -> Self {
        let [allowed, denied, observed] = by_verdict;
        Self { seen: allowed + denied + observed, allowed, denied, observed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_verdicts_both_sum_to_the_packets_seen() {
        let mut counters = vec![Counter::default(); stats::COUNTERS as usize];
        let mut set = |verdict, reason, packets| {
            counters[stats::index(verdict, reason) as usize] = Counter { packets, bytes: packets * 100 };
        };
        set(stats::VERDICT_ALLOWED, Reason::Session, 10);
        set(stats::VERDICT_DENIED, Reason::DefaultDeny, 3);
        set(stats::VERDICT_OBSERVED, Reason::DefaultDeny, 4);
        let view = StatsView::new(&counters, &EventStats::default(), 0, 0, Vec::new());
        assert_eq!(view.packets, PacketsView { seen: 17, allowed: 10, denied: 3, observed: 4 });
        assert_eq!(view.bytes.seen, 1700);
        assert_eq!(view.reasons, BTreeMap::from([("session", 10), ("default-deny", 7)]));
        assert_eq!(view.reasons.values().sum::<u64>(), view.packets.seen);
    }

    #[test]
    fn missing_counters_are_zero() {
        let view = StatsView::new(&[], &EventStats::default(), 1, 2, Vec::new());
        assert_eq!(view.packets.seen, 0);
        assert_eq!((view.sessions.active, view.sessions.half_open), (1, 2));
    }
}
