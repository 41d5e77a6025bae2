//! What a policy says of loopback: there a packet arrives as it leaves, and is judged once, in direction `in`.

use super::{Direction, Policy, Selector};

/// The loopback interface's name, in every network namespace unless somebody changes it.
pub(crate) const LOOPBACK: &str = "lo";

impl Policy {
    /// Warnings of rules and failsafe lines that match nothing, since no packet passes loopback as `out`.
    pub fn without_effect(&self) -> Vec<String> {
        let unseen = |selector: &Selector| {
            selector.direction == Direction::Out && selector.interface.as_deref() == Some(LOOPBACK)
        };
        let rules = self.rules.iter().filter(|rule| unseen(&rule.selector)).map(|rule| format!("rule {}", rule.name));
        let lines = self.failsafe.iter().filter(|line| unseen(line)).map(|line| format!("`failsafe {line}`"));
        let why = "on loopback packets are judged once, in direction in";
        rules.chain(lines).map(|what| format!("{what} matches nothing: {why}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::parse;

    #[test]
    fn only_what_leaves_by_loopback_is_without_effect() {
        let policy = "failsafe out tcp to any port 22 iface lo\n\
                      rule a deny out tcp iface lo\n\
                      rule b deny in tcp iface lo\n\
                      rule c deny both tcp iface lo\n\
                      rule d deny out tcp iface eth0\n\
                      rule e deny out tcp\n";
        let why = "matches nothing: on loopback packets are judged once, in direction in";
        let failsafe = format!("`failsafe out tcp from any to any port 22 iface lo` {why}");
        assert_eq!(parse("test", policy).unwrap().without_effect(), [format!("rule a {why}"), failsafe]);
    }
}
