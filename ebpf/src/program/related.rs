//! ICMP errors: they pass when the packet they quote belongs to a live, allowed session.

use mseg_ebpf::{
    abi::session::FLAG_DENIED,
    packet::{Packet, transport::quoted},
    session::key,
};

use super::{env::Env, headers::Whole, skb::__sk_buff, tables};

/// 1 if an ICMP error is about an allowed session of this zone, and goes to who sent the quoted packet; else 0.
#[unsafe(no_mangle)]
pub extern "C" fn belongs(skb: *mut __sk_buff, env: *const Env, packet: *const Packet) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet)) = (unsafe { (env.as_ref(), packet.as_ref()) }) else {
        return 0;
    };
    let Some(inner) = quoted(&Whole(skb), packet.transport as usize, packet.ipv6 == 1) else {
        return 0;
    };
    if inner.source != packet.destination {
        return 0;
    }
    let (key, _) = key::of(&inner, env.zone as u16);
    match tables::find(env, &key) {
        // SAFETY: as in `tables::is_expired`. A session of an older generation counts as it was judged then: its next own
        // packet is judged anew, and an error about it opens nothing.
        Some(session) => unsafe { ((*session).flags & FLAG_DENIED == 0) as u32 },
        None => 0,
    }
}
