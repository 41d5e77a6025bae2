//! Scripted TCP connections, packet by packet: `tcp/*.script`. CONTRIBUTING says how a line is written.
//!
//! Each runs over IPv4 with the client outside and over IPv6 with the client inside; or, where a stranger plays one side,
//! over both with that side outside. What is expected is what RFC 9293
//! and RFC 5961 say, and what nf_conntrack_proto_tcp.c does where it is more liberal.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    hook::Hook,
    lab::Lab,
    privilege::kernel_has_tcx,
    require_root,
    verdicts::{Statement, read, run},
};

macro_rules! scripts {
    ($($name:ident => $file:literal),+ $(,)?) => {
        const SCRIPTS: &[(&str, &str)] =
            &[$((concat!($file, ".script"), include_str!(concat!("tcp/", $file, ".script"))),)+];

        $(#[test]
        fn $name() -> Result<()> {
            require_root!();
            script(concat!($file, ".script"), include_str!(concat!("tcp/", $file, ".script")))
        })+
    };
}

scripts! {
    connections_open_as_scripted => "open",
    connections_close_as_scripted => "close",
    resets_close_as_scripted => "reset",
    ports_are_used_again_as_scripted => "reuse",
    peers_that_crashed_recover_as_scripted => "crash",
    data_flows_as_scripted => "data",
    windows_are_kept_as_scripted => "window",
    midstream_packets_are_met_as_scripted => "midstream",
    strangers_change_nothing_as_scripted => "attack",
}

fn script(file: &str, text: &str) -> Result<()> {
    let hook = if kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact };
    Lab::test(hook, |lab| run(lab, file, text))
}

#[test]
fn there_are_60_scripts_each_with_a_name_of_its_own() -> Result<()> {
    let mut names = BTreeSet::new();
    for (file, text) in SCRIPTS {
        for line in read(text).with_context(|| (*file).to_owned())? {
            if let Statement::Script(name) = line.statement {
                ensure!(names.insert(name.clone()), "{file}:{}: there are two scripts {name:?}", line.number);
            }
        }
    }
    ensure!(names.len() >= 60, "there are {}", names.len());
    Ok(())
}

#[test]
fn every_script_is_run() -> Result<()> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tcp");
    for entry in std::fs::read_dir(directory).context(directory)? {
        let name = entry?.file_name();
        ensure!(SCRIPTS.iter().any(|(file, _)| name == *file), "{} is not run", name.display());
    }
    Ok(())
}
