//! What the program itself does with a packet: it runs a second time, on the live policy and with tables, counters and a
//! ring of its own, so that nothing of the instance changes.

use std::ops::ControlFlow;

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
    instance::{Instance, Table},
    kernel::{
        map::ANY,
        second::{Private, Second},
    },
    policy::evaluate::Packet,
};

/// Entries of its own tables: one packet makes one.
const FEW: Option<u32> = Some(1024);
/// Bytes of its own ring: the least there is.
const RING: Option<u32> = Some(4096);

/// The maps that the program writes to, and those that say how it judges here rather than in general. All others are the
/// policy, which it shares with the instance.
const PRIVATE: [Private; 12] = [
    (map::CONFIG, None),
    (map::INTERFACES, None),
    (map::SESSIONS, FEW),
    (map::DATAGRAMS, FEW),
    (map::HALF_OPEN, FEW),
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

/// Runs the packet, as if it came by `interface`, through the program in enforce mode. The caller holds the lock.
pub(super) fn run(instance: &Instance, config: &Config, interface: &Interface, packet: &Packet) -> Result<Answer> {
    let name = format!("{}_{}", role_name(interface.role), packet.direction.name());
    let second = Second::load(&instance.paths().maps, &PRIVATE, &name)?;
    let own = instance.with_maps(second.maps(&PRIVATE)?)?;
    let config = Config { mode: MODE_ENFORCE, deadline_ns: 0, marks: 0, ..*config };
    own.map(map::CONFIG)?.put(&0u32, &config, ANY)?;
    own.map(map::INTERFACES)?.put(&LOOPBACK, interface, ANY)?;
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
    let id = rule_of(&own)?;
    let name = instance.rule_names()?.remove(&id).unwrap_or_else(|| format!("#{id}"));
    Ok(Answer { allow, rule: name, reason })
}

/// The rule that the one packet is credited to: in its session, in its denial, or in the hits, which alone know of what
/// passes without a session.
fn rule_of(own: &Instance) -> Result<u32> {
    let mut found = rule::NONE;
    own.for_each_session(Table::HalfOpen, &mut |_, session| {
        found = session.rule;
        ControlFlow::Break(())
    })?;
    own.for_each_denied(&mut |_, denied| {
        found = denied.rule;
        ControlFlow::Break(())
    })?;
    if found == rule::NONE {
        let hits = own.rule_hits()?;
        found = (0u32..).zip(&hits).find(|(_, hits)| hits.packets > 0).map_or(rule::NONE, |(id, _)| id);
    }
    Ok(found)
}
