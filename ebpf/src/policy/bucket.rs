//! Buckets: where an entry is, and finding it there.

use crate::abi::policy::{Bucket, KIND_BITS, Key6, NUMBER_BITS, Network4, Network6, VerdictEntry};

/// What an entry is found by.
pub trait Key: Copy + Ord {
    /// The same for the same key, and all over the 64 bits for others.
    fn hash(self) -> u64;
}

/// What stands in a bucket.
pub trait Entry: Copy + Default {
    /// What it is found by.
    type Key: Key;
    /// Its key.
    fn key(&self) -> Self::Key;
    /// Whether it is one.
    fn is_some(&self) -> bool;
}

// Odd numbers without a pattern. Keys are chosen by root alone, so nobody has a reason to make them collide.
const FACTORS: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];

/// A product's upper half depends on all bits: it is mixed into the lower one.
#[inline(always)]
const fn mix(bits: u64, factor: u64) -> u64 {
    let product = bits.wrapping_mul(factor);
    product ^ product >> 32
}

impl Key for u64 {
    #[inline(always)]
    fn hash(self) -> u64 {
        mix(mix(self, FACTORS[0]), FACTORS[1])
    }
}

impl Key for Key6 {
    #[inline(always)]
    fn hash(self) -> u64 {
        let upper = mix(self.address[0], FACTORS[0]);
        let lower = mix(upper ^ self.address[1], FACTORS[1]);
        mix(mix(lower ^ self.kind, FACTORS[2]), FACTORS[3])
    }
}

impl Entry for Network4 {
    type Key = u64;

    /// Without the profile.
    #[inline(always)]
    fn key(&self) -> u64 {
        self.key & !(((1 << NUMBER_BITS) - 1) << KIND_BITS)
    }

    #[inline(always)]
    fn is_some(&self) -> bool {
        self.key != 0
    }
}

impl Entry for Network6 {
    type Key = Key6;

    #[inline(always)]
    fn key(&self) -> Key6 {
        Key6 { address: self.address, kind: self.key & ((1 << KIND_BITS) - 1) }
    }

    #[inline(always)]
    fn is_some(&self) -> bool {
        self.key != 0
    }
}

impl Entry for VerdictEntry {
    type Key = u64;

    #[inline(always)]
    fn key(&self) -> u64 {
        self.key
    }

    #[inline(always)]
    fn is_some(&self) -> bool {
        self.verdict.rule() != crate::abi::rule::NONE
    }
}

/// The two of `count` buckets in which a key may stand; of one bucket, that one.
#[inline(always)]
pub fn buckets(key: impl Key, count: u32) -> [u32; 2] {
    let hash = key.hash();
    // Lemire, "Fast Random Integer Generation in an Interval", 2019: evenly spread without a division.
    let first = (((hash >> 32) * count as u64) >> 32) as u32;
    let second = (((hash & u32::MAX as u64) * count as u64) >> 32) as u32;
    if first != second {
        return [first, second];
    }
    [first, if first + 1 < count { first + 1 } else { 0 }]
}

impl<T: Entry, const N: usize> Bucket<T, N> {
    /// The entry of `key`.
    #[inline(always)]
    pub fn find(&self, key: T::Key) -> Option<&T> {
        self.entries.iter().find(|entry| entry.key() == key && entry.is_some())
    }

    /// Whether other entries may stand elsewhere.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.entries[N - 1].is_some()
    }
}
