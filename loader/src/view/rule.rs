//! Rules with their hits, as documents.

use std::fmt::Display;

use mseg_ebpf::abi::rule::{self, RuleHits};

use super::{Context, Time, names::names};
use crate::{
    compile::RuleIds,
    policy::{Action, Builtins, Direction, Policy, Rule},
};

names! {
    /// What a rule does.
    pub enum RuleAction {
        /// Its packets pass.
        Allow = "allow",
        /// Its packets are dropped, or reported in observe mode.
        Deny = "deny",
    }
}

names! {
    /// Which way the first packets go that a rule is asked about.
    pub enum RuleDirection {
        /// To the protected side.
        In = "in",
        /// From the protected side.
        Out = "out",
        /// Either.
        Both = "both",
    }
}

/// What a rule has decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Hits {
    /// Sessions, and packets that make none.
    pub sessions: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes with the Ethernet header.
    pub bytes: u64,
}

/// A rule of the policy, a built-in rule, the failsafe or a default.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Rule")]
pub struct RuleView {
    /// The name, by which sessions, events and counters refer to it.
    pub name: String,
    /// What it does.
    pub action: RuleAction,
    /// Which way the first packet goes.
    pub direction: RuleDirection,
    /// Lower is asked first; null for what has a fixed place: built-in rules and failsafe before all, defaults after.
    pub priority: Option<u16>,
    /// In the policy language; can be applied again. The failsafe has a line for each of its rules.
    pub text: String,
    /// Whether it is only tried: counted and reported, while what comes after it decides.
    pub audit: bool,
    /// Whether it is there without being written.
    pub builtin: bool,
    /// Whether it is in force; false for built-in rules that were turned off.
    pub enabled: bool,
    /// What it has decided since its name is known.
    pub hits: Hits,
    /// The latest packet it decided; null for never.
    pub last_hit: Option<Time>,
}

impl RuleView {
    /// Every rule of a policy, in the order in which they are asked. `hits` is indexed by rule id.
    pub fn all(context: &Context, policy: &Policy, hits: &[RuleHits]) -> Vec<Self> {
        let mut views = Vec::new();
        for (name, on) in Builtins::NAMES.iter().zip(policy.builtins.states()) {
            let is_failsafe = *name == rule::RESERVED_NAMES[rule::FAILSAFE as usize];
            views.push(if is_failsafe && on { failsafe(policy) } else { builtin(name, on) });
        }
        // What the failsafe and DHCP let pass, no rule is asked about.
        views.sort_by_key(|view| view.name != rule::RESERVED_NAMES[rule::FAILSAFE as usize]);

        let mut rules: Vec<&Rule> = policy.rules.iter().collect();
        rules.sort_by_key(|rule| (rule.priority, rule.action == Action::Allow));
        views.extend(rules.into_iter().map(written));

        let defaults = [
            (rule::DEFAULT_IN, RuleDirection::In, policy.defaults.inbound),
            (rule::DEFAULT_OUT, RuleDirection::Out, policy.defaults.outbound),
        ];
        for (id, direction, action) in defaults {
            let name = rule::RESERVED_NAMES[id as usize];
            let view = fixed(name, format!("default {direction} {action}"));
            views.push(Self { action: action.into(), direction, ..view });
        }

        let ids = RuleIds::from_names(context.rules.clone());
        for view in &mut views {
            let hits = ids.get(&view.name).and_then(|id| hits.get(id as usize)).copied().unwrap_or_default();
            view.hits = Hits { sessions: hits.sessions, packets: hits.packets, bytes: hits.bytes };
            view.last_hit = Time::unless_never(&context.clock, hits.last_hit_ns);
        }
        views
    }
}

/// What is there without being written.
fn fixed(name: &str, text: impl Display) -> RuleView {
    RuleView {
        name: name.into(),
        action: RuleAction::Allow,
        direction: RuleDirection::Both,
        priority: None,
        text: text.to_string(),
        audit: false,
        builtin: true,
        enabled: true,
        hits: Hits::default(),
        last_hit: None,
    }
}

