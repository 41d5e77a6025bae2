//! What a packet does to a session, without the maps: its [`key`] and its next state ([`progress`], [`tcp`]).

pub mod key;
pub mod progress;
pub mod tcp;
