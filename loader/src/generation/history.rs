//! The generations that are kept, and going back to one.

use std::time::Duration;

use mseg_ebpf::abi::{config::Config, policy::PolicyHeader};

use super::{
    changes::{Changes, count_rules},
    locked::Locked,
    proof::{not_in_slot, not_kept, parse},
    slots::{in_slot, kept},
    switch::Target,
    waiting::{self, Waiting, late, msegctl},
};
use crate::{
    error::{Error, Result},
    instance::{Instance, kept::OUTER},
    policy::Policy,
};

/// What a kept generation is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Packets are judged by it.
    Active,
    /// Packets are judged by it until its deadline, unless it is confirmed.
    Unconfirmed,
    /// It is active again at the deadline of the one that is not confirmed.
    Fallback,
    /// It was active before: `policy rollback` goes back to it.
    Previous,
    /// None of these.
    Kept,
}

impl Role {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Unconfirmed => "unconfirmed",
            Self::Fallback => "fallback",
            Self::Previous => "previous",
            Self::Kept => "kept",
        }
    }

    /// Of a generation, by the switches that hold now.
    fn of(config: &Config, generation: u32) -> Self {
        let waiting = Waiting::of(config).filter(Waiting::is_policy);
        match waiting {
            _ if generation == config.generation => {
                if waiting.is_some() {
                    Self::Unconfirmed
                } else {
                    Self::Active
                }
            }
            Some(waiting) if generation == waiting.fallback_generation => Self::Fallback,
            None if generation == config.previous_generation => Self::Previous,
            _ => Self::Kept,
        }
    }
}

/// A generation that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its number.
    pub generation: u32,
    /// What it says besides its rules.
    pub header: PolicyHeader,
    /// Rules that are written in it.
    pub rules: usize,
    /// Bytes of its maps in the kernel.
    pub bytes: u64,
    /// What it is good for.
    pub role: Role,
}

/// The kept generations, the latest first.
pub fn history(instance: &Instance) -> Result<Vec<Kept>> {
    let config = instance.config()?;
    let mut history = Vec::new();
    for generation in instance.generations()?.into_iter().rev() {
        // Pins of an apply that was killed are no generation.
        if generation != config.generation && !in_slot(instance, generation)? {
            continue;
        }
        let (Some(header), Some(text)) = (instance.policy_header(generation)?, instance.policy_text(generation)?)
        else {
            continue;
        };
        let mut bytes = 0;
        for outer in OUTER {
            bytes += instance.inner(outer, generation)?.map_or(Ok(0), |map| map.memory())?;
        }
        let role = Role::of(&config, generation);
        history.push(Kept { generation, header, rules: count_rules(&text), bytes, role });
    }
    Ok(history)
}

/// What [`rollback`] did.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// The generation that is active now.
    pub generation: u32,
    /// Whether another one was before.
    pub changed: bool,
    /// The change that waited to be confirmed, and was undone.
    pub undone: Option<Waiting>,
    /// What differs from the policy before.
    pub changes: Changes,
}

/// The generation that [`rollback`] goes to without being told: the fallback while a change waits, else the one that
/// was active before.
fn rollback_target(locked: &Locked<'_>) -> Result<u32> {
    let (config, instance) = (locked.config(), locked.instance());
    if let Some(waiting) = locked.waiting() {
        return Ok(waiting.fallback_generation);
    }
    let previous = config.previous_generation;
    let known = previous != 0 && previous != config.generation;
    let history = msegctl(instance, "policy history");
    if let Some(lapsed) = locked.lapsed() {
        // What was to be undone is undone: one further back is not what was asked for.
        let further = if known { previous.to_string() } else { "GENERATION".to_owned() };
        let further = msegctl(instance, &format!("policy rollback {further}"));
        return Err(late(&lapsed)?
            .hint(format!("nothing was changed; to go back further, `{further}`; `{history}` lists what is kept")));
    }
    match known {
        true => Ok(previous),
        false => Err(Error::failed(match previous {
            0 => "no generation was active before this one",
            _ => "it is not known which generation was active before",
        })
        .hint(format!(
            "`{history}` lists the generations that are kept; name one: {}",
            msegctl(instance, "policy rollback GENERATION")
        ))),
    }
}

/// The policy that [`rollback`] would make the active one; `None` if that generation is not kept.
///
/// # Errors
/// As [`rollback`] if none is named, or [`crate::error::Code::Abi`] if its text cannot be read.
pub fn rollback_policy(locked: &Locked<'_>, generation: Option<u32>) -> Result<Option<Policy>> {
    let target = generation.map_or_else(|| rollback_target(locked), Ok)?;
    let text = locked.instance().policy_text(target)?;
    text.map(|text| parse(target, &text)).transpose()
}

/// Undoes the change that waits to be confirmed; if there is none, makes a kept generation the active one, by default
/// that which was active before: for good, or with `confirm` for this time unless it is confirmed.
///
/// # Errors
/// [`crate::error::Code::Failed`] if the generation is not kept, or if another one than the fallback is named while a
/// change waits; if none is named and it is not known which was active before, or the last change was undone already,
/// since nobody confirmed it.
pub fn rollback(locked: &mut Locked<'_>, generation: Option<u32>, confirm: Option<Duration>) -> Result<RolledBack> {
    let instance = locked.instance();
    instance.require_write()?;
    let deadline_ns = waiting::deadline(confirm)?;
    let target = generation.map_or_else(|| rollback_target(locked), Ok)?;
    let active = locked.config().generation;
    let changed = target != active;
    let undone = locked.waiting().filter(|waiting| target == waiting.fallback_generation && confirm.is_none());
    if undone.is_some() {
        if !in_slot(instance, target)? {
            return Err(not_in_slot(instance, target));
        }
        let changes = differences(instance, active, target)?;
        locked.undo()?;
        return Ok(RolledBack { generation: target, changed, undone, changes });
    }
    let config = locked.free()?;
    if !kept(instance, active)?.contains(&target) {
        return Err(not_kept(instance, target));
    }
    let changes = differences(instance, active, target)?;
    if changed {
        locked.change(Target { generation: target, ..Target::of(&config) }, deadline_ns)?;
    }
    Ok(RolledBack { generation: target, changed, undone: None, changes })
}

/// What differs between two kept generations.
fn differences(instance: &Instance, from: u32, to: u32) -> Result<Changes> {
    if from == to {
        return Ok(Changes::default());
    }
    let text = |generation| instance.policy_text(generation).map(Option::unwrap_or_default);
    Ok(Changes::between(&text(from)?, &text(to)?))
}
