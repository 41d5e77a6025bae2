//! A change that waits to be confirmed, as a document.

use std::fmt;

use super::Context;
use crate::{attach::Mode, generation::Waiting};

/// A change that waits to be confirmed.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Waiting")]
pub struct WaitingView {
    /// What was changed: `policy` or `mode`.
    pub change: &'static str,
    /// The generation that is active until then.
    pub generation: u32,
    /// The mode until then.
    pub mode: Mode,
    /// The generation that is active again from then on.
    pub fallback_generation: u32,
    /// The mode from then on.
    pub fallback_mode: Mode,
    /// When the change is undone unless it is confirmed.
    pub undone_at: super::Time,
    /// Seconds until then, rounded up.
    pub left_s: u64,
    #[serde(skip)]
    waiting: Waiting,
}

impl WaitingView {
    /// Describes it.
    pub fn new(context: &Context, waiting: &Waiting) -> Self {
        let left_ns = waiting.deadline_ns.saturating_sub(context.clock.monotonic_ns());
        Self {
            change: if waiting.is_policy() { "policy" } else { "mode" },
            generation: waiting.generation,
            mode: waiting.mode,
            fallback_generation: waiting.fallback_generation,
            fallback_mode: waiting.fallback_mode,
            undone_at: context.time(waiting.deadline_ns),
            left_s: left_ns.div_ceil(1_000_000_000),
            waiting: *waiting,
        }
    }
}

/// For people, in one sentence.
impl fmt::Display for WaitingView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, fallback) = (self.waiting.what(), self.waiting.fallback());
        let Self { undone_at, left_s, .. } = self;
        write!(f, "{what} waits to be confirmed until {undone_at} ({left_s}s left); then {fallback} holds again")
    }
}
