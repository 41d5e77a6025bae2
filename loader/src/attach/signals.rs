//! Ctrl-C and SIGTERM wait until a change is complete or undone.

use nix::sys::signal::{SigSet, Signal};

use crate::error::{Error, Result};

const WAITING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// While it lives, the signals that end a program wait. Dropping it lets them act.
pub(super) struct Blocked {
    before: SigSet,
}

impl Blocked {
    pub(super) fn new() -> Result<Self> {
        let before = SigSet::thread_get_mask().map_err(|e| Error::system("read the signal mask", &e.into()))?;
        let set: SigSet = WAITING.into_iter().collect();
        set.thread_block().map_err(|e| Error::system("block signals", &e.into()))?;
        Ok(Self { before })
    }

    /// Fails if a signal is waiting, so that the change is undone instead of completed.
    pub(super) fn check(&self) -> Result<()> {
        let pending = pending()?;
        match WAITING.into_iter().find(|signal| pending.contains(*signal) && !self.before.contains(*signal)) {
            Some(signal) => Err(Error::failed(format!("interrupted by {signal}"))),
            None => Ok(()),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // Setting a mask that was read before cannot fail.
        let _ = self.before.thread_set_mask();
    }
}

fn pending() -> Result<SigSet> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigpending fills the set that the pointer is valid for.
    if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
        return Err(Error::system("look for signals", &std::io::Error::last_os_error()));
    }
    // SAFETY: it was just filled, with a valid set.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(set.assume_init()) })
}
