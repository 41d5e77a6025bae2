//! msegctl: reads and edits the pinned maps of mseg. A library only so that its command line can be tested and turned
//! into completions; the program is [`main`].

pub mod cli;
pub mod completions;
mod denied;
mod doctor;
mod explain;
mod lockout;
mod mode;
mod output;
mod policy;
mod rule;
mod run;
mod select;
mod session;
mod stats;
mod status;
mod stop;
mod usage;
mod warning;

pub use run::main;

#[cfg(test)]
mod tests;
