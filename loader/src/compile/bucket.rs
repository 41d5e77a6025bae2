//! Filling buckets: each entry in one of the two where it is looked for (R. Pagh and F. F. Rodler, "Cuckoo Hashing", 2004;
//! several entries in a bucket as M. Dietzfelbinger and C. Weidling, 2007).

use mseg_ebpf::{
    abi::policy::Bucket,
    policy::{Entry, buckets},
};

/// Of ten slots so many are filled: then about one entry in ten stands in its second bucket.
const FILLED: usize = 7;

/// Moves of entries that make room for one, before there are more buckets.
const MOVES: usize = 500;

/// Buckets with the entries, whose keys differ: the same for the same entries in any order.
pub(super) fn fill<T: Entry, const N: usize>(mut entries: Vec<T>) -> Vec<Bucket<T, N>> {
    entries.sort_unstable_by_key(Entry::key);
    let mut count = (entries.len() * 10).div_ceil(FILLED * N).max(1);
    loop {
        if let Some(buckets) = try_fill(&entries, count) {
            return buckets;
        }
        count += count / 8 + 1;
    }
}

fn try_fill<T: Entry, const N: usize>(entries: &[T], count: usize) -> Option<Vec<Bucket<T, N>>> {
    let mut filled = vec![Bucket { entries: [T::default(); N] }; count];
    let of = |entry: &T| buckets(entry.key(), count as u32).map(|bucket| bucket as usize);
    for entry in entries {
        // The one to place, and the first bucket to try.
        let (mut entry, mut first) = (*entry, of(entry)[0]);
        let settled = (0..MOVES).any(|turn| {
            let second = other(of(&entry), first);
            for bucket in [first, second] {
                if let Some(free) = filled[bucket].entries.iter_mut().find(|slot| !slot.is_some()) {
                    *free = entry;
                    return true;
                }
            }
            // Both are full, and stay so. Another makes room.
            std::mem::swap(&mut entry, &mut filled[first].entries[turn % N]);
            first = other(of(&entry), first);
            false
        });
        if !settled {
            return None;
        }
    }
    Some(filled)
}

/// The one of two buckets that is not `bucket`.
fn other([first, second]: [usize; 2], bucket: usize) -> usize {
    if bucket == first { second } else { first }
}
