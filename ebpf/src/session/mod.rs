//! What a packet does to a session, without the maps: its [`key`], its next state ([`progress`], [`tcp`]), whether it may
//! be sent now ([`window`]), and who opened what was picked up ([`opener`]).

pub mod key;
pub mod opener;
pub mod progress;
pub mod tcp;
pub mod window;
