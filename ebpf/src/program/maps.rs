//! The pinned maps. Keys, values, writers, readers and lifetimes are described with the types in [`mseg_ebpf::abi`].

use aya_ebpf::{
    bindings::{BPF_F_INNER_MAP, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, ArrayOfMaps, HashMap, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use mseg_ebpf::{
    abi::{
        config::Config,
        denied::{Denied, MAX_DENIED},
        event::RING_BYTES,
        fragment::{FragmentKey, Fragmented, MAX_FRAGMENTED},
        interface::Interface,
        meta::Meta,
        policy::{
            Bucket4, Bucket6, ClassPage, NamedRule, POLICY_SLOTS, Page, PolicyHeader, Profile, TextChunk, VerdictBucket,
        },
        rule::{self, RuleHits},
        session::{MAX_CLOSED, MAX_CLOSING, MAX_DATAGRAMS, MAX_HALF_OPEN, MAX_SESSIONS, Session, SessionKey},
        source::{MAX_SOURCES, Source, SourceKey},
        stats::{COUNTERS, Counter, EventStats},
    },
    policy::Question,
};

#[btf_map]
pub(crate) static META: Array<Meta, 1> = Array::new();

#[btf_map]
pub(crate) static CONFIG: Array<Config, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

// Few hosts have so many: those that are not there need no memory.
#[btf_map]
pub(crate) static INTERFACES: HashMap<u32, Interface, 1024, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

#[btf_map]
pub(crate) static SESSIONS: LruHashMap<SessionKey, Session, MAX_SESSIONS> = LruHashMap::new();

#[btf_map]
pub(crate) static DATAGRAMS: LruHashMap<SessionKey, Session, MAX_DATAGRAMS> = LruHashMap::new();

#[btf_map]
pub(crate) static HALF_OPEN: LruHashMap<SessionKey, Session, MAX_HALF_OPEN> = LruHashMap::new();

#[btf_map]
pub(crate) static CLOSING: LruHashMap<SessionKey, Session, MAX_CLOSING> = LruHashMap::new();

#[btf_map]
pub(crate) static CLOSED: LruHashMap<SessionKey, Session, MAX_CLOSED> = LruHashMap::new();

#[btf_map]
pub(crate) static DENIED: LruHashMap<SessionKey, Denied, MAX_DENIED> = LruHashMap::new();

#[btf_map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, Fragmented, MAX_FRAGMENTED> = LruHashMap::new();

#[btf_map]
pub(crate) static SOURCES: LruHashMap<SourceKey, Source, MAX_SOURCES> = LruHashMap::new();

#[btf_map]
pub(crate) static POLICY: ArrayOfMaps<Array<PolicyHeader, 1>, { POLICY_SLOTS as usize }> = ArrayOfMaps::new();

// BPF_F_INNER_MAP (kernel 5.10): each generation's arrays are as long as it needs.
const AS_LONG_AS_NEEDED: usize = BPF_F_INNER_MAP as usize;
// And begin at a page (array_map_alloc in kernel/bpf/arraymap.c), so that no entry lies across two cache lines; nobody maps
// them.
const ALIGNED: usize = AS_LONG_AS_NEEDED | BPF_F_MMAPABLE as usize;
const SLOTS: usize = POLICY_SLOTS as usize;

#[btf_map]
pub(crate) static RULES: ArrayOfMaps<Array<NamedRule, 1, AS_LONG_AS_NEEDED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static SERVICES: ArrayOfMaps<Array<Page, 1, AS_LONG_AS_NEEDED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static CLASSES: ArrayOfMaps<Array<ClassPage, 1, ALIGNED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static PROFILES: ArrayOfMaps<Array<Profile, 1, ALIGNED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static NETWORKS4: ArrayOfMaps<Array<Bucket4, 1, ALIGNED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static NETWORKS6: ArrayOfMaps<Array<Bucket6, 1, ALIGNED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static FILTER: ArrayOfMaps<Array<u64, 1, ALIGNED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static VERDICTS: ArrayOfMaps<Array<VerdictBucket, 1, ALIGNED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static POLICY_TEXT: ArrayOfMaps<Array<TextChunk, 1, AS_LONG_AS_NEEDED>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static RULE_HITS: ArrayOfMaps<
    Array<RuleHits, { rule::PLACEHOLDER as usize }, { BPF_F_MMAPABLE as usize }>,
    { rule::BLOCKS as usize },
> = ArrayOfMaps::new();

// Not pinned: the programs' own memory while they look a packet up.
#[btf_map]
pub(crate) static QUESTION: PerCpuArray<Question, 1> = PerCpuArray::new();

#[btf_map]
pub(crate) static STATS: PerCpuArray<Counter, { COUNTERS as usize }> = PerCpuArray::new();

#[btf_map]
pub(crate) static EVENT_STATS: PerCpuArray<EventStats, 1> = PerCpuArray::new();

// Its records are `mseg_ebpf::abi::event::Event`; a value type here makes libbpf refuse the object.
#[btf_map]
pub(crate) static EVENTS: RingBuf<(), RING_BYTES> = RingBuf::new();
