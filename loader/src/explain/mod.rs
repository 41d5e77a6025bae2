//! Why a packet gets its verdict: by the program itself on the live policy ([`by_program`]), or by the reference
//! evaluator on any policy ([`by_policy`]).

mod frame;
mod program;
mod reference;

use std::fmt;

use mseg_ebpf::{
    abi::{
        interface::{FLAG_INGRESS_ONLY, Interface, ROLE_WORKLOAD},
        reason::Reason,
        rule,
        session::{Session, SessionKey},
    },
    packet::protocol,
};

use self::{program::Ran, reference::Reference};
use crate::{
    attach::{Mode, Role},
    clock::Clock,
    error::{Code, Error, Result},
    generation,
    instance::{Instance, interface_name, interfaces::planned},
    policy::{
        Action, LOOPBACK, Policy, Rule,
        evaluate::{Packet, PacketDirection},
    },
    view::{self, Direction, Endpoint, Protocol, RuleAction, SessionId, State, Verdict, names::names},
};

/// What becomes of a packet, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it passes in enforce mode.
    pub allow: bool,
    /// The rule's name, or the reserved name of what else decided; `none` if the policy was not asked.
    pub rule: String,
    /// Why.
    pub reason: Reason,
}

impl Answer {
    fn unruled(reason: Reason) -> Self {
        Self { allow: false, rule: rule::RESERVED_NAMES[rule::NONE as usize].to_owned(), reason }
    }

    /// What becomes of the packet.
    pub const fn verdict(&self) -> Verdict {
        if self.allow { Verdict::Allow } else { Verdict::Deny }
    }
}

/// `deny by no-telnet (rule-deny)`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {} ({})", self.verdict(), self.rule, self.reason.name())
    }
}

names! {
    /// Who gave the answer.
    pub enum Judge {
        /// The loaded program; the reference evaluator agrees.
        Program = "program",
        /// The reference evaluator.
        Evaluator = "evaluator",
    }
}

names! {
    /// A step on a packet's way to its verdict.
    pub enum StepName {
        /// Reading its headers.
        Parse = "parse",
        /// Looking for a live session of its two ends.
        Session = "session",
        /// The built-in rules.
        BuiltIn = "built-in",
        /// The rules of the policy.
        Rules = "rules",
        /// The default of its direction.
        Default = "default",
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// What came of it, for people.
    pub result: String,
}

impl Step {
    fn new(step: StepName, result: impl Into<String>) -> Self {
        Self { step, result: result.into() }
    }
}

/// A rule that matches the packet.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Matching {
    /// Its name.
    pub name: String,
    /// What it would do.
    pub action: RuleAction,
    /// Lower is asked first.
    pub priority: u16,
    /// In the policy language.
    pub text: String,
}

impl Matching {
    fn of(rule: &Rule) -> Self {
        let action = if rule.action == Action::Allow { RuleAction::Allow } else { RuleAction::Deny };
        Self { name: rule.name.clone(), action, priority: rule.priority, text: rule.to_string() }
    }
}

/// The packet that was explained.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct PacketView {
    /// Which way it goes, as the protected side sees it.
    pub direction: Direction,
    /// Protocol.
    pub protocol: Protocol,
    /// The sender; port 0 for protocols without ports.
    pub from: Endpoint,
    /// The receiver.
    pub to: Endpoint,
    /// Type of ICMP and ICMPv6; null for other protocols.
    pub icmp_type: Option<u8>,
    /// Code of ICMP and ICMPv6.
    pub icmp_code: Option<u8>,
    /// The interface; null if none was named.
    pub interface: Option<String>,
    /// In the policy language.
    pub text: String,
}

impl PacketView {
    fn of(packet: &Packet) -> Self {
        let icmp = matches!(packet.protocol, protocol::ICMP | protocol::ICMPV6);
        Self {
            direction: match packet.direction {
                PacketDirection::In => Direction::In,
                PacketDirection::Out => Direction::Out,
            },
            protocol: Protocol(packet.protocol),
            from: Endpoint { address: packet.source, port: packet.source_port },
            to: Endpoint { address: packet.destination, port: packet.destination_port },
            icmp_type: icmp.then_some(packet.icmp_type),
            icmp_code: icmp.then_some(packet.icmp_code),
            interface: (!packet.interface.is_empty()).then(|| packet.interface.clone()),
            text: packet.to_string(),
        }
    }
}

