//! `cargo demo`: a guided tour of mseg between two network namespaces. `cargo demo IFACE`: a few seconds of watching a
//! real interface. Both run the real programs and check every claim they print.

mod interrupt;
mod narrator;
mod observe;
mod tour;

use std::{env, process::ExitCode};

use anyhow::Result;
use mseg_tests::programs::Programs;
use narrator::Narrator;

const USAGE: &str = "usage: cargo demo [IFACE]

Without IFACE: a guided tour between two network namespaces, which touches nothing of this machine.
With IFACE:    observes that interface for a few seconds; no packet is dropped, and nothing stays.
";

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const NO_PERMISSION: u8 = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["-h" | "--help"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        [] => with_root(tour::run),
        [interface] if !interface.starts_with('-') => with_root(|narrator| observe::run(narrator, interface)),
        _ => {
            eprint!("{USAGE}");
            WRONG_USAGE.into()
        }
    }
}

fn with_root(show: impl FnOnce(&mut Narrator) -> Result<()>) -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("demo: this needs root, to make network namespaces and to load programs into the kernel");
        eprintln!("hint: sudo env \"PATH=$PATH\" cargo demo");
        return NO_PERMISSION.into();
    }
    eprintln!("demo: building the programs");
    if let Err(error) = Programs::get() {
        eprintln!("demo: {error:#}");
        return FAILED.into();
    }
    // Not before: Ctrl-C must end the build, too.
    interrupt::catch();
    match show(&mut Narrator::new()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::came() => {
            eprintln!("demo: interrupted; nothing is left behind");
            interrupt::EXIT_CODE.into()
        }
        Err(error) => {
            eprintln!("demo: {error:#}");
            FAILED.into()
        }
    }
}
