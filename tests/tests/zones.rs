//! Workloads: each has a zone of its own, and none is let through by what another was allowed, at once or later.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use mseg_tests::{
    frames,
    interface::{self, End},
    lab::Lab,
    namespace::Namespace,
    on_both_hooks,
    wait::eventually,
};

on_both_hooks! {
    session_of_one_workload_lets_nothing_pass_in_another,
    next_workload_in_a_zone_has_none_of_the_sessions_of_the_last,
    workloads_that_swap_their_zones_do_not_swap_their_sessions,
    interface_with_the_index_of_one_that_went_away_has_none_of_its_sessions,
    fragments_of_a_workload_do_not_lead_those_of_the_next,
    interface_with_the_index_of_one_that_moved_away_is_not_taken_for_it,
}

const POLICY: &str = "default in deny\ndefault out deny\nrule dns allow in udp to any port 53\n";
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// Every workload has this address, as the next container has that of the last.
const WORKLOAD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
const WORKLOAD_MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];
/// The workload's end of its cable.
const INSIDE: &str = "work0";

fn workload(lab: &Lab, name: &str) -> Result<Namespace> {
    workload_at(lab, name, 0)
}

/// A workload behind an interface with this index, if not 0.
fn workload_at(lab: &Lab, name: &str, index: u32) -> Result<Namespace> {
    let workload = Namespace::new()?;
    for namespace in [&lab.server, &workload] {
        namespace.set("net/ipv6/conf/default/disable_ipv6", "1")?;
    }
    interface::join_at(
        End { namespace: &lab.server, name, mac: HOST_MAC, addresses: &[] },
        index,
        End { namespace: &workload, name: INSIDE, mac: WORKLOAD_MAC, addresses: &[] },
    )?;
    Ok(workload)
}

fn attach(lab: &Lab, interfaces: &[&str]) -> Result<()> {
    let options = ["--role", "workload", "--hook", lab.hook().name(), "--mode", "enforce"];
    let policy = ["--no-adopt", "--policy", lab.policy(POLICY)?];
    lab.run("mseg-loader", &[&["attach"], interfaces, &options, &policy].concat())?.ok()?;
    Ok(())
}

fn zone(lab: &Lab, name: &str) -> Result<u64> {
    let status = lab.json(&["status"])?;
    let interfaces = status["interfaces"].as_array().cloned().unwrap_or_default();
    let found = interfaces.iter().find(|interface| interface["name"] == name);
    Ok(found.and_then(|interface| interface["zone"].as_u64()).unwrap_or(0))
}

/// The host asks the workload behind an interface three times.
fn ask(lab: &Lab, name: &str) -> Result<()> {
    let packet = frames::ipv4(HOST, WORKLOAD, 17, &frames::udp(5555, 53, b"who?"));
    let frame = frames::ethernet(WORKLOAD_MAC, HOST_MAC, 0x0800, &packet);
    counts(lab, "rule-allow", 1, || frames::send_frames(&lab.server, name, &[frame]))
}

/// A workload says three times what would be the answer to [`ask`], and its packets have this reason.
fn answers_have(lab: &Lab, workload: &Namespace, reason: &str) -> Result<()> {
    let packet = frames::ipv4(WORKLOAD, HOST, 17, &frames::udp(53, 5555, b"me"));
    let frame = frames::ethernet(HOST_MAC, WORKLOAD_MAC, 0x0800, &packet);
    counts(lab, reason, 3, || frames::send_frames(workload, INSIDE, &vec![frame; 3]))
}

fn counts(lab: &Lab, reason: &str, packets: u64, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let count = || Ok::<_, anyhow::Error>(lab.stats()?["reasons"][reason].as_u64().unwrap_or(0));
    let before = count()?;
    act()?;
    eventually(|| {
        let counted = count()? - before;
        ensure!(counted == packets, "{counted} packets had the reason {reason}, not {packets}: {:#}", lab.stats()?);
        Ok(())
    })
}

fn session_of_one_workload_lets_nothing_pass_in_another(lab: &Lab) -> Result<()> {
    let [one, other] = [workload(lab, "one0")?, workload(lab, "other0")?];
    attach(lab, &["one0", "other0"])?;
    ask(lab, "one0")?;
    answers_have(lab, &other, "default-deny")?;
    answers_have(lab, &one, "session")
}

