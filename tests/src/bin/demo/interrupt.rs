//! Ctrl-C: the first one lets the demo clean up on its usual way out, the second ends it at once.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use nix::sys::signal::{SigSet, Signal};

/// What a shell shows for a program ended by SIGINT.
pub(crate) const EXIT_CODE: u8 = 130;

static CAME: AtomicBool = AtomicBool::new(false);

/// Takes over the signals that ask for an end. Before the first other thread: threads inherit the mask.
pub(crate) fn catch() {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    if signals.thread_block().is_err() {
        return;
    }
    thread::spawn(move || {
        while signals.wait().is_ok() {
            if CAME.swap(true, Ordering::Relaxed) {
                std::process::exit(EXIT_CODE.into());
            }
        }
    });
}

/// Whether the demo was asked to end.
pub(crate) fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}

/// Fails if the demo was asked to end: what every step begins with.
pub(crate) fn check() -> Result<()> {
    if came() {
        bail!("interrupted");
    }
    Ok(())
}

/// Sleeps, but not through an interruption.
pub(crate) fn sleep(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        check()?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
