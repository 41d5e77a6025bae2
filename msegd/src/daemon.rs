//! The loop: wait, read what is in the ring, write it, release it, keep the account.

use std::{os::fd::AsFd, time::Duration};

use mseg::{
    attach::Mode,
    clock::monotonic_ns,
    error::{Code, Error, Result},
    instance::Instance,
    kernel::ring::Ring,
    view::{EventDocument, EventView, Started, StopCause, Stopped},
};
use mseg_ebpf::abi::event::Event;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::warn;
use zerocopy::TryFromBytes;

use crate::{
    batch::Batch,
    names::Names,
    output::Output,
    signals::Signals,
    stop::Stop,
    watch::{self, Watch},
};

/// After a round nothing is read for this time, so that a busy ring costs few wake-ups. It has room for 4096 events.
const PAUSE: Duration = Duration::from_millis(10);

/// Once nothing happens for this time, one more look at the counters before a wait without end: neither what was lost
/// while the last events were read nor the end of a change of policy wakes anybody.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Bytes of the ring that one event takes.
const EVENT_BYTES: u64 = (8 + size_of::<Event>() as u64).next_multiple_of(8);

/// A running reader.
pub(crate) struct Daemon {
    instance: Instance,
    ring: Ring,
    output: Output,
    signals: Signals,
    watch: Option<Watch>,
    once: bool,
    names: Names,
    batch: Batch,
    /// Records written.
    written: u64,
    /// Lost records that were told of.
    lost: u64,
    /// The policy generation that was told of last.
    generation: u32,
    /// The mode that was told of last.
    mode: Mode,
    /// When the kernel's side undoes a change unless it is confirmed: nanoseconds of `CLOCK_MONOTONIC`, 0 if none waits.
    deadline_ns: u64,
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// Something happened.
    Up,
    /// Nothing did, in the time given.
    Timeout,
}

impl Daemon {
    pub(crate) fn new(
        instance: Instance,
        ring: Ring,
        output: Output,
        signals: Signals,
        watch: Option<Watch>,
        once: bool,
    ) -> Result<Self> {
        let names = Names::new(&instance)?;
        let config = instance.config()?;
        Ok(Self {
            instance,
            ring,
            output,
            signals,
            watch,
            once,
            names,
            batch: Batch::default(),
            written: 0,
            lost: 0,
            generation: config.generation,
            mode: Mode::from_value(config.mode),
            deadline_ns: config.deadline_ns,
        })
    }

    /// Reads until it is asked to end.
    pub(crate) fn run(mut self) -> Result<(), Stop> {
        self.start()?;
        let mut at_rest = false;
        loop {
            self.signals.read()?;
            // Asked before the round, so that all that came before the request is written.
            let why = self.end();
            let busy = self.round()?;
            if let Some(why) = why {
                return self.stop(why);
            }
            if busy {
                self.wait(Some(PAUSE), false)?;
            }
            let limit = [(!at_rest).then_some(LAST_LOOK), self.until_deadline()?].into_iter().flatten().min();
            at_rest = self.wait(limit, true)? == Woken::Timeout;
            self.signals.read()?;
            if self.signals.take_hang_up() && !self.output.reopen()? {
                // Nothing to open anew: the terminal has gone.
                self.signals.stop();
            }
        }
    }

    /// How long until a change is undone, which wakes nobody; `None` if none waits.
    fn until_deadline(&self) -> Result<Option<Duration>> {
        if self.deadline_ns == 0 {
            return Ok(None);
        }
        let left = Duration::from_nanos(self.deadline_ns.saturating_sub(monotonic_ns()?));
        // Not too early: poll(2) knows no less than milliseconds.
        Ok(Some(left + Duration::from_millis(1)))
    }

    fn start(&mut self) -> Result<(), Stop> {
        let stats = self.instance.event_stats()?;
        self.lost = stats.lost;
        let started = Started {
            instance: &self.instance.options().name,
            version: env!("CARGO_PKG_VERSION"),
            generation: self.generation,
            mode: self.mode,
            submitted: stats.submitted,
            lost: stats.lost,
            unread: self.ring.unreleased() / EVENT_BYTES,
        };
        let document = EventDocument::now(self.names.now()?, EventView::Started(started));
        self.batch.push(&document, None)?;
        self.flush()
    }

    fn end(&self) -> Option<StopCause> {
        if self.signals.stops() > 0 {
            Some(StopCause::Signal)
        } else if self.once {
            Some(StopCause::Once)
        } else if !watch::is_pinned(self.instance.options()) {
            Some(StopCause::Removed)
        } else {
            None
        }
    }

