//! The promises of the command line that need something loaded: forms, exit codes, other tools.

use std::{
    io::{BufRead, BufReader},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    bpffs::BPFFS,
    documents::expect,
    interface::{self, End},
    lab::{self, Lab, SERVER_V4},
    namespace::Namespace,
    on_both_hooks,
    process::Place,
    require_root, require_tool,
    traffic::{icmp::Pinger, tcp, udp},
};

on_both_hooks! {
    nothing_loaded_is_exit_code_3,
    every_listing_has_three_forms,
    nothing_matched_is_exit_code_1,
    wrong_usage_is_exit_code_2,
    what_is_shown_can_be_applied_again,
    reader_that_stops_is_no_error,
    name_of_an_interface_steers_no_terminal,
}

fn nothing_loaded_is_exit_code_3(lab: &Lab) -> Result<()> {
    for command in [&["status"][..], &["session", "list"], &["rule", "list"], &["mode", "show"], &["stats", "show"]] {
        lab.run("msegctl", command)?.exits(3)?.complains(&["mseg-loader"])?;
        let ran = lab.run("msegctl", &[&["-j"], command].concat())?.exits(3)?;
        expect(&ran.json_error()?, "/code", "not-loaded")?;
    }
    lab.run("msegd", &[])?.exits(3)?;
    Ok(())
}

fn every_listing_has_three_forms(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    Pinger::new(&lab.client, SERVER_V4)?.ping(8)?;
    let commands = [
        &["status"][..],
        &["session", "list"],
        &["session", "count"],
        &["rule", "list"],
        &["mode", "show"],
        &["stats", "show"],
        &["policy", "show"],
    ];
    for command in commands {
        let text = lab.ctl(command)?;
        ensure!(!text.stdout.is_empty() && text.stderr.is_empty(), "text:\n{text}");
        ensure!(!text.stdout.contains('\x1b'), "no colour without a terminal:\n{text}");
        let json = lab.ctl(&[&["-j"], command].concat())?;
        let schema = json.json()?["schema"].as_str().map(str::to_owned).context("a document has a schema")?;
        ensure!(schema.starts_with("mseg.") && schema.ends_with("/1"), "{schema}");
        let pretty = lab.ctl(&[command, &["--pretty"]].concat())?;
        ensure!(pretty.json().is_ok() && pretty.stdout.lines().count() > 1, "{pretty}");
        ensure!(!lab.ctl(&[&["--plain"], command].concat())?.stdout.is_empty());
    }
    Ok(())
}

fn nothing_matched_is_exit_code_1(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let ran = lab.run("msegctl", &["-j", "session", "list", "--port", "4242"])?.exits(1)?;
    expect(&ran.json()?, "/sessions", serde_json::json!([]))?;
    lab.run("msegctl", &["session", "delete", "--port", "4242"])?.exits(1)?;
    lab.run("msegctl", &["rule", "get", "nosuch"])?.exits(1)?;
    Ok(())
}

fn wrong_usage_is_exit_code_2(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    for command in [&["nosuch"][..], &["session"], &["mode", "set", "nosuch"], &["session", "list", "--port", "x"]] {
        let ran = lab.run("msegctl", command)?.exits(2)?;
        ensure!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{ran}");
    }
    lab.run("mseg-loader", &["attach"])?.exits(2)?;
    lab.run("mseg-loader", &["attach", "lo", "--mode", "nosuch"])?.exits(2)?;
    lab.run("msegd", &["--nosuch"])?.exits(2)?;
    Ok(())
}

fn what_is_shown_can_be_applied_again(lab: &Lab) -> Result<()> {
    let policy = "default in deny\ndefault out allow\ndefine office = { 10.1.0.0/16, 2001:db8:1::/48 }\n\
        rule web allow in tcp from any to any port 80,443,8000-8999\n\
        rule db allow in tcp from office to 10.0.5.0/24 port 5432 log\n\
        rule no-telnet deny out tcp to any port 23 priority 10\n";
    lab.attach(&["--policy", lab.policy(policy)?])?;
    let shown = lab.ctl(&["policy", "show"])?.stdout;
    lab.ctl(&["policy", "apply", lab.policy(&shown)?])?;
    ensure!(lab.ctl(&["policy", "show"])?.stdout == shown, "{shown}");
    let listed = lab.ctl(&["rule", "list"])?.stdout;
    lab.ctl(&["policy", "check", lab.policy(&listed)?])?;
    Ok(())
}