fn builtin(name: &str, on: bool) -> RuleView {
    let state = if on { "on" } else { "off" };
    RuleView { enabled: on, ..fixed(name, format!("builtin {name} {state}")) }
}

fn failsafe(policy: &Policy) -> RuleView {
    let lines: Vec<_> = policy.failsafe.iter().map(|selector| format!("failsafe {selector}")).collect();
    let mut directions = policy.failsafe.iter().map(|selector| selector.direction);
    let first = directions.next().unwrap_or(Direction::Both);
    let direction = if directions.all(|d| d == first) { first } else { Direction::Both };
    RuleView { direction: direction.into(), ..fixed("failsafe", lines.join("\n")) }
}

fn written(rule: &Rule) -> RuleView {
    RuleView {
        action: rule.action.into(),
        direction: rule.selector.direction.into(),
        priority: Some(rule.priority),
        audit: rule.audit,
        builtin: false,
        ..fixed(&rule.name, rule)
    }
}

impl From<Action> for RuleAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Allow => Self::Allow,
            Action::Deny => Self::Deny,
        }
    }
}

impl From<Direction> for RuleDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::In => Self::In,
            Direction::Out => Self::Out,
            Direction::Both => Self::Both,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clock::Clock;

    fn context(rules: &[(u32, &str)]) -> Context {
        Context {
            clock: Clock::at(10_000_000_000, 1_700_000_000_000_000_000),
            rules: rules.iter().map(|(id, name)| (*id, (*name).into())).collect(),
            interfaces: BTreeMap::new(),
        }
    }

    #[test]
    fn rules_stand_in_the_order_in_which_they_are_asked() {
        let text = "default in deny\n\
                    rule late allow in tcp to any port 80 priority 2000\n\
                    rule web allow in tcp to any port 80\n\
                    rule bad deny both any from 10.0.0.0/8\n\
                    builtin mld off\n";
        let policy = crate::policy::parse("test", text).unwrap();
        let views = RuleView::all(&context(&[]), &policy, &[]);
        let names: Vec<_> = views.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "failsafe",
                "arp",
                "nd",
                "mld",
                "dhcp",
                "icmp-errors",
                "link-control",
                "bad",
                "web",
                "late",
                "default-in",
                "default-out"
            ]
        );
        assert!(!views[3].enabled && views[4].enabled);
    }

    #[test]
    fn the_texts_together_with_sets_and_timeouts_are_the_policy() {
        let text = "default in deny\nbuiltin arp off\nfailsafe in tcp to any port 22\nfailsafe in udp to any port 9\n\
                    rule web allow in tcp to any port 80 log\nrule udp deny out udp priority 3\n";
        let policy = crate::policy::parse("test", text).unwrap();
        let views = RuleView::all(&context(&[]), &policy, &[]);
        let again: String = views.iter().map(|v| format!("{}\n", v.text)).collect();
        let mut again = crate::policy::parse("again", &again).unwrap();
        again.rules.sort_by_key(|rule| rule.name != "web");
        assert_eq!(again, policy);
    }

    #[test]
    fn hits_are_found_by_the_id_of_the_name() {
        let policy = crate::policy::parse("test", "rule web allow in tcp to any port 80").unwrap();
        let mut hits = vec![RuleHits::default(); 66];
        hits[65] = RuleHits { sessions: 1, packets: 2, bytes: 3, last_hit_ns: 9_000_000_000 };
        hits[1].packets = 7;
        let views = RuleView::all(&context(&[(65, "web")]), &policy, &hits);
        let of = |name| views.iter().find(|v| v.name == name).unwrap();
        assert_eq!(of("web").hits, Hits { sessions: 1, packets: 2, bytes: 3 });
        assert_eq!(of("web").last_hit.unwrap().to_string(), "2023-11-14T22:13:19.000Z");
        assert_eq!(of("default-in").hits.packets, 7);
        assert_eq!(of("default-out").last_hit, None);
    }
}
