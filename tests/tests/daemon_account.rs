//! The account of msegd is exact, whatever happens to it: what was put into the ring is written or still there, and
//! what was not is counted.

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    documents::{expect, number},
    lab::Lab,
    on_both_hooks, process,
    wait::{SOON, eventually},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const DENY: &str = "default in deny\ndefault out allow\n";

/// Events that the ring has room for.
const ROOM: u16 = 4096;

on_both_hooks! {
    what_a_stopped_reader_lost_is_counted_exactly,
    killed_reader_skips_nothing,
    full_disk_is_an_error_and_loses_nothing,
    reader_that_is_not_listened_to_can_be_ended,
    flood_is_written_or_counted,
}

fn what_a_stopped_reader_lost_is_counted_exactly(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(DENY)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    daemon.event("of the start", |event| event["event"] == "started")?;
    kill(daemon.pid(), Signal::SIGSTOP)?;
    lab.syns((10_000..10_000 + ROOM + 1000).collect())?;
    let lost = number(&settled(lab)?, "/events/lost")?;
    ensure!(lost >= 1000, "the ring has more room than thought: {lost} lost");
    kill(daemon.pid(), Signal::SIGCONT)?;
    let told = daemon.event("of the loss", |event| event["event"] == "lost")?;
    expect(&told, "/count", lost)?;
    expect(&told, "/total", lost)?;
    // Then all is well again.
    lab.syns(vec![9999])?;
    daemon.event("of a packet", |event| event["client"]["port"] == 9999)?;
    let stats = settled(lab)?;
    let (status, lines) = daemon.terminate()?;
    ensure!(status.success(), "{status}");
    balances(&stats, &lines)
}

fn killed_reader_skips_nothing(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(DENY)?, "--mode", "enforce"])?;
    let log = ["--output", "/run/events"];
    for attempt in 0..20_u16 {
        let daemon = lab.daemon(&log)?;
        let first = 10_000 + attempt * 1000;
        thread::scope(|scope| -> Result<()> {
            let flood = scope.spawn(|| lab.syns((first..first + 1000).collect()));
            thread::sleep(Duration::from_millis(2 * u64::from(attempt)));
            daemon.kill()?;
            flood.join().expect("a flood does not panic")
        })?;
        // What is left must not run the ring full before the next one starts.
        lab.run("msegd", &[&["--once"], &log[..]].concat())?.ok()?;
    }
    let stats = settled(lab)?;
    lab.run("msegd", &[&["--once"], &log[..]].concat())?.ok()?;
    let lines = lab.mounts.run(|| fs::read_to_string("/run/events"))?;
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    let whole: Vec<String> = lines.iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()).cloned().collect();
    // One that was being written when its writer was killed.
    ensure!(lines.len() - whole.len() <= 20, "{} torn lines", lines.len() - whole.len());
    expect(&stats, "/events/lost", 0)?;
    numbers_are_complete(&stats, &whole)
}

fn full_disk_is_an_error_and_loses_nothing(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(DENY)?, "--mode", "enforce"])?;
    lab.syns((10_000..11_000).collect())?;
    let stats = settled(lab)?;
    lab.run("msegd", &["--output", "/dev/full"])?.exits(1)?.complains(&["/dev/full", "No space left"])?;
    let error = lab.run("msegd", &["-j", "--output", "/dev/full"])?.exits(1)?.json_error()?;
    expect(&error, "/code", "failed")?;
    lab.run("msegd", &["--output", "/nosuch/file"])?.exits(1)?.complains(&["/nosuch/file"])?;
    let ran = lab.run("msegd", &["--once"])?.ok()?;
    balances(&stats, &ran.stdout.lines().map(str::to_owned).collect::<Vec<_>>())
}

fn reader_that_is_not_listened_to_can_be_ended(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(DENY)?, "--mode", "enforce"])?;
    // Its output is a pipe that nobody empties.
    let mut child = lab.place().command("msegd", &[]).spawn()?;
    lab.syns((10_000..12_000).collect())?;
    let stats = settled(lab)?;
    // Until it waits for the pipe.
    thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
    let status = process::wait(&mut child, SOON)?;
    ensure!(status.code() == Some(1) && begun.elapsed() < SOON / 2, "{status} after {:?}", begun.elapsed());
    let output = child.wait_with_output()?;
    let first = String::from_utf8(output.stdout)?;
    let ran = lab.run("msegd", &["--once"])?.ok()?;
    let lines: Vec<String> = first.lines().chain(ran.stdout.lines()).map(str::to_owned).collect();
    let whole: Vec<String> = lines.into_iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()).collect();
    numbers_are_complete(&stats, &whole)
}

fn flood_is_written_or_counted(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(DENY)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    daemon.event("of the start", |event| event["event"] == "started")?;
    for _ in 0..4 {
        lab.syns((10_000..30_000).collect())?;
    }
    let stats = settled(lab)?;
    let (status, lines) = daemon.terminate()?;
    ensure!(status.success(), "{status}");
    balances(&stats, &lines)
}

/// The statistics once all packets have arrived.
fn settled(lab: &Lab) -> Result<Value> {
    let mut before = lab.stats()?;
    eventually(|| {
        thread::sleep(Duration::from_millis(50));
        let now = lab.stats()?;
        let still = now["packets"] == before["packets"] && now["events"] == before["events"];
        before = now;
        ensure!(still, "packets still come");
        Ok(before.clone())
    })
}

/// One reader wrote it all: its own account, ours and the kernel's are the same.
fn balances(stats: &Value, lines: &[String]) -> Result<()> {
    numbers_are_complete(stats, lines)?;
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
    let stopped = events.last().context("no line")?;
    expect(stopped, "/event", "stopped")?;
    let submitted = number(stats, "/events/submitted")?;
    ensure!(number(stopped, "/submitted")? >= submitted);
    let of_records = u64::try_from(events.iter().filter(|event| event["number"].is_u64()).count())?;
    expect(stopped, "/written", of_records)?;
    ensure!(of_records == number(stopped, "/submitted")?, "each is written once: {stopped:#}");
    let lost: u64 = events.iter().filter(|event| event["event"] == "lost").filter_map(|e| e["count"].as_u64()).sum();
    ensure!(lost == number(stopped, "/lost")? - number(&events[0], "/lost")?, "{lost} lost: {stopped:#}");
    expect(stopped, "/unread", 0)
}

/// Every event that was submitted is among the lines.
fn numbers_are_complete(stats: &Value, lines: &[String]) -> Result<()> {
    let submitted = number(stats, "/events/submitted")?;
    let mut numbers = BTreeSet::new();
    for line in lines {
        let event: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        numbers.extend(event["number"].as_u64());
    }
    let missing: Vec<u64> = (1..=submitted).filter(|number| !numbers.contains(number)).collect();
    ensure!(missing.is_empty(), "of {submitted}, {} are missing: {missing:?}", missing.len());
    Ok(())
}
