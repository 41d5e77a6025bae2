//! Attach and detach: what is made, what stays, and that nothing is left.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use mseg_tests::{
    documents::{expect, list},
    hook::{self, Attached, Hook},
    interface::{self, End},
    lab::{self, Lab, PROTECTED, SERVER_V4},
    namespace::Namespace,
    on_both_hooks,
    traffic::{icmp::Pinger, tcp, udp},
};
use serde_json::Value;

on_both_hooks! {
    detach_all_leaves_nothing,
    detach_of_the_only_interface_lets_traffic_pass,
    attach_again_changes_nothing,
    attach_and_detach_can_be_repeated,
    two_interfaces_share_one_instance,
    two_instances_do_not_see_each_other,
    loader_is_gone_and_enforcement_stays,
    interface_that_went_away_is_detached_cleanly,
    status_says_what_is_attached,
    connection_that_went_on_while_detached_goes_on_when_attached_again,
}

fn detach_all_leaves_nothing(lab: &Lab) -> Result<()> {
    lab.is_clean()?;
    lab.attach(&[])?;
    ensure!(!lab.mounts.pins()?.is_empty(), "something is pinned");
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    lab.is_clean()?;
    Pinger::new(&lab.client, SERVER_V4)?.ping(8)
}

fn detach_of_the_only_interface_lets_traffic_pass(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy("default in deny\n")?, "--mode", "enforce"])?;
    Pinger::new(&lab.client, SERVER_V4)?.is_denied()?;
    lab.run("mseg-loader", &["detach", PROTECTED])?.ok()?;
    ensure!(lab.attached()? == Attached::default(), "{:?}", lab.attached()?);
    Pinger::new(&lab.client, SERVER_V4)?.ping(8)
}

fn attach_again_changes_nothing(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let pair = udp::Pair::open(&lab.client, &lab.server, lab::server(7)[0])?;
    pair.ask(10, 10)?;
    let (before, pins) = (lab.attached()?, lab.mounts.pins()?);
    lab.attach(&[])?;
    ensure!(lab.attached()? == before, "the same programs: {before:?} {:?}", lab.attached()?);
    ensure!(lab.mounts.pins()? == pins, "the same pins");
    ensure!(lab.session("udp", pair.client.local_addr()?.port()).is_ok(), "the session is still there");
    Ok(())
}

fn attach_and_detach_can_be_repeated(lab: &Lab) -> Result<()> {
    for _ in 0..3 {
        lab.attach(&[])?;
        Pinger::new(&lab.client, SERVER_V4)?.ping(8)?;
        ensure!(lab.sessions(&["--proto", "icmp"])?.len() == 1, "a new instance has no old sessions");
        lab.detach_all()?;
    }
    Ok(())
}

fn two_interfaces_share_one_instance(lab: &Lab) -> Result<()> {
    let other = Namespace::new()?;
    let end = |namespace, name, mac| End { namespace, name, mac, addresses: &[] };
    interface::join(end(&lab.server, "mseg1", [2, 0, 0, 0, 0, 3]), end(&other, "far", [2, 0, 0, 0, 0, 4]))?;
    lab.attach(&[])?;
    lab.run("mseg-loader", &["attach", "mseg1", "--hook", lab.hook().name()])?.ok()?;
    ensure!(Attached::to(&lab.server, "mseg1")?.programs().len() == 2);
    lab.run("mseg-loader", &["detach", "mseg1"])?.ok()?;
    ensure!(Attached::to(&lab.server, "mseg1")? == Attached::default());
    lab.is_attached()?;
    Pinger::new(&lab.client, SERVER_V4)?.ping(8)?;
    ensure!(lab.sessions(&["--proto", "icmp"])?.len() == 1);
    // Both at once, of which one is attached already.
    lab.run("mseg-loader", &["attach", PROTECTED, "mseg1", "--hook", lab.hook().name()])?.ok()?;
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    ensure!(Attached::to(&lab.server, "mseg1")? == Attached::default());
    lab.is_clean()
}

