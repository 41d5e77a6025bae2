//! What the program itself does with a packet: it runs a second time, on the live policy and with tables, counters and a
//! ring of its own, so that nothing of the instance changes.

use std::collections::BTreeSet;

use mseg_ebpf::abi::{
    config::{Config, MODE_ENFORCE},
    interface::Interface,
    map,
    reason::{self, Reason},
    rule,
    stats::{VERDICT_ALLOWED, VERDICT_DENIED},
};

use super::{Answer, frame};
use crate::{
    attach::role_name,
    error::{Error, Result},
    instance::{Instance, hits},
    kernel::{
        map::{ANY, Map},
        object::InnerMaps,
        second::{Private, Second},
    },
    policy::{Policy, evaluate::Packet},
};

/// Entries of its own tables: one packet makes one.
const FEW: Option<u32> = Some(1024);
/// Bytes of its own ring: the least there is.
const RING: Option<u32> = Some(4096);

/// The maps that the program writes to, and those that say how it judges here rather than in general. All others are the
/// policy, which it shares with the instance.
const PRIVATE: [Private; 14] = [
    (map::CONFIG, None),
    (map::INTERFACES, None),
    (map::SESSIONS, FEW),
    (map::DATAGRAMS, FEW),
    (map::HALF_OPEN, FEW),
    (map::CLOSING, FEW),
    (map::CLOSED, FEW),
    (map::DENIED, FEW),
    (map::FRAGMENTS, FEW),
    (map::SOURCES, FEW),
    (map::RULE_HITS, None),
    (map::STATS, None),
    (map::EVENT_STATS, None),
    (map::EVENTS, RING),
];

/// The loopback interface, by which test runs come.
const LOOPBACK: u32 = 1;
/// `TCX_NEXT` and `TC_ACT_SHOT`.
const NEXT: i32 = -1;
const SHOT: i32 = 2;

/// What the program did with a packet.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) answer: Answer,
    /// The rules with `audit` that counted it.
    pub(super) audited: BTreeSet<String>,
}

/// Runs the packet, as if it came by `interface`, through the program in enforce mode. `policy` is
/// the generation's that `config` says; the caller looks whether it still is, afterwards.
pub(super) fn run(
    instance: &Instance,
    config: &Config,
    policy: &Policy,
    interface: &Interface,
    packet: &Packet,
) -> Result<Ran> {
    let name = format!("{}_{}", role_name(interface.role), packet.direction.name());
    let second = Second::load(&instance.paths().maps, &PRIVATE, &name)?;
    let own = instance.with_maps(second.maps(&PRIVATE)?)?;
    let config = Config { mode: MODE_ENFORCE, deadline_ns: 0, marks: 0, ..*config };
    own.map(map::CONFIG)?.put(&0u32, &config, ANY)?;
    own.map(map::INTERFACES)?.put(&LOOPBACK, interface, ANY)?;
    let hits = own_hits(instance, &own)?;
    let returned = second.run(&frame::of(packet))?;

    let odd = |what: String| Error::failed(format!("the program ran, but {what}"));
    let counters = own.counters()?;
    let moved: Vec<u32> = (0u32..).zip(&counters).filter(|(_, c)| c.packets > 0).map(|(index, _)| index).collect();
    let [index] = moved[..] else { return Err(odd(format!("{} counters moved", moved.len()))) };
    let (verdict, number) = (index / reason::LIMIT, index % reason::LIMIT);
    let reason = Reason::ALL.iter().copied().find(|reason| *reason as u32 == number);
    let reason = reason.ok_or_else(|| odd(format!("it counted an unknown reason ({number})")))?;
    let allow = match (verdict, returned) {
        (VERDICT_ALLOWED, NEXT) => true,
        (VERDICT_DENIED, SHOT) => false,
        _ => return Err(odd(format!("it returned {returned} and counted verdict {verdict}"))),
    };
    let is_audit = |name: &String| policy.rule(name).is_some_and(|rule| rule.audit);
    let (audited, mut decided): (Vec<String>, Vec<String>) = hit(instance, &hits)?.into_iter().partition(is_audit);
    if decided.len() > 1 {
        return Err(odd(format!("it counted it for several rules: {}", decided.join(", "))));
    }
    let none = rule::RESERVED_NAMES[rule::NONE as usize];
    let rule = decided.pop().unwrap_or_else(|| none.to_owned());
    Ok(Ran { answer: Answer { allow, rule, reason }, audited: audited.into_iter().collect() })
}

/// Counters of its own for the rules, where the instance has some.
fn own_hits(instance: &Instance, own: &Instance) -> Result<Vec<(u32, Map)>> {
    let inner = InnerMaps::new();
    let make = |(block, _): (u32, Map)| {
        let map = hits::create(&inner)?;
        own.map(map::RULE_HITS)?.put_map(block, &map)?;
        Ok((block, map))
    };
    instance.hits()?.into_iter().map(make).collect()
}

/// The names of the rules that counted the packet.
fn hit(instance: &Instance, blocks: &[(u32, Map)]) -> Result<Vec<String>> {
    let mut names = instance.rule_names()?;
    let mut found = Vec::new();
    for (block, map) in blocks {
        for (id, sum) in (block * rule::BLOCK..).zip(hits::sums(map)?) {
            if sum.packets > 0 {
                found.push(names.remove(&id).unwrap_or_else(|| format!("#{id}")));
            }
        }
    }
    Ok(found)
}
