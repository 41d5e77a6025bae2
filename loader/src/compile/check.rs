//! Asking the tables about packets of the policy's own rules, and the reference evaluator the same.

use std::collections::HashMap;

use mseg_ebpf::abi::{
    policy::{ACTION_ALLOW, Verdict},
    rule,
};

use super::{RuleIds, Tables};
use crate::{
    error::{Error, Result},
    policy::{
        Action, Address, Addresses, Policy, Sets,
        evaluate::{Cause, Decision, Packet, PacketDirection, evaluate},
        sample::samples,
    },
};

/// Networks that are looked at for all packets together: the evaluator looks at each rule's for each packet.
const WORK: usize = 64_000_000;
/// What else a rule costs, in networks.
const RULE: usize = 16;

/// Compares what the tables and the policy say of packets at the edges of its rules.
///
/// # Errors
/// [`crate::error::Code::Failed`] if they differ in any: then the tables must not be used.
pub(crate) fn check(policy: &Policy, tables: &Tables, ids: &RuleIds) -> Result<()> {
    let most = WORK / (work(policy) + 1);
    for packet in samples(policy, most.clamp(2, 1024)) {
        if let Some(difference) = difference(policy, tables, ids, &packet) {
            return Err(Error::failed(format!("the compiled policy is wrong: {difference}"))
                .hint("nothing was changed; this is a defect of mseg, please report it with the policy"));
        }
    }
    Ok(())
}

/// What it takes to evaluate one packet.
fn work(policy: &Policy) -> usize {
    let sets = Sets::new(&policy.defines);
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut networks = |addresses| match addresses {
        &Addresses::Any => 0,
        Addresses::List(list) => list.iter().fold(0, |sum, address| {
            let more = match address {
                Address::Network(_) => 1,
                Address::Set(name) => *known.entry(name).or_insert_with(|| {
                    let mut members = 0;
                    sets.any_network(sets.members(name), |_| {
                        members += 1;
                        false
                    });
                    members
                }),
            };
            sum + more
        }),
    };
    let sides = policy.rules.iter().map(|rule| [&rule.selector.from.addresses, &rule.selector.to.addresses]);
    sides.map(|sides| RULE + sides.into_iter().map(&mut networks).sum::<usize>()).sum()
}

/// What the tables say that the policy does not, in words.
pub fn difference(policy: &Policy, tables: &Tables, ids: &RuleIds, packet: &Packet) -> Option<String> {
    let Decision { action: decided, cause, audited, .. } = evaluate(policy, packet);
    let allowed = decided == Action::Allow;
    let expected = (allowed, ids.get(cause.name()), audited.iter().map(|rule| ids.get(&rule.name)).collect());
    let Some(answer) = tables.look_up(&packet.tuple()) else {
        return Some("the tables are damaged".to_owned());
    };
    let (allows, rule) = match (answer.verdict, packet.direction) {
        (Some(verdict), _) => (verdict.allows(), verdict.rule()),
        (None, PacketDirection::In) => (tables.header.default_in == ACTION_ALLOW, rule::DEFAULT_IN),
        (None, PacketDirection::Out) => (tables.header.default_out == ACTION_ALLOW, rule::DEFAULT_OUT),
    };
    let found: (bool, Option<u32>, Vec<Option<u32>>) =
        (allows, Some(rule), answer.audited.iter().map(|verdict| Some(verdict.rule())).collect());
    let logs = answer.verdict.is_some_and(Verdict::logs);
    if found == expected && logs == matches!(cause, Cause::Rule(rule) if rule.log) {
        return None;
    }
    Some(format!("{packet:?} is decided by rule {found:?}, and should be by {expected:?} ({})", cause.name()))
}
