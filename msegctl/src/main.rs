//! Entry point.

fn main() -> std::process::ExitCode {
    msegctl::main()
}
