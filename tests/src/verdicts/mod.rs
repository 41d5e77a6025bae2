//! Tables of packets and their verdicts, run against the loaded programs: the harness of `tests/verdicts.rs` and
//! `tests/tcp.rs`. CONTRIBUTING says how a line is written.

mod bench;
mod expectation;
mod line;
mod runner;

pub use bench::Bench;
pub use expectation::Expectation;
pub use line::{Line, Sender, Statement, read};
pub use runner::run;
