//! One packet's way: [`headers`], [`judge`] with [`sessions`] and [`classify`], then [`denied`] and [`account`].
//!
//! What is `extern "C"` and exported is a *global function* to the verifier, which checks it once and by itself (kernel
//! 5.6 and later): it forgets what it knows about the arguments. Without that it follows every combination of what each
//! step may find, and gives up after a million instructions. Such a function takes numbers, the context, and pointers
//! to whole structs, which it must compare with null; it returns a number.

mod account;
mod classify;
mod denied;
mod env;
mod events;
mod fragments;
mod headers;
mod judge;
mod maps;
mod memory;
mod related;
mod sessions;
pub(crate) mod skb;

use mseg_ebpf::{
    abi::{
        policy::{BUILTIN_ARP, BUILTIN_LINK_CONTROL},
        reason::Reason,
        rule,
        session::SessionKey,
        stats,
    },
    packet::{Fragment, Packet, transport::ECHO_NONE},
    session::key,
};

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
    let Some(env) = Env::new(skb, direction, workload) else {
        return SHOT;
    };
    let mut packet = Packet::default();
    let mut outcome = headers::parse_headers(skb, &raw mut packet);
    if outcome == headers::IP && packet.fragment == Fragment::Later {
        match fragments::follow(&env, &raw mut packet) {
            0 => {}
            reason => outcome = headers::MALFORMED | reason,
        }
    }
    let mut key = SessionKey::default();
    // Of a malformed packet too: its denial is recorded under what could be read.
    let sender_is_lower = make_key(&env, &packet, &raw mut key);
    let judgement = match outcome {
        headers::IP if packet.is_icmp() && packet.echo == ECHO_NONE => judge::judge_icmp(skb, &env, &packet),
        headers::IP => judge_by_session(&env, &packet, &key, sender_is_lower),
        headers::ARP => judge::judge_link(&env, BUILTIN_ARP, rule::ARP),
        headers::LINK_CONTROL => judge::judge_link(&env, BUILTIN_LINK_CONTROL, rule::LINK_CONTROL),
        outcome if outcome & headers::MALFORMED != 0 => Judgement::unruled(memory::reason(outcome as u8)).pack(),
        _ => Judgement::unruled(Reason::NotIp).pack(),
    };
    // The verdict is the tail expression.
    if settle(&env, &packet, &key, judgement, sender_is_lower) == stats::VERDICT_DENIED { SHOT } else { NEXT }
}

/// Does what a judgement (packed) entails, and returns the verdict.
#[unsafe(no_mangle)]
pub extern "C" fn settle(
    env: *const Env,
    packet: *const Packet,
    key: *const SessionKey,
    judgement: u64,
    sender_is_lower: u32,
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
    if !outcome.allow {
        denied::record(env, key, judgement, sender_is_lower);
    }
    account::count(env, verdict, outcome);
    verdict
}

/// Judges a packet of a protocol that has sessions. A packed [`Judgement`].
#[inline(always)]
fn judge_by_session(env: &Env, packet: &Packet, key: &SessionKey, sender_is_lower: u32) -> u64 {
    let mut judgement = judge::judge_session(env, packet, key, sender_is_lower);
    if judgement == judge::STALE_SESSION {
        sessions::rejudge(env, key);
        judgement = judge::judge_session(env, packet, key, sender_is_lower | judge::REJUDGED);
    }
    if judgement == judge::NO_SESSION {
        // It cannot open one: what it shares with its first fragment may be reused by another datagram since.
        if packet.fragment == Fragment::Later {
            return Judgement::unruled(Reason::Fragment).pack();
        }
        judgement = sessions::open(env, packet, key, sender_is_lower, judge::decide(env, packet));
    }
    judgement
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
