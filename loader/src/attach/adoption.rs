//! The part that adoption has in an attach.

use mseg_ebpf::abi::interface::Interface;

use super::{AttachedInterface, undo::Undo};
use crate::{
    adopt::Adoption,
    error::Result,
    instance::{Access, Instance},
};

/// Adoption, unless it was refused: also while observing, so that enforcing later cuts nothing that idles until then.
/// Should attach fail, what was adopted goes.
pub(super) fn prepare<'a>(
    instance: &'a Instance,
    netns: u64,
    adopt: Option<bool>,
    created: bool,
    undo: &mut Undo,
) -> Result<Option<Adoption<'a>>> {
    if !adopt.unwrap_or(true) {
        return Ok(None);
    }
    let adoption = Adoption::new(instance, netns, adopt == Some(true))?;
    // A new instance is removed as a whole.
    if !created {
        let (keys, options) = (adoption.keys(), instance.options().clone());
        undo.push(move || {
            let instance = Instance::open(&options, Access::Write)?;
            keys.borrow().iter().try_for_each(|key| instance.delete_session(key).map(drop))
        });
    }
    Ok(Some(adoption))
}

/// One look, over all interfaces by which packets pass mseg once the plan is carried out.
pub(super) fn look(adoption: &mut Option<Adoption<'_>>, instance: &Instance, plan: &[AttachedInterface]) -> Result<()> {
    let Some(adoption) = adoption else {
        return Ok(());
    };
    let mut interfaces: Vec<(u32, Interface)> = instance.interfaces()?;
    for planned in plan {
        if interfaces.iter().all(|(ifindex, _)| *ifindex != planned.ifindex) {
            interfaces.push((planned.ifindex, planned.interface));
        }
    }
    adoption.look(&interfaces)
}
