//! The layout of every pinned map, one topic a file. A change of layout *or meaning* bumps [`meta::ABI_VERSION`].
//!
//! Shared structs are `repr(C)`, have no padding (zerocopy's derives reject it) and hold no `bool`, `Option`, `usize`
//! or `char`. Enums have a zero variant, so that a zeroed map value is valid, and are read through checked conversion.

pub mod config;
pub mod denied;
pub mod event;
pub mod fragment;
pub mod interface;
pub mod map;
pub mod meta;
pub mod policy;
pub mod reason;
pub mod rule;
pub mod session;
pub mod source;
pub mod stats;
pub mod time;
