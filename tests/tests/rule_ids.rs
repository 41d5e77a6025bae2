//! The number of a rule is given to no other while something may remember it, and begins without hits.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use mseg_ebpf::abi::rule::{FIRST, RuleHits, hits_index};
use mseg_tests::{
    bpf,
    bpffs::BPFFS,
    documents::{expect, list},
    lab::{self, Lab},
    on_both_hooks,
    traffic::tcp,
};
use zerocopy::IntoBytes;

on_both_hooks! {
    what_a_forgotten_rule_decided_is_not_said_of_another_rule,
    new_rule_has_no_hits_and_takes_none_from_others,
}

fn what_a_forgotten_rule_decided_is_not_said_of_another_rule(lab: &Lab) -> Result<()> {
    let policy = |rules: &str| lab.policy(&format!("default in deny\ndefault out allow\n{rules}"));
    lab.attach(&["--policy", policy("rule no deny in tcp to any port 81\n")?, "--mode", "enforce"])?;
    let closed = lab::server(81)[0];
    tcp::is_denied(&lab.client, closed)?;
    let denied_by = || -> Result<String> {
        let denied = list(&lab.json(&["denied", "list"])?, "mseg.denied-list/1", "denied")?;
        let entry = denied.iter().find(|entry| entry["server"]["port"] == 81).context("the denial is listed")?;
        Ok(entry["rule"].as_str().unwrap_or_default().to_owned())
    };
    ensure!(denied_by()? == "no", "{}", denied_by()?);
    // As many generations as are kept, and more, each with a new rule.
    for number in 0..6 {
        let name = policy(&format!("rule other{number} allow in tcp to any port 90\n"))?;
        lab.ctl(&["policy", "apply", name])?;
        let rule = denied_by()?;
        ensure!(rule == "no" || rule.starts_with('#'), "after {number}: {rule}");
    }
    ensure!(denied_by()?.starts_with('#'), "the rule's name is forgotten");
    Ok(())
}

fn new_rule_has_no_hits_and_takes_none_from_others(lab: &Lab) -> Result<()> {
    let policy = |rules: &str| lab.policy(&format!("default in deny\ndefault out allow\n{rules}"));
    let first = "rule first allow in tcp to any port 90\n";
    lab.attach(&["--policy", policy(first)?])?;
    let hits = lab.mounts.run(|| bpf::open_pin(&Path::new(BPFFS).join("mseg/default/hits/0")))?;
    // As if each processor had counted for the first rule, the next number and the one after it.
    let cpus = u32::try_from(bpf::possible_cpus()?)?;
    for id in FIRST..FIRST + 3 {
        for cpu in 0..cpus {
            let value = RuleHits { sessions: 1, packets: u64::from(cpu) + 1, bytes: 100, last_hit_ns: 1 };
            bpf::update(&hits, hits_index(cpu, id), value.as_bytes())?;
        }
    }
    let packets = u64::from(cpus * (cpus + 1) / 2);
    expect(&lab.rule("first")?, "/hits/packets", packets)?;
    lab.ctl(&["policy", "apply", policy(&format!("{first}rule second allow in tcp to any port 91\n"))?])?;
    for (name, sessions, packets, bytes) in
        [("first", u64::from(cpus), packets, 100 * u64::from(cpus)), ("second", 0, 0, 0)]
    {
        let rule = lab.rule(name)?;
        expect(&rule, "/hits/sessions", sessions)?;
        expect(&rule, "/hits/packets", packets)?;
        expect(&rule, "/hits/bytes", bytes)?;
    }
    for cpu in 0..cpus {
        let size = size_of::<RuleHits>();
        let second = bpf::look_up(&hits, hits_index(cpu, FIRST + 1), size)?;
        ensure!(second.iter().all(|byte| *byte == 0), "the copy of processor {cpu} is {second:?}");
        let next = bpf::look_up(&hits, hits_index(cpu, FIRST + 2), size)?;
        ensure!(next.iter().any(|byte| *byte != 0), "the hits of another number are gone");
    }
    Ok(())
}
