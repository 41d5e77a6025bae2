//! What is needed beside a map entry to describe it.

use std::{borrow::Cow, collections::BTreeMap};

use super::Time;
use crate::{
    clock::Clock,
    error::Result,
    instance::{Instance, interface_name},
};

/// The clock, and names for the numbers in map entries. Read once for a listing.
#[derive(Clone, Debug)]
pub struct Context {
    /// Now.
    pub clock: Clock,
    /// Rule names by id.
    pub rules: BTreeMap<u32, String>,
    /// Interface names by index.
    pub interfaces: BTreeMap<u32, String>,
}

impl Context {
    /// Reads the clock and an instance's names.
    pub fn of(instance: &Instance) -> Result<Self> {
        Ok(Self { clock: Clock::now()?, rules: instance.rule_names()?, interfaces: interface_names(instance)? })
    }

    /// Reads everything again but the names of rules, of which there may be many.
    pub fn reread_but_rules(&mut self, instance: &Instance) -> Result<()> {
        self.clock = Clock::now()?;
        self.interfaces = interface_names(instance)?;
        Ok(())
    }

    /// The time at which the clock was read.
    pub fn now(&self) -> Time {
        Time::of(&self.clock, self.clock.monotonic_ns())
    }

    /// The time of nanoseconds of `CLOCK_MONOTONIC`.
    pub fn time(&self, monotonic_ns: u64) -> Time {
        Time::of(&self.clock, monotonic_ns)
    }

    /// Sets the clock to a moment of the past, as what "now" means in documents about it.
    pub fn at(&mut self, monotonic_ns: u64) {
        let realtime_ns = self.clock.timestamp(monotonic_ns).as_nanosecond();
        self.clock = Clock::at(monotonic_ns, realtime_ns);
    }

    /// The name of a rule; `#71` for an id whose rule is gone, which no rule can be called.
    pub fn rule(&self, id: u32) -> Cow<'_, str> {
        name(&self.rules, id)
    }

    /// The name of an interface; `#7` for an index that is not attached any more, `-` for one that is not known.
    pub fn interface(&self, ifindex: u32) -> Cow<'_, str> {
        if ifindex == 0 { "-".into() } else { name(&self.interfaces, ifindex) }
    }
}

fn interface_names(instance: &Instance) -> Result<BTreeMap<u32, String>> {
    let interfaces = instance.interfaces()?;
    Ok(interfaces.iter().map(|(index, interface)| (*index, interface_name(interface).to_owned())).collect())
}

fn name(names: &BTreeMap<u32, String>, number: u32) -> Cow<'_, str> {
    match names.get(&number) {
        Some(name) => name.into(),
        None => format!("#{number}").into(),
    }
}
