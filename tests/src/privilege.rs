//! What a test needs from the machine. What is missing skips the test loudly; with `CI=true` a skip is a failure.

use std::{
    env,
    io::{self, Write},
    process::{Command, Stdio},
};

use crate::namespace::Namespace;

/// Leaves a test function, which returns a `Result`, unless kernel tests can run here.
#[macro_export]
macro_rules! require_root {
    () => {
        if !$crate::privilege::can_run_kernel_tests() {
            return Ok(());
        }
    };
}

/// Leaves a test function, which returns a `Result`, unless this optional program is installed.
#[macro_export]
macro_rules! require_tool {
    ($name:literal) => {
        if !$crate::privilege::has_tool($name) {
            return Ok(());
        }
    };
}

/// Whether this process may make namespaces and load programs; says so loudly when not.
///
/// # Panics
/// When it may not and `CI=true`.
pub fn can_run_kernel_tests() -> bool {
    if !nix::unistd::geteuid().is_root() {
        return skip("needs root");
    }
    match Namespace::new() {
        Ok(_) => true,
        Err(error) => skip(&format!("cannot make a network namespace: {error:#}")),
    }
}

/// Whether an optional program can be started; says so loudly when not.
///
/// # Panics
/// When it cannot and `CI=true`.
pub fn has_tool(name: &str) -> bool {
    match Command::new(name).arg("--version").stdin(Stdio::null()).output() {
        Ok(_) => true,
        Err(error) => skip(&format!("needs the program {name}: {error}")),
    }
}

/// Whether the running kernel has TCX (6.6 and later).
pub fn kernel_has_tcx() -> bool {
    kernel_version() >= (6, 6)
}

/// Major and minor version of the running kernel; (0, 0) when it cannot be told.
pub fn kernel_version() -> (u32, u32) {
    let Ok(name) = nix::sys::utsname::uname() else {
        return (0, 0);
    };
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Says that a test does not apply to this kernel: never a failure, the hook does not exist here.
pub fn not_applicable(why: &str) {
    loudly(&format!("NOT APPLICABLE: {why}"));
}

fn skip(why: &str) -> bool {
    if env::var("CI").is_ok_and(|ci| ci == "true") {
        panic!("cannot be skipped with CI=true: {why}");
    }
    loudly(&format!("SKIPPED: {why}"));
    false
}

/// Past the capture of libtest, which hides what a passing test prints.
fn loudly(line: &str) {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let _ = writeln!(io::stderr(), "{name}: {line}");
}
