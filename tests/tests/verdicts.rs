//! Tables of packets and what becomes of each: `verdicts/*.table`. CONTRIBUTING says how a line is written.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use mseg_ebpf::abi::reason::Reason;
use mseg_tests::{
    hook::Hook,
    lab::Lab,
    packet::{Direction, parse},
    privilege::kernel_has_tcx,
    require_root,
    verdicts::{Sender, Statement, read, run},
};

macro_rules! tables {
    ($($name:ident => $file:literal),+ $(,)?) => {
        const TABLES: &[(&str, &str)] =
            &[$((concat!($file, ".table"), include_str!(concat!("verdicts/", $file, ".table"))),)+];

        $(#[test]
        fn $name() -> Result<()> {
            require_root!();
            table(concat!($file, ".table"), include_str!(concat!("verdicts/", $file, ".table")))
        })+
    };
}

tables! {
    ethernet_frames_are_judged_as_the_table_says => "ethernet",
    ipv4_packets_are_judged_as_the_table_says => "ipv4",
    ipv6_packets_are_judged_as_the_table_says => "ipv6",
    extension_headers_are_judged_as_the_table_says => "extensions",
    fragments_are_judged_as_the_table_says => "fragments",
    tcp_headers_are_judged_as_the_table_says => "tcp",
    udp_and_sctp_are_judged_as_the_table_says => "udp",
    icmp_is_judged_as_the_table_says => "icmp",
    the_network_s_own_protocols_are_judged_as_the_table_says => "nd-mld-arp-dhcp",
    policies_decide_as_the_table_says => "policy",
    sessions_go_on_as_the_table_says => "sessions",
    modes_change_verdicts_as_the_table_says => "modes",
}

/// Reasons that no packet can be made to get here, and why.
const OUT_OF_REACH: &[(Reason, &str)] = &[
    (Reason::Unset, "it is never counted"),
    (Reason::OwnCopy, "a test run makes no looped-back packet; tests/own_multicast.rs has real ones"),
    (
        Reason::TableFull,
        "an LRU hash makes room for a new entry; only a race for its last free nodes on many CPUs refuses one",
    ),
];

fn table(file: &str, text: &str) -> Result<()> {
    let hook = if kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact };
    Lab::test(hook, |lab| run(lab, file, text))
}

/// A case of a table, wherever it stands.
struct Case {
    place: String,
    direction: Direction,
    packet: String,
    reason: Option<String>,
}

/// The cases of all tables.
fn cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (file, text) in TABLES {
        for line in read(text).with_context(|| (*file).to_owned())? {
            if let Statement::Case(Sender::Way(direction), packet, expected) = line.statement {
                let place = format!("{file}:{}", line.number);
                cases.push(Case { place, direction, packet, reason: expected.reason });
            }
        }
    }
    Ok(cases)
}

#[test]
fn there_are_300_cases_and_each_names_a_packet_and_a_reason() -> Result<()> {
    let cases = cases()?;
    ensure!(cases.len() >= 300, "there are {}", cases.len());
    for Case { place, direction, packet, reason } in cases {
        parse(&packet, direction).context(place.clone())?;
        ensure!(reason.is_some(), "{place} names no reason");
    }
    Ok(())
}

#[test]
fn every_reason_is_in_a_table() -> Result<()> {
    let named: BTreeSet<String> = cases()?.into_iter().filter_map(|case| case.reason).collect();
    for reason in Reason::ALL {
        let excuse = OUT_OF_REACH.iter().find(|(excused, _)| excused == reason);
        match (named.contains(reason.name()), excuse) {
            (true, None) | (false, Some(_)) => {}
            (true, Some((_, why))) => anyhow::bail!("{} is in a table, though {why}", reason.name()),
            (false, None) => anyhow::bail!("no table has the reason {}", reason.name()),
        }
    }
    Ok(())
}

#[test]
fn every_file_is_run() -> Result<()> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verdicts");
    for entry in std::fs::read_dir(directory).context(directory)? {
        let name = entry?.file_name();
        ensure!(TABLES.iter().any(|(file, _)| name == *file), "{} is not run", name.display());
    }
    Ok(())
}
