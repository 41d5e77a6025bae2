//! CONFIG: the switches that change while traffic flows, each by one atomic store.

use std::mem::offset_of;

use mseg_ebpf::abi::{config::Config, map};

use super::{Instance, Table};
use crate::{
    clock::monotonic_ns,
    error::{Code, Error, Result},
    kernel::mmap::ConfigMapping,
};

/// How often CONFIG is read for two reads to be alike.
const READS: usize = 8;

/// A store to one of the switches that a change of policy or mode is made of; [`crate::generation`] knows their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// [`Config::generation`]; its maps must be in their slot.
    Generation(u32),
    /// [`Config::mode`].
    Mode(u32),
    /// [`Config::deadline_ns`].
    Deadline(u64),
    /// [`Config::fallback_generation`].
    FallbackGeneration(u32),
    /// [`Config::fallback_mode`].
    FallbackMode(u32),
    /// [`Config::previous_generation`].
    PreviousGeneration(u32),
    /// [`Config::next_rule`].
    NextRule(u32),
}

impl Instance {
    /// The switches that hold now: a change that nobody confirmed in time is undone.
    pub fn config(&self) -> Result<Config> {
        Ok(self.stored_config()?.in_force(monotonic_ns()?))
    }

    /// The switches as they are stored.
    pub(crate) fn stored_config(&self) -> Result<Config> {
        let read = || -> Result<Config> {
            self.map(map::CONFIG)?.get(&0u32)?.ok_or_else(|| Error::new(Code::Abi, "map CONFIG is empty"))
        };
        // A writer may be between two stores; what is read twice alike was so at one moment.
        let mut config = read()?;
        for _ in 0..READS {
            let again = read()?;
            if again == config {
                break;
            }
            config = again;
        }
        Ok(config)
    }

    /// Writes one switch.
    pub(crate) fn store(&self, store: Store) -> Result<()> {
        let config = self.config_mapping()?;
        match store {
            Store::Generation(value) => config.store_u32(offset_of!(Config, generation), value),
            Store::Mode(value) => config.store_u32(offset_of!(Config, mode), value),
            Store::Deadline(value) => config.store_u64(offset_of!(Config, deadline_ns), value),
            Store::FallbackGeneration(value) => config.store_u32(offset_of!(Config, fallback_generation), value),
            Store::FallbackMode(value) => config.store_u32(offset_of!(Config, fallback_mode), value),
            Store::NextRule(value) => config.store_u32(offset_of!(Config, next_rule), value),
            Store::PreviousGeneration(value) => config.store_u32(offset_of!(Config, previous_generation), value),
        }
        Ok(())
    }

    /// Sets the mode, `MODE_OBSERVE` or `MODE_ENFORCE`, whatever waits to be confirmed; for programs there is
    /// [`crate::generation::set_mode`].
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        self.store(Store::Mode(mode))
    }

    /// Sets what becomes of TCP packets of unknown sessions: `MIDSTREAM_*`.
    pub fn set_midstream(&self, midstream: u32) -> Result<()> {
        self.config_mapping()?.store_u32(offset_of!(Config, midstream), midstream);
        Ok(())
    }

    /// Sets the end of the grace period: nanoseconds of `CLOCK_MONOTONIC`.
    pub fn set_grace_until(&self, ns: u64) -> Result<()> {
        self.config_mapping()?.store_u64(offset_of!(Config, grace_until_ns), ns);
        Ok(())
    }

    /// Sets about how many half-open sessions one source may have; 0 for any number.
    pub fn set_half_open_per_source(&self, sessions: u32) -> Result<()> {
        self.config_mapping()?.store_u32(offset_of!(Config, half_open_per_source), sessions);
        Ok(())
    }

    /// Sets the number that no packet may guess. Only before anything is attached: marks and samples of another one mean
    /// nothing.
    pub(crate) fn set_salt(&self, salt: u32) -> Result<()> {
        self.config_mapping()?.store_u32(offset_of!(Config, salt), salt);
        Ok(())
    }

    /// Sets since when no packet can have passed unseen: nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) fn set_attached(&self, ns: u64) -> Result<()> {
        self.config_mapping()?.store_u64(offset_of!(Config, attached_ns), ns);
        Ok(())
    }

    /// Sets what packets are marked for: one of `MARKS_*`.
    pub(super) fn set_marks(&self, marks: u32) -> Result<()> {
        self.config_mapping()?.store_u32(offset_of!(Config, marks), marks);
        Ok(())
    }

    pub(super) fn count_adopted(&self, table: Table) -> Result<()> {
        let field = match table {
            Table::Datagrams => offset_of!(Config, adopted_datagrams),
            Table::Closing => offset_of!(Config, adopted_closing),
            Table::Sessions | Table::HalfOpen => offset_of!(Config, adopted_sessions),
            // Nobody asks how many CLOSED has dropped.
            Table::Closed => return Ok(()),
        };
        self.config_mapping()?.add_u64(field, 1);
        Ok(())
    }

    pub(super) fn count_deleted(&self, table: Table) -> Result<()> {
        let field = match table {
            Table::Sessions => offset_of!(Config, deleted_sessions),
            Table::Datagrams => offset_of!(Config, deleted_datagrams),
            Table::HalfOpen => offset_of!(Config, deleted_half_open),
            Table::Closing => offset_of!(Config, deleted_closing),
            Table::Closed => return Ok(()),
        };
        self.config_mapping()?.add_u64(field, 1);
        Ok(())
    }

    fn config_mapping(&self) -> Result<&ConfigMapping> {
        self.require_write()?;
        if let Some(mapping) = self.config.get() {
            return Ok(mapping);
        }
        let mapping = ConfigMapping::new(self.map(map::CONFIG)?)?;
        Ok(self.config.get_or_init(|| mapping))
    }
}
