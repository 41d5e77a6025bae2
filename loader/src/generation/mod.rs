//! Policy generations: building one beside the active one, checking it, and making it active by a single store.
//!
//! Whatever happens to this process, packets are judged by the whole old rule set or by the whole new one: what is
//! built stays out of reach of the programs until CONFIG names its number.

mod build;
mod slots;

use mseg_ebpf::abi::policy::POLICY_SLOTS;

use self::{
    build::Built,
    slots::{kept, next_generation, remove_pins},
};
use crate::{
    compile::{self, RuleIds},
    error::{Code, Error, Result},
    instance::{Instance, Lock},
    policy::{self, Policy},
};

/// What [`apply`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The generation that is active now.
    pub generation: u32,
    /// Whether it is a new one; `false` if the active policy was the same already.
    pub changed: bool,
    /// Combinations of classes in its verdict table.
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
        return Ok(Applied { generation: active, changed: false, entries: header.verdicts });
    }

    let kept = kept(instance, active)?;
    let generation = next_generation(active, &kept);
    let staying: Vec<u32> = kept.iter().copied().filter(|g| g % POLICY_SLOTS != generation % POLICY_SLOTS).collect();
    let names = instance.policy_rule_names(&staying)?;
    let mut ids = RuleIds::from_names(names.clone());
    let compiled = compile::compile(policy, &mut ids)?;

    let built = Built::new(instance, generation, compiled)?;
    built.verify(policy, &ids)?;
    built.publish(instance, generation, &names).inspect_err(|_| {
        // Nobody uses it; the pins of an unfinished generation would be removed by the next apply, too.
        let _ = remove_pins(instance, generation);
    })?;
    instance.set_generation(generation)?;
    Ok(Applied { generation, changed: true, entries: built.tables.header.verdicts })
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
