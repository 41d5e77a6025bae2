//! The inner maps of RULE_HITS: the counters of a block of rule ids, of all CPUs.

use std::ops::ControlFlow;

use mseg_ebpf::abi::{
    map,
    rule::{BLOCK, RuleHits, hits_index},
};

use crate::{
    error::Result,
    kernel::{map::Map, object::InnerMaps},
};

/// Makes counters for the ids of a block.
pub(crate) fn create(inner: &InnerMaps) -> Result<Map> {
    inner.create(map::RULE_HITS, 0)
}

/// The CPUs that it has counters of.
fn cpus(block: &Map) -> u32 {
    block.info().max_entries / BLOCK
}

/// The hits of the ids of a block, summed over the CPUs; the last hit is the latest of any.
pub(crate) fn sums(block: &Map) -> Result<Vec<RuleHits>> {
    let mut sums = vec![RuleHits::default(); BLOCK as usize];
    block.for_each(&mut |index: u32, hits: RuleHits| {
        let sum = &mut sums[(index % BLOCK) as usize];
        *sum = RuleHits {
            sessions: sum.sessions.wrapping_add(hits.sessions),
            packets: sum.packets.wrapping_add(hits.packets),
            bytes: sum.bytes.wrapping_add(hits.bytes),
            last_hit_ns: sum.last_hit_ns.max(hits.last_hit_ns),
        };
        ControlFlow::Continue(())
    })?;
    Ok(sums)
}

/// Sets the hits of some ids to zero. Of the others the programs go on counting meanwhile.
pub(crate) fn zero(block: &Map, ids: &[u32]) -> Result<()> {
    let none = &RuleHits::default();
    block.put_all((0..cpus(block)).flat_map(|cpu| ids.iter().map(move |id| (hits_index(cpu, *id), none))))
}
