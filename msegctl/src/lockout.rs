//! Before a change: would it cut the caller off?

pub(crate) use mseg::lockout::Change;
use mseg::{generation::Locked, instance::Instance};
use mseg_ebpf::abi::config::Config;

use crate::{run::Run, stop::Stop, warning::warn};

/// Refuses a change that would cut the caller off, unless it is forced, and warns of what else it would take from him.
pub(crate) fn check(run: &Run<'_>, locked: &Locked<'_>, change: &Change<'_>) -> Result<(), Stop> {
    warn(run, &mseg::lockout::check(locked.instance(), locked.config(), change)?);
    Ok(())
}

/// Warns of what a change would take from the caller that is not made.
pub(crate) fn preview(run: &Run<'_>, instance: &Instance, config: &Config, change: &Change<'_>) -> Result<(), Stop> {
    // What is refused otherwise is a warning, as what is forced.
    warn(run, &mseg::lockout::check(instance, config, &Change { force: true, ..*change })?);
    Ok(())
}
