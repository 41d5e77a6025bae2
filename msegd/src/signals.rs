//! The signals, read like data: between two lines, never within one.

use std::os::fd::{AsFd, BorrowedFd};

use mseg::error::{Error, Result};
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// What the signals so far ask for.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: SignalFd,
    stops: u32,
    hang_up: bool,
}

impl Signals {
    /// From now on SIGTERM, SIGINT and SIGHUP do nothing by themselves.
    pub(crate) fn block() -> Result<Self> {
        let failed = |e: nix::Error| Error::system("take over the signals", &e.into());
        let set: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        set.thread_block().map_err(failed)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        Ok(Self { fd, stops: 0, hang_up: false })
    }

    /// Takes in what has come.
    pub(crate) fn read(&mut self) -> Result<()> {
        while let Some(signal) = self.fd.read_signal().map_err(|e| Error::system("read the signals", &e.into()))? {
            if i32::try_from(signal.ssi_signo) == Ok(libc::SIGHUP) {
                self.hang_up = true;
            } else {
                self.stops += 1;
            }
        }
        Ok(())
    }

    /// How often it was asked to end.
    pub(crate) fn stops(&self) -> u32 {
        self.stops
    }

    /// Whether SIGHUP came since the last call.
    pub(crate) fn take_hang_up(&mut self) -> bool {
        std::mem::take(&mut self.hang_up)
    }

    /// SIGHUP was a request to end, as there is nothing to open anew.
    pub(crate) fn stop(&mut self) {
        self.stops += 1;
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
