//! Judging a session again when the policy has changed.

use mseg_ebpf::{
    abi::{
        interface,
        policy::{DIRECTION_IN, DIRECTION_OUT},
        session::{FLAG_CLIENT_IS_LOWER, FLAG_DENIED, FLAG_LOG, FLAG_OUT, Session, SessionKey},
    },
    packet::{protocol, transport::icmp_type},
    policy::Tuple,
    session::progress,
};

use super::{
    classify::{Decision, classify},
    env::Env,
    events,
    memory::store,
    sessions::set_timeout,
};

/// Judges a session by the active generation, from its client's point of view, whoever sent this packet. 0 if the
/// generation's maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn rejudge(env: *const Env, key: *const SessionKey, session: *mut Session) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), false) = (unsafe { (env.as_ref(), key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    // SAFETY: as in `tables::is_expired`.
    let (rule, flags, state, tcp_state) =
        unsafe { ((*session).rule, (*session).flags, (*session).state as u8, (*session).tcp_state as u8) };
    let Some(decision) = Decision::unpack(decide_session(env, key, session)) else {
        return 0;
    };
    let new_flags = flags & !(FLAG_DENIED | FLAG_LOG) | decision_flags(decision);
    // SAFETY: as in `tables::is_expired`. Two CPUs at once write the same. The generation is last: who sees it sees the rest.
    unsafe {
        store(&raw mut (*session).rule, decision.rule);
        store(&raw mut (*session).flags, new_flags);
        store(&raw mut (*session).generation, env.generation);
    }
    set_timeout(env.generation, session, progress::timeout(key.protocol, state, tcp_state));
    events::count(|stats| stats.sessions_rejudged += 1);
    if rule != decision.rule || flags != new_flags {
        let packed = events::pack(decision.reason(), env.verdict(decision.allow), 0);
        events::emit(env, events::REJUDGED, key, session, packed);
    }
    1
}

/// What the policy says of a session: a packed [`Decision`], 0 if its maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn decide_session(env: *const Env, key: *const SessionKey, session: *const Session) -> u64 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), Some(session)) = (unsafe { (env.as_ref(), key.as_ref(), session.as_ref()) }) else {
        return 0;
    };
    classify(env.generation, session.ifindex, tuple(key, session))
}

#[inline(always)]
pub(crate) const fn decision_flags(decision: Decision) -> u8 {
    let mut flags = 0;
    if !decision.allow {
        flags |= FLAG_DENIED;
    }
    if decision.log {
        flags |= FLAG_LOG;
    }
    flags
}

/// What rules look at in a session: its first packet.
#[inline(always)]
fn tuple(key: &SessionKey, session: &Session) -> Tuple {
    let client_is_lower = session.flags & FLAG_CLIENT_IS_LOWER != 0;
    let (source, destination) =
        if client_is_lower { (key.lower_address, key.higher_address) } else { (key.higher_address, key.lower_address) };
    let (source_port, destination_port) =
        if client_is_lower { (key.lower_port, key.higher_port) } else { (key.higher_port, key.lower_port) };
    let words: [u64; 2] = zerocopy::transmute!(source);
    let ipv4 = words[0] == 0 && u64::from_be(words[1]) >> 32 == 0xffff;
    // The only ICMP that has a session is echo; its ports are an identifier.
    let echo = match (key.protocol, ipv4) {
        (protocol::ICMP, true) => Some(icmp_type::ECHO_REQUEST),
        (protocol::ICMPV6, false) => Some(icmp_type::V6_ECHO_REQUEST),
        _ => None,
    };
    Tuple {
        source,
        destination,
        interface: [0; interface::NAME_LEN],
        source_port: if echo.is_none() { u16::from_be_bytes(source_port) } else { 0 },
        destination_port: if echo.is_none() { u16::from_be_bytes(destination_port) } else { 0 },
        protocol: key.protocol,
        icmp_type: echo.unwrap_or(0),
        icmp_code: 0,
        ipv6: !ipv4 as u8,
        direction: if session.flags & FLAG_OUT != 0 { DIRECTION_OUT } else { DIRECTION_IN },
    }
}
