//! The names of rules and interfaces, read from the maps as seldom as will do.

use std::time::{Duration, Instant};

use mseg::{clock::Clock, error::Result, instance::Instance, view::Context};
use mseg_ebpf::abi::event::Event;

/// Names are read again at the latest after this time: an interface's index can get another name unnoticed.
const STALE: Duration = Duration::from_secs(1);

/// A [`Context`] that is kept.
#[derive(Debug)]
pub(crate) struct Names {
    context: Context,
    now: Clock,
    read: Instant,
    /// Whether a name was missed since the last [`Names::refresh`]; the next miss then is not worth a look.
    missed: bool,
    /// The kept generations when the names of rules were read: the rules of a generation never change.
    generations: Vec<u32>,
}

impl Names {
    pub(crate) fn new(instance: &Instance) -> Result<Self> {
        let generations = instance.generations()?;
        let context = Context::of(instance)?;
        Ok(Self { now: context.clock, context, read: Instant::now(), missed: false, generations })
    }

    /// Reads the clock, and the names if they are old.
    pub(crate) fn refresh(&mut self, instance: &Instance) -> Result<()> {
        self.missed = false;
        if self.read.elapsed() >= STALE { self.reread(instance) } else { self.read_clock() }
    }

    /// Reads the names again.
    pub(crate) fn reread(&mut self, instance: &Instance) -> Result<()> {
        let generations = instance.generations()?;
        if generations == self.generations {
            self.context.reread_but_rules(instance)?;
        } else {
            self.context = Context::of(instance)?;
            self.generations = generations;
        }
        self.now = self.context.clock;
        self.read = Instant::now();
        Ok(())
    }

    fn read_clock(&mut self) -> Result<()> {
        self.now = Clock::now()?;
        Ok(())
    }

    /// What describes a record.
    pub(crate) fn of(&mut self, instance: &Instance, event: &Event) -> Result<&Context> {
        let known = self.context.rules.contains_key(&event.session.rule)
            && self.context.interfaces.contains_key(&event.session.ifindex);
        if !known && !self.missed {
            self.missed = true;
            self.reread(instance)?;
        }
        self.context.clock = self.now;
        self.context.at(event.time_ns);
        Ok(&self.context)
    }

    /// What describes the present.
    pub(crate) fn now(&mut self) -> Result<&Context> {
        self.read_clock()?;
        self.context.clock = self.now;
        Ok(&self.context)
    }
}
