//! Noticing changes of the instance itself while no event comes, without asking again and again.

use std::os::fd::{AsFd, BorrowedFd};

use mseg::instance::Options;
use mseg_ebpf::abi::map;
use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};
use tracing::warn;

/// A watch on the directories of the pins.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// Begins to watch. Without a watch (they are limited for each user) changes are noticed at the next event.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        Self::begin(options)
            .inspect_err(|error| warn!("changes will be noticed late: cannot watch the pins: {error}"))
            .ok()
    }

    fn begin(options: &Options) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let pins = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
        // The kept policy generations come and go there; whoever changes policy or mode touches the directory.
        let changes = pins | AddWatchFlags::IN_ATTRIB;
        for name in ["maps", "policy"] {
            inotify.add_watch(&options.directory().join(name), changes | AddWatchFlags::IN_ONLYDIR)?;
        }
        Ok(Self { inotify })
    }

    /// Takes in what was noticed; it says only that there is something to look for.
    pub(crate) fn read(&self) {
        // EAGAIN: that was all. An overflow or any other trouble is answered in the same way, by looking.
        while matches!(self.inotify.read_events(), Ok(_) | Err(Errno::EINTR)) {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Whether the ring is still pinned; if not, the instance was removed and no event will come any more.
pub(crate) fn is_pinned(options: &Options) -> bool {
    options.directory().join("maps").join(map::EVENTS).exists()
}
