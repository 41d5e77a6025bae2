//! What statements must agree on with each other: the sets that they name, and the families of their addresses.

use std::{collections::BTreeSet, ops::Range};

use ipnet::IpNet;

use super::{
    address::{Address, Addresses, Sets},
    model::{Policy, Protocol, Selector},
    problem::{Problem, Problems},
    statement::SelectorSite,
    value::ListSite,
    words,
};

const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// Unknown sets for which a similar name is looked for, and names that are compared: each comparison takes a while.
const SUGGESTIONS: usize = 20;
const COMPARED: usize = 1000;

/// The checks that need every set.
pub(super) struct Check<'a> {
    policy: &'a Policy,
    sets: Sets<'a>,
    /// Sets with errors, of which nothing is known but that they exist.
    broken: &'a BTreeSet<String>,
    /// The set whose members are looked at.
    within: Option<&'a str>,
    /// There may be sets that were not read.
    incomplete: bool,
    /// Families of each set's members.
    families: Vec<u8>,
    unknown: usize,
    problems: &'a mut Problems,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        broken: &'a BTreeSet<String>,
        incomplete: bool,
        problems: &'a mut Problems,
    ) -> Self {
        let families = vec![0; policy.defines.len()];
        let sets = Sets::new(&policy.defines);
        Self { policy, sets, broken, within: None, incomplete, families, unknown: 0, problems }
    }

    /// Unknown sets within sets, and sets that contain themselves. Comes before any selector.
    pub(super) fn defines(&mut self, sites: &[(usize, ListSite)]) {
        let policy = self.policy;
        let (order, cycles) = self.sets.order();
        for index in order {
            let (file, site) = &sites[index];
            self.problems.enter(*file);
            self.within = Some(&policy.defines[index].name);
            self.families[index] = self.list(&policy.defines[index].members, site);
        }
        self.within = None;
        for cycle in cycles {
            let define = &policy.defines[cycle.define];
            let (file, site) = &sites[cycle.define];
            let span = site.set(cycle.member);
            let member = define.members[cycle.member].to_string();
            let problem = if member == define.name {
                Problem::found(span, "a set contains itself:", &member, "is the set that is defined here")
            } else {
                Problem::found(span, "sets contain each other:", &member, format!("contains `{}` in turn", define.name))
            };
            self.problems.enter(*file);
            self.problems.push(problem);
            // What it holds is unknown; nothing more is to be said about it.
            self.families[cycle.define] = IPV4 | IPV6;
        }
    }

    /// Unknown sets in a list of a statement that is wrong otherwise.
    pub(super) fn failed(&mut self, file: usize, list: &[Address], site: &ListSite) {
        self.problems.enter(file);
        self.list(list, site);
    }

    /// The families in a list, with every unknown set reported.
    fn list(&mut self, list: &[Address], site: &ListSite) -> u8 {
        let mut families = 0;
        for (element, address) in list.iter().enumerate() {
            families |= match address {
                Address::Network(IpNet::V4(_)) => IPV4,
                Address::Network(IpNet::V6(_)) => IPV6,
                Address::Set(name) => match self.sets.index(name) {
                    // In a cycle, the set is not reached yet.
                    Some(index) if self.families[index] == 0 => IPV4 | IPV6,
                    Some(index) => self.families[index],
                    None => {
                        if !self.incomplete && !self.broken.contains(name) {
                            self.unknown_set(name, site.set(element));
                        }
                        IPV4 | IPV6
                    }
                },
            };
        }
        families
    }

    fn unknown_set(&mut self, name: &str, span: Range<usize>) {
        self.unknown += 1;
        let mut problem = Problem::found(span, "unknown set", name, "no `define` makes it");
        if self.unknown <= SUGGESTIONS {
            let broken = self.broken.iter().map(String::as_str);
            let names = self.sets.names().take(COMPARED).chain(broken.take(COMPARED));
            let others = names.filter(|other| Some(*other) != self.within);
            problem.help = words::similar(name, others).map(|meant| format!("did you mean `{meant}`?"));
        }
        self.problems.push(problem);
    }

    /// Unknown sets, and whether any packet can match.
    pub(super) fn selector(&mut self, file: usize, selector: &Selector, site: &SelectorSite) {
        self.problems.enter(file);
        let mut side = |addresses: &Addresses, within: &ListSite| match addresses {
            Addresses::Any => IPV4 | IPV6,
            Addresses::List(list) => self.list(list, within),
        };
        let from = side(&selector.from.addresses, &site.from);
        let to = side(&selector.to.addresses, &site.to);
        let (protocol, needs) = match selector.protocol {
            Protocol::Icmp => (IPV4, "`icmp` is of IPv4; write `icmpv6` for IPv6"),
            Protocol::Icmpv6 => (IPV6, "`icmpv6` is of IPv6; write `icmp` for IPv4"),
            _ => (IPV4 | IPV6, ""),
        };
        let (span, label) = if from & to == 0 {
            (site.to.whole.clone(), format!("is {}, the source is {}", family(to), family(from)))
        } else if from & to & protocol == 0 {
            (site.protocol.clone(), format!("is not of {}, which the addresses are", family(from & to)))
        } else {
            return;
        };
        let help = (from & to != 0).then(|| needs.to_owned());
        self.problems.push(Problem { span, message: "no packet can match".to_owned(), label, help });
    }
}

fn family(families: u8) -> &'static str {
    match families {
        IPV4 => "IPv4",
        IPV6 => "IPv6",
        _ => "both",
    }
}
