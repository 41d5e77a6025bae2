//! Reports to user space through EVENTS.

use mseg_ebpf::abi::{
    event::{Event, EventKind},
    reason::Reason,
    session::{Session, SessionKey, Traffic},
    stats::EventStats,
    time,
};

use super::{classify, env::Env, maps, memory};

pub(crate) const OPENED: u32 = EventKind::SessionOpened as u32;
pub(crate) const CLOSED: u32 = EventKind::SessionClosed as u32;
pub(crate) const REJUDGED: u32 = EventKind::SessionRejudged as u32;

/// Puts an event into the ring, or counts it as lost.
///
/// The flags are 0: the kernel wakes the reader only when it has caught up, so a busy reader costs no wake-ups.
#[unsafe(no_mangle)]
pub extern "C" fn emit(
    env: *const Env,
    kind: u32,
    key: *const SessionKey,
    session: *const Session,
    packed: u64,
) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), Some(session)) = (unsafe { (env.as_ref(), key.as_ref(), session.as_ref()) }) else {
        return 0;
    };
    let kind = match kind {
        OPENED => EventKind::SessionOpened,
        CLOSED => EventKind::SessionClosed,
        _ => EventKind::SessionRejudged,
    };
    // SAFETY: a live session, and room for one.
    submit(env, kind, key, packed, |to| unsafe { core::ptr::copy_nonoverlapping(session, to, 1) })
}

/// Reports a denial: [`emit`] with what is known of the packet's session.
#[unsafe(no_mangle)]
pub extern "C" fn emit_denied(env: *const Env, key: *const SessionKey, flags: u32, rule: u32, packed: u64) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key)) = (unsafe { (env.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    submit(env, EventKind::Denied, key, packed, |to| write_synthetic(env, to, rule, env.ifindex, flags as u8))
}

/// Reports a rule that is only tried: [`emit_denied`] for its decision, of what the classifier was asked.
#[unsafe(no_mangle)]
pub extern "C" fn emit_audited(env: *const Env, key: *const SessionKey, rule: u32, packed: u64) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), Some(question)) = (unsafe { (env.as_ref(), key.as_ref(), classify::question()) }) else {
        return 0;
    };
    let (ifindex, flags) = (question.ifindex, question.flags as u8);
    submit(env, EventKind::Audited, key, packed, |to| write_synthetic(env, to, rule, ifindex, flags))
}

/// What is known of a packet of no session. Written into the ring itself: a session on the stack is more than the chain
/// of callers leaves room for.
#[inline(always)]
fn write_synthetic(env: &Env, to: *mut Session, rule: u32, ifindex: u32, flags: u8) {
    // SAFETY: room for a session; all zeros is one.
    unsafe {
        to.write_bytes(0, 1);
        (*to).to_server = Traffic { packets: env.packets(), bytes: env.bytes() };
        (*to).created = time::created(env.now_ns);
        (*to).last_seen_tick = env.tick();
        (*to).rule = rule;
        (*to).generation = env.generation;
        (*to).ifindex = ifindex;
        (*to).flags = flags;
    }
}

/// Fills an event in. One field at a time: a whole event is too much for the stack of a BPF program.
#[inline(always)]
fn submit(env: &Env, kind: EventKind, key: &SessionKey, packed: u64, write: impl FnOnce(*mut Session)) -> u32 {
    let Some(mut entry) = maps::EVENTS.reserve_untyped::<Event>(0) else {
        count(|stats| stats.lost += 1);
        return 0;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: room for an event, and every field of it is written.
    unsafe {
        (*event).time_ns = env.now_ns;
        core::ptr::copy_nonoverlapping(key, &raw mut (*event).key, 1);
        write(&raw mut (*event).session);
        (*event).suppressed = (packed >> 32) as u32;
        (*event).kind = kind;
        (*event).reason = memory::reason(packed as u8);
        (*event).verdict = (packed >> 8) as u8;
        (*event).reserved = 0;
    }
    entry.submit(0);
    count(|stats| stats.submitted += 1);
    1
}

/// A BPF function takes five arguments, so three travel in one.
#[inline(always)]
pub(crate) const fn pack(reason: Reason, verdict: u32, suppressed: u32) -> u64 {
    (suppressed as u64) << 32 | (verdict as u64) << 8 | reason as u64
}

/// Adds to this CPU's EVENT_STATS.
#[inline(always)]
pub(crate) fn count(add: impl FnOnce(&mut EventStats)) {
    if let Some(stats) = maps::EVENT_STATS.get_ptr_mut(0) {
        // SAFETY: this CPU's own value of a live map entry.
        add(unsafe { &mut *stats });
    }
}
