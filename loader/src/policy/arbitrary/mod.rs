//! Random policies, and packets at the edges of what their rules match. For tests, those of other crates by the feature
//! `arbitrary`; everything follows from the number that [`Random`] begins with.

mod network;
mod packet;
mod random;
mod rules;
mod shrink;
mod spread;

#[cfg(test)]
use proptest::prelude::*;

pub use self::{
    packet::{boundary_packets, random_packets},
    random::Random,
    rules::{INTERFACES, random_policy},
    shrink::shrink,
    spread::spread_policy,
};
#[cfg(test)]
use super::{Policy, Rule};

/// A valid policy of few rules.
#[cfg(test)]
pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    any::<u64>().prop_map(|seed| random_policy(&mut Random(seed), (seed % 13) as usize))
}

/// A rule, which may name sets.
#[cfg(test)]
pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    any::<u64>().prop_map(|seed| rules::Maker::new(&mut Random(seed), 1).rule())
}
