//! The order in which a search for the longest prefix tries the lengths in use.

use crate::abi::policy::{MAX_LENGTHS, PolicyHeader};

/// The step that follows one that found nothing.
#[inline(always)]
pub const fn shorter(step: u32) -> u32 {
    2 * step + 1
}

/// The step that follows one that found a network.
#[inline(always)]
pub const fn longer(step: u32) -> u32 {
    2 * step + 2
}

impl PolicyHeader {
    /// The prefix length that a step of a search tries, 0 if there is none: the search is over.
    #[inline(always)]
    pub fn length(&self, space: usize, step: u32) -> u8 {
        if step as usize >= MAX_LENGTHS { 0 } else { self.lengths[space][step as usize & (MAX_LENGTHS - 1)] }
    }
}
