//! STATS, EVENT_STATS and RULE_HITS, and the names that hits go by.

use std::{collections::BTreeMap, io};

use mseg_ebpf::abi::{
    map,
    rule::{BLOCK, BLOCKS, RESERVED_NAMES, RuleHits},
    stats::{Counter, EventStats},
};

use super::{Access, Instance, hits, interfaces::text};
use crate::{
    error::{Error, Result},
    kernel::{
        map::{Map, put_maps},
        object::InnerMaps,
    },
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
            closing_added: sum.closing_added.wrapping_add(c.closing_added),
            closing_removed: sum.closing_removed.wrapping_add(c.closing_removed),
            datagrams_promoted: sum.datagrams_promoted.wrapping_add(c.datagrams_promoted),
            datagrams_removed: sum.datagrams_removed.wrapping_add(c.datagrams_removed),
            half_open_removed: sum.half_open_removed.wrapping_add(c.half_open_removed),
            midstream_misses: sum.midstream_misses.wrapping_add(c.midstream_misses),
        }))
    }

    /// The hits of every rule, by id, summed over the CPUs; the last hit is the latest of any.
    pub fn rule_hits(&self) -> Result<Vec<RuleHits>> {
        let mut hits = Vec::new();
        for (block, map) in self.hits()? {
            // Ids of a block that is not there have no hits.
            hits.resize((block * BLOCK) as usize, RuleHits::default());
            hits.extend(hits::sums(&map)?);
        }
        Ok(hits)
    }

    /// The blocks of counters that there are, rising.
    pub(crate) fn hits(&self) -> Result<Vec<(u32, Map)>> {
        let mut blocks = Vec::new();
        for block in 0..BLOCKS {
            if let Some(map) = self.hits_block(block)? {
                blocks.push((block, map));
            }
        }
        Ok(blocks)
    }

    /// The counters of a block of ids; `None` if no rule has needed it yet.
    fn hits_block(&self, block: u32) -> Result<Option<Map>> {
        let path = self.paths.hits(block);
        match Map::open(map::RULE_HITS, &path, self.access == Access::Read) {
            Ok(map) => Ok(Some(map)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::file("open", &path, &e)),
        }
    }

    /// Sets the hits of rules that are new to zero, and makes counters for those that have none.
    pub(crate) fn begin_hits(&self, ids: impl IntoIterator<Item = u32>) -> Result<()> {
        let mut blocks: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for id in ids {
            blocks.entry(id / BLOCK).or_default().push(id);
        }
        let outer = self.map(map::RULE_HITS)?;
        let mut inner = None;
        let mut missing = Vec::new();
        for (block, ids) in blocks {
            let map = match self.hits_block(block)? {
                Some(map) => map,
                None => {
                    let inner = inner.get_or_insert_with(InnerMaps::new);
                    let map = hits::create(inner)?;
                    map.pin(&self.paths.hits(block))?;
                    map
                }
            };
            hits::zero(&map, &ids)?;
            // Pinned by an apply that was killed, it may not be there yet. What user space sees there is its id.
            if outer.get::<u32, u32>(&block)? != Some(map.info().id) {
                missing.push((block, map));
            }
        }
        let slots: Vec<_> = missing.iter().map(|(block, map)| (outer, *block, map)).collect();
        put_maps(&slots)
    }

    /// The name of every rule id, the reserved ones included.
    pub fn rule_names(&self) -> Result<BTreeMap<u32, String>> {
        let mut names: BTreeMap<u32, String> =
            RESERVED_NAMES.iter().zip(0..).map(|(name, id)| (id, (*name).to_owned())).collect();
        names.extend(self.policy_rule_names(&self.generations()?)?);
        Ok(names)
    }

    /// The names of the rules in some of the kept generations, by id. Rules of one name have one id in all of them.
    pub(crate) fn policy_rule_names(&self, generations: &[u32]) -> Result<BTreeMap<u32, String>> {
        let mut names = BTreeMap::new();
        for generation in generations {
            let rules = self.named_rules(*generation)?;
            names.extend(rules.iter().map(|rule| (rule.id, text(&rule.name).to_owned())));
        }
        Ok(names)
    }
}