/// A live session between the packet's two ends.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct LiveSession {
    /// Names the session.
    pub id: SessionId,
    /// Its state.
    pub state: Option<State>,
    /// The rule that decided it.
    pub rule: String,
    /// What its packets get.
    pub verdict: Verdict,
    /// The policy generation it was last judged in.
    pub generation: u32,
}

/// Why a packet that opens a session gets its verdict.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Explanation {
    /// What becomes of it in enforce mode.
    pub verdict: Verdict,
    /// The rule that decides, or the reserved name of what else does; `none` if the policy was not asked.
    pub rule: String,
    /// Why, by the names of the counters.
    pub reason: &'static str,
    /// The generation of the policy; null for a candidate that is not applied.
    pub generation: Option<u32>,
    /// The mode; while observing, what is denied passes. Null for a candidate.
    pub mode: Option<Mode>,
    /// Who says so.
    pub decided_by: Judge,
    /// The packet.
    pub packet: PacketView,
    /// The live session between its ends, whose packets are not judged by this; null if there is none, and for a
    /// candidate.
    pub session: Option<LiveSession>,
    /// The steps to the verdict, in their order.
    pub steps: Vec<Step>,
    /// The rules with `audit` that match before the verdict: they count it and report it.
    pub audited: Vec<Matching>,
    /// The rules that would have matched next, in their order.
    pub next: Vec<Matching>,
}

impl Explanation {
    fn new(answer: &Answer, judge: Judge, packet: &Packet, reference: Reference<'_>) -> Self {
        Self {
            verdict: answer.verdict(),
            rule: answer.rule.clone(),
            reason: answer.reason.name(),
            generation: None,
            mode: None,
            decided_by: judge,
            packet: PacketView::of(packet),
            session: None,
            steps: reference.steps,
            audited: reference.audited.into_iter().map(Matching::of).collect(),
            next: reference.next.into_iter().map(Matching::of).collect(),
        }
    }
}

/// What a policy says of a packet that opens a session, by the reference evaluator.
pub fn answer(policy: &Policy, packet: &Packet) -> Answer {
    reference::judge(policy, packet).answer
}

/// Explains what a policy says of a packet that opens a session, by the reference evaluator. Needs no kernel.
///
/// # Errors
/// [`Code::Usage`] if no packet passes loopback in that direction.
pub fn by_policy(policy: &Policy, packet: &Packet) -> Result<Explanation> {
    refuse_unseen(&planned(&packet.interface, Role::Host.value()), packet)?;
    let reference = reference::judge(policy, packet);
    Ok(Explanation::new(&reference.answer.clone(), Judge::Evaluator, packet, reference))
}

/// Refuses a packet of loopback that leaves: there it arrives at once, and is judged only then.
fn refuse_unseen(interface: &Interface, packet: &Packet) -> Result<()> {
    let judged = if interface.role == ROLE_WORKLOAD { PacketDirection::Out } else { PacketDirection::In };
    let name = interface_name(interface);
    if packet.direction == judged || !(interface.flags & FLAG_INGRESS_ONLY != 0 || name == LOOPBACK) {
        return Ok(());
    }
    let [asked, judged] = [packet.direction.name(), judged.name()];
    let message =
        format!("on loopback packets are judged once, in direction {judged}: nothing passes {name} as {asked}");
    Err(Error::new(Code::Usage, message).hint(format!("ask about the same packet as `{judged} ... iface {name}`")))
}

/// Explains what the active policy says of a packet that opens a session, by a second run of the program, which the
/// reference evaluator must agree with. Nothing of the instance changes, and nobody who changes it has to wait, unless it is
/// changed again and again. `role` is for an interface that is not attached, or to be seen in another role.
///
/// # Errors
/// [`Code::Usage`] if the interface is not attached and there is no `role`, or if it must be named, or if no packet passes
/// it in that direction; [`Code::Permission`] without the right to load programs; [`Code::Failed`] with both answers if
/// they differ.
pub fn by_program(instance: &Instance, packet: &Packet, role: Option<Role>) -> Result<Explanation> {
    let generations = || Ok::<_, Error>((instance.config()?.generation, instance.generations()?));
    for _ in 0..ATTEMPTS {
        let before = generations()?;
        let explained = by_program_once(instance, packet, role);
        // Right or wrong, it is about what was there all the time.
        if generations()? == before {
            return explained;
        }
    }
    // Under their lock there is no writer, but the fallback of what nobody confirms.
    let _lock = instance.lock()?;
    by_program_once(instance, packet, role)
}

/// How often a packet is explained anew because the policy was changed meanwhile.
const ATTEMPTS: usize = 10;

