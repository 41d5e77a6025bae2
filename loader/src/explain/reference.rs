//! What must become of a packet that opens a session: the programs' order, with the reference evaluator for the policy.

use mseg_ebpf::{
    abi::{reason::Reason, rule},
    packet::{Packet as Headers, parse, transport::ECHO_NONE, transport::ECHO_REPLY},
};

use super::{Answer, Step, StepName, frame};
use crate::policy::{
    Action, Policy, Rule,
    evaluate::{Cause, Packet, evaluate},
};

/// The answer, and how it came about.
pub(super) struct Reference<'a> {
    pub(super) answer: Answer,
    pub(super) steps: Vec<Step>,
    pub(super) audited: Vec<&'a Rule>,
    pub(super) next: Vec<&'a Rule>,
}

/// Judges a packet by a policy, without a kernel.
pub(super) fn judge<'a>(policy: &'a Policy, packet: &Packet) -> Reference<'a> {
    let frame = frame::of(packet);
    let mut headers = Headers::default();
    let mut steps = Vec::new();
    if let Err(reason) = parse(&frame[..], &mut headers) {
        steps.push(Step::new(StepName::Parse, format!("the packet is malformed: {}", reason.name())));
        return Reference { answer: Answer::unruled(reason), steps, audited: Vec::new(), next: Vec::new() };
    }
    let version = if headers.ipv6 == 0 { "IPv4" } else { "IPv6" };
    let protocol = crate::view::Protocol(packet.protocol);
    let what = format!("{version}, {protocol}, a frame of {} bytes", frame.len());
    steps.push(Step::new(StepName::Parse, what));
    if let Some((answer, text)) = before_policy(policy, &headers) {
        steps.push(Step::new(StepName::BuiltIn, text));
        return Reference { answer, steps, audited: Vec::new(), next: Vec::new() };
    }
    by_policy(policy, packet, steps)
}

/// What is decided before any rule is asked, and why.
fn before_policy(policy: &Policy, headers: &Headers) -> Option<(Answer, String)> {
    let builtin = |id: u32| {
        let name = rule::RESERVED_NAMES[id as usize];
        let answer = Answer { allow: true, rule: name.to_owned(), reason: Reason::Builtin };
        Some((answer, format!("builtin {name} lets it pass before any rule is asked")))
    };
    if headers.echo == ECHO_REPLY {
        let text = "an echo reply that nobody asked for opens no session, whatever the policy says";
        return Some((Answer::unruled(Reason::IcmpUnsolicited), text.to_owned()));
    }
    if !headers.is_icmp() || headers.echo != ECHO_NONE {
        return None;
    }
    if policy.builtins.nd && headers.is_neighbour_discovery() {
        return builtin(rule::ND);
    }
    if policy.builtins.mld && headers.is_listener_discovery() {
        return builtin(rule::MLD);
    }
    if policy.builtins.icmp_errors && headers.is_icmp_error() {
        let text = "builtin icmp-errors lets an error pass if the packet it quotes is of a live session; this one quotes \
                    none";
        return Some((Answer::unruled(Reason::IcmpErrorUnrelated), text.to_owned()));
    }
    None
}

fn by_policy<'a>(policy: &'a Policy, packet: &Packet, mut steps: Vec<Step>) -> Reference<'a> {
    let decision = evaluate(policy, packet);
    let (allow, name) = (decision.action == Action::Allow, decision.cause.name());
    let reason = match (decision.cause, allow) {
        (Cause::Failsafe | Cause::Dhcp, _) => Reason::Builtin,
        (Cause::Rule(_), true) => Reason::RuleAllow,
        (Cause::Rule(_), false) => Reason::RuleDeny,
        (Cause::Default(_), true) => Reason::DefaultAllow,
        (Cause::Default(_), false) => Reason::DefaultDeny,
    };
    let verdict = if allow { "allow" } else { "deny" };
    match decision.cause {
        Cause::Failsafe | Cause::Dhcp => {
            let text = format!("builtin {name} lets it pass before any rule is asked");
            steps.push(Step::new(StepName::BuiltIn, text));
        }
        Cause::Rule(rule) => {
            steps.push(Step::new(StepName::BuiltIn, "no built-in rule lets it pass"));
            let others = decision.audited.len() + decision.next.len();
            let text = format!("{} of {} rules match; {rule}", others + 1, policy.rules.len());
            steps.push(Step::new(StepName::Rules, text));
        }
        Cause::Default(direction) => {
            steps.push(Step::new(StepName::BuiltIn, "no built-in rule lets it pass"));
            let text = match decision.audited.len() {
                0 => format!("none of {} rules matches", policy.rules.len()),
                number => format!("{number} of {} rules match, but only audit", policy.rules.len()),
            };
            steps.push(Step::new(StepName::Rules, text));
            steps.push(Step::new(StepName::Default, format!("default {} {verdict}", direction.name())));
        }
    }
    let answer = Answer { allow, rule: name.to_owned(), reason };
    Reference { answer, steps, audited: decision.audited, next: decision.next }
}