fn next_workload_in_a_zone_has_none_of_the_sessions_of_the_last(lab: &Lab) -> Result<()> {
    let last = workload(lab, "last0")?;
    attach(lab, &["last0"])?;
    ask(lab, "last0")?;
    answers_have(lab, &last, "session")?;
    let zone_of_last = zone(lab, "last0")?;
    lab.run("mseg-loader", &["detach", "last0"])?.ok()?;
    lab.server.run(|| interface::remove("last0"))?;
    let next = workload(lab, "next0")?;
    attach(lab, &["next0"])?;
    ensure!(zone(lab, "next0")? == zone_of_last, "the zone is used again, or this proves nothing");
    answers_have(lab, &next, "default-deny")?;
    ask(lab, "next0")?;
    answers_have(lab, &next, "session")
}

fn workloads_that_swap_their_zones_do_not_swap_their_sessions(lab: &Lab) -> Result<()> {
    let [_one, other] = [workload(lab, "one0")?, workload(lab, "other0")?];
    attach(lab, &["one0", "other0"])?;
    ask(lab, "one0")?;
    let zone_of_one = zone(lab, "one0")?;
    lab.run("mseg-loader", &["detach", "one0", "other0"])?.ok()?;
    attach(lab, &["other0", "one0"])?;
    ensure!(zone(lab, "other0")? == zone_of_one, "they swap their zones, or this proves nothing");
    answers_have(lab, &other, "default-deny")
}

fn interface_with_the_index_of_one_that_went_away_has_none_of_its_sessions(lab: &Lab) -> Result<()> {
    let _last = workload(lab, "last0")?;
    attach(lab, &["last0"])?;
    ask(lab, "last0")?;
    let index = lab.server.run(|| interface::index("last0"))?;
    lab.server.run(|| interface::remove("last0"))?;
    let next = workload_at(lab, "next0", index)?;
    ensure!(lab.server.run(|| interface::index("next0"))? == index, "it has the same index, or this proves nothing");
    attach(lab, &["next0"])?;
    answers_have(lab, &next, "default-deny")
}

fn interface_with_the_index_of_one_that_moved_away_is_not_taken_for_it(lab: &Lab) -> Result<()> {
    let _moved = workload(lab, "moved0")?;
    attach(lab, &["moved0"])?;
    let index = lab.server.run(|| interface::index("moved0"))?;
    let elsewhere = Namespace::new()?;
    lab.server.run(|| interface::move_to("moved0", &elsewhere))?;
    let next = workload_at(lab, "next0", index)?;
    ensure!(lab.server.run(|| interface::index("next0"))? == index, "it has the same index, or this proves nothing");
    let again = ["attach", "next0", "--role", "workload", "--hook", lab.hook().name()];
    if lab.hook().name() == "tcx" {
        let refused = lab.run("mseg-loader", &again)?;
        ensure!(refused.status.code() == Some(1), "{refused}");
        ensure!(
            refused.stderr.contains("moved0, which was attached here, is in another network namespace"),
            "{refused}"
        );
        lab.run("mseg-loader", &["detach", "moved0"])?.ok()?;
    }
    // The filters of clsact went with their interface, so it is as good as gone.
    attach(lab, &["next0"])?;
    answers_have(lab, &next, "default-deny")
}

fn fragments_of_a_workload_do_not_lead_those_of_the_next(lab: &Lab) -> Result<()> {
    let fragment = |start: u16, more: bool, payload: &[u8]| {
        let mut packet = frames::ipv4(HOST, WORKLOAD, 17, payload);
        packet[6..8].copy_from_slice(&((start / 8) | (u16::from(more) << 13)).to_be_bytes());
        frames::ethernet(WORKLOAD_MAC, HOST_MAC, 0x0800, &packet)
    };
    let header = [5555_u16, 53, 1000, 0].map(u16::to_be_bytes).concat();
    let (first, later) = (fragment(0, true, &[&header[..], &[0; 24]].concat()), fragment(32, false, &[0; 32]));
    let [_one, _other] = [workload(lab, "one0")?, workload(lab, "other0")?];
    attach(lab, &["one0"])?;
    counts(lab, "rule-allow", 1, || frames::send_frames(&lab.server, "one0", &[first]))?;
    counts(lab, "session", 1, || frames::send_frames(&lab.server, "one0", std::slice::from_ref(&later)))?;
    lab.run("mseg-loader", &["detach", "one0"])?.ok()?;
    attach(lab, &["other0"])?;
    counts(lab, "fragment", 1, || {
        // Who sends what is dropped on its way out is told so.
        ensure!(frames::send_frames(&lab.server, "other0", &[later]).is_err(), "it passed");
        Ok(())
    })
}
