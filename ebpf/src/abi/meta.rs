//! META: who made these maps. Every program reads it first.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{config, denied, event, fragment, interface, policy, rule, session, source, stats};

/// The version of the map ABI: bumped by every change of layout or meaning.
pub const ABI_VERSION: u32 = 3;

/// "mseg" in ASCII: what tells our META from a foreign map.
pub const MAGIC: u32 = u32::from_be_bytes(*b"mseg");

/// The value of META (array, one entry). Written once by mseg-loader before the first attach; read by all programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Meta {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`ABI_VERSION`] of the loader that made the maps.
    pub abi_version: u32,
    /// [`layout_hash`] of the loader that made the maps.
    pub layout_hash: u64,
    /// The first 20 bytes of the SHA-256 of the BPF object the maps were made from.
    pub build_id: [u8; 20],
    /// Version of the loader, UTF-8, padded with zeros.
    pub loader_version: [u8; 20],
    /// When the maps were made: nanoseconds of `CLOCK_MONOTONIC`.
    pub created_ns: u64,
}

/// FNV-1a over the sizes and alignments of every shared struct and [`ABI_VERSION`].
pub const fn layout_hash() -> u64 {
    const fn mix(mut hash: u64, value: usize) -> u64 {
        let bytes = (value as u64).to_le_bytes();
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        hash
    }
    macro_rules! mix_types {
        ($hash:expr, $($t:ty),+ $(,)?) => {{
            let hash = $hash;
            $(let hash = mix(mix(hash, size_of::<$t>()), align_of::<$t>());)+
            hash
        }};
    }
    mix_types!(
        mix(0xcbf2_9ce4_8422_2325, ABI_VERSION as usize),
        Meta,
        config::Config,
        interface::Interface,
        policy::PolicyHeader,
        policy::TextChunk,
        policy::NamedRule,
        policy::Page,
        policy::Class,
        policy::ClassPage,
        policy::Profile,
        policy::Network4,
        policy::Network6,
        policy::VerdictEntry,
        rule::RuleHits,
        session::SessionKey,
        session::Session,
        denied::Denied,
        fragment::FragmentKey,
        fragment::Fragmented,
        source::SourceKey,
        source::Source,
        stats::Counter,
        stats::EventStats,
        event::Event,
    )
}
