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
mod headers;
mod judge;
mod maps;
mod memory;
mod related;
mod sessions;

use aya_ebpf::bindings::__sk_buff;
use mseg_ebpf::{
    abi::{
        policy::{BUILTIN_ARP, BUILTIN_LINK_CONTROL},
        reason::Reason,
        rule,
        session::SessionKey,
        stats,
    },
    packet::{Kind, Packet, transport::ECHO_NONE},
    session::key,
};

use env::Env;
use judge::Judgement;

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
    let outcome = headers::read(skb, &mut packet);
    let mut key = SessionKey::default();
    // Of a malformed packet too: its denial is recorded under what could be read.
    let sender_is_lower = make_key(&env, &packet, &raw mut key);
    let judgement = Judgement::unpack(match outcome {
        Ok(Kind::Ip) if packet.is_icmp() && packet.echo == ECHO_NONE => judge::judge_icmp(skb, &env, &packet),
        Ok(Kind::Ip) => judge_by_session(&env, &packet, &key, sender_is_lower),
        Ok(Kind::Arp) => judge::judge_link(&env, BUILTIN_ARP, rule::ARP),
        Ok(Kind::LinkControl) => judge::judge_link(&env, BUILTIN_LINK_CONTROL, rule::LINK_CONTROL),
        Ok(Kind::Other) => Judgement::unruled(Reason::NotIp).pack(),
        Err(reason) => Judgement::unruled(reason).pack(),
    });
    if !judgement.allow {
        denied::record(&env, &key, judgement.pack(), sender_is_lower);
    }
    let verdict = env.verdict(judgement.allow);
    account::count(&env, verdict, judgement);
    // The verdict is the tail expression.
    if verdict == stats::VERDICT_DENIED { SHOT } else { NEXT }
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
        judgement = sessions::open(env, packet, key, sender_is_lower, judge::decide(env, packet));
    }
    judgement
}

/// Writes the packet's key; 1 if its sender is the lower endpoint, else 0. A workload that is not in INTERFACES gets a
/// zone that no interface has.
#[unsafe(no_mangle)]
pub extern "C" fn make_key(env: *const Env, packet: *const Packet, key: *mut SessionKey) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), Some(key)) = (unsafe { (env.as_ref(), packet.as_ref(), key.as_mut()) }) else {
        return 0;
    };
    key::write(packet, env.zone().unwrap_or(u16::MAX), key) as u32
}
