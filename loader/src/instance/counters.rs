//! STATS, EVENT_STATS, RULE_HITS and RULE_NAMES.

use std::{collections::BTreeMap, ops::ControlFlow};

use mseg_ebpf::abi::{
    map,
    rule::{FIRST, NAME_LEN, RESERVED_NAMES, RuleHits, RuleName},
    stats::{Counter, EventStats},
};

use super::{Instance, interfaces::text};
use crate::{
    error::{Error, Result},
    kernel::map::ANY,
};

impl Instance {
    /// Every counter, summed over the CPUs; the index is `stats::index`.
    pub fn counters(&self) -> Result<Vec<Counter>> {
        let mut counters = Vec::new();
        self.map(map::STATS)?.for_each_per_cpu(&mut |_, copies: Vec<Counter>| {
            counters.push(copies.iter().fold(Counter::default(), |sum, c| Counter {
                packets: sum.packets.wrapping_add(c.packets),
                bytes: sum.bytes.wrapping_add(c.bytes),
            }));
        })?;
        Ok(counters)
    }

    /// What became of sessions and events, summed over the CPUs.
    pub fn event_stats(&self) -> Result<EventStats> {
        let copies: Vec<EventStats> = self.map(map::EVENT_STATS)?.get_per_cpu(&0u32)?;
        Ok(copies.iter().fold(EventStats::default(), |sum, c| EventStats {
            submitted: sum.submitted.wrapping_add(c.submitted),
            lost: sum.lost.wrapping_add(c.lost),
            sessions_created: sum.sessions_created.wrapping_add(c.sessions_created),
            sessions_closed: sum.sessions_closed.wrapping_add(c.sessions_closed),
            sessions_expired: sum.sessions_expired.wrapping_add(c.sessions_expired),
            sessions_promoted: sum.sessions_promoted.wrapping_add(c.sessions_promoted),
            sessions_rejudged: sum.sessions_rejudged.wrapping_add(c.sessions_rejudged),
            sessions_removed: sum.sessions_removed.wrapping_add(c.sessions_removed),
            datagrams_promoted: sum.datagrams_promoted.wrapping_add(c.datagrams_promoted),
            datagrams_removed: sum.datagrams_removed.wrapping_add(c.datagrams_removed),
            half_open_removed: sum.half_open_removed.wrapping_add(c.half_open_removed),
            midstream_misses: sum.midstream_misses.wrapping_add(c.midstream_misses),
        }))
    }

    /// The hits of every rule, by id, summed over the CPUs; the last hit is the latest of any.
    pub fn rule_hits(&self) -> Result<Vec<RuleHits>> {
        let mut hits = Vec::new();
        self.map(map::RULE_HITS)?.for_each_per_cpu(&mut |_, copies: Vec<RuleHits>| {
            hits.push(copies.iter().fold(RuleHits::default(), |sum, c| RuleHits {
                sessions: sum.sessions.wrapping_add(c.sessions),
                packets: sum.packets.wrapping_add(c.packets),
                bytes: sum.bytes.wrapping_add(c.bytes),
                last_hit_ns: sum.last_hit_ns.max(c.last_hit_ns),
            }));
        })?;
        Ok(hits)
    }

    /// The name of every rule id, the reserved ones included.
    pub fn rule_names(&self) -> Result<BTreeMap<u32, String>> {
        let mut names: BTreeMap<u32, String> =
            RESERVED_NAMES.iter().zip(0..).map(|(name, id)| (id, (*name).to_owned())).collect();
        names.extend(self.policy_rule_names()?);
        Ok(names)
    }

    /// The names of the policy's rules alone.
    pub(crate) fn policy_rule_names(&self) -> Result<BTreeMap<u32, String>> {
        let mut names = BTreeMap::new();
        self.map(map::RULE_NAMES)?.for_each(&mut |id: u32, name: RuleName| {
            if id >= FIRST {
                names.insert(id, text(&name.name).to_owned());
            }
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    /// Gives an id to a name, with hits of zero.
    pub(crate) fn name_rule(&self, id: u32, name: &str) -> Result<()> {
        if name.len() >= NAME_LEN {
            return Err(Error::failed(format!("the rule name {name} is longer than {} bytes", NAME_LEN - 1)));
        }
        let mut field = [0; NAME_LEN];
        field[..name.len()].copy_from_slice(name.as_bytes());
        self.map(map::RULE_HITS)?.zero_per_cpu(id)?;
        self.map(map::RULE_NAMES)?.put(&id, &RuleName { name: field }, ANY)
    }

    pub(crate) fn forget_rule(&self, id: u32) -> Result<bool> {
        self.map(map::RULE_NAMES)?.delete(&id)
    }
}
