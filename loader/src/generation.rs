//! Policy generations: building one beside the active one, checking it, and making it active by a single store.
//!
//! Whatever happens to this process, packets are judged by the whole old rule set or by the whole new one: what is
//! built stays out of reach of the programs until CONFIG names its number.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    time::{SystemTime, UNIX_EPOCH},
};

use mseg_ebpf::abi::{
    policy::{POLICY_SLOTS, PolicyHeader, RuleEntry, TEXT_CHUNK, TextChunk},
    rule::FIRST,
};
use zerocopy::IntoBytes;

use crate::{
    compile::{self, Compiled, RuleIds},
    error::{Code, Error, Result},
    instance::{Instance, Lock, kept::OUTER, kept::read_entries, kept::read_text},
    kernel::{map::ANY, map::Map, object::InnerMaps},
    policy::{self, Policy},
};

/// What [`apply`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The generation that is active now.
    pub generation: u32,
    /// Whether it is a new one; `false` if the active policy was the same already.
    pub changed: bool,
    /// Entries of the compiled rule set.
    pub entries: u32,
}

/// Makes `policy` the active one, under the instance's lock.
///
/// # Errors
/// [`Code::InvalidPolicy`] if it does not compile, or what the kernel says; the active policy is then as before.
pub fn apply(instance: &Instance, policy: &Policy) -> Result<Applied> {
    apply_locked(instance, &instance.lock()?, policy)
}

/// [`apply`] for a caller that holds the lock, as one that reads the policy, changes it and applies it must.
pub fn apply_locked(instance: &Instance, _lock: &Lock, policy: &Policy) -> Result<Applied> {
    instance.require_write()?;
    let active = instance.config()?.generation;
    let text = policy.to_string();
    if active != 0
        && let Some(header) = instance.policy_header(active)?
        && instance.policy_text(active)?.as_deref() == Some(&*text)
    {
        return Ok(Applied { generation: active, changed: false, entries: header.entries });
    }

    let kept = kept(instance, active)?;
    let generation = next_generation(active, &kept);
    let staying: Vec<u32> = kept.iter().copied().filter(|g| g % POLICY_SLOTS != generation % POLICY_SLOTS).collect();
    let names = names_in_use(instance, &staying)?;
    let mut ids = RuleIds::from_names(names.clone());
    let compiled = compile::compile(policy, &mut ids)?;

    let built = Built::new(instance, generation, compiled)?;
    built.verify()?;
    built.publish(instance, generation, &names).inspect_err(|_| {
        // Nobody uses it; the pins of an unfinished generation would be removed by the next apply, too.
        let _ = remove_pins(instance, generation);
    })?;
    instance.set_generation(generation)?;
    Ok(Applied { generation, changed: true, entries: built.header.entries })
}

/// The active policy; the empty one, which allows everything, if none was ever applied.
pub fn current(instance: &Instance) -> Result<Policy> {
    let generation = instance.config()?.generation;
    let text = match generation {
        0 => String::new(),
        _ => instance
            .policy_text(generation)?
            .ok_or_else(|| Error::new(Code::Abi, format!("the pins of policy generation {generation} are missing")))?,
    };
    let name = format!("generation {generation}");
    policy::parse(&name, &text).map_err(|diagnostics| {
        Error::new(Code::Abi, format!("the active policy cannot be read:\n{diagnostics}"))
            .hint("it was applied by another version; apply a policy file again")
    })
}

/// The number of the next generation. It is never that of one that sessions may have been judged in, and its slot is
/// never the active one's.
fn next_generation(active: u32, kept: &[u32]) -> u32 {
    let latest = kept.iter().copied().fold(active, u32::max);
    let mut next = latest;
    loop {
        next = next.wrapping_add(1);
        if next != 0 && (active == 0 || next % POLICY_SLOTS != active % POLICY_SLOTS) {
            return next;
        }
    }
}

/// The pinned generations that are in their slots. The pins of all others, left by an apply that was killed, are
/// removed.
fn kept(instance: &Instance, active: u32) -> Result<Vec<u32>> {
    let mut kept = Vec::new();
    for generation in instance.generations()? {
        if generation == active || in_slot(instance, generation)? {
            kept.push(generation);
        } else {
            remove_pins(instance, generation)?;
        }
    }
    Ok(kept)
}

fn in_slot(instance: &Instance, generation: u32) -> Result<bool> {
    for outer in OUTER {
        // For user space, what is in a slot is the inner map's id.
        let slot: Option<u32> = instance.map(outer)?.get(&(generation % POLICY_SLOTS))?;
        let pinned = instance.inner(outer, generation)?;
        if slot.is_none() || slot != pinned.map(|map| map.info().id) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn remove_pins(instance: &Instance, generation: u32) -> Result<()> {
    let directory = instance.paths().generation(generation);
    for outer in OUTER {
        let path = directory.join(outer);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file("remove", &path, &e));
            }
            _ => {}
        }
    }
    match fs::remove_dir(&directory) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", &directory, &e)),
        _ => Ok(()),
    }
}

/// The names of RULE_NAMES that a generation in `generations` uses.
fn names_in_use(instance: &Instance, generations: &[u32]) -> Result<BTreeMap<u32, String>> {
    let mut used = BTreeSet::new();
    for generation in generations {
        used.extend(instance.rule_entries(*generation)?.iter().map(|entry| entry.rule));
    }
    let mut names = instance.policy_rule_names()?;
    names.retain(|id, _| used.contains(id));
    Ok(names)
}

/// A generation whose maps are filled and frozen, but in no slot.
struct Built {
    header: PolicyHeader,
    entries: Vec<RuleEntry>,
    text: String,
    rules: Vec<(u32, String)>,
    /// In the order of [`OUTER`].
    maps: [Map; 3],
}

impl Built {
    fn new(instance: &Instance, generation: u32, compiled: Compiled) -> Result<Self> {
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
    fn verify(&self) -> Result<()> {
        let [policy_map, rules_map, text_map] = &self.maps;
        let header: Option<PolicyHeader> = policy_map.get(&0u32)?;
        let same = header.as_ref() == Some(&self.header)
            && read_entries(rules_map, self.header.entries)?.as_bytes() == self.entries.as_bytes()
            && read_text(text_map, self.text.len())? == self.text;
        if same { Ok(()) } else { Err(Error::failed("the policy read back from the kernel is not the one written")) }
    }

    /// Pins the maps, names the rules and fills the slots. The header comes last: until then the programs refuse the
    /// slot, and no session or CONFIG asks for it.
    fn publish(&self, instance: &Instance, generation: u32, names: &BTreeMap<u32, String>) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_never_takes_the_active_slot_or_an_old_number() {
        assert_eq!(next_generation(0, &[]), 1);
        assert_eq!(next_generation(1, &[1]), 2);
        assert_eq!(next_generation(7, &[4, 5, 6, 7]), 8);
        // Back at 1 while 2 to 4 are kept: 5 would overwrite the slot of 1.
        assert_eq!(next_generation(1, &[1, 2, 3, 4]), 6);
        assert_eq!(next_generation(u32::MAX, &[u32::MAX]), 1);
    }
}
