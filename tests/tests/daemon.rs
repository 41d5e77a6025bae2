//! What msegd writes, and how it behaves while it runs.

use std::{fs, io::Read, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    daemon::Daemon,
    documents::{expect, number, traffic},
    lab::{self, CLIENT_V4, Lab},
    on_both_hooks,
    traffic::tcp,
    wait::eventually,
};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

const WEB: &str = "default in deny\ndefault out allow\nrule web allow in tcp to any port 80\n";

on_both_hooks! {
    tcp_session_is_reported_from_open_to_close,
    reset_session_is_reported_as_reset,
    denied_flow_is_reported_once_a_second_with_the_number_suppressed,
    judging_a_session_again_is_reported,
    new_policy_is_reported_without_traffic,
    second_reader_is_refused,
    reader_keeps_no_capability,
    idle_reader_sleeps,
    removed_instance_ends_the_reader,
    log_that_was_moved_away_is_opened_anew,
    reader_ends_with_the_reader_of_its_output,
    once_writes_what_is_there_and_ends,
}

fn tcp_session_is_reported_from_open_to_close(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    for address in lab::server(80) {
        let listener = tcp::listen(&lab.server, address)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        let port = connection.client.local_addr()?.port();
        connection.exchange(20_000, 30_000)?;
        connection.finish_client()?;
        connection.finish_server()?;
        let of = |kind: &'static str| move |event: &Value| event["event"] == kind && event["client"]["port"] == port;
        let opened = daemon.event("of the open", of("session-opened"))?;
        expect(&opened, "/schema", "mseg.event/1")?;
        expect(&opened, "/reason", "rule-allow")?;
        expect(&opened, "/rule", "web")?;
        expect(&opened, "/interface", lab::PROTECTED)?;
        expect(&opened, "/direction", "in")?;
        expect(&opened, "/server/address", address.ip().to_string())?;
        let closed = daemon.event("of the close", of("session-closed"))?;
        expect(&closed, "/why", "fin")?;
        expect(&closed, "/state", "closed")?;
        expect(&closed, "/id", opened["id"].clone())?;
        ensure!(number(&closed, "/duration_ms")? < 10_000, "{closed:#}");
        let now = lab.session("tcp", port)?;
        ensure!(traffic(&closed)? == traffic(&now)?, "its totals are not those of the session: {closed:#} {now:#}");
        ensure!(daemon.events()?.iter().filter(|event| of("session-opened")(event)).count() == 1);
        ensure!(daemon.events()?.iter().filter(|event| of("session-closed")(event)).count() == 1);
    }
    Ok(())
}

fn reset_session_is_reported_as_reset(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let daemon = lab.daemon(&[])?;
    let listener = tcp::listen(&lab.server, lab::server(80)[0])?;
    tcp::connect(&lab.client, &listener)?.reset()?;
    let closed = daemon.event("of the reset", |event| event["event"] == "session-closed")?;
    expect(&closed, "/why", "reset")
}

fn denied_flow_is_reported_once_a_second_with_the_number_suppressed(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    let denials = || -> Result<Vec<Value>> {
        Ok(daemon.events()?.into_iter().filter(|event| event["event"] == "denied").collect())
    };
    lab.syns(vec![4000; 5])?;
    let first = daemon.event("of the denial", |event| event["event"] == "denied")?;
    expect(&first, "/reason", "default-deny")?;
    expect(&first, "/rule", "default-in")?;
    expect(&first, "/client/address", CLIENT_V4.to_string())?;
    expect(&first, "/server/port", 81)?;
    expect(&first, "/dropped", true)?;
    expect(&first, "/suppressed", 0)?;
    eventually(|| expect(&lab.stats()?, "/reasons/default-deny", 5))?;
    thread::sleep(Duration::from_millis(1100));
    ensure!(denials()?.len() == 1, "{:#?}", denials()?);
    lab.syns(vec![4000])?;
    let second = daemon.event("of more", |event| event["event"] == "denied" && event["suppressed"] != 0)?;
    expect(&second, "/suppressed", 4)?;
    lab.ctl(&["mode", "set", "observe"])?;
    lab.syns(vec![4001])?;
    let of_it = |event: &Value| event["event"] == "denied" && event["client"]["port"] == 4001;
    let observed = daemon.event("of what passes", of_it)?;
    expect(&observed, "/dropped", false)
}

fn judging_a_session_again_is_reported(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    let listener = tcp::listen(&lab.server, lab::server(80)[0])?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    lab.ctl(&["rule", "delete", "web"])?;
    connection.is_cut()?;
    let event = daemon.event("of the new verdict", |event| event["event"] == "session-rejudged")?;
    expect(&event, "/verdict", "deny")?;
    expect(&event, "/reason", "default-deny")?;
    expect(&event, "/rule", "default-in")?;
    let events = daemon.events()?;
    let position = |kind: &str| events.iter().position(|event| event["event"] == kind);
    ensure!(position("policy-changed") < position("session-rejudged"), "in the order of causes: {events:#?}");
    Ok(())
}

