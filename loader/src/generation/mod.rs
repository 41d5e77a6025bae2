//! Policy generations: building one beside the active one, checking it, and making it active by a single store.
//!
//! Whatever happens to this process, packets are judged by the whole old rule set or by the whole new one: what is
//! built stays out of reach of the programs until CONFIG names its number.

mod build;
mod changes;
mod history;
mod locked;
mod prepared;
mod proof;
mod slots;
mod switch;
mod waiting;

use std::time::Duration;

use mseg_ebpf::abi::{config::Config, policy::POLICY_SLOTS};

use self::{
    build::Built,
    prepared::Numbered,
    slots::{in_slot, kept, next_generation, remove_pins},
    switch::Target,
    waiting::refuse_while_waiting,
};
pub use self::{
    changes::{Changes, Named, Names, count_rules},
    history::{Kept, Role, RolledBack, history, rollback, rollback_policy},
    locked::Locked,
    prepared::Prepared,
    proof::{Proven, read},
    waiting::{MAX_CONFIRM, MIN_CONFIRM, Waiting, check_confirm, confirm, set_mode},
};
use crate::{
    compile::{self, RuleIds},
    error::{Code, Error, Result},
    instance::{Instance, config::Store},
    policy::Policy,
};

/// What [`apply`] did, or what [`preview`] says that it would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The generation that is active now.
    pub generation: u32,
    /// Whether it is a new one; `false` if the active policy was the same already.
    pub changed: bool,
    /// Combinations of classes in its verdict table.
    pub entries: u32,
    /// What differs from the policy before.
    pub changes: Changes,
}

/// Makes `policy` the active one: for good, or with `confirm` for this time unless it is confirmed. The lock is held by
/// the caller from reading what the policy was made of on, and from judging the change. If it is active already nothing is
/// changed, and nothing waits.
///
/// # Errors
/// [`Code::InvalidPolicy`] if it does not compile, [`Code::Failed`] while another change waits, [`Code::Usage`] if
/// `confirm` is out of range, or what the kernel says; the active policy is then as before.
pub fn apply<'p>(
    locked: &mut Locked<'_>,
    policy: impl Into<Prepared<'p>>,
    confirm: Option<Duration>,
) -> Result<Applied> {
    let prepared = policy.into();
    let instance = locked.instance();
    instance.require_write()?;
    // Only whether it may be; it begins when all is ready.
    waiting::deadline(confirm)?;
    if let Some(same) = unchanged(instance, locked.config().generation, &prepared.text)? {
        return Ok(same);
    }
    let config = locked.free()?;
    let active = config.generation;
    let kept = kept(instance, active)?;
    let generation = next_generation(&config, &kept);
    let names = instance.policy_rule_names(&staying(&kept, generation))?;
    let changes = changes(instance, active, &prepared.text)?;
    let policy = prepared.policy;
    let given = RuleIds::from_names(names.clone()).starting_at(config.next_rule);
    let Numbered { ids, compiled, .. } = prepared.numbered(given)?;

    // What lapsed may be in the slot that is filled now.
    locked.settle()?;
    // Before any packet can be counted under them.
    instance.store(Store::NextRule(ids.next()))?;
    let built = Built::new(instance, generation, compiled)?;
    built.verify(policy, &ids)?;
    built.publish(instance, generation, &names).inspect_err(|_| {
        // Nobody uses it; the pins of an unfinished generation would be removed by the next apply, too.
        let _ = remove_pins(instance, generation);
    })?;
    locked.change(Target { generation, ..Target::of(&config) }, waiting::deadline(confirm)?)?;
    Ok(Applied { generation, changed: true, entries: built.tables.header.verdicts, changes })
}

/// What [`apply`] would do while these switches hold; changes nothing. `generation` is the active one.
///
/// # Errors
/// Those of [`apply`].
pub fn preview(instance: &Instance, config: &Config, policy: &Policy) -> Result<Applied> {
    let text = policy.to_string();
    let generation = config.generation;
    if let Some(same) = unchanged(instance, generation, &text)? {
        return Ok(same);
    }
    refuse_while_waiting(instance, config)?;
    let compiled = compile::compile(policy, &mut RuleIds::from_names(instance.rule_names()?))?;
    let changes = changes(instance, generation, &text)?;
    Ok(Applied { generation, changed: true, entries: compiled.tables.header.verdicts, changes })
}

/// Those of the kept generations that the next one does not replace.
fn staying(kept: &[u32], next: u32) -> Vec<u32> {
    kept.iter().copied().filter(|generation| generation % POLICY_SLOTS != next % POLICY_SLOTS).collect()
}

/// What is so if the active generation has this canonical text already, and is where the programs look for it.
fn unchanged(instance: &Instance, generation: u32, text: &str) -> Result<Option<Applied>> {
    if former(instance, generation)?.as_deref() != Some(text) || !in_slot(instance, generation)? {
        return Ok(None);
    }
    let header = instance.policy_header(generation)?;
    Ok(header.map(|header| {
        let changes = Changes::default();
        Applied { generation, changed: false, entries: header.verdicts, changes }
    }))
}

/// What a new text changes; without a policy everything is allowed.
fn changes(instance: &Instance, active: u32, text: &str) -> Result<Changes> {
    let former = former(instance, active)?;
    Ok(Changes::between(&former.unwrap_or_else(|| Policy::default().to_string()), text))
}

/// The text of the generation that is to be replaced; `None` if it is damaged, which must keep nobody from that.
fn former(instance: &Instance, active: u32) -> Result<Option<String>> {
    match instance.policy_text(active) {
        Err(error) if error.code == Code::Abi => Ok(None),
        text => text,
    }
}

/// The active policy.
pub fn current(instance: &Instance) -> Result<Policy> {
    policy(instance, instance.config()?.generation)
}

/// The policy of a generation that is kept, and is where the programs look for it; the empty one, which allows everything, of
/// 0: none was ever applied.
pub fn policy(instance: &Instance, generation: u32) -> Result<Policy> {
    let text = match generation {
        0 => String::new(),
        _ => instance
            .policy_text(generation)?
            .ok_or_else(|| Error::new(Code::Abi, format!("the pins of policy generation {generation} are missing")))?,
    };
    if generation != 0 && !in_slot(instance, generation)? {
        return Err(proof::not_in_slot(instance, generation));
    }
    proof::parse(generation, &text)
}
