//! Changes that wait to be confirmed: one at a time, of the policy or of the mode. The programs undo it themselves at its
//! deadline, so that no process is needed for that.

use std::time::Duration;

use mseg_ebpf::abi::config::Config;

use super::{Locked, switch::Target};
use crate::{
    attach::Mode,
    clock::{Clock, monotonic_ns},
    error::{Code, Error, Result},
    instance::Instance,
};

/// The shortest time in which a change can be confirmed.
pub const MIN_CONFIRM: Duration = Duration::from_secs(1);
/// The longest.
pub const MAX_CONFIRM: Duration = Duration::from_secs(24 * 60 * 60);

/// A change that waits to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// When it is undone: nanoseconds of `CLOCK_MONOTONIC`.
    pub deadline_ns: u64,
    /// The generation that is active until then.
    pub generation: u32,
    /// The mode until then.
    pub mode: Mode,
    /// The generation that is active from then on.
    pub fallback_generation: u32,
    /// The mode from then on.
    pub fallback_mode: Mode,
}

impl Waiting {
    /// What waits in the switches that hold now ([`Instance::config`]).
    pub fn of(config: &Config) -> Option<Self> {
        (config.deadline_ns != 0).then_some(Self {
            deadline_ns: config.deadline_ns,
            generation: config.generation,
            mode: Mode::from_value(config.mode),
            fallback_generation: config.fallback_generation,
            fallback_mode: Mode::from_value(config.fallback_mode),
        })
    }

    /// Whether it is a change of the policy, not of the mode.
    pub const fn is_policy(&self) -> bool {
        self.generation != self.fallback_generation
    }

    /// What waits, for people: `policy generation 8`, `mode enforce`.
    pub fn what(&self) -> String {
        if self.is_policy() {
            format!("policy generation {}", self.generation)
        } else {
            format!("mode {}", self.mode.name())
        }
    }

    /// What comes back, likewise.
    pub fn fallback(&self) -> String {
        if self.is_policy() {
            format!("policy generation {}", self.fallback_generation)
        } else {
            format!("mode {}", self.fallback_mode.name())
        }
    }
}

/// Whether a change may wait for this time to be confirmed.
///
/// # Errors
/// [`Code::Usage`] if it is less than [`MIN_CONFIRM`] or more than [`MAX_CONFIRM`].
pub fn check_confirm(time: Duration) -> Result<()> {
    if (MIN_CONFIRM..=MAX_CONFIRM).contains(&time) {
        return Ok(());
    }
    let (least, most) = (MIN_CONFIRM.as_secs(), MAX_CONFIRM.as_secs() / 3600);
    Err(Error::new(Code::Usage, format!("a change can wait to be confirmed for {least}s to {most}h, not {time:?}")))
}

/// When a change is undone that is made now: nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn deadline(confirm: Option<Duration>) -> Result<Option<u64>> {
    let Some(time) = confirm else {
        return Ok(None);
    };
    check_confirm(time)?;
    Ok(Some(monotonic_ns()?.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))))
}

/// Refuses a change while another one waits, by these switches.
///
/// # Errors
/// [`Code::Failed`], which says what waits, until when, and what to do.
pub(super) fn refuse_while_waiting(instance: &Instance, config: &Config) -> Result<()> {
    match Waiting::of(config) {
        None => Ok(()),
        Some(waiting) => {
            let clock = Clock::now()?;
            let left_s = waiting.deadline_ns.saturating_sub(clock.monotonic_ns()).div_ceil(1_000_000_000);
            let message = format!(
                "{} waits to be confirmed until {} ({left_s}s left); until then nothing else can be changed",
                waiting.what(),
                clock.rfc3339(waiting.deadline_ns)
            );
            let commands = ["confirm", "rollback"].map(|verb| msegctl(instance, &format!("policy {verb}")));
            Err(Error::failed(message).hint(format!("`{}` keeps it, `{}` undoes it at once", commands[0], commands[1])))
        }
    }
}

/// A command line of msegctl for this instance.
pub(super) fn msegctl(instance: &Instance, command: &str) -> String {
    format!("msegctl {command} {}", instance.options().arguments()).trim_end().to_owned()
}

/// What to say of a change that was not confirmed in time.
pub(super) fn late(change: &Waiting) -> Result<Error> {
    Ok(Error::failed(format!(
        "{} was not confirmed by {}: {} holds again",
        change.what(),
        Clock::now()?.rfc3339(change.deadline_ns),
        change.fallback()
    )))
}

/// Sets the mode: for good, or with `confirm` for this time unless it is confirmed. Whether it was another one before;
/// if not, nothing waits either.
///
/// # Errors
/// [`Code::Failed`] while another change waits, [`Code::Usage`] for a time out of range.
pub fn set_mode(locked: &mut Locked<'_>, mode: Mode, confirm: Option<Duration>) -> Result<bool> {
    locked.instance().require_write()?;
    let deadline_ns = deadline(confirm)?;
    if Mode::from_value(locked.config().mode) == mode {
        return Ok(false);
    }
    let config = locked.free()?;
    locked.change(Target { mode: mode.value(), ..Target::of(&config) }, deadline_ns)?;
    Ok(true)
}

/// Keeps the change that waits, and returns it.
///
/// # Errors
/// [`Code::Failed`] if nothing waits, or not any more.
pub fn confirm(locked: &mut Locked<'_>) -> Result<Waiting> {
    locked.instance().require_write()?;
    match (locked.waiting(), locked.lapsed()) {
        (Some(waiting), _) => locked.confirm().map(|()| waiting),
        (None, Some(lapsed)) => Err(late(&lapsed)?.hint("make the change again, and confirm it earlier")),
        (None, None) => Err(Error::failed("nothing waits to be confirmed")),
    }
}