fn two_instances_do_not_see_each_other(lab: &Lab) -> Result<()> {
    let other = Namespace::new()?;
    let end = |namespace, name, mac| End { namespace, name, mac, addresses: &[] };
    interface::join(end(&lab.server, "mseg1", [2, 0, 0, 0, 0, 3]), end(&other, "far", [2, 0, 0, 0, 0, 4]))?;
    lab.attach(&[])?;
    lab.run("mseg-loader", &["attach", "mseg1", "--instance", "two", "--hook", lab.hook().name()])?.ok()?;
    Pinger::new(&lab.client, SERVER_V4)?.ping(8)?;
    ensure!(lab.sessions(&["--proto", "icmp"])?.len() == 1);
    lab.run("msegctl", &["-j", "--instance", "two", "session", "list", "--proto", "icmp"])?.exits(1)?;
    lab.ctl(&["--instance", "two", "mode", "set", "enforce"])?;
    expect(&lab.json(&["mode", "show"])?, "/mode", "observe")?;
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    lab.run("msegctl", &["status"])?.exits(3)?;
    lab.ctl(&["--instance", "two", "status"])?;
    lab.run("mseg-loader", &["detach", "--all", "--instance", "two"])?.ok()?;
    lab.is_clean()
}

fn loader_is_gone_and_enforcement_stays(lab: &Lab) -> Result<()> {
    lab.attach(&[
        "--policy",
        lab.policy("default in deny\nrule web allow in tcp to any port 80\n")?,
        "--mode",
        "enforce",
    ])?;
    // No program of ours runs here.
    for (open, closed) in lab::server(80).into_iter().zip(lab::server(81)) {
        let listener = tcp::listen(&lab.server, open)?;
        tcp::connect(&lab.client, &listener)?.exchange(1000, 1000)?;
        tcp::is_denied(&lab.client, closed)?;
    }
    Ok(())
}

fn interface_that_went_away_is_detached_cleanly(lab: &Lab) -> Result<()> {
    let other = Namespace::new()?;
    let end = |namespace, name, mac| End { namespace, name, mac, addresses: &[] };
    interface::join(end(&lab.server, "mseg1", [2, 0, 0, 0, 0, 3]), end(&other, "far", [2, 0, 0, 0, 0, 4]))?;
    lab.run("mseg-loader", &["attach", "mseg1", "--hook", lab.hook().name()])?.ok()?;
    lab.server.run(|| interface::remove("mseg1"))?;
    lab.ctl(&["status"])?;
    lab.run("mseg-loader", &["status"])?.ok()?;
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    lab.is_clean()
}

fn status_says_what_is_attached(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let status = lab.run("mseg-loader", &["status", "-j"])?.ok()?.json()?;
    let interfaces = status["interfaces"].as_array().cloned().unwrap_or_default();
    ensure!(interfaces.len() == 1, "{status:#}");
    expect(&interfaces[0], "/name", PROTECTED)?;
    expect(&interfaces[0], "/hook", lab.hook().name())?;
    ensure!(lab.ctl(&["status"])?.stdout.contains(PROTECTED));
    let rules = list(&lab.json(&["rule", "list"])?, "mseg.rule-list/1", "rules")?;
    ensure!(rules.iter().any(|rule| rule["builtin"] == true), "built-in rules are listed: {rules:#?}");
    Ok(())
}

#[test]
fn clsact_qdisc_of_another_tool_stays() -> Result<()> {
    mseg_tests::require_root!();
    let lab = Lab::new(Hook::Clsact)?;
    lab.server.run(|| hook::add_clsact(PROTECTED))?;
    lab.attach(&[])?;
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    let attached = lab.attached()?;
    ensure!(attached == Attached { qdiscs: vec!["clsact".to_owned()], ..Attached::default() }, "{attached:?}");
    ensure!(lab.mounts.pins()?.is_empty(), "{:?}", lab.mounts.pins()?);
    Ok(())
}

fn connection_that_went_on_while_detached_goes_on_when_attached_again(lab: &Lab) -> Result<()> {
    let policy = lab.policy("default in deny\ndefault out allow\nrule web allow in tcp to any port 8080\n")?;
    let enforce = ["--mode", "enforce", "--midstream", "strict", "--no-adopt", "--policy", policy];
    lab.attach(&enforce)?;
    let listener = tcp::listen(&lab.server, SocketAddr::new(SERVER_V4, 8080))?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    connection.exchange(10_000, 10_000)?;
    lab.run("mseg-loader", &["detach", PROTECTED])?.ok()?;
    // More than any window.
    connection.exchange(10_000_000, 10_000_000)?;
    lab.attach(&enforce)?;
    connection.exchange(1_000_000, 1_000_000)?;
    lab.stats().map(|stats| ensure_none(&stats, "tcp-window"))?
}

fn ensure_none(stats: &Value, reason: &str) -> Result<()> {
    let count = &stats["reasons"][reason];
    ensure!(count.is_null(), "{reason}: {count}");
    Ok(())
}
