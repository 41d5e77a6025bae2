//! Going through entries in the order and to the number asked for, in bounded memory where that can be.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    ops::ControlFlow,
};

use mseg::error::Result;

/// What a selection hands entries to; it may break when it has seen enough.
pub(crate) type Each<'a, T> = &'a mut dyn FnMut(T) -> ControlFlow<()>;

/// Hands the entries of `source` to `each`: at most `limit`, and with a `rank` the highest first. Without a rank they
/// pass straight through; with rank and limit only `limit` of them are held; with a rank alone, all.
pub(crate) fn select<T>(
    limit: Option<u64>,
    rank: Option<&dyn Fn(&T) -> u64>,
    source: impl FnOnce(Each<'_, T>) -> Result<()>,
    each: Each<'_, T>,
) -> Result<()> {
    let limit = limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let Some(rank) = rank else {
        let mut left = limit;
        return source(&mut |entry| {
            left -= 1;
            each(entry)?;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    };
    // The lowest rank is on top, ready to be thrown out.
    let mut best = BinaryHeap::new();
    source(&mut |entry| {
        best.push(Reverse(Ranked { rank: rank(&entry), entry }));
        if best.len() > limit {
            best.pop();
        }
        ControlFlow::Continue(())
    })?;
    for Reverse(ranked) in best.into_sorted_vec() {
        if each(ranked.entry).is_break() {
            break;
        }
    }
    Ok(())
}

struct Ranked<T> {
    rank: u64,
    entry: T,
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl<T> Eq for Ranked<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(limit: Option<u64>, ranked: bool, entries: &[u64]) -> Vec<u64> {
        let mut out = Vec::new();
        let rank = |entry: &u64| *entry;
        let rank: Option<&dyn Fn(&u64) -> u64> = if ranked { Some(&rank) } else { None };
        let source = |each: Each<'_, u64>| {
            let _ = entries.iter().try_for_each(|e| each(*e));
            Ok(())
        };
        select(limit, rank, source, &mut |e| {
            out.push(e);
            ControlFlow::Continue(())
        })
        .unwrap();
        out
    }

    #[test]
    fn entries_keep_their_order_unless_ranked() {
        assert_eq!(run(None, false, &[2, 9, 4]), [2, 9, 4]);
        assert_eq!(run(Some(2), false, &[2, 9, 4]), [2, 9]);
    }

    #[test]
    fn ranked_entries_come_highest_first() {
        assert_eq!(run(None, true, &[2, 9, 4]), [9, 4, 2]);
        assert_eq!(run(Some(2), true, &[2, 9, 4, 9]), [9, 9]);
    }

    #[test]
    fn a_limit_ends_the_reading_at_once() {
        let mut read = 0;
        let source = |each: Each<'_, u64>| {
            for entry in 0..100 {
                read += 1;
                if each(entry).is_break() {
                    break;
                }
            }
            Ok(())
        };
        select(Some(3), None, source, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(read, 3);
    }
}
