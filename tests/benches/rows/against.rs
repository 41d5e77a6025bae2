//! T8: what a new session costs with many rules, against nftables with conntrack: the same rules, and the same frames
//! through a real veth pair. Of each way what the frames cost without any filter is taken off.

use std::{net::IpAddr, time::Instant};

use anyhow::{Result, anyhow, ensure};
use mseg_tests::{
    bed::Bed,
    blast::Blaster,
    hook::Hook,
    lab::{Lab, PEER, PROTECTED},
    privilege, run_time,
};

use crate::{
    measure::{Plan, Times},
    nftables,
    report::{Goal, Report, times},
    rule_sets::{Kind, RuleSet},
};

/// How nftables has the rules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A set, which finds its elements by hash, or as intervals.
    Set,
    /// One after the other.
    Linear,
}

pub(crate) fn rows(plan: &Plan, report: &mut Report) -> Result<()> {
    if !privilege::has_tool("nft") {
        println!("T8   SKIPPED: there is no nft to compare with");
        return Ok(());
    }
    let sizes = if plan.quick { &[10, 1_000][..] } else { &[10, 1_000, 10_000, 100_000] };
    for kind in [Kind::Hosts, Kind::Networks] {
        for size in sizes {
            // Of more, one packet takes a millisecond.
            let ways = if *size <= 1_000 { &[Way::Set, Way::Linear][..] } else { &[Way::Set] };
            for way in ways {
                one(kind, *size, *way, plan, report)?;
            }
        }
    }
    Ok(())
}

fn one(kind: Kind, size: usize, way: Way, plan: &Plan, report: &mut Report) -> Result<()> {
    let labs = [Lab::new(Hook::Tcx)?, Lab::new(Hook::Tcx)?, Lab::new(Hook::Tcx)?];
    let [_, mseg, nft] = &labs;
    let set = RuleSet::new(kind, size);
    let bed = Bed::new(mseg)?;
    mseg.ctl(&["policy", "apply", mseg.policy(&set.text)?])?;
    nftables::apply(nft, &rules(kind, way, &set)?)?;
    let flows = plan.spread as usize / 2;
    let frames: Vec<Vec<u8>> = (0..flows * plan.rounds)
        .map(|turn| set.packets[turn.wrapping_mul(40_503) % size].frame(1_024 + (turn % 59_999) as u16))
        .collect();
    let mut senders = vec![];
    for lab in &labs {
        for at in ["all", PROTECTED] {
            lab.server.set(&format!("net/ipv4/conf/{at}/rp_filter"), "0")?;
        }
        senders.push(Blaster::new(&lab.client, PEER, frames.clone())?);
    }
    let (created, tracked) = (bed.created()?, nftables::tracked(nft)?);
    let mut taken = vec![Times::default(); labs.len()];
    for _ in 0..plan.rounds {
        for (sender, times) in senders.iter_mut().zip(&mut taken) {
            times.0.push(send(sender, flows)?);
        }
    }
    let all = (flows * plan.rounds) as u64;
    let (created, tracked) = (bed.created()? - created, nftables::tracked(nft)? - tracked);
    ensure!(created * 100 > all * 99, "mseg opened {created} sessions of {all}");
    ensure!(tracked * 100 > all * 90, "conntrack knows {tracked} of {all} flows");
    let [bare, ours, theirs] = &taken[..] else { return Err(anyhow!("three ways were timed")) };
    let (net, other) = (ours.less(bare), theirs.less(bare));
    let by = match (way, kind) {
        (Way::Linear, _) => "nft, linear",
        (Way::Set, Kind::Hosts) => "nft, hash set",
        (Way::Set, _) => "nft, interval set",
    };
    report.row(
        "T8",
        &format!("new flow, {size} rules ({}): {by} / mseg", kind.name()),
        other.median() / net.median(),
        "x",
        Some(Goal::at_least(1.0, 2.0)),
        &[
            ("mseg", times(&net)),
            ("nft", times(&other)),
            ("no_filter", times(bare)),
            ("by_minimum", (other.minimum() / net.minimum()).into()),
        ],
    );
    drop(bed);
    labs[1].detach_all()
}

/// Nanoseconds a frame, from the sender's call until the other host's stack is done with it: all on one processor.
fn send(sender: &mut Blaster, frames: usize) -> Result<f64> {
    // On a thread of its own, so that its precedence ends with it.
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| -> Result<f64> {
            run_time::steady();
            let started = Instant::now();
            sender.send(frames)?;
            Ok(started.elapsed().as_secs_f64() * 1e9 / frames as f64)
        });
        sending.join().map_err(|_| anyhow!("the sender panicked"))?
    })
}

/// The rules for nft.
fn rules(kind: Kind, way: Way, set: &RuleSet) -> Result<String> {
    let mut parts = vec![];
    for packet in &set.packets {
        let IpAddr::V4(source) = packet.source else { return Err(anyhow!("a rule for IPv6")) };
        let source = match kind {
            Kind::Hosts => source.to_string(),
            _ => format!("{}/24", std::net::Ipv4Addr::from(source.to_bits() & 0xffff_ff00)),
        };
        parts.push((source, packet.port));
    }
    let (sets, matches) = match way {
        Way::Set => {
            let elements: Vec<String> = parts.iter().map(|(source, port)| format!("{source} . {port}")).collect();
            let flags = if kind == Kind::Hosts { "" } else { "flags interval;" };
            let of = format!(
                "set rules {{ type ipv4_addr . inet_service; {flags} elements = {{ {} }} }}",
                elements.join(", ")
            );
            (of, "ip saddr . tcp dport @rules accept\n".to_owned())
        }
        Way::Linear => {
            let line = |(source, port): &(String, u16)| format!("ip saddr {source} tcp dport {port} accept\n");
            (String::new(), parts.iter().map(line).collect())
        }
    };
    Ok(format!(
        "table inet filter {{\n{sets}\nchain input {{ type filter hook input priority filter; policy drop;\n\
         ct state established,related accept\nct state invalid drop\n{matches}}}\n}}\n"
    ))
}
