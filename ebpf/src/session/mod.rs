//! What a packet does to a session, without the maps: its [`key`], its next state ([`progress`], [`tcp`]), and whether it
//! may be sent now ([`window`]).

pub mod key;
pub mod progress;
pub mod tcp;
pub mod window;
