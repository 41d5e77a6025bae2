//! The number of a rule is given to no other while something may remember it.

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    documents::list,
    lab::{self, Lab},
    on_both_hooks,
    traffic::tcp,
};

on_both_hooks! {
    what_a_forgotten_rule_decided_is_not_said_of_another_rule,
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
