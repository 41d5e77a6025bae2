//! Counting: every packet under one verdict and reason, and under the rule that decided it.

use mseg_ebpf::abi::{rule, stats};

use super::{env::Env, judge::Judgement, maps};

/// Adds to STATS and RULE_HITS. Both are per-CPU, and a TC program is not preempted by another on its CPU.
#[inline(always)]
pub(crate) fn count(env: &Env, verdict: u32, judgement: Judgement) {
    if let Some(counter) = maps::STATS.get_ptr_mut(stats::index(verdict, judgement.reason)) {
        // SAFETY: this CPU's own value of a live map entry.
        unsafe {
            (*counter).packets += env.packets();
            (*counter).bytes += env.bytes();
        }
    }
    if judgement.rule == rule::NONE {
        return;
    }
    if let Some(hits) = maps::RULE_HITS.get_ptr_mut(judgement.rule) {
        // SAFETY: as above.
        unsafe {
            (*hits).sessions += judgement.fresh as u64;
            (*hits).packets += env.packets();
            (*hits).bytes += env.bytes();
            (*hits).last_hit_ns = env.now_ns;
        }
    }
}
