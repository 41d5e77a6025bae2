//! One packet's way: [`headers`], [`judge`] with [`sessions`] and [`classify`], then [`denied`] and [`account`].
//!
//! What is `extern "C"` and exported is a *global function* to the verifier, which checks it once and by itself (kernel
//! 5.6 and later): it forgets what it knows about the arguments. Without that it follows every combination of what each
//! step may find, and gives up after a million instructions. Such a function takes numbers, the context, and pointers
//! to whole structs, which it must compare with null; it returns a number.

mod account;
mod audit;
mod classify;
mod denied;
mod env;
mod events;
mod fragments;
mod headers;
mod judge;
mod maps;
mod memory;
mod open;
mod rejudge;
mod related;
mod route;
mod sessions;
pub(crate) mod skb;
mod sources;
mod tables;

use mseg_ebpf::{
    abi::{
        policy::{BUILTIN_ARP, BUILTIN_LINK_CONTROL},
        reason::Reason,
        rule,
        session::{Session, SessionKey},
        stats,
    },
    packet::{Fragment, Packet, protocol, transport::ECHO_NONE},
    session::{key, tcp},
};

use classify::Decision;
use env::Env;
use judge::Judgement;
use skb::__sk_buff;

/// `TC_ACT_UNSPEC` and `TCX_NEXT` (-1): other programs on the hook still run.
const NEXT: i32 = -1;
/// `TC_ACT_SHOT` and `TCX_DROP`.
const SHOT: i32 = 2;

/// Judges one packet and counts it.
#[inline(always)]
pub(crate) fn run(skb: *mut __sk_buff, direction: u8, workload: bool) -> i32 {
    // An array of one always has its entry; if not, nothing can be decided.
    let Some(mut env) = Env::new(skb, direction, workload) else {
        return SHOT;
    };
    if env::is_own_copy(skb) {
        account::count(&env, stats::VERDICT_ALLOWED, Judgement::own_copy());
        return NEXT;
    }
    let mut packet = Packet::default();
    let mut key = SessionKey::default();
    let mut outcome = headers::IP;
    let mut sender_is_lower = headers::read_plain(skb, &env, &raw mut packet, &raw mut key);
    if sender_is_lower == headers::NOT_PLAIN {
        outcome = headers::parse_headers(skb, &raw mut packet);
        if outcome == headers::IP && packet.fragment == Fragment::Later {
            match fragments::follow(&env, &raw mut packet) {
                0 => {}
                reason => outcome = headers::MALFORMED | reason,
            }
        }
        // Of a malformed packet too: its denial is recorded under what could be read.
        sender_is_lower = make_key(&env, &packet, &raw mut key);
    }
    // Its sessions would be those of every such interface.
    if workload && env.zone == env::NO_ZONE {
        outcome = headers::MALFORMED | Reason::UnknownInterface as u32;
    }
    if !env.is_simple(skb) {
        env::weigh(skb, &raw mut env, &packet, &key);
    }
    let mut session = None;
    if outcome == headers::IP {
        session = tables::look_up_answered(&key);
        if let Some(session) = session
            && sessions::pass(&env, &packet, session, sender_is_lower) != 0
        {
            return NEXT;
        }
    }
    let judgement = match outcome {
        headers::IP if packet.is_icmp() && packet.echo == ECHO_NONE => {
            judge::judge_icmp(skb, &env, &packet, &key, sender_is_lower)
        }
        headers::IP => judge_by_session(skb, &env, &mut packet, &key, session, sender_is_lower),
        headers::ARP => judge::judge_link(&env, BUILTIN_ARP, rule::ARP),
        headers::LINK_CONTROL => judge::judge_link(&env, BUILTIN_LINK_CONTROL, rule::LINK_CONTROL),
        outcome if outcome & headers::MALFORMED != 0 => Judgement::unruled(memory::reason(outcome as u8)).pack(),
        _ => Judgement::unruled(Reason::NotIp).pack(),
    };
    let call = sender_is_lower | if packet.icmp_code != 0 { denied::CODED } else { 0 };
    if env.is_counted() {
        // For [`settle`], should it end here.
        env::weigh_again(skb, &raw mut env, &packet);
    }
    // The verdict is the tail expression.
    if settle(&env, &packet, &key, judgement, call) == stats::VERDICT_DENIED { SHOT } else { NEXT }
}

/// Does what a judgement (packed) entails, and returns the verdict. `call`: as that of [`denied::record`].
#[unsafe(no_mangle)]
pub extern "C" fn settle(
    env: *const Env,
    packet: *const Packet,
    key: *const SessionKey,
    judgement: u64,
    call: u32,
) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet)) = (unsafe { (env.as_ref(), packet.as_ref()) }) else {
        return stats::VERDICT_DENIED;
    };
    let outcome = Judgement::unpack(judgement);
    let verdict = env.verdict(outcome.allow);
    if packet.fragment == Fragment::First && verdict != stats::VERDICT_DENIED {
        fragments::lead(env, packet);
    }
    // What another interface has counted is counted again only if it ends here.
    if env.is_counted() && verdict != stats::VERDICT_DENIED {
        return verdict;
    }
    if !outcome.allow {
        denied::record(env, key, judgement, call);
    }
    account::count(env, verdict, outcome);
    verdict
}

