//! Filling the maps of a generation, checking them, and putting them where the programs find them.

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    time::{SystemTime, UNIX_EPOCH},
};

use mseg_ebpf::abi::{
    policy::{POLICY_SLOTS, PolicyHeader, RuleEntry, TEXT_CHUNK, TextChunk},
    rule::FIRST,
};
use zerocopy::IntoBytes;

use super::slots::remove_pins;
use crate::{
    compile::Compiled,
    error::{Code, Error, Result},
    instance::{Instance, kept::OUTER, kept::read_entries, kept::read_text},
    kernel::{map::ANY, map::Map, object::InnerMaps},
};

/// A generation whose maps are filled and frozen, but in no slot.
pub(super) struct Built {
    pub(super) header: PolicyHeader,
    entries: Vec<RuleEntry>,
    text: String,
    rules: Vec<(u32, String)>,
    /// In the order of [`OUTER`].
    maps: [Map; 3],
}

impl Built {
    pub(super) fn new(instance: &Instance, generation: u32, compiled: Compiled) -> Result<Self> {
        let Compiled { mut header, entries, text, rules } = compiled;
        header.generation = generation;
        header.applied_unix_ns = unix_ns();
        let inner = InnerMaps::new();
        let chunks = text.len().div_ceil(TEXT_CHUNK);
        let policy_map = inner.create(OUTER[0], 1)?;
        let rules_map = inner.create(OUTER[1], entries.len())?;
        let text_map = inner.create(OUTER[2], chunks)?;
        if entries.len() > rules_map.info().max_entries as usize || header.entries as usize != entries.len() {
            return Err(too_large("compiled entries", entries.len(), rules_map.info().max_entries));
        }
        if chunks > text_map.info().max_entries as usize || header.text_bytes as usize != text.len() {
            return Err(too_large("blocks of text", chunks, text_map.info().max_entries));
        }

        policy_map.put(&0u32, &header, ANY)?;
        for (i, entry) in (0u32..).zip(&entries) {
            rules_map.put(&i, entry, ANY)?;
        }
        for (i, part) in (0u32..).zip(text.as_bytes().chunks(TEXT_CHUNK)) {
            let mut chunk = TextChunk { text: [0; TEXT_CHUNK] };
            chunk.text[..part.len()].copy_from_slice(part);
            text_map.put(&i, &chunk, ANY)?;
        }
        let this = Self { header, entries, text, rules, maps: [policy_map, rules_map, text_map] };
        for map in &this.maps {
            map.freeze()?;
        }
        instance.require_write()?;
        Ok(this)
    }

    /// Reads everything back: what is judged by is what was compiled.
    pub(super) fn verify(&self) -> Result<()> {
        let [policy_map, rules_map, text_map] = &self.maps;
        let header: Option<PolicyHeader> = policy_map.get(&0u32)?;
        let same = header.as_ref() == Some(&self.header)
            && read_entries(rules_map, self.header.entries)?.as_bytes() == self.entries.as_bytes()
            && read_text(text_map, self.text.len())? == self.text;
        if same { Ok(()) } else { Err(Error::failed("the policy read back from the kernel is not the one written")) }
    }

    /// Pins the maps, names the rules and fills the slots. The header comes last: until then the programs refuse the
    /// slot, and no session or CONFIG asks for it.
    pub(super) fn publish(&self, instance: &Instance, generation: u32, names: &BTreeMap<u32, String>) -> Result<()> {
        let directory = instance.paths().generation(generation);
        remove_pins(instance, generation)?;
        DirBuilder::new().mode(0o700).create(&directory).map_err(|e| Error::file("make", &directory, &e))?;
        for (outer, map) in OUTER.into_iter().zip(&self.maps) {
            map.pin(&directory.join(outer))?;
        }
        for id in instance.policy_rule_names()?.into_keys().filter(|id| !names.contains_key(id)) {
            instance.forget_rule(id)?;
        }
        for (id, name) in &self.rules {
            if *id >= FIRST && names.get(id) != Some(name) {
                instance.name_rule(*id, name)?;
            }
        }
        let slot = generation % POLICY_SLOTS;
        for former in instance.generations()? {
            if former != generation && former % POLICY_SLOTS == slot {
                remove_pins(instance, former)?;
            }
        }
        for (outer, map) in OUTER.into_iter().zip(&self.maps).rev() {
            instance.map(outer)?.put_map(slot, map)?;
        }
        Ok(())
    }
}

fn too_large(what: &str, is: usize, most: u32) -> Error {
    Error::new(Code::InvalidPolicy, format!("the policy has {is} {what}, at most {most} fit"))
}

fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
