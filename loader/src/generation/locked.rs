//! What a change of policy or mode begins with: the lock, and one look at the switches.

use mseg_ebpf::abi::config::Config;

use super::{
    switch::{self, Target},
    waiting::{Waiting, refuse_while_waiting},
};
use crate::{
    clock::monotonic_ns,
    error::Result,
    instance::{Instance, Lock, config::Store},
};

/// An instance under its lock, with the switches that held at one moment. A change is judged by them and made from them:
/// nobody else changes anything meanwhile, and a deadline that passes does not either, for what waited at that moment can
/// only be kept or undone.
#[derive(Debug)]
pub struct Locked<'a> {
    instance: &'a Instance,
    _lock: Lock,
    stored: Config,
    config: Config,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(instance: &'a Instance, lock: Lock) -> Result<Self> {
        let stored = instance.stored_config()?;
        Ok(Self { instance, _lock: lock, stored, config: stored.in_force(monotonic_ns()?) })
    }

    /// The instance that is locked.
    pub const fn instance(&self) -> &'a Instance {
        self.instance
    }

    /// The switches that held when the lock was taken, with what was changed under it.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The change that waits.
    pub fn waiting(&self) -> Option<Waiting> {
        Waiting::of(&self.config)
    }

    /// The change that was not confirmed in time, if none was made since.
    pub fn lapsed(&self) -> Option<Waiting> {
        Waiting::of(&self.stored).filter(|_| self.waiting().is_none())
    }

    /// The switches, in which nothing waits.
    ///
    /// # Errors
    /// [`crate::error::Code::Failed`] if a change waits.
    pub(super) fn free(&self) -> Result<Config> {
        refuse_while_waiting(self.instance, &self.config)?;
        Ok(self.config)
    }

    /// Makes what is stored say what holds, if a change was not confirmed in time.
    pub(crate) fn settle(&mut self) -> Result<()> {
        if self.lapsed().is_some() {
            self.store(&switch::settle(&self.stored, u64::MAX))?;
        }
        Ok(())
    }

    /// Changes the policy or the mode from what is [`Self::free`], for good or until `deadline_ns`.
    pub(super) fn change(&mut self, target: Target, deadline_ns: Option<u64>) -> Result<()> {
        self.settle()?;
        self.write(&switch::change(&self.config, target, deadline_ns))
    }

    /// Keeps the change that waits.
    pub(super) fn confirm(&mut self) -> Result<()> {
        self.write(&switch::confirm(&self.stored))
    }

    /// Undoes the change that waits. If its deadline has just passed that makes no difference.
    pub(super) fn undo(&mut self) -> Result<()> {
        self.write(&switch::undo(&self.stored))
    }

    /// The stores in their order; then whoever watches the instance is woken.
    fn write(&mut self, stores: &[Store]) -> Result<()> {
        self.store(stores)?;
        self.instance.touch();
        Ok(())
    }

    fn store(&mut self, stores: &[Store]) -> Result<()> {
        stores.iter().try_for_each(|store| self.instance.store(*store))?;
        self.stored = self.instance.stored_config()?;
        self.config = self.stored;
        Ok(())
    }
}
