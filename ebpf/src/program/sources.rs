//! SOURCES: no source may fill HALF_OPEN alone. See [`mseg_ebpf::abi::source`] for how it is counted.

use aya_ebpf::bindings::BPF_NOEXIST;
use mseg_ebpf::{
    abi::{
        session::{FLAG_CLIENT_IS_LOWER, FLAG_OUT, FLAG_SAMPLED, Session, SessionKey},
        source::{SAMPLE, Source, SourceKey, interval, slot},
    },
    packet::Packet,
    session::{key, progress},
};

use super::{env::Env, maps, memory, route, sessions::timeout_ticks, skb::__sk_buff};

/// [`admit`]: the source has too many half-open sessions.
pub(crate) const REFUSED: u32 = 1 << 31;
/// [`admit`]: the session counts, and has [`FLAG_SAMPLED`].
pub(crate) const SAMPLED: u32 = FLAG_SAMPLED as u32;

/// Whether the packet's sender may open a session: [`REFUSED`], 0, or [`SAMPLED`].
#[unsafe(no_mangle)]
pub extern "C" fn admit(
    skb: *mut __sk_buff,
    env: *const Env,
    packet: *const Packet,
    key: *const SessionKey,
    sender_is_lower: u32,
) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), Some(key)) = (unsafe { (env.as_ref(), packet.as_ref(), key.as_ref()) }) else {
        return REFUSED;
    };
    let Some(config) = maps::CONFIG.get_ptr(0) else {
        return REFUSED;
    };
    // SAFETY: a pointer the kernel returned for this map.
    let (limit, salt) =
        unsafe { (memory::load(&raw const (*config).half_open_per_source), memory::load(&raw const (*config).salt)) };
    if limit == 0 {
        return 0;
    }
    let sampled = (key::hash(key, salt) >> 40) as u32 % SAMPLE == 0;
    let source = source_of(key, sender_is_lower != 0, env.ifindex, env.is_out());
    let now = interval(env.tick());
    let entry = match maps::SOURCES.get_ptr_mut(&source) {
        Some(entry) => entry,
        None if sampled => {
            let none = Source { interval: now, ..Source::default() };
            // Another CPU may have been first.
            let _ = maps::SOURCES.insert(&source, &none, BPF_NOEXIST as u64);
            match maps::SOURCES.get_ptr_mut(&source) {
                Some(entry) => entry,
                None => return 0,
            }
        }
        None => return 0,
    };
    // SAFETY: a live entry; should it be evicted meanwhile, its memory stays the map's. Numbers alone, which another CPU
    // may write at the same time.
    let entry = unsafe { &mut *entry };
    entry.forget(now);
    if entry.sessions() >= limit {
        return if is_of_host(skb, env, key, sender_is_lower) { 0 } else { REFUSED };
    }
    if !sampled {
        return 0;
    }
    let (state, tcp_state) = progress::first(packet);
    let timeout = progress::timeout(packet.protocol, state as u8, tcp_state as u8);
    // Without a policy no session is opened.
    entry.add(slot(env.tick(), timeout_ticks(env.generation, timeout).unwrap_or(0)));
    SAMPLED
}

/// Whether a packet leaves in the host's own name (zone 0). By NAT many share that, and none of them may keep the others
/// from opening sessions.
#[inline(always)]
fn is_of_host(skb: *mut __sk_buff, env: &Env, key: &SessionKey, sender_is_lower: u32) -> bool {
    key.zone == 0 && env.is_out() && (env.is_own() || route::to_end(skb, env, key, sender_is_lower) == route::NOWHERE)
}

/// Where a session is counted.
#[inline(always)]
pub(crate) fn slot_of(session: *mut Session) -> u32 {
    // SAFETY: as in `tables::is_expired`.
    unsafe { slot((*session).last_seen_tick, (*session).timeout_ticks) }
}

/// A session that was counted in the slot `before` ([`slot_of`]) is where it belongs now: nowhere, if it has no
/// [`FLAG_SAMPLED`] any more.
#[unsafe(no_mangle)]
pub extern "C" fn recount(env: *const Env, key: *const SessionKey, session: *mut Session, before: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), false) = (unsafe { (env.as_ref(), key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    // SAFETY: as in `tables::is_expired`.
    let (flags, ifindex) = unsafe { ((*session).flags, (*session).ifindex) };
    let (counts, now) = (flags & FLAG_SAMPLED != 0, slot_of(session));
    if counts && now == before {
        return 1;
    }
    let source = source_of(key, flags & FLAG_CLIENT_IS_LOWER != 0, ifindex, flags & FLAG_OUT != 0);
    let Some(entry) = maps::SOURCES.get_ptr_mut(&source) else {
        return 0;
    };
    // SAFETY: as in `admit`.
    let entry = unsafe { &mut *entry };
    entry.forget(interval(env.tick()));
    entry.take(before);
    if counts {
        entry.add(now);
    }
    1
}

/// Takes a session off its source's count, before it is another's.
#[inline(always)]
pub(crate) fn release(env: *const Env, key: *const SessionKey, session: *mut Session) {
    // SAFETY: as in `tables::is_expired`.
    let flags = unsafe { (*session).flags };
    if flags & FLAG_SAMPLED != 0 {
        // SAFETY: as in `tables::is_expired`.
        unsafe { memory::store(&raw mut (*session).flags, flags & !FLAG_SAMPLED) };
        recount(env, key, session, slot_of(session));
    }
}

#[inline(always)]
fn source_of(key: &SessionKey, client_is_lower: bool, ifindex: u32, out: bool) -> SourceKey {
    SourceKey::new(if client_is_lower { &key.lower_address } else { &key.higher_address }, ifindex, out)
}