fn by_program_once(instance: &Instance, packet: &Packet, role: Option<Role>) -> Result<Explanation> {
    let interface = interface(&instance.interfaces()?, &packet.interface, role)?;
    refuse_unseen(&interface, packet)?;
    let packet = Packet { interface: interface_name(&interface).to_owned(), ..packet.clone() };
    let config = instance.config()?;
    let policy = generation::policy(instance, config.generation)?;
    let mut reference = reference::judge(&policy, &packet);
    let Ran { answer, audited } = program::run(instance, &config, &policy, &interface, &packet)?;
    if answer != reference.answer || audited != reference.audited.iter().map(|rule| rule.name.clone()).collect() {
        return Err(Error::failed(format!(
            "the program and the reference evaluator disagree about `{packet}` in generation {}: {answer}{} says the \
             program, {}{} the evaluator",
            config.generation,
            audited_by(audited.iter().map(String::as_str)),
            reference.answer,
            audited_by(reference.audited.iter().map(|rule| &*rule.name))
        ))
        .hint("this is an error in mseg; please report it with the output of `msegctl policy show`"));
    }
    let session = live_session(instance, &packet, interface.zone)?;
    let step = Step::new(StepName::Session, session_step(&packet, session.as_ref(), config.generation));
    reference.steps.insert(reference.steps.len().min(1), step);
    Ok(Explanation {
        generation: Some(config.generation),
        mode: Some(Mode::from_value(config.mode)),
        session,
        ..Explanation::new(&answer, Judge::Program, &packet, reference)
    })
}

/// `, audited by a, b`; nothing if there are none.
fn audited_by<'a>(rules: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = rules.collect();
    if names.is_empty() { String::new() } else { format!(", audited by {},", names.join(", ")) }
}

/// The interface the packet passes.
fn interface(attached: &[(u32, Interface)], name: &str, role: Option<Role>) -> Result<Interface> {
    let names = || attached.iter().map(|(_, record)| interface_name(record)).collect::<Vec<_>>().join(", ");
    let found = match attached {
        [(_, only)] if name.is_empty() => Some(*only),
        _ => attached.iter().map(|(_, record)| *record).find(|record| interface_name(record) == name),
    };
    match (found, role) {
        (Some(record), Some(role)) if record.role != role.value() => Ok(planned(interface_name(&record), role.value())),
        (Some(record), _) => Ok(record),
        (None, Some(role)) => Ok(planned(name, role.value())),
        (None, None) if name.is_empty() && !attached.is_empty() => {
            Err(Error::new(Code::Usage, "several interfaces are attached, and the packet passes one of them")
                .hint(format!("name it by --iface: {}", names())))
        }
        (None, None) if attached.is_empty() => Err(Error::new(Code::Usage, "no interface is attached")
            .hint("say by --role how the packet's interface would be attached")),
        (None, None) => Err(Error::new(Code::Usage, format!("interface \"{name}\" is not attached"))
            .hint(format!("attached: {}; or say by --role how it would be", names()))),
    }
}

fn live_session(instance: &Instance, packet: &Packet, zone: u16) -> Result<Option<LiveSession>> {
    if matches!(packet.protocol, protocol::ICMP | protocol::ICMPV6) {
        return Ok(None);
    }
    let (from, to) = ((packet.source, packet.source_port), (packet.destination, packet.destination_port));
    let id = SessionId::between(packet.protocol, from, to, 0, zone);
    let clock = Clock::now()?;
    let found: Option<(SessionKey, Session)> = instance.session(&id.0)?.map(|(_, session)| (id.0, session));
    let Some((_, session)) = found.filter(|(_, session)| !view::is_expired(&clock, session)) else {
        return Ok(None);
    };
    Ok(Some(LiveSession {
        id,
        state: State::of(session.state),
        rule: instance.rule_names()?.remove(&session.rule).unwrap_or_else(|| format!("#{}", session.rule)),
        verdict: Verdict::of_flags(session.flags),
        generation: session.generation,
    }))
}