fn new_policy_is_reported_without_traffic(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let daemon = lab.daemon(&[])?;
    let started = daemon.event("of the start", |event| event["event"] == "started")?;
    lab.ctl(&["policy", "apply", lab.policy(WEB)?])?;
    let changed = daemon.event("of the policy", |event| event["event"] == "policy-changed")?;
    ensure!(number(&changed, "/generation")? > number(&started, "/generation")?);
    Ok(())
}

fn second_reader_is_refused(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let first = running(lab)?;
    lab.run("msegd", &[])?.exits(1)?.complains(&["another program reads the events", "hint"])?;
    let error = lab.run("msegd", &["-j", "--once"])?.exits(1)?.json_error()?;
    expect(&error, "/code", "failed")?;
    // Nor does the reader keep anybody from changing the instance.
    lab.ctl(&["policy", "apply", lab.policy(WEB)?])?;
    first.kill()?;
    lab.run("msegd", &["--once"])?.ok()?;
    Ok(())
}

fn reader_keeps_no_capability(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let daemon = running(lab)?;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        ensure!(status.contains(&format!("{set}:\t0000000000000000")), "{set} is not empty: {status}");
    }
    ensure!(status.contains("NoNewPrivs:\t1"), "{status}");
    Ok(())
}

fn idle_reader_sleeps(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let daemon = running(lab)?;
    let switches = || -> Result<Vec<String>> {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
        Ok(status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect())
    };
    // Neighbours and routers are looked for at first.
    eventually(|| {
        let before = switches()?;
        thread::sleep(Duration::from_millis(1500));
        ensure!(before == switches()?, "it woke up");
        Ok(())
    })
}

fn removed_instance_ends_the_reader(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let daemon = running(lab)?;
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    let stopped = daemon.event("of the end", |event| event["event"] == "stopped")?;
    expect(&stopped, "/why", "removed")?;
    let status = daemon.wait()?;
    ensure!(status.code() == Some(3), "{status}");
    Ok(())
}

fn log_that_was_moved_away_is_opened_anew(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    // What a killed writer leaves.
    lab.mounts.run(|| fs::write("/run/events", "{\"schema\":"))?;
    let daemon = lab.daemon(&["--output", "/run/events"])?;
    let read = |path: &str| lab.mounts.run(|| fs::read_to_string(path)).with_context(|| format!("cannot read {path}"));
    eventually(|| {
        ensure!(read("/run/events")?.lines().count() == 2);
        Ok(())
    })?;
    ensure!(read("/run/events")?.starts_with("{\"schema\":\n{\"schema\":"), "the torn line is ended");
    lab.mounts.run(|| fs::rename("/run/events", "/run/events.1"))?;
    kill(daemon.pid(), Signal::SIGHUP)?;
    eventually(|| read("/run/events"))?;
    lab.syns(vec![5000])?;
    eventually(|| {
        ensure!(read("/run/events")?.contains("\"port\":5000"));
        Ok(())
    })?;
    ensure!(!read("/run/events.1")?.contains("\"port\":5000"));
    let (status, lines) = daemon.terminate()?;
    ensure!(status.success() && lines.is_empty(), "{status} {lines:?}");
    let last = read("/run/events")?.lines().last().context("it is not empty")?.to_owned();
    expect(&serde_json::from_str(&last)?, "/event", "stopped")
}

fn reader_ends_with_the_reader_of_its_output(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let mut child = lab.place().command("msegd", &[]).spawn()?;
    let mut stdout = child.stdout.take().context("a pipe")?;
    stdout.read_exact(&mut [0; 10])?;
    drop(stdout);
    // No event is needed for that.
    let output = child.wait_with_output()?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Ok(())
}

fn once_writes_what_is_there_and_ends(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?])?;
    lab.syns((6000..6600).collect())?;
    eventually(|| expect(&lab.stats()?, "/reasons/default-deny", 600))?;
    let ran = lab.run("msegd", &["--once"])?.ok()?;
    ensure!(ran.stdout.lines().filter(|line| line.contains("\"event\":\"denied\"")).count() == 600, "{ran}");
    let ran = lab.run("msegd", &["--once"])?.ok()?;
    ensure!(!ran.stdout.contains("\"event\":\"denied\""), "each is written once: {ran}");
    Ok(())
}

/// A reader that is past its start.
fn running(lab: &Lab) -> Result<Daemon> {
    let daemon = lab.daemon(&[])?;
    daemon.event("of the start", |event| event["event"] == "started")?;
    Ok(daemon)
}
