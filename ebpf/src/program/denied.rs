//! DENIED, and the events about denials.

use aya_ebpf::bindings::BPF_NOEXIST;
use mseg_ebpf::abi::{
    denied::{Denied, EVENT_INTERVAL_NS},
    policy::thing,
    reason::Reason,
    session::{FLAG_CLIENT_IS_LOWER, FLAG_DENIED, FLAG_OUT, SessionKey, Traffic},
};

use super::{
    classify::{self, Decision},
    env::Env,
    events,
    judge::{HAS_SESSION, Judgement},
    maps,
    memory::{self, add, increment, load, store, take},
};

/// What the policy says of a packet that opens a session, if it said no to the same not long ago: a packed [`Decision`],
/// or 0. A flood of denied packets need not be matched with every rule again.
///
/// What rules look at is in the key, but for direction, sender and interface, which are compared, and ICMP type and code,
/// which are those of an echo request: of one with another code than 0 nothing is remembered ([`CODED`]).
#[unsafe(no_mangle)]
pub extern "C" fn remembered(env: *const Env, key: *const SessionKey, sender_is_lower: u32) -> u64 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key)) = (unsafe { (env.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    // What only would be denied makes a session, which has the attributes of its rule.
    if !env.enforces() {
        return 0;
    }
    let key = &memory::on_stack(key);
    let Some(denied) = maps::DENIED.get_ptr_mut(key) else {
        return 0;
    };
    // SAFETY: a live entry; should it be evicted meanwhile, its memory stays the map's (hashtab.c preallocates).
    let (generation, ifindex, flags, decided, rule) = unsafe {
        (
            load(&raw const (*denied).generation),
            load(&raw const (*denied).ifindex),
            load(&raw const (*denied).flags),
            load(&raw const (*denied).decided),
            load(&raw const (*denied).rule),
        )
    };
    if decided == 0 || generation != env.generation || ifindex != env.ifindex || flags != flags_of(env, sender_is_lower)
    {
        return 0;
    }
    // A rule may have looked at the interface's name, which can change.
    match classify::header(env.generation) {
        Some(header) if header.looks[thing::INTERFACE] == 0 => Decision { rule, allow: false, log: false }.pack(),
        _ => 0,
    }
}

/// Argument of [`record`]: the packet has an ICMP code.
pub(crate) const CODED: u32 = 2;

/// Flags of a denial of no session.
#[inline(always)]
pub(crate) fn flags_of(env: &Env, sender_is_lower: u32) -> u8 {
    let mut flags = FLAG_DENIED;
    if sender_is_lower & 1 != 0 {
        flags |= FLAG_CLIENT_IS_LOWER;
    }
    if env.is_out() {
        flags |= FLAG_OUT;
    }
    flags
}

/// Records the denial of a packet and reports it, at most once in [`EVENT_INTERVAL_NS`] for each flow. Bit 0 of `call` is
/// set if the sender is the key's lower endpoint, bit 1 is [`CODED`].
#[unsafe(no_mangle)]
pub extern "C" fn record(env: *const Env, key: *const SessionKey, judgement: u64, call: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key)) = (unsafe { (env.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    let key = &memory::on_stack(key);
    let judgement = Judgement::unpack(judgement);
    let flags = if judgement.opener & HAS_SESSION != 0 {
        FLAG_DENIED | judgement.opener & (FLAG_CLIENT_IS_LOWER | FLAG_OUT)
    } else {
        flags_of(env, call)
    };
    let by_policy = matches!(judgement.reason, Reason::RuleDeny | Reason::DefaultDeny);
    let decided = (by_policy && judgement.opener & HAS_SESSION == 0 && call & CODED == 0) as u16;
    let suppressed = match maps::DENIED.get_ptr_mut(key) {
        // SAFETY: a live entry; should it be evicted meanwhile, its memory stays the map's (hashtab.c preallocates).
        Some(denied) => unsafe {
            add(&raw mut (*denied).traffic.packets, env.packets());
            add(&raw mut (*denied).traffic.bytes, env.bytes());
            store(&raw mut (*denied).last_ns, env.now_ns);
            store(&raw mut (*denied).rule, judgement.rule);
            store(&raw mut (*denied).generation, env.generation);
            store(&raw mut (*denied).ifindex, env.ifindex);
            store(&raw mut (*denied).reason, judgement.reason);
            store(&raw mut (*denied).flags, flags);
            store(&raw mut (*denied).decided, decided);
            if env.now_ns.saturating_sub(load(&raw const (*denied).event_ns)) < EVENT_INTERVAL_NS {
                increment(&raw mut (*denied).suppressed);
                return 0;
            }
            store(&raw mut (*denied).event_ns, env.now_ns);
            increment(&raw mut (*denied).events);
            take(&raw mut (*denied).suppressed)
        },
        None => {
            let denied = Denied {
                traffic: Traffic { packets: env.packets(), bytes: env.bytes() },
                first_ns: env.now_ns,
                last_ns: env.now_ns,
                event_ns: env.now_ns,
                suppressed: 0,
                rule: judgement.rule,
                generation: env.generation,
                ifindex: env.ifindex,
                reason: judgement.reason,
                flags,
                decided,
                events: 1,
            };
            // Another CPU may have been first; then this packet is missing in the entry, but not in STATS.
            let _ = maps::DENIED.insert(key, &denied, BPF_NOEXIST as u64);
            0
        }
    };
    events::emit_denied(
        env,
        key,
        flags as u32,
        judgement.rule,
        events::pack(judgement.reason, env.verdict(false), suppressed),
    )
}