fn session_step(packet: &Packet, session: Option<&LiveSession>, generation: u32) -> String {
    match session {
        None if matches!(packet.protocol, protocol::ICMP | protocol::ICMPV6) => {
            "not looked for: only an echo has one, by its identifier".to_owned()
        }
        None => "there is none between these ends: the packet is judged as the first of one".to_owned(),
        Some(LiveSession { id, rule, verdict, generation: judged, .. }) => {
            let again = if *judged == generation { "" } else { " once its next packet was judged again" };
            format!(
                "{id} is live: its packets get {verdict} by {rule} without asking the policy{again}; what follows is \
                 for a packet that opens it anew"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use mseg_ebpf::packet::{Kind, Packet as Headers, parse};

    use super::*;
    use crate::policy;

    const POLICY: &str = "default in deny\n\
                          rule look allow in tcp to any port 80 audit\n\
                          rule web allow in tcp to any port 80 priority 2000\n\
                          rule rest deny in tcp priority 3000\n";

    fn explain(packet: &str) -> Explanation {
        by_policy(&policy::parse("test", POLICY).unwrap(), &policy::parse_packet(packet).unwrap()).unwrap()
    }

    #[test]
    fn packet_that_leaves_by_loopback_is_not_explained() {
        let ask = |direction: &str, iface: &str| {
            let text = format!("{direction} tcp from 127.0.0.1 to 127.0.0.1 port 80{iface}");
            by_policy(&policy::parse("test", POLICY).unwrap(), &policy::parse_packet(&text).unwrap())
        };
        let refused = ask("out", " iface lo").unwrap_err();
        assert_eq!(
            (refused.code, refused.hint.as_deref()),
            (Code::Usage, Some("ask about the same packet as `in ... iface lo`"))
        );
        assert!(ask("in", " iface lo").is_ok() && ask("out", "").is_ok() && ask("out", " iface eth0").is_ok());
    }

    #[test]
    fn every_packet_of_the_language_is_a_frame_that_says_the_same() {
        for protocol in 0..=u8::MAX {
            for (from, to) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "fe80::2")] {
                let rest = match protocol {
                    6 | 17 | 132 => " port 443",
                    1 | 58 => " type 42 code 7",
                    _ => "",
                };
                let Ok(packet) = policy::parse_packet(&format!("in {protocol} from {from} to {to}{rest}")) else {
                    continue;
                };
                let mut headers = Headers::default();
                assert_eq!(parse(&frame::of(&packet)[..], &mut headers), Ok(Kind::Ip), "{packet}");
                let (source, destination): ([u8; 16], [u8; 16]) =
                    (zerocopy::transmute!(headers.source), zerocopy::transmute!(headers.destination));
                assert_eq!((view::address(source), view::address(destination)), (packet.source, packet.destination));
                let ports = [headers.source_port, headers.destination_port].map(u16::from_be_bytes);
                assert_eq!((headers.protocol, ports), (protocol, [packet.source_port, packet.destination_port]));
                assert_eq!((headers.icmp_type, headers.icmp_code), (packet.icmp_type, packet.icmp_code), "{packet}");
            }
        }
    }

    #[test]
    fn the_rules_before_and_after_the_verdict_are_named() {
        let web = explain("in tcp from 10.0.0.1 to 10.0.0.2 port 80");
        assert_eq!((web.verdict, &*web.rule, web.reason), (Verdict::Allow, "web", "rule-allow"));
        let names = |rules: &[Matching]| rules.iter().map(|rule| rule.name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&web.audited), names(&web.next)), (vec!["look".to_owned()], vec!["rest".to_owned()]));
    }

    #[test]
    fn what_is_decided_before_the_policy_is_not_the_policys() {
        for (packet, verdict, rule, reason) in [
            ("in tcp from 10.0.0.1 to 10.0.0.2 port 22", Verdict::Allow, "failsafe", "builtin"),
            ("in udp from 10.0.0.1 port 67 to 10.0.0.2 port 68", Verdict::Allow, "dhcp", "builtin"),
            ("in udp from 10.0.0.1 to 10.0.0.2 port 53", Verdict::Deny, "default-in", "default-deny"),
            ("in icmp from 10.0.0.1 to 10.0.0.2 type echo-reply", Verdict::Deny, "none", "icmp-unsolicited"),
            ("in icmp from 10.0.0.1 to 10.0.0.2 type time-exceeded", Verdict::Deny, "none", "icmp-error-unrelated"),
            ("in icmpv6 from fe80::1 to fe80::2 type nd-neighbor-advert", Verdict::Allow, "nd", "builtin"),
            ("in icmpv6 from 2001:db8::1 to fe80::2 type nd-redirect", Verdict::Deny, "default-in", "default-deny"),
            ("in icmpv6 from fe80::1 to ff02::1 type mld-listener-query", Verdict::Allow, "mld", "builtin"),
        ] {
            let it = explain(packet);
            assert_eq!((it.verdict, &*it.rule, it.reason), (verdict, rule, reason), "{packet}");
            assert_eq!((it.generation, it.mode, it.session), (None, None, None));
        }
    }
}
