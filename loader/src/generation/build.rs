//! Filling the maps of a generation, checking them, and putting them where the programs find them.

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    time::{SystemTime, UNIX_EPOCH},
};

use mseg_ebpf::abi::policy::{POLICY_SLOTS, TEXT_CHUNK, TextChunk};

use super::slots::remove_pins;
use crate::{
    compile::{Compiled, RuleIds, Tables, check},
    error::{Error, Result},
    instance::{
        Instance,
        kept::{OUTER, read_tables, read_text},
    },
    kernel::{
        map::{ANY, Map, put_maps},
        object::InnerMaps,
    },
    policy::Policy,
};

/// A generation whose maps are filled and frozen, but in no slot.
pub(super) struct Built {
    pub(super) tables: Tables,
    text: String,
    rules: Vec<(u32, String)>,
    /// In the order of [`OUTER`].
    maps: Vec<Map>,
}

impl Built {
    pub(super) fn new(instance: &Instance, generation: u32, compiled: Compiled) -> Result<Self> {
        let Compiled { mut tables, text, rules } = compiled;
        tables.header.generation = generation;
        tables.header.applied_unix_ns = unix_ns();
        let inner = InnerMaps::new();
        let sizes = [
            1,
            tables.rules.len(),
            tables.pages.len(),
            tables.classes.len(),
            tables.profiles.len(),
            tables.networks4.len(),
            tables.networks6.len(),
            tables.filter.len(),
            tables.verdicts.len(),
            text.len().div_ceil(TEXT_CHUNK),
        ];
        let mut maps = Vec::with_capacity(OUTER.len());
        for (outer, size) in OUTER.into_iter().zip(sizes) {
            let map = inner.create(outer, size)?;
            if size > map.info().max_entries as usize {
                return Err(Error::failed(format!(
                    "{size} entries for map {outer}, which has {}",
                    map.info().max_entries
                )));
            }
            maps.push(map);
        }
        let [policy, names, services, classes, profiles, networks4, networks6, filter, verdicts, chunks] = &maps[..]
        else {
            return Err(Error::failed("a generation has other maps"));
        };
        policy.put(&0u32, &tables.header, ANY)?;
        names.put_all((0u32..).zip(&tables.rules))?;
        services.put_all((0u32..).zip(&tables.pages))?;
        classes.put_all((0u32..).zip(&tables.classes))?;
        profiles.put_all((0u32..).zip(&tables.profiles))?;
        networks4.put_all((0u32..).zip(&tables.networks4))?;
        networks6.put_all((0u32..).zip(&tables.networks6))?;
        filter.put_all((0u32..).zip(&tables.filter))?;
        verdicts.put_all((0u32..).zip(&tables.verdicts))?;
        for (number, part) in (0u32..).zip(text.as_bytes().chunks(TEXT_CHUNK)) {
            let mut chunk = TextChunk { text: [0; TEXT_CHUNK] };
            chunk.text[..part.len()].copy_from_slice(part);
            chunks.put(&number, &chunk, ANY)?;
        }
        for map in &maps {
            map.freeze()?;
        }
        instance.require_write()?;
        Ok(Self { tables, text, rules, maps })
    }

    /// Reads everything back: what is judged by is what was compiled, and means what the policy says.
    pub(super) fn verify(&self, policy: &Policy, ids: &RuleIds) -> Result<()> {
        let text = self.maps.last().map(|map| read_text(map, self.text.len())).transpose()?;
        let read = read_tables(&self.maps)?;
        if text.as_deref() != Some(&*self.text) || read != self.tables {
            return Err(Error::failed("the policy read back from the kernel is not the one written"));
        }
        check(policy, &read, ids)
    }

    /// Pins the maps, makes counters for new rules and fills the slots. The header comes last: until then the programs
    /// refuse the slot, and no session or CONFIG asks for it. `names` are those of the generations that stay.
    pub(super) fn publish(&self, instance: &Instance, generation: u32, names: &BTreeMap<u32, String>) -> Result<()> {
        let directory = instance.paths().generation(generation);
        remove_pins(instance, generation)?;
        DirBuilder::new().mode(0o700).create(&directory).map_err(|e| Error::file("make", &directory, &e))?;
        for (outer, map) in OUTER.into_iter().zip(&self.maps) {
            map.pin(&directory.join(outer))?;
        }
        let new = self.rules.iter().filter(|(id, name)| names.get(id) != Some(name));
        instance.begin_hits(new.map(|(id, _)| *id))?;
        let slot = generation % POLICY_SLOTS;
        for former in instance.generations()? {
            if former != generation && former % POLICY_SLOTS == slot {
                remove_pins(instance, former)?;
            }
        }
        let mut slots = Vec::with_capacity(OUTER.len());
        for (outer, map) in OUTER.into_iter().zip(&self.maps) {
            slots.push((instance.map(outer)?, slot, map));
        }
        let [policy, others @ ..] = &slots[..] else {
            return Err(Error::failed("a generation has other maps"));
        };
        put_maps(others)?;
        put_maps(std::slice::from_ref(policy))
    }
}

fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
