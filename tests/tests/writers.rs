//! Several who change an instance at the same time: nobody waits while a policy is compiled, and nothing gets mixed up.

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    documents::{expect, list},
    lab::{self, Lab},
    on_both_hooks,
    stepper::Stepper,
    traffic::tcp,
};

on_both_hooks! {
    policy_is_compiled_before_the_lock_is_taken,
    rule_compiled_beside_another_change_gets_a_number_of_its_own,
    writer_whose_instance_is_removed_meanwhile_finds_nothing_loaded,
    rule_that_is_named_twice_is_deleted_once,
}

const BASE: &str = "default in deny\ndefault out allow\n";

fn policy_is_compiled_before_the_lock_is_taken(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(BASE)?])?;
    // The compiler takes 64 of them.
    let audits: String = (0..65).map(|port| format!("rule r{port} deny in tcp to any port {port} audit\n")).collect();
    let mut stepper = Stepper::start(lab.place(), "msegctl", &["policy", "apply", lab.policy(&audits)?])?;
    ensure!(!stepper.step_to(libc::SYS_flock)?, "it takes the lock");
    ensure!(stepper.finish()? == 5);
    Ok(())
}

fn rule_compiled_beside_another_change_gets_a_number_of_its_own(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(BASE)?, "--mode", "enforce"])?;
    let mine = format!("{BASE}rule mine allow in tcp to any port 90\n");
    let mut stepper = Stepper::start(lab.place(), "msegctl", &["policy", "apply", lab.policy(&mine)?])?;
    ensure!(stepper.step_to(libc::SYS_flock)?, "it takes no lock");
    // As if the other one had been a little faster.
    lab.ctl(&["rule", "add", "other", "deny", "in", "tcp", "to", "any", "port", "81"])?;
    tcp::is_denied(&lab.client, lab::server(81)[0])?;
    let denied_by = || -> Result<String> {
        let denied = list(&lab.json(&["denied", "list"])?, "mseg.denied-list/1", "denied")?;
        let entry = denied.iter().find(|entry| entry["server"]["port"] == 81).context("the denial is listed")?;
        Ok(entry["rule"].as_str().unwrap_or_default().to_owned())
    };
    ensure!(denied_by()? == "other", "{}", denied_by()?);
    ensure!(stepper.finish()? == 0);
    let shown = lab.json(&["policy", "show"])?;
    expect(&shown, "/generation", 3)?;
    expect(&shown, "/policy/rules/0/name", "mine")?;
    ensure!(denied_by()? == "other", "{}", denied_by()?);
    Ok(())
}

fn writer_whose_instance_is_removed_meanwhile_finds_nothing_loaded(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(BASE)?])?;
    let mut stepper = Stepper::start(lab.place(), "msegctl", &["policy", "apply", lab.policy(BASE)?])?;
    ensure!(stepper.step_to(libc::SYS_flock)?, "it takes no lock");
    lab.detach_all()?;
    ensure!(stepper.finish()? == 3);
    Ok(())
}

fn rule_that_is_named_twice_is_deleted_once(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy("rule web allow in tcp\nrule other allow in udp\n")?])?;
    lab.ctl(&["rule", "delete", "web", "web"])?;
    let shown = lab.json(&["policy", "show"])?;
    expect(&shown, "/policy/rules/0/name", "other")?;
    ensure!(shown["policy"]["rules"].as_array().is_some_and(|rules| rules.len() == 1), "{shown}");
    Ok(())
}
