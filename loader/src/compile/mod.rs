//! The compiler: a [`Policy`] as the entries of RULES, in order of precedence. What does not fit is refused by name.

mod entry;
mod ids;
mod prefix;
#[cfg(test)]
mod tests;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mseg_ebpf::abi::{
    policy::{
        ACTION_ALLOW, ACTION_DENY, ATTRIBUTE_LOG, MAX_RULE_ENTRIES, PolicyHeader, RuleEntry, TEXT_CHUNK, TEXT_CHUNKS,
    },
    rule,
};

pub use self::ids::RuleIds;
use self::{entry::Expansion, prefix::Resolver};
use crate::{
    error::{Code, Error, Result},
    policy::{Action, Address, Addresses, Direction, Endpoint, Policy, PortRange, Protocol, Rule, Selector, Sets},
};

/// Bytes of text that fit in POLICY_TEXT.
pub const MAX_TEXT: usize = TEXT_CHUNK * TEXT_CHUNKS as usize;

/// Rules that a refusal names.
const NAMED: usize = 5;

/// A policy as the maps hold it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// All but `generation` and `applied_unix_ns`, which are zero.
    pub header: PolicyHeader,
    /// In order of precedence: the first match decides.
    pub entries: Vec<RuleEntry>,
    /// The policy in canonical form.
    pub text: String,
    /// Id and name of each rule, in the order of the policy.
    pub rules: Vec<(u32, String)>,
}

/// Compiles a policy. `ids` is changed only on success.
///
/// # Errors
/// [`Code::InvalidPolicy`] if the policy makes no sense, or does not fit in the maps: more than [`MAX_TEXT`] bytes of
/// text, more than [`MAX_RULE_ENTRIES`] entries, more rules than there are ids.
pub fn compile(policy: &Policy, ids: &mut RuleIds) -> Result<Compiled> {
    let text = policy.to_string();
    if text.len() > MAX_TEXT {
        let message = format!("the policy has {} bytes of text, and {MAX_TEXT} fit", text.len());
        return Err(Error::new(Code::InvalidPolicy, message));
    }
    // A model can be made without the parser, which is where the checks are.
    policy.check()?;

    // Each rule takes an entry at least, so too many need no more work to be refused.
    if policy.rules.len() > MAX_RULE_ENTRIES as usize {
        let message = format!("the policy has {} rules, and {MAX_RULE_ENTRIES} entries fit", policy.rules.len());
        return Err(Error::new(Code::InvalidPolicy, message));
    }
    let mut new_ids = ids.clone();
    let mut rules = Vec::with_capacity(policy.rules.len());
    for rule in &policy.rules {
        let id = new_ids.id(&rule.name).map_err(|error| Error { code: Code::InvalidPolicy, ..error })?;
        rules.push((id, rule.name.clone()));
    }
    let entries = entries(policy, &rules)?;
    let header = PolicyHeader {
        generation: 0,
        entries: entries.len() as u32,
        text_bytes: text.len() as u32,
        builtins: policy.builtins.bits(),
        default_in: action(policy.defaults.inbound),
        default_out: action(policy.defaults.outbound),
        matches: entries.iter().fold(0, |fields, entry| fields | entry.matches),
        timeouts_s: policy.timeouts.0,
        applied_unix_ns: 0,
    };
    *ids = new_ids;
    Ok(Compiled { header, entries, text, rules })
}

fn action(action: Action) -> u8 {
    match action {
        Action::Allow => ACTION_ALLOW,
        Action::Deny => ACTION_DENY,
    }
}

/// What is allowed by something other than a rule: `failsafe` lines, then DHCP.
fn builtins(policy: &Policy) -> Vec<(u32, Selector)> {
    let mut builtins = Vec::new();
    if policy.builtins.failsafe {
        builtins.extend(policy.failsafe.iter().map(|selector| (rule::FAILSAFE, selector.clone())));
    }
    if policy.builtins.dhcp {
        builtins.extend(dhcp().map(|selector| (rule::DHCP, selector)));
    }
    builtins
}

/// A DHCP client's packets and those for it (RFC 2131 section 4.1, RFC 8415 section 7.2).
fn dhcp() -> [Selector; 4] {
    let flow = |direction, from: u16, to: u16, everyone: IpNet| {
        let endpoint = |port| Endpoint {
            addresses: Addresses::List(vec![Address::Network(everyone)]),
            ports: vec![PortRange { first: port, last: port }],
        };
        let (from, to) = (endpoint(from), endpoint(to));
        Selector { direction, protocol: Protocol::Udp, from, to, icmp: None, interface: None }
    };
    // The default of a network is the whole of its family.
    let (v4, v6) = (IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default()));
    [
        flow(Direction::Out, 68, 67, v4),
        flow(Direction::In, 67, 68, v4),
        flow(Direction::Out, 546, 547, v6),
        flow(Direction::In, 547, 546, v6),
    ]
}

fn entries(policy: &Policy, ids: &[(u32, String)]) -> Result<Vec<RuleEntry>> {
    let builtins = builtins(policy);
    let mut resolver = Resolver::new(Sets::new(&policy.defines));

    let tried = |(rule, _): &(&Rule, &(u32, String))| !rule.audit;
    let mut order: Vec<(&Rule, u32)> =
        policy.rules.iter().zip(ids).filter(tried).map(|(rule, (id, _))| (rule, *id)).collect();
    // A stable sort: of equals, the first in the text stays first.
    order.sort_by_key(|(rule, _)| (rule.priority, action(rule.action)));
    const _: () = assert!(ACTION_DENY < ACTION_ALLOW, "deny goes first");

    let built_in = builtins
        .iter()
        .map(|(id, selector)| (rule::RESERVED_NAMES[*id as usize], selector, entry::empty(*id, ACTION_ALLOW, 0)));
    let written = order.into_iter().map(|(rule, id)| {
        let attributes = if rule.log { ATTRIBUTE_LOG } else { 0 };
        (rule.name.as_str(), &rule.selector, entry::empty(id, action(rule.action), attributes))
    });
    let (mut entries, mut counts) = (Vec::new(), Vec::new());
    for (name, selector, like) in built_in.chain(written) {
        let expansion = Expansion::new(selector, &mut resolver);
        let count = expansion.count();
        counts.push((name, count));
        // Beyond the limit, counting goes on, so that the largest rules can be named.
        if count + entries.len() as u64 <= u64::from(MAX_RULE_ENTRIES) {
            expansion.write(&like, &mut entries);
        }
    }
    refuse_too_many(counts)?;
    Ok(entries)
}

fn refuse_too_many(mut counts: Vec<(&str, u64)>) -> Result<()> {
    let total = counts.iter().fold(0, |total: u64, (_, count)| total.saturating_add(*count));
    if total <= u64::from(MAX_RULE_ENTRIES) {
        return Ok(());
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let largest: Vec<String> = counts.iter().take(NAMED).map(|(name, count)| format!("`{name}` {count}")).collect();
    let message = format!(
        "the policy needs {total} entries, and {MAX_RULE_ENTRIES} fit; the largest rules: {}",
        largest.join(", ")
    );
    let hint =
        "a rule takes an entry for each combination of its networks and port ranges: use wider networks and ranges";
    Err(Error::new(Code::InvalidPolicy, message).hint(hint))
}
