//! Filling the filter.

use mseg_ebpf::policy::{KEYS_IN_WORD, bits_of};

/// The words of FILTER for keys with these hashes.
pub(super) fn fill(hashes: impl Iterator<Item = u64>) -> Vec<u64> {
    let hashes: Vec<u64> = hashes.collect();
    let mut words = vec![0; hashes.len().div_ceil(KEYS_IN_WORD).max(1)];
    let count = words.len() as u32;
    for hash in hashes {
        let (word, bits) = bits_of(hash, count);
        words[word as usize] |= bits;
    }
    words
}
