//! What differs between two policies, by name. Their canonical texts are compared, statement by statement, so that a
//! policy can be replaced even if another version wrote it.

use std::collections::BTreeMap;

/// Names that are listed; of more only the number is told.
const NAMED: usize = 20;

/// Names, of which the first are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Names {
    /// How many there are.
    pub count: usize,
    /// The first 20 of them.
    pub names: Vec<String>,
}

impl Names {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < NAMED {
            self.names.push(name.to_owned());
        }
    }
}

/// The names, and how many more there are: `a, b and 7 more`.
impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.names.join(", "))?;
        match self.count - self.names.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What became of things with names.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Named {
    /// Only in the new policy.
    pub added: Names,
    /// Only in the old policy.
    pub removed: Names,
    /// In both, but not the same.
    pub changed: Names,
}

/// What differs between two policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Changes {
    /// Rules.
    pub rules: Named,
    /// Sets of addresses.
    pub sets: Named,
    /// Defaults, timeouts, built-in rules and the failsafe.
    pub settings: Names,
    /// Whether rules or sets stand in another order.
    pub reordered: bool,
}

impl Changes {
    /// From one canonical text to another.
    pub fn between(old: &str, new: &str) -> Self {
        let (old, new) = (Statements::of(old), Statements::of(new));
        let mut changes = Self {
            rules: named(&old.rules, &new.rules),
            sets: named(&old.sets, &new.sets),
            reordered: reordered(&old.rules, &new.rules) || reordered(&old.sets, &new.sets),
            ..Self::default()
        };
        let mut settings: Vec<&&str> = old.settings.keys().chain(new.settings.keys()).collect();
        settings.sort_unstable();
        settings.dedup();
        for name in settings {
            if old.settings.get(name) != new.settings.get(name) {
                changes.settings.add(name);
            }
        }
        changes
    }
}

/// Rules in a canonical text.
pub fn count_rules(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("rule ")).count()
}

/// A canonical text in parts: names with what is said of them, in the order of the text.
#[derive(Default)]
struct Statements<'a> {
    rules: Vec<(&'a str, &'a str)>,
    sets: Vec<(&'a str, &'a str)>,
    /// `default in`, `timeout icmp`, `failsafe`; there can be several lines of the last.
    settings: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Statements<'a> {
    fn of(text: &'a str) -> Self {
        let mut this = Self::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            let name = rest.split(' ').next().unwrap_or("");
            match kind {
                "rule" => this.rules.push((name, line)),
                "define" => this.sets.push((name, line)),
                "failsafe" => this.settings.entry(kind).or_default().push(line),
                // Of `default in deny`, the first two words.
                _ => {
                    let name = &line[..(kind.len() + 1 + name.len()).min(line.len())];
                    this.settings.entry(name).or_default().push(line);
                }
            }
        }
        this
    }
}

fn named(old: &[(&str, &str)], new: &[(&str, &str)]) -> Named {
    let before: BTreeMap<&str, &str> = old.iter().copied().collect();
    let after: BTreeMap<&str, &str> = new.iter().copied().collect();
    let mut named = Named::default();
    for (name, text) in new {
        match before.get(name) {
            None => named.added.add(name),
            Some(former) if former != text => named.changed.add(name),
            Some(_) => {}
        }
    }
    for (name, _) in old.iter().filter(|(name, _)| !after.contains_key(name)) {
        named.removed.add(name);
    }
    named
}

/// Whether the names that both have stand in another order.
fn reordered(old: &[(&str, &str)], new: &[(&str, &str)]) -> bool {
    let names = |list: &[(&str, &str)]| list.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let (old, new) = (names(old), names(new));
    let before: std::collections::BTreeSet<&String> = old.iter().collect();
    let after: std::collections::BTreeSet<&String> = new.iter().collect();
    !old.iter().filter(|name| after.contains(name)).eq(new.iter().filter(|name| before.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        crate::policy::parse("test", text).unwrap().to_string()
    }

    fn between(old: &str, new: &str) -> Changes {
        Changes::between(&canonical(old), &canonical(new))
    }

    fn list(names: &Names) -> Vec<&str> {
        names.names.iter().map(String::as_str).collect()
    }

    #[test]
    fn what_differs_is_told_by_name() {
        let changes = between(
            "define a = { 10.0.0.0/8 }\ndefine b = { 10.0.0.1 }\nrule one allow in tcp from a to any\n\
             rule two deny in udp\ntimeout icmp 1m\n",
            "default in deny\ndefine a = { 10.0.0.0/9 }\nrule two deny in udp log\nrule three allow out any\n\
             builtin arp off\nfailsafe in tcp to any port 2222\n",
        );
        assert_eq!(list(&changes.rules.added), ["three"]);
        assert_eq!(list(&changes.rules.removed), ["one"]);
        assert_eq!(list(&changes.rules.changed), ["two"]);
        assert_eq!((list(&changes.sets.changed), list(&changes.sets.removed)), (vec!["a"], vec!["b"]));
        assert_eq!(list(&changes.settings), ["builtin arp", "default in", "failsafe", "timeout icmp"]);
        assert!(!changes.reordered);
    }

    #[test]
    fn the_same_policy_differs_in_nothing_and_another_order_is_a_difference() {
        let (one, two) = ("rule a allow in tcp\n", "rule b allow in udp\n");
        assert_eq!(between(&[one, two].concat(), &[one, two].concat()), Changes::default());
        let swapped = between(&[one, two].concat(), &[two, one].concat());
        assert_eq!(swapped, Changes { reordered: true, ..Changes::default() });
        assert!(!between(&[one, two].concat(), two).reordered);
    }

    #[test]
    fn many_names_are_cut_and_the_rest_is_counted() {
        let text: String = (0..100).map(|i| format!("rule r{i} allow in tcp\n")).collect();
        let added = between("", &text).rules.added;
        assert_eq!((added.count, added.names.len()), (100, NAMED));
        assert!(added.to_string().ends_with("r18, r19 and 80 more"), "{added}");
    }

    #[test]
    fn rules_are_counted_without_reading_them() {
        assert_eq!(count_rules(&canonical("rule a allow in tcp\nrule b deny in udp\ndefault in deny\n")), 2);
    }
}
