//! Counting: every packet under one verdict and reason, and under the rule that decided it.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use mseg_ebpf::abi::{
    rule::{self, RuleHits},
    stats,
};

use super::{env::Env, judge::Judgement, maps, memory};

/// Adds to STATS and RULE_HITS. Of both each CPU has its own, and a TC program is not preempted by another on its
/// CPU.
#[inline(always)]
pub(crate) fn count(env: &Env, verdict: u32, judgement: Judgement) {
    if let Some(counter) = maps::STATS.get_ptr_mut(stats::index(verdict, judgement.reason)) {
        // SAFETY: this CPU's own value of a live map entry.
        unsafe {
            (*counter).packets += env.packets();
            (*counter).bytes += env.bytes();
        }
    }
    if judgement.rule != rule::NONE {
        hit(env, judgement.rule, judgement.fresh);
    }
}

/// Has a rule's hits fetched, which are counted once all else is done: with many rules in use they are not in the cache.
#[inline(always)]
pub(crate) fn prepare(rule: u32) {
    if let Some(hits) = hits_of(rule) {
        // SAFETY: this CPU's own value of a live map entry. Nothing waits for what is read.
        unsafe { memory::load(&raw const (*hits).last_hit_ns) };
    }
}

/// This CPU's counters of a rule.
#[inline(always)]
fn hits_of(rule: u32) -> Option<*mut RuleHits> {
    // SAFETY: it has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    maps::RULE_HITS.get_value_ptr_mut(rule / rule::BLOCK, &rule::hits_index(cpu, rule))
}

/// Adds the packet to a rule's hits; `fresh` if the rule was asked and not a session that it decided earlier.
#[inline(always)]
pub(crate) fn hit(env: &Env, rule: u32, fresh: bool) {
    if let Some(hits) = hits_of(rule) {
        // SAFETY: this CPU's own value of a live map entry.
        unsafe {
            (*hits).sessions += fresh as u64;
            (*hits).packets += env.packets();
            (*hits).bytes += env.bytes();
            (*hits).last_hit_ns = env.now_ns;
        }
    }
}
