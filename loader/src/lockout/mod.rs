//! That nobody locks himself out: before a change of policy or mode, the connection by which the caller is here is
//! judged by what would hold afterwards.
//!
//! Only connections that have a session, or take a way through an attached interface, count; the others, and a console, no
//! policy can cut.

mod caller;
mod judge;
mod live;
mod needs;
mod process;

use mseg_ebpf::abi::{
    config::{Config, MIDSTREAM_GRACE, MIDSTREAM_PICKUP},
    interface::Interface,
    reason::Reason,
};

pub use self::judge::{Connection, Judged, Link, NextHop, Standing, Surroundings, judge};
use crate::{
    attach::{AttachOptions, Midstream, Mode, netns},
    clock::monotonic_ns,
    error::{Code, Error, Result},
    generation::{self, Locked, Waiting},
    instance::{Instance, interfaces::planned},
    policy::{Policy, evaluate::Packet},
};

/// A change that is about to be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// The policy that becomes active; `None`: it stays.
    pub policy: Option<&'a Policy>,
    /// The mode; `None`: it stays.
    pub mode: Option<Mode>,
    /// Whether it is made even if it cuts the caller off, who is then only warned.
    pub force: bool,
}

/// Judges the caller's own connection, and what else he can reach here, by what would hold after a change that is made
/// while these switches hold. Returns what he should be warned of.
///
/// # Errors
/// [`Code::Lockout`] if the change would cut him off, unless it is forced; or what the kernel says.
pub fn check(instance: &Instance, config: &Config, change: &Change<'_>) -> Result<Vec<String>> {
    let mode = Mode::from_value(config.mode);
    let then_mode = change.mode.unwrap_or(mode);
    if then_mode == Mode::Observe && change.policy.is_none() {
        return Ok(Vec::new());
    }
    let surroundings = look(instance, &instance.interfaces()?)?;
    if surroundings.connections.is_empty() {
        return Ok(unread(&surroundings));
    }
    let active = generation::policy(instance, config.generation);
    // That the active policy cannot be read is no reason to keep it; then everything counts as reachable.
    let picks_up = config.midstream == MIDSTREAM_PICKUP;
    let now = active.as_ref().ok().map(|policy| Standing { policy, mode, picks_up });
    let policy = match (change.policy, &active) {
        (Some(policy), _) | (None, Ok(policy)) => policy,
        (None, Err(_)) => return active.map(|_| Vec::new()),
    };
    let then = Standing { policy, mode: then_mode, picks_up };
    let mut warnings = decide(now, &then, &surroundings, change.force, None)?;
    if (mode, then_mode) == (Mode::Observe, Mode::Enforce)
        && denies_midstream(config.midstream, config.grace_until_ns, monotonic_ns()?)
        && let Some(unseen) = surroundings.connections.iter().find(|connection| connection.is_unseen)
    {
        let attach = format!("mseg-loader attach {} {}", unseen.interface, instance.options().arguments());
        let hint = format!("nothing was changed; `{}` gives it a session, or use --force", attach.trim_end());
        warnings.push(cut_in_midstream(unseen, "has no session", &hint, change.force)?);
    }
    Ok([unread(&surroundings), warnings].concat())
}

/// [`check`] for `mseg-loader attach`, some of whose interfaces are not attached yet: their indices and names are `named`.
/// What waits to be confirmed goes on waiting, so they are also judged by what holds again if it is not.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_attach(
    locked: &Locked<'_>,
    options: &AttachOptions,
    named: impl Iterator<Item = (u32, String)>,
) -> Result<Vec<String>> {
    let (instance, config) = (locked.instance(), locked.config());
    let mut interfaces = instance.interfaces()?;
    let here = netns()?;
    let mut added = Vec::new();
    for (ifindex, name) in named {
        if !interfaces.iter().any(|(index, record)| *index == ifindex && record.netns == here) {
            interfaces.push((ifindex, Interface { netns: here, ..planned(&name, options.role.value()) }));
            added.push(name);
        }
    }
    let active = generation::policy(instance, config.generation).ok();
    let mode = Mode::from_value(config.mode);
    let unchanged = Policy::default();
    let policy = options.policy.as_ref().or(active.as_ref()).unwrap_or(&unchanged);
    let midstream = options.midstream.map_or(config.midstream, Midstream::value);
    let picks_up = midstream == MIDSTREAM_PICKUP;
    let then = Standing { policy, mode: options.mode.unwrap_or(mode), picks_up };
    let surroundings = look(instance, &interfaces)?;
    // Through an interface that is not attached, everything can be reached.
    let now = Standing { policy, mode, picks_up: config.midstream == MIDSTREAM_PICKUP };
    let now = active.as_ref().filter(|_| added.is_empty()).map(|policy| Standing { policy, ..now });
    let mut warnings = decide(now, &then, &surroundings, options.force, None)?;
    if let Some(waiting) = locked.waiting().filter(|_| !added.is_empty())
        && let Ok(policy) = generation::policy(instance, waiting.fallback_generation)
    {
        let later = Standing { policy: &policy, mode: waiting.fallback_mode, picks_up };
        warnings.extend(decide(Some(then), &later, &surroundings, options.force, Some(&waiting))?);
    }
    let now_ns = monotonic_ns()?;
    // With an interface, the grace period starts anew.
    let grace_ns = u64::from(options.grace_s) * 1_000_000_000;
    let until = if added.is_empty() { config.grace_until_ns } else { now_ns.saturating_add(grace_ns) };
    if options.adopt == Some(false) && then.mode == Mode::Enforce && denies_midstream(midstream, until, now_ns) {
        let begins = |connection: &&Connection| mode == Mode::Observe || added.contains(&connection.interface);
        if let Some(unseen) = surroundings.connections.iter().filter(|it| it.is_unseen).find(begins) {
            let hint = "nothing was changed; leave out --no-adopt or --midstream strict, or use --force";
            warnings.push(cut_in_midstream(unseen, "would not be adopted", hint, options.force)?);
        }
    }
    Ok([unread(&surroundings), warnings].concat())
}

