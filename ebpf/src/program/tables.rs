//! The session tables: finding a session, removing it, promoting it out of HALF_OPEN, and retiring it to CLOSING
//! and CLOSED.
//!
//! An existing entry is always written through the pointer a look-up gave, never by a map update: updating an existing
//! key of a full LRU hash evicts others (kernel/bpf/hashtab.c takes a free node before it looks for the key).

use aya_ebpf::bindings::BPF_NOEXIST;
use mseg_ebpf::{
    abi::{
        session::{FLAG_HALF_OPEN, Session, SessionKey, SessionState},
        time,
    },
    packet::protocol,
};

use super::{
    env::Env,
    events, maps,
    memory::{on_stack, store},
};

/// The entry of a key, expired or not.
#[inline(always)]
pub(crate) fn look_up(key: &SessionKey) -> Option<*mut Session> {
    match look_up_answered(key) {
        Some(session) => Some(session),
        None => maps::HALF_OPEN.get_ptr_mut(key),
    }
}

/// The entry of a key that is not half-open, expired or not.
#[inline(always)]
pub(crate) fn look_up_answered(key: &SessionKey) -> Option<*mut Session> {
    if key.protocol != protocol::TCP {
        return maps::DATAGRAMS.get_ptr_mut(key);
    }
    match look_up_open(key) {
        Some(session) => Some(session),
        None => maps::CLOSED.get_ptr_mut(key),
    }
}

/// The entry of a key of TCP that is neither half-open nor closed, expired or not.
#[inline(always)]
fn look_up_open(key: &SessionKey) -> Option<*mut Session> {
    match maps::SESSIONS.get_ptr_mut(key) {
        Some(session) => Some(session),
        None => maps::CLOSING.get_ptr_mut(key),
    }
}

/// The session of a key, if there is one that has not expired.
#[inline(always)]
pub(crate) fn find(env: &Env, key: &SessionKey) -> Option<*mut Session> {
    let found = look_up(key)?;
    if is_expired(env, found) { None } else { Some(found) }
}

/// Whether a session has idled for too long. A live entry: should it be evicted meanwhile, its memory stays the map's
/// (hashtab.c preallocates).
#[inline(always)]
pub(crate) fn is_expired(env: &Env, session: *mut Session) -> bool {
    // SAFETY: a live entry.
    let (last, timeout) = unsafe { ((*session).last_seen_tick, (*session).timeout_ticks) };
    time::ticks_since(env.tick(), last) > timeout
}

/// Removes a session from its table.
#[inline(always)]
pub(crate) fn remove(key: &SessionKey, session: *mut Session) {
    // SAFETY: as in `is_expired`.
    let half_open = unsafe { (*session).flags } & FLAG_HALF_OPEN != 0;
    if half_open { remove_from_half_open(key) } else { remove_answered(key) }
}

#[inline(always)]
pub(crate) fn remove_answered(key: &SessionKey) {
    // Another CPU may have removed it already, which is as well.
    if key.protocol == protocol::TCP {
        remove_tcp(key);
    } else if maps::DATAGRAMS.remove(key).is_ok() {
        events::count(|stats| stats.datagrams_removed += 1);
    }
}

#[inline(always)]
pub(crate) fn remove_tcp(key: &SessionKey) {
    if !remove_open(key) {
        let _ = maps::CLOSED.remove(key);
    }
}

/// Removes a TCP session that has not closed; whether there was one.
#[inline(always)]
fn remove_open(key: &SessionKey) -> bool {
    if maps::SESSIONS.remove(key).is_ok() {
        events::count(|stats| stats.sessions_removed += 1);
        return true;
    }
    remove_closing(key)
}

#[inline(always)]
fn remove_closing(key: &SessionKey) -> bool {
    let removed = maps::CLOSING.remove(key).is_ok();
    if removed {
        events::count(|stats| stats.closing_removed += 1);
    }
    removed
}

#[inline(always)]
pub(crate) fn remove_from_half_open(key: &SessionKey) {
    if maps::HALF_OPEN.remove(key).is_ok() {
        events::count(|stats| stats.half_open_removed += 1);
    }
}

/// Moves a session out of HALF_OPEN, to where unanswered packets cannot push it out.
#[unsafe(no_mangle)]
pub extern "C" fn promote(key: *const SessionKey, session: *mut Session) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(key), false) = (unsafe { (key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    let key = &on_stack(key);
    // SAFETY: as in `is_expired`.
    let flags = unsafe { (*session).flags };
    // SAFETY: as in `is_expired`. Changed there and then copied: a copy on the stack would be changed by a misaligned
    // store.
    let entry = unsafe {
        store(&raw mut (*session).flags, flags & !FLAG_HALF_OPEN);
        on_stack(&*session)
    };
    // Inserted before it is removed, so that it is never absent. Two replies at once both insert equal entries.
    if key.protocol == protocol::TCP {
        // An older one, beside which this was opened, is over. Not if another CPU has just promoted this one.
        let mut promoted = false;
        if let Some(old) = look_up_open(key) {
            // SAFETY: as in `is_expired`.
            let (created, end) = unsafe { ((*old).created, (*old).client.end) };
            promoted = created == entry.created && entry.client.end.wrapping_sub(end).wrapping_add(1 << 16) <= 1 << 17;
            if !promoted {
                remove_tcp(key);
            }
        }
        if !promoted && maps::SESSIONS.insert(key, &entry, BPF_NOEXIST as u64).is_ok() {
            events::count(|stats| stats.sessions_promoted += 1);
        }
    } else if maps::DATAGRAMS.insert(key, &entry, BPF_NOEXIST as u64).is_ok() {
        events::count(|stats| stats.datagrams_promoted += 1);
    }
    remove_from_half_open(key);
    1
}

/// Moves the TCP session of a key to the table of its state, if that is CLOSING or CLOSED: there it pushes out none that
/// is open.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn retire(key: *const SessionKey) -> u32 {
    // SAFETY: the caller's, or null.
    let Some(key) = (unsafe { key.as_ref() }) else {
        return 0;
    };
    let key = &on_stack(key);
    let open = maps::SESSIONS.get_ptr_mut(key);
    let Some(session) = open.or_else(|| maps::CLOSING.get_ptr_mut(key)) else {
        return 0;
    };
    // SAFETY: as in `is_expired`.
    let entry = unsafe { on_stack(&*session) };
    // Inserted before it is removed, so that it is never absent. One of an earlier connection may be left there.
    if matches!(entry.state, SessionState::Closed) {
        let _ = maps::CLOSED.remove(key);
        if maps::CLOSED.insert(key, &entry, BPF_NOEXIST as u64).is_ok() {
            remove_open(key);
        }
    } else if open.is_some() && matches!(entry.state, SessionState::Closing) {
        remove_closing(key);
        if maps::CLOSING.insert(key, &entry, BPF_NOEXIST as u64).is_ok() {
            events::count(|stats| stats.closing_added += 1);
            if let Some(moved) = maps::CLOSING.get_ptr_mut(key) {
                // What other CPUs wrote since it was copied: the other side may go on sending.
                // SAFETY: as in `is_expired`, of two tables. As long as it is in SESSIONS it is not looked for here.
                unsafe { core::ptr::copy_nonoverlapping(session, moved, 1) };
            }
            if maps::SESSIONS.remove(key).is_ok() {
                events::count(|stats| stats.sessions_removed += 1);
            }
        }
    }
    1
}