/// Judges a packet of a protocol that has sessions; `session` is what is not half-open of its key. A packed [`Judgement`].
#[inline(always)]
fn judge_by_session(
    skb: *mut __sk_buff,
    env: &Env,
    packet: &mut Packet,
    key: &SessionKey,
    session: Option<*mut Session>,
    sender_is_lower: u32,
) -> u64 {
    let mut judgement = judge::NO_SESSION;
    if let Some(session) = session {
        judgement = judge_once(skb, env, packet, key, session, sender_is_lower);
    } else {
        classify::prepare(env, packet);
    }
    let expected = judge::is_final(judgement) && Judgement::unpack(judgement).allow;
    // One without windows expects whatever comes, also the handshake of the next connection; so does each during grace.
    if !expected || env.trusts() || session.is_some_and(sessions::is_liberal) {
        if let Some(newer) = maps::HALF_OPEN.get_ptr_mut(key)
            && (judgement == judge::NO_SESSION || sessions::is_handshake(newer, packet, sender_is_lower != 0))
        {
            // A newer one, whose handshake is not over.
            headers::read_scale(skb, &raw mut *packet);
            let by_newer = if judgement == judge::REPLACES && !sessions::is_answered(newer) {
                // Its SYN is not waited for any more than the session that has closed.
                judge::REPLACES
            } else {
                judge_once(skb, env, packet, key, newer, sender_is_lower)
            };
            if judge::is_final(by_newer) {
                if judgement == judge::NO_SESSION || !judge::is_unexpected(by_newer) {
                    return by_newer;
                }
            } else if !judge::is_final(judgement) && (by_newer == judge::REPLACES || by_newer == judge::BESIDE) {
                // Also one that was picked up: what goes on of it passes within the new one while that is not answered.
                judgement |= judge::REPLACES_HALF_OPEN;
            } else if !expected && by_newer == judge::LEAVES {
                judgement = judge::LEAVES_BY_HALF_OPEN;
            }
        }
    }
    if judge::is_final(judgement) {
        return judgement;
    }
    if judgement == judge::LEAVES || judgement == judge::LEAVES_BY_HALF_OPEN {
        let decision = judge::decide_new(env, packet, key, sender_is_lower);
        if !Decision::allows(decision) {
            return Judgement::by_policy(decision).pack();
        }
        let (session, replaces) = if judgement == judge::LEAVES {
            (tables::look_up_answered(key), judge::REPLACES | judge::REPLACES_HALF_OPEN)
        } else {
            (maps::HALF_OPEN.get_ptr_mut(key), judge::REPLACES_HALF_OPEN)
        };
        judgement = judge::NO_SESSION;
        if let Some(session) = session {
            let call = sender_is_lower | judge::LEAVE | judge::REJUDGED | judge::THROUGH;
            judgement = judge::judge_session(env, packet, key, session, call);
            if sessions::is_denied(session) {
                // What denied it was asked in its opener's name.
                tables::remove(key, session);
                judgement = judge::NO_SESSION;
            } else if judgement == judge::REPLACES {
                judgement = replaces;
            }
        }
        if judge::is_final(judgement) {
            return judgement;
        }
    }
    // Another CPU may have promoted it between the two look-ups.
    let opens = packet.protocol == protocol::TCP && tcp::opens(packet.tcp_flags);
    if !opens
        && judgement == judge::NO_SESSION
        && let Some(session) = tables::look_up_answered(key)
    {
        let call = sender_is_lower | judge::REJUDGED | judge::THROUGH;
        let promoted = judge::judge_session(env, packet, key, session, call);
        if judge::is_final(promoted) {
            return promoted;
        }
    }
    if let Some(reason) = judge::refusal(env, packet) {
        return Judgement::unruled(reason).pack();
    }
    let decision = judge::decide_new(env, packet, key, sender_is_lower);
    if packet.protocol == protocol::TCP && !tcp::opens(packet.tcp_flags) && !Decision::allows(decision) {
        // While observing, a denied session is kept, so that its answers do not open it the other way round. Not one that is
        // picked up: perhaps this is the answer, and a rule allows the question.
        return Judgement::by_policy(decision).pack();
    }
    let mut call = sender_is_lower | judgement as u32 & (open::REPLACES | open::REPLACES_HALF_OPEN);
    if Decision::allows(decision) || !env.enforces() {
        headers::read_scale(skb, &raw mut *packet);
        // The failsafe lets in whatever is sent in somebody's name.
        if decision as u32 != rule::FAILSAFE {
            call |= sources::admit(skb, env, packet, key, sender_is_lower);
        }
    }
    open::open(env, packet, key, call, decision)
}

/// Judges a packet by one session, after judging the session itself if need be.
#[inline(always)]
fn judge_once(
    skb: *mut __sk_buff,
    env: &Env,
    packet: &Packet,
    key: &SessionKey,
    session: *mut Session,
    sender_is_lower: u32,
) -> u64 {
    let judgement = judge::judge_session(env, packet, key, session, sender_is_lower);
    if judgement != judge::STALE_SESSION {
        return judgement;
    }
    if rejudge::judge_anew(skb, env, key, session, sender_is_lower) == rejudge::FORGOTTEN {
        return judge::NO_SESSION;
    }
    judge::judge_session(env, packet, key, session, sender_is_lower | judge::REJUDGED)
}

/// Writes the packet's key; 1 if its sender is the lower endpoint, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn make_key(env: *const Env, packet: *const Packet, key: *mut SessionKey) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), Some(key)) = (unsafe { (env.as_ref(), packet.as_ref(), key.as_mut()) }) else {
        return 0;
    };
    key::write(packet, env.zone as u16, key) as u32
}
