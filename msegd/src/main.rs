//! Entry point.

fn main() -> std::process::ExitCode {
    msegd::main()
}
