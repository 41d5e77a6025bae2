//! Waiting for what happens soon, without fixed sleeps.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

/// How long a test waits for something that must happen. Generous: the machine may be busy.
pub const SOON: Duration = Duration::from_secs(10);

/// How long a test waits to be sure that something does not happen.
pub const DENIED: Duration = Duration::from_secs(1);

/// Tries until it succeeds, or until [`SOON`] has passed: then its last error.
///
/// # Errors
/// The last error of `attempt`.
pub fn eventually<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + SOON;
    loop {
        match attempt() {
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context("still so after 10 s"));
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
            done => return done,
        }
    }
}
