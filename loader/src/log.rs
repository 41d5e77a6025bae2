//! The log of a program: lines on standard error.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;

/// Writes what is logged up to `level` to standard error, coloured only on a terminal and without `NO_COLOR`. A second
/// call changes nothing.
pub fn start(level: LevelFilter) {
    let color = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(stderr)
        .with_ansi(color)
        .without_time()
        .with_target(false)
        .try_init();
}
