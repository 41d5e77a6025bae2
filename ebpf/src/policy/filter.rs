//! The filter: which networks there may be, told without reading their buckets.
//!
//! B. H. Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970; all bits of a key in one word, as F. Putze,
//! P. Sanders and J. Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007.

/// Keys for each word: about one key in 150 that is not there seems to be.
pub const KEYS_IN_WORD: usize = 4;

/// The word of `count` where the bits of a key with this hash are, and the bits.
#[inline(always)]
pub const fn bits_of(hash: u64, count: u32) -> (u32, u64) {
    // The upper half says which word, as in `buckets`; the bits are of the lower.
    let word = ((hash >> 32) * count as u64) >> 32;
    (word as u32, 1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63))
}
