//! Counters as a document.

use std::collections::BTreeMap;

use mseg_ebpf::abi::{
    config::Config,
    map,
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
    /// What the tables could not hold.
    pub pressure: PressureView,
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
    /// In SESSIONS, CLOSING and DATAGRAMS, not expired.
    pub active: u64,
    /// In HALF_OPEN, not expired.
    pub half_open: u64,
    /// Created since the maps were made.
    pub created: u64,
    /// Moved from HALF_OPEN to SESSIONS or DATAGRAMS.
    pub promoted: u64,
    /// TCP sessions that reached closed.
    pub closed: u64,
    /// Found expired by a packet, and opened anew.
    pub expired: u64,
    /// Judged again because the policy had changed.
    pub rejudged: u64,
}

/// How hard pressed the session tables are, since the maps were made. The counters are read one after the other, so under
/// traffic they may be a few apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Pressure")]
pub struct PressureView {
    /// Entries in SESSIONS by its size: percent.
    pub sessions_fill_percent: u64,
    /// Entries in CLOSING by its size: percent.
    pub closing_fill_percent: u64,
    /// Entries in DATAGRAMS by its size: percent.
    pub datagrams_fill_percent: u64,
    /// Entries in HALF_OPEN by its size: percent.
    pub half_open_fill_percent: u64,
    /// Sessions that SESSIONS dropped to make room for others.
    pub sessions_evicted: u64,
    /// Sessions that CLOSING dropped to make room for others, expired ones included.
    pub closing_evicted: u64,
    /// Sessions that DATAGRAMS dropped to make room for others.
    pub datagrams_evicted: u64,
    /// Sessions that HALF_OPEN dropped to make room for others.
    pub half_open_evicted: u64,
    /// Packets whose session found no room: the reason `table-full`.
    pub inserts_refused: u64,
    /// About how many half-open sessions one source may have; 0 for any number.
    pub half_open_per_source: u32,
    /// Packets whose source had too many half-open sessions: the reason `source-limit`.
    pub source_limited: u64,
    /// TCP packets that open nothing and belong to no session, denied or not.
    pub midstream_misses: u64,
    /// Sessions adopted at attach.
    pub adopted: u64,
}

impl PressureView {
    fn new(events: &EventStats, config: &Config, maps: &[MapView], reasons: &BTreeMap<&'static str, u64>) -> Self {
        let table = |name| maps.iter().find(|map| map.name == name);
        let entries = |name| table(name).and_then(|map| map.entries).unwrap_or(0);
        let fill = |name| table(name).map_or(0, |map| 100 * entries(name) / u64::from(map.max_entries.max(1)));
        // The kernel does not count them: what went in, less what was taken out and what is there.
        let evicted = |put: u64, taken: u64, name| put.saturating_sub(taken).saturating_sub(entries(name));
        let count = |reason: Reason| reasons.get(reason.name()).copied().unwrap_or(0);
        Self {
            sessions_fill_percent: fill(map::SESSIONS),
            closing_fill_percent: fill(map::CLOSING),
            datagrams_fill_percent: fill(map::DATAGRAMS),
            half_open_fill_percent: fill(map::HALF_OPEN),
            sessions_evicted: evicted(
                events.sessions_promoted + config.adopted_sessions,
                events.sessions_removed + config.deleted_sessions,
                map::SESSIONS,
            ),
            closing_evicted: evicted(
                events.closing_added + config.adopted_closing,
                events.closing_removed + config.deleted_closing,
                map::CLOSING,
            ),
            datagrams_evicted: evicted(
                events.datagrams_promoted + config.adopted_datagrams,
                events.datagrams_removed + config.deleted_datagrams,
                map::DATAGRAMS,
            ),
            half_open_evicted: evicted(
                events.sessions_created,
                events.half_open_removed + config.deleted_half_open,
                map::HALF_OPEN,
            ),
            inserts_refused: count(Reason::TableFull),
            half_open_per_source: config.half_open_per_source,
            source_limited: count(Reason::SourceLimit),
            midstream_misses: events.midstream_misses,
            adopted: config.adopted_sessions + config.adopted_closing + config.adopted_datagrams,
        }
    }
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
    pub fn new(
        counters: &[Counter],
        events: &EventStats,
        config: &Config,
        (active, half_open): (u64, u64),
        maps: Vec<MapView>,
    ) -> Self {
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
            pressure: PressureView::new(events, config, &maps, &reasons),
            packets: PacketsView::new(sums.map(|s| s.packets)),
            bytes: PacketsView::new(sums.map(|s| s.bytes)),
            reasons,
            sessions: SessionsView {
                active,
                half_open,
                created: events.sessions_created,
                promoted: events.sessions_promoted + events.datagrams_promoted,
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
    use zerocopy::FromZeros;

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
        let view = StatsView::new(&counters, &EventStats::default(), &Config::new_zeroed(), (0, 0), Vec::new());
        assert_eq!(view.packets, PacketsView { seen: 17, allowed: 10, denied: 3, observed: 4 });
        assert_eq!(view.bytes.seen, 1700);
        assert_eq!(view.reasons, BTreeMap::from([("session", 10), ("default-deny", 7)]));
        assert_eq!(view.reasons.values().sum::<u64>(), view.packets.seen);
    }

    #[test]
    fn what_went_in_and_is_neither_there_nor_was_taken_out_was_evicted() {
        let events = EventStats {
            sessions_created: 100,
            sessions_promoted: 60,
            sessions_removed: 10,
            half_open_removed: 70,
            ..EventStats::default()
        };
        let config = Config { adopted_sessions: 5, deleted_sessions: 3, deleted_half_open: 10, ..Config::new_zeroed() };
        let map =
            |name: &str, entries| MapView { name: name.to_owned(), entries: Some(entries), max_entries: 50, bytes: 0 };
        let maps = vec![map(map::SESSIONS, 50), map(map::HALF_OPEN, 5)];
        let pressure = StatsView::new(&[], &events, &config, (0, 0), maps).pressure;
        assert_eq!((pressure.sessions_evicted, pressure.half_open_evicted), (2, 15));
        assert_eq!((pressure.sessions_fill_percent, pressure.half_open_fill_percent), (100, 10));
    }

    #[test]
    fn missing_counters_are_zero() {
        let view = StatsView::new(&[], &EventStats::default(), &Config::new_zeroed(), (1, 2), Vec::new());
        assert_eq!(view.packets.seen, 0);
        assert_eq!((view.sessions.active, view.sessions.half_open), (1, 2));
    }
}
