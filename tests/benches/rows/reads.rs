//! What it takes to read a line of memory, by how much memory there is to read from: what look-ups in large tables wait for.

use std::{hint::black_box, time::Instant};

use crate::{
    measure::{Random, Times},
    report::Report,
};

/// Bytes of a cache line, as words.
const LINE: usize = 64 / size_of::<u32>();
/// Reads of one round.
const READS: u32 = 200_000;
const ROUNDS: usize = 5;
const MIB: usize = 1 << 20;
/// What any cache holds, and what the tables of 100,000 rules take with their hits.
const SIZES: [(usize, &str); 2] = [(MIB / 4, "256 KiB"), (16 * MIB, "16 MiB")];

pub(crate) fn rows(report: &mut Report) {
    for (bytes, name) in SIZES {
        report.row("T4", &format!("a read of one of {name} of lines"), nanoseconds(bytes), "ns", None, &[]);
    }
}

/// Nanoseconds of a read, where each says which line is read next, so that none begins before the last has ended.
fn nanoseconds(bytes: usize) -> f64 {
    let mut lines = vec![[0u32; LINE]; bytes / 64];
    // S. Sattolo, "An algorithm to generate a random cyclic permutation", 1986: one circle through all lines.
    let mut order: Vec<u32> = (0..lines.len() as u32).collect();
    let mut random = Random(1);
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last));
    }
    for (line, next) in lines.iter_mut().zip(order) {
        line[0] = next;
    }
    let mut times = Times::default();
    let mut line = 0;
    // The first round brings into the caches what they hold.
    for round in 0..=ROUNDS {
        let started = Instant::now();
        for _ in 0..READS {
            line = lines[line as usize][0];
        }
        if round > 0 {
            times.0.push(started.elapsed().as_secs_f64() * 1e9 / f64::from(READS));
        }
    }
    black_box(line);
    times.minimum()
}
