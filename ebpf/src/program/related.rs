//! ICMP errors: they pass when the packet they quote belongs to a live, allowed session.

use mseg_ebpf::{
    abi::session::{FLAG_DENIED, FLAG_OUT, FLAG_SAMPLED, Session, SessionKey},
    packet::{Packet, transport::quoted},
    session::{key, progress},
};

use super::{env::Env, headers::Whole, memory::store, sessions, skb::__sk_buff, sources, tables};

/// 1 if an ICMP error is about an allowed session of this zone, and goes to who sent the quoted packet; else 0. One that
/// refuses the session takes it off its source's count.
#[unsafe(no_mangle)]
pub extern "C" fn belongs(skb: *mut __sk_buff, env: *const Env, packet: *const Packet) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet)) = (unsafe { (env.as_ref(), packet.as_ref()) }) else {
        return 0;
    };
    let Some(inner) = quoted(&Whole(skb), packet.transport as usize, packet.tcp_length as usize, packet.ipv6 == 1)
    else {
        return 0;
    };
    if inner.source != packet.destination {
        return 0;
    }
    let (key, sender_is_lower) = key::of(&inner, env.zone as u16);
    let Some(session) = tables::find(env, &key) else {
        return 0;
    };
    // SAFETY: as in `tables::is_expired`. A session of an older generation counts as it was judged then: its next own
    // packet is judged anew, and an error about it opens nothing.
    if unsafe { (*session).flags } & FLAG_DENIED != 0 || !sessions::answers(env, session, sender_is_lower) {
        return 0;
    }
    if packet.is_unreachable() {
        refuse(env, &key, session, sender_is_lower);
    }
    1
}

/// A session that is refused does not weigh on its source any more. So says who answers for the other end: an error that
/// comes to the client the way that the session's answers do, not one that the client sends along with its questions.
#[inline(always)]
fn refuse(env: &Env, key: &SessionKey, session: *mut Session, sender_is_lower: bool) {
    // SAFETY: as in `tables::is_expired`.
    let (flags, to_client) = unsafe { ((*session).flags, progress::from_client(&*session, sender_is_lower)) };
    if flags & FLAG_SAMPLED != 0 && to_client && env.is_out() != (flags & FLAG_OUT != 0) {
        // SAFETY: as in `tables::is_expired`.
        unsafe { store(&raw mut (*session).flags, flags & !FLAG_SAMPLED) };
        sources::recount(env, key, session, sources::slot_of(session));
    }
}
