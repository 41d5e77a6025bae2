//! A policy that is about to be applied, compiled before the lock is taken: other changes need not wait for that.

use super::{in_slot, next_generation, staying, unchanged, waiting::Waiting};
use crate::{
    compile::{self, Compiled, RuleIds},
    error::Result,
    instance::Instance,
    policy::Policy,
};

/// A policy to [`super::apply`]; one that is not compiled yet is compiled there.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(super) policy: &'a Policy,
    pub(super) text: String,
    numbered: Option<Numbered>,
}

/// A compiled policy.
#[derive(Debug)]
pub(super) struct Numbered {
    /// The ids that were given before.
    given: RuleIds,
    /// And those with its own.
    pub(super) ids: RuleIds,
    pub(super) compiled: Compiled,
}

impl Numbered {
    fn new(policy: &Policy, given: RuleIds) -> Result<Self> {
        let mut ids = given.clone();
        let compiled = compile::compile(policy, &mut ids)?;
        Ok(Self { given, ids, compiled })
    }
}

impl<'a> From<&'a Policy> for Prepared<'a> {
    fn from(policy: &'a Policy) -> Self {
        Self { policy, text: policy.to_string(), numbered: None }
    }
}

impl<'a> Prepared<'a> {
    /// Compiles a policy with the ids that its rules would get now, unless it would not be applied now.
    ///
    /// # Errors
    /// [`crate::error::Code::InvalidPolicy`] if it does not compile.
    pub fn new(instance: &Instance, policy: &'a Policy) -> Result<Self> {
        let mut this = Self::from(policy);
        // Without the lock, a writer may be at work: whatever that spoils is done again under it.
        if let Ok(Some(given)) = this.given_now(instance) {
            this.numbered = Some(Numbered::new(policy, given)?);
        }
        Ok(this)
    }

    fn given_now(&self, instance: &Instance) -> Result<Option<RuleIds>> {
        let config = instance.config()?;
        let active = config.generation;
        if Waiting::of(&config).is_some() || unchanged(instance, active, &self.text)?.is_some() {
            return Ok(None);
        }
        let mut kept = Vec::new();
        for generation in instance.generations()? {
            if generation == active || in_slot(instance, generation)? {
                kept.push(generation);
            }
        }
        let names = instance.policy_rule_names(&staying(&kept, next_generation(&config, &kept)))?;
        Ok(Some(RuleIds::from_names(names).starting_at(config.next_rule)))
    }

    /// The policy with ids beside those that are given; compiled again if these are others by now.
    pub(super) fn numbered(self, given: RuleIds) -> Result<Numbered> {
        match self.numbered.filter(|numbered| numbered.given == given) {
            Some(numbered) => Ok(numbered),
            None => Numbered::new(self.policy, given),
        }
    }
}
