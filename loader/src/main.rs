//! mseg-loader: attach, detach, status.

use std::process::ExitCode;

fn main() -> ExitCode {
    mseg::cli::main()
}