/// Whether a TCP packet of no known session is denied, as the programs see it.
const fn denies_midstream(midstream: u32, grace_until_ns: u64, now_ns: u64) -> bool {
    match midstream {
        MIDSTREAM_PICKUP => false,
        MIDSTREAM_GRACE => now_ns >= grace_until_ns,
        _ => true,
    }
}

/// What to say of the caller's connection where it needs to be a session, and is none.
fn cut_in_midstream(connection: &Connection, why: &str, hint: &str, force: bool) -> Result<String> {
    let by = format!("`{}` is open already, and {why} ({})", connection.packet(), Reason::TcpMidstream.name());
    if force {
        return Ok(format!("this cuts off your own connection: {by}"));
    }
    Err(Error::new(Code::Lockout, format!("this would cut off your own connection: {by}")).hint(hint))
}

/// The caller and this host as they are now.
fn look(instance: &Instance, interfaces: &[(u32, Interface)]) -> Result<Surroundings> {
    let here = netns()?;
    let attached: Vec<_> = interfaces.iter().copied().filter(|(_, record)| record.netns == here).collect();
    if attached.is_empty() {
        return Ok(Surroundings::default());
    }
    let sessions = live::Sessions::new(instance, interfaces, &attached)?;
    caller::look(std::env::var("SSH_CONNECTION").ok().as_deref(), &attached, &sessions)
}

fn unread(surroundings: &Surroundings) -> Vec<String> {
    let Surroundings { unread, carried, .. } = surroundings;
    let unread = unread.iter().map(|what| format!("cannot read {what}"));
    let carried = carried.iter().map(|tunnel| format!("it passes {tunnel}, and what carries that is not judged"));
    unread.chain(carried).map(|why| format!("whether you keep your connection is not certain: {why}")).collect()
}

/// Warnings that are written out; the others are counted.
const SHOWN: usize = 10;

/// What to do about a connection that is denied.
fn way_in(policy: &Policy, packet: &Packet, by: &str) -> String {
    if policy.rules.iter().any(|rule| rule.name == by && rule.priority == 0) {
        return format!("no rule comes before {by}, whose priority is 0: change it, or use --force");
    }
    let Packet { source, destination, destination_port, .. } = packet;
    let from = format!("{} tcp from {source} to {destination} port {destination_port}", packet.direction.name());
    format!("let yourself in, by `rule me allow {from} priority 0` say, or use --force")
}

/// [`judge`]s, and says what there is to warn of. `undone` is the change that waits, if `then` is what holds after it.
fn decide(
    now: Option<Standing<'_>>,
    then: &Standing<'_>,
    surroundings: &Surroundings,
    force: bool,
    undone: Option<&Waiting>,
) -> Result<Vec<String>> {
    let judged = judge(now, *then, surroundings);
    let when = undone.map_or_else(String::new, |waiting| format!("when {} holds again, ", waiting.fallback()));
    let mut warnings = Vec::new();
    let cut = judged.cut.iter().map(|(connection, answer)| {
        let packet = connection.packet();
        let by = format!("`{packet}` is denied by {} ({})", answer.rule, answer.reason.name());
        (by, way_in(then.policy, &packet, &answer.rule))
    });
    let lacking = judged.lacking.iter().map(|(connection, need)| {
        (format!("`{}` {need}", connection.packet()), format!("{}, or use --force", need.remedy()))
    });
    for (by, hint) in cut.chain(lacking) {
        match (then.mode, force) {
            (Mode::Observe, _) => {
                warnings.push(format!("{when}to enforce this would cut off your own connection: {by}"));
            }
            (Mode::Enforce, true) => warnings.push(format!("{when}this cuts off your own connection: {by}")),
            (Mode::Enforce, false) => {
                return Err(Error::new(Code::Lockout, format!("{when}this would cut off your own connection: {by}"))
                    .hint(format!("nothing was changed; {hint}")));
            }
        }
    }
    let lost = judged.lost.iter().map(|(packet, answer)| {
        let (at, by) = (packet.destination_port, format!("{} ({})", answer.rule, answer.reason.name()));
        let Packet { source, destination, .. } = packet;
        format!("{when}{destination} port {at}, which listens, can be reached from {source} no more: {by}")
    });
    warnings.extend(lost.take(SHOWN));
    if judged.lost.len() > SHOWN {
        warnings.push(format!("and {} more that can be reached no more", judged.lost.len() - SHOWN));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use mseg_ebpf::abi::config::MIDSTREAM_STRICT;

    use super::*;

    #[test]
    fn midstream_is_denied_when_strict_and_once_grace_is_over() {
        let denied = |midstream| [9, 10].map(|now_ns| denies_midstream(midstream, 10, now_ns));
        assert_eq!(denied(MIDSTREAM_GRACE), [false, true]);
        assert_eq!(denied(MIDSTREAM_PICKUP), [false, false]);
        assert_eq!(denied(MIDSTREAM_STRICT), [true, true]);
        assert_eq!(denied(77), [true, true], "as the programs take it");
    }
}