fn reader_that_stops_is_no_error(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let mut pair = udp::Pair::open(&lab.client, &lab.server, lab::server(9)[0])?;
    // Kept open, so that no port is taken twice.
    let mut clients = Vec::new();
    for _ in 0..200 {
        pair.ask(1, 1)?;
        clients.push(pair.next_client(&lab.client)?);
    }
    let listed = lab.sessions(&["--proto", "udp"])?.len();
    ensure!(listed == clients.len(), "{listed} sessions are listed");
    let mut child = lab.place().command("msegctl", &["-p", "session", "list"]).spawn()?;
    let mut first = String::new();
    BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut first)?;
    let output = child.wait_with_output()?;
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() != Some(101), "it panicked: {}", output.status);
    Ok(())
}

#[test]
fn stock_bpftool_reads_our_field_names() -> Result<()> {
    require_root!();
    require_tool!("bpftool");
    let lab = Lab::new(mseg_tests::hook::Hook::Clsact)?;
    lab.attach(&[])?;
    let listener = tcp::listen(&lab.server, lab::server(80)[0])?;
    let mut open = tcp::connect(&lab.client, &listener)?;
    open.exchange(10, 10)?;
    let path = format!("{BPFFS}/mseg/default/maps/SESSIONS");
    let dumped = lab.mounts.run(|| Command::new("bpftool").args(["map", "dump", "pinned", &path]).output())?;
    let text = String::from_utf8_lossy(&dumped.stdout);
    for name in ["lower_address", "higher_port", "to_server", "packets", "created", "generation", "tcp_state"] {
        ensure!(text.contains(name), "no {name} in {text}{}", String::from_utf8_lossy(&dumped.stderr));
    }
    lab.detach_all()
}

#[test]
fn programs_say_their_name_and_version() -> Result<()> {
    require_root!();
    let lab = Lab::new(mseg_tests::hook::Hook::Clsact)?;
    let elsewhere = Namespace::new()?;
    for program in ["mseg-loader", "msegd", "msegctl"] {
        let place = Place { network: &elsewhere, ..lab.place() };
        let ran = lab.run_in(place, program, &["--version"])?.ok()?;
        ensure!(ran.stdout.trim_end() == format!("{program} {}", env!("CARGO_PKG_VERSION")), "{ran}");
        let help = lab.run_in(place, program, &["--help"])?.ok()?;
        ensure!(help.stdout.contains("Usage:"), "{help}");
    }
    Ok(())
}

fn name_of_an_interface_steers_no_terminal(lab: &Lab) -> Result<()> {
    const NAME: &str = "a\x1b[1m\u{9b}2Jb";
    let far = Namespace::new()?;
    let end = |namespace, name, mac| End { namespace, name, mac, addresses: &[] };
    interface::join(end(&lab.server, NAME, [2, 0, 0, 0, 0, 3]), end(&far, "far", [2, 0, 0, 0, 0, 4]))?;
    let hook = ["--hook", lab.hook().name()];
    let attach = |more: &[&str]| lab.run("mseg-loader", &[&["attach", NAME], &hook[..], more].concat());
    let both = [
        attach(&[])?.ok()?,
        attach(&["-j"])?.ok()?,
        attach(&["-vv", "--role", "workload"])?.exits(1)?,
        attach(&["-j", "--role", "workload"])?.exits(1)?,
        lab.run("mseg-loader", &["status"])?.ok()?,
        lab.run("mseg-loader", &["status", "--pretty"])?.ok()?,
        lab.run("mseg-loader", &["detach", "--all"])?.ok()?,
    ];
    for ran in both {
        for text in [&ran.stdout, &ran.stderr] {
            ensure!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        }
        ensure!(ran.stdout.contains("u{1b}[1m") || ran.stdout.contains("u001b[1m") || !ran.status.success(), "{ran}");
    }
    Ok(())
}
