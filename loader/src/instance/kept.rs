//! The kept policy generations: reading their inner maps.

use std::{fs, io, ops::ControlFlow};

use mseg_ebpf::abi::{
    map,
    policy::{NamedRule, PolicyHeader, TEXT_CHUNK, TextChunk},
};
use zerocopy::{FromBytes, IntoBytes};

use super::Instance;
use crate::{
    compile::Tables,
    error::{Code, Error, Result},
    kernel::map::Map,
};

/// The maps of maps, whose inner maps make a generation.
pub(crate) const OUTER: [&str; 10] = [
    map::POLICY,
    map::RULES,
    map::SERVICES,
    map::CLASSES,
    map::PROFILES,
    map::NETWORKS4,
    map::NETWORKS6,
    map::FILTER,
    map::VERDICTS,
    map::POLICY_TEXT,
];

impl Instance {
    /// The generations whose maps are pinned, rising; the active one is among them once a policy was applied.
    pub fn generations(&self) -> Result<Vec<u32>> {
        let entries = match fs::read_dir(&self.paths.policy) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::file("read", &self.paths.policy, &e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::file("read", &self.paths.policy, &e))?;
            found.extend(entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// An inner map of a generation; `None` if it is not kept.
    pub(crate) fn inner(&self, outer: &str, generation: u32) -> Result<Option<Map>> {
        let path = self.paths.generation(generation).join(outer);
        match Map::open(outer, &path, true) {
            Ok(map) => Ok(Some(map)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::file("open", &path, &e)),
        }
    }

    /// What a generation says besides its rules; `None` if it is not kept.
    pub fn policy_header(&self, generation: u32) -> Result<Option<PolicyHeader>> {
        match self.inner(map::POLICY, generation)? {
            Some(map) => map.get(&0u32),
            None => Ok(None),
        }
    }

    /// The text of a generation, as it was applied; `None` if it is not kept.
    pub fn policy_text(&self, generation: u32) -> Result<Option<String>> {
        let Some(header) = self.policy_header(generation)? else {
            return Ok(None);
        };
        let Some(map) = self.inner(map::POLICY_TEXT, generation)? else {
            return Ok(None);
        };
        read_text(&map, header.text_bytes as usize).map(Some)
    }

    /// The rules of a generation with their ids, in the order of its text; none if it is not kept.
    pub(crate) fn named_rules(&self, generation: u32) -> Result<Vec<NamedRule>> {
        let Some(header) = self.policy_header(generation)? else {
            return Ok(Vec::new());
        };
        match self.inner(map::RULES, generation)? {
            Some(map) => read_array(&map, header.rules),
            None => Ok(Vec::new()),
        }
    }

    /// The look-up tables of a generation, as the programs use them; `None` if it is not kept.
    pub fn tables(&self, generation: u32) -> Result<Option<Tables>> {
        let mut maps = Vec::new();
        for outer in OUTER {
            let Some(map) = self.inner(outer, generation)? else {
                return Ok(None);
            };
            maps.push(map);
        }
        read_tables(&maps).map(Some)
    }

    /// Bytes of the inner maps in `outer`.
    pub(super) fn inner_memory(&self, outer: &str) -> Result<u64> {
        let mut bytes = 0;
        if OUTER.contains(&outer) {
            for generation in self.generations()? {
                if let Some(map) = self.inner(outer, generation)? {
                    bytes += map.memory()?;
                }
            }
        } else if outer == map::RULE_HITS {
            for map in self.hits()? {
                bytes += map.1.memory()?;
            }
        }
        Ok(bytes)
    }
}

/// What the inner maps of a generation, in the order of [`OUTER`], hold but for its text.
pub(crate) fn read_tables(maps: &[Map]) -> Result<Tables> {
    let [policy, rules, services, classes, profiles, networks4, networks6, filter, verdicts, _] = maps else {
        return Err(Error::failed("a generation has other maps"));
    };
    let header: PolicyHeader = policy.get(&0u32)?.ok_or_else(|| damaged(policy))?;
    Ok(Tables {
        rules: read_array(rules, header.rules)?,
        pages: read_array(services, header.pages)?,
        classes: read_array(classes, header.classes)?,
        profiles: read_array(profiles, header.profiles)?,
        networks4: read_array(networks4, header.buckets4)?,
        networks6: read_array(networks6, header.buckets6)?,
        filter: read_array(filter, header.filter_words)?,
        verdicts: read_array(verdicts, header.verdict_buckets)?,
        header,
    })
}

/// The first `count` entries of an array.
fn read_array<V: FromBytes + IntoBytes>(map: &Map, count: u32) -> Result<Vec<V>> {
    let mut values = Vec::new();
    map.for_each(&mut |index: u32, value: V| {
        if index < count {
            values.push(value);
        }
        ControlFlow::Continue(())
    })?;
    if values.len() == count as usize { Ok(values) } else { Err(damaged(map)) }
}

/// The first `bytes` of text of an inner map of POLICY_TEXT.
pub(crate) fn read_text(map: &Map, bytes: usize) -> Result<String> {
    let chunks = bytes.div_ceil(TEXT_CHUNK);
    if chunks > map.info().max_entries as usize {
        return Err(damaged(map));
    }
    let mut text = Vec::with_capacity(chunks * TEXT_CHUNK);
    for i in 0..chunks as u32 {
        let chunk: TextChunk = map.get(&i)?.ok_or_else(|| damaged(map))?;
        text.extend_from_slice(&chunk.text);
    }
    text.truncate(bytes);
    String::from_utf8(text).map_err(|_| damaged(map))
}

fn damaged(map: &Map) -> Error {
    Error::new(Code::Abi, format!("the kept policy generation is damaged ({})", map.name()))
}
