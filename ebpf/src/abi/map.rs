//! The maps by name: what is pinned under `maps/` of an instance.

/// [`super::meta::Meta`], array of one.
pub const META: &str = "META";
/// [`super::config::Config`], array of one, mmapable.
pub const CONFIG: &str = "CONFIG";
/// [`super::interface::Interface`] by interface index, hash.
pub const INTERFACES: &str = "INTERFACES";
/// [`super::session::Session`] by [`super::session::SessionKey`], LRU hash.
pub const SESSIONS: &str = "SESSIONS";
/// Like [`SESSIONS`], of all protocols but TCP.
pub const DATAGRAMS: &str = "DATAGRAMS";
/// Like both, before the client has shown that it hears the server.
pub const HALF_OPEN: &str = "HALF_OPEN";
/// Like [`SESSIONS`], once a FIN was seen.
pub const CLOSING: &str = "CLOSING";
/// Like [`SESSIONS`], once they have closed.
pub const CLOSED: &str = "CLOSED";
/// [`super::denied::Denied`] by [`super::session::SessionKey`], LRU hash.
pub const DENIED: &str = "DENIED";
/// [`super::fragment::Fragmented`] by [`super::fragment::FragmentKey`], LRU hash.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// [`super::source::Source`] by [`super::source::SourceKey`], LRU hash.
pub const SOURCES: &str = "SOURCES";
/// [`super::policy::PolicyHeader`] by slot, array of arrays.
pub const POLICY: &str = "POLICY";
/// [`super::policy::NamedRule`] by slot and position, array of arrays.
pub const RULES: &str = "RULES";
/// [`super::policy::Page`] by slot and number, array of arrays.
pub const SERVICES: &str = "SERVICES";
/// [`super::policy::Class`] by slot and number, array of arrays.
pub const CLASSES: &str = "CLASSES";
/// [`super::policy::Profile`] by slot and number, array of arrays.
pub const PROFILES: &str = "PROFILES";
/// [`super::policy::Bucket4`] by slot and number, array of arrays.
pub const NETWORKS4: &str = "NETWORKS4";
/// [`super::policy::Bucket6`] by slot and number, array of arrays.
pub const NETWORKS6: &str = "NETWORKS6";
/// Words of [`crate::policy::bits_of`] by slot and number, array of arrays.
pub const FILTER: &str = "FILTER";
/// [`super::policy::VerdictBucket`] by slot and number, array of arrays.
pub const VERDICTS: &str = "VERDICTS";
/// [`super::policy::TextChunk`] by slot and position, array of arrays.
pub const POLICY_TEXT: &str = "POLICY_TEXT";
/// [`super::rule::RuleHits`] by block and [`super::rule::hits_index`], array of arrays.
pub const RULE_HITS: &str = "RULE_HITS";
/// [`super::stats::Counter`] by [`super::stats::index`], per-CPU array.
pub const STATS: &str = "STATS";
/// [`super::stats::EventStats`], per-CPU array of one.
pub const EVENT_STATS: &str = "EVENT_STATS";
/// [`super::event::Event`], ring buffer.
pub const EVENTS: &str = "EVENTS";

/// Every map, in the order they are pinned.
pub const ALL: [&str; 25] = [
    META,
    CONFIG,
    INTERFACES,
    SESSIONS,
    DATAGRAMS,
    HALF_OPEN,
    CLOSING,
    CLOSED,
    DENIED,
    FRAGMENTS,
    SOURCES,
    POLICY,
    RULES,
    SERVICES,
    CLASSES,
    PROFILES,
    NETWORKS4,
    NETWORKS6,
    FILTER,
    VERDICTS,
    POLICY_TEXT,
    RULE_HITS,
    STATS,
    EVENT_STATS,
    EVENTS,
];
