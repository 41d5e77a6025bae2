//! A kept generation, told from the kernel's maps alone. Its text says what packets are judged by only if compiling it
//! makes what the maps hold; so that is what is done whenever the text is to be believed.

use mseg_ebpf::abi::policy::PolicyHeader;

use super::{in_slot, waiting::msegctl};
use crate::{
    compile::{self, RuleIds},
    error::{Code, Error, Result},
    instance::Instance,
    policy::{self, Policy},
};

/// A generation whose text is proven to be what its maps hold.
#[derive(Clone, Debug)]
pub struct Proven {
    /// What it says besides its rules.
    pub header: PolicyHeader,
    /// In canonical form.
    pub text: String,
    /// In parts.
    pub policy: Policy,
}

/// Reads a generation back.
///
/// # Errors
/// [`Code::Failed`] if it is not kept; [`Code::Abi`] if its maps are damaged, or do not hold what its text says.
pub fn read(instance: &Instance, generation: u32) -> Result<Proven> {
    match prove(instance, generation) {
        // A writer may have replaced it meanwhile, or named rules anew; under its lock there is none.
        Err(error) if error.code == Code::Abi => {
            let _lock = instance.lock()?;
            prove(instance, generation)
        }
        done => done,
    }
}

fn prove(instance: &Instance, generation: u32) -> Result<Proven> {
    let header = instance.policy_header(generation)?.ok_or_else(|| not_kept(instance, generation))?;
    let text = instance.policy_text(generation)?.ok_or_else(|| not_kept(instance, generation))?;
    let policy = parse(generation, &text)?;
    // With the ids that its own maps say.
    let mut ids = RuleIds::from_names(instance.policy_rule_names(&[generation])?);
    let compiled = compile::compile(&policy, &mut ids)?;
    if !in_slot(instance, generation)? {
        return Err(not_in_slot(instance, generation));
    }
    let tables = instance.tables(generation)?.ok_or_else(|| not_kept(instance, generation))?;
    if !tables.says_the_same(&compiled.tables) {
        let message = format!("the maps of policy generation {generation} do not hold what its text says");
        return Err(damaged(instance, message));
    }
    Ok(Proven { header, text, policy })
}

/// What to say of a generation whose maps the programs do not look up, but others in their place.
pub(super) fn not_in_slot(instance: &Instance, generation: u32) -> Error {
    damaged(instance, format!("policy generation {generation} is not where the programs look for it"))
}

fn damaged(instance: &Instance, message: String) -> Error {
    let hint = format!("apply a policy file again: {}", msegctl(instance, "policy apply FILE"));
    Error::new(Code::Abi, message).hint(hint)
}

/// The policy of a generation's text.
pub(super) fn parse(generation: u32, text: &str) -> Result<Policy> {
    policy::parse(&format!("generation {generation}"), text).map_err(|diagnostics| {
        Error::new(Code::Abi, format!("policy generation {generation} cannot be read:\n{diagnostics}"))
            .hint("it was applied by another version; apply a policy file again")
    })
}

/// What to say of a generation that is not kept.
pub(super) fn not_kept(instance: &Instance, generation: u32) -> Error {
    Error::failed(format!("policy generation {generation} is not kept"))
        .hint(format!("`{}` lists those that are", msegctl(instance, "policy history")))
}