    fn stop(mut self, why: StopCause) -> Result<(), Stop> {
        let stats = self.instance.event_stats()?;
        let unread = self.ring.unreleased() / EVENT_BYTES;
        let stopped = Stopped { why, written: self.written, submitted: stats.submitted, lost: stats.lost, unread };
        self.tell(EventView::Stopped(stopped))?;
        self.flush()?;
        if why == StopCause::Removed {
            let name = &self.instance.options().name;
            return Err(Error::new(Code::NotLoaded, format!("instance \"{name}\" was removed")).into());
        }
        Ok(())
    }

    /// Writes what is in the ring, and what the counters say. Whether there was anything.
    fn round(&mut self) -> Result<bool, Stop> {
        self.names.refresh(&self.instance)?;
        let config = self.instance.config()?;
        let (active, mode) = (config.generation, Mode::from_value(config.mode));
        self.deadline_ns = config.deadline_ns;
        // No further: under a flood the round would not end.
        let end = self.ring.end();
        let before = self.written;
        while self.fill(end, active)? {
            self.flush()?;
        }
        // What was looked at is written, or was no record: then it must not wake this program again.
        self.ring.release(self.ring.looked_at());
        if active != self.generation {
            self.change_to(active)?;
        }
        if mode != self.mode {
            self.mode = mode;
            self.tell(EventView::ModeChanged { mode })?;
        }
        // After the ring was read: what was lost before its last record is counted by now.
        let lost = self.instance.event_stats()?.lost;
        if lost != self.lost {
            let count = lost.wrapping_sub(self.lost);
            warn!("{count} events were lost: the ring was full");
            self.tell(EventView::Lost { count, total: lost })?;
            self.lost = lost;
        }
        let busy = self.written != before || !self.batch.is_empty();
        self.flush()?;
        Ok(busy)
    }

    /// Puts the next records up to `end` into the batch. Whether there is anything in it.
    fn fill(&mut self, end: u64, active: u32) -> Result<bool, Stop> {
        while !self.batch.is_full() && self.ring.looked_at() < end {
            let Some(record) = self.ring.next()? else { break };
            let (bytes, record_end) = (record.bytes, record.end);
            let number = record_end / EVENT_BYTES;
            match Event::try_read_from_bytes(bytes) {
                Ok(event) => {
                    let generation = event.session.generation;
                    // Older ones come late, from other CPUs; newer ones than the active one are of a rollback.
                    if generation > self.generation && generation <= active {
                        self.change_to(generation)?;
                    }
                    let context = self.names.of(&self.instance, &event)?;
                    self.batch.push(&EventDocument::of(context, number, &event), Some(record_end))?;
                }
                Err(_) => {
                    let view = EventView::Unreadable { number, bytes: bytes.len() as u64 };
                    self.batch.push(&EventDocument::now(self.names.now()?, view), Some(record_end))?;
                }
            }
        }
        Ok(!self.batch.is_empty())
    }

    fn change_to(&mut self, generation: u32) -> Result<()> {
        self.generation = generation;
        self.names.reread(&self.instance)?;
        self.tell(EventView::PolicyChanged { generation })
    }

    /// Adds a line about the present to the batch.
    fn tell(&mut self, event: EventView<'_>) -> Result<()> {
        let document = EventDocument::now(self.names.now()?, event);
        self.batch.push(&document, None)
    }

    /// Writes the batch, and then releases its records: a record leaves the ring only once it is written, so that
    /// whatever happens to this process, the next one finds what this one did not write.
    fn flush(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (bytes, result) = self.output.write(self.batch.text(), &mut self.signals);
        let written = self.batch.written(bytes);
        self.written += written.records;
        if let Some(end) = written.end {
            self.ring.release(end);
        }
        self.batch.clear();
        result
    }

    /// Waits for a signal, and with `all` for an event, a change of the instance or the end of the output's reader.
    fn wait(&self, limit: Option<Duration>, all: bool) -> Result<Woken, Stop> {
        let timeout = match limit {
            Some(limit) => PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if all {
            fds.push(PollFd::new(self.ring.as_fd(), PollFlags::POLLIN));
            fds.extend(self.watch.as_ref().map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLIN)));
            fds.extend(self.output.reader().map(|fd| PollFd::new(fd, PollFlags::empty())));
        }
        match poll(&mut fds, timeout) {
            Ok(0) => return Ok(Woken::Timeout),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(Error::system("wait for events", &e.into()).into()),
        }
        if let Some(watch) = self.watch.as_ref().filter(|_| all) {
            watch.read();
        }
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        let hung_up = self.output.reader().is_some_and(|_| {
            all && fds.last().and_then(PollFd::revents).is_some_and(|revents| revents.intersects(gone))
        });
        if hung_up { Err(self.output.reader_gone()) } else { Ok(Woken::Up) }
    }
}
