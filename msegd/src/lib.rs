//! msegd: reads the events of mseg. A library only so that its command line can be tested and turned into completions;
//! the program is [`main`].

mod batch;
pub mod cli;
mod daemon;
mod names;
mod output;
mod privilege;
mod run;
mod signals;
mod stop;
mod watch;

pub use run::main;
