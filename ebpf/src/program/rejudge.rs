//! Judging a session again when the policy has changed.

use mseg_ebpf::{
    abi::{
        policy::{DIRECTION_IN, DIRECTION_OUT},
        session::{
            FINS, FLAG_CLIENT_IS_LOWER, FLAG_DENIED, FLAG_HALF_OPEN, FLAG_LOG, FLAG_OUT, FLAG_PICKED_UP, FLAG_SAMPLED,
            MAY_LEAVE, OWN, PASSES_ON, PASSES_THROUGH, Session, SessionKey, SessionState, TURNED_AROUND, TcpState,
        },
    },
    packet::{protocol, transport::icmp_type},
    policy::Tuple,
    session::{
        opener::{EPHEMERAL, is_guess, ports},
        progress::{self, from_client},
    },
};

use super::{
    classify::{self, Decision},
    env::Env,
    events,
    memory::{load, store},
    route,
    sessions::{self, set_timeout},
    skb::__sk_buff,
    sources,
};

/// [`judge_anew`]: the session is no more.
pub(crate) const FORGOTTEN: u32 = 2;

/// Finds out what [`judge_anew`] may need to know of a forwarded session: [`mseg_ebpf::policy::Question::towards`]
/// and [`mseg_ebpf::policy::Question::routed`].
#[unsafe(no_mangle)]
pub extern "C" fn look_around(
    skb: *mut __sk_buff,
    env: *const Env,
    key: *const SessionKey,
    session: *mut Session,
) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(before), Some(question)) = (unsafe { session.as_ref() }, classify::question()) else {
        return 0;
    };
    let client_is_lower = (before.flags & FLAG_CLIENT_IS_LOWER) as u32;
    const { assert!(FLAG_CLIENT_IS_LOWER == 1) };
    (question.towards, question.routed) = (0, 0);
    if before.fins & PASSES_ON != 0 && before.is_guessed() {
        let ifindex = route::to_end(skb, env, key, client_is_lower ^ 1);
        question.towards = if route::is_attached(ifindex) { ifindex } else { 0 };
    }
    if may_be_misplaced(before) {
        question.routed = route::to_end(skb, env, key, client_is_lower);
    }
    1
}

/// Judges a session in the active generation; [`FORGOTTEN`], 1, or 0 if that one's maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn judge_anew(
    skb: *mut __sk_buff,
    env: *const Env,
    key: *const SessionKey,
    session: *mut Session,
    sender_is_lower: u32,
) -> u32 {
    // One after the other, here where little stack is used: calls within calls would need more than there is.
    look_around(skb, env, key, session);
    decide_session(env, key, session, AS_OPENED);
    let doubt = doubt(env, key, session, sender_is_lower);
    let mut settled = doubt == 0;
    if doubt & PLACED != 0 {
        decide_session(env, key, session, PLACED);
        settled = place(env, key, session) != 0;
    }
    if !settled && doubt & TURNED != 0 {
        decide_session(env, key, session, sender_is_lower | TURNED);
        settled = turn(env, key, session, sender_is_lower) != 0;
    }
    if !settled {
        decide_session(env, key, session, AS_OPENED);
    }
    rejudge(env, key, session)
}

/// Makes what [`decide_session`] found the session's: it is judged in the active generation, from its client's point
/// of view, whoever sent this packet. 0 if the generation's maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn rejudge(env: *const Env, key: *const SessionKey, session: *mut Session) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), false) = (unsafe { (env.as_ref(), key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    // SAFETY: as in `tables::is_expired`.
    let (rule, flags, state, tcp_state) =
        unsafe { ((*session).rule, (*session).flags, (*session).state as u8, (*session).tcp_state as u8) };
    let Some(decision) = Decision::unpack(classify::decision()) else {
        return 0;
    };
    // SAFETY: as in `tables::is_expired`.
    if !was_asked(flags) || !was_asked_at(unsafe { load(&raw const (*session).ifindex) }) {
        // Another CPU has just turned it around or placed it: its next packet is judged by what that found.
        return 0;
    }
    // SAFETY: as in `tables::is_expired`.
    let fins = unsafe { (*session).fins };
    // SAFETY: as in `tables::is_expired`.
    if !decision.allow && flags & FLAG_HALF_OPEN != 0 && unsafe { (*session).is_guessed() } {
        // Perhaps the other side, which was not heard yet, has opened it, and a rule allows that.
        sessions::expire(env, key, session);
        return FORGOTTEN;
    }
    let new_flags = flags & !(FLAG_DENIED | FLAG_LOG) | decision_flags(decision);
    // SAFETY: as in `tables::is_expired`. Two CPUs at once write the same. The generation is last: who sees it sees the rest.
    unsafe {
        store(&raw mut (*session).rule, decision.rule);
        store(&raw mut (*session).flags, new_flags);
        // That is to be asked again, too. Hardly ever is it there; another CPU may be noting a FIN.
        if fins & MAY_LEAVE != 0 {
            store(&raw mut (*session).fins, fins & !MAY_LEAVE);
        }
        store(&raw mut (*session).generation, env.generation);
        // Or while this was written: what was found is not about that.
        if !was_asked_at(load(&raw const (*session).ifindex)) {
            store(&raw mut (*session).generation, 0);
        }
    }
    let counted = sources::slot_of(session);
    set_timeout(env.generation, session, progress::timeout(key.protocol, state, tcp_state));
    if flags & FLAG_SAMPLED != 0 {
        sources::recount(env, key, session, counted);
    }
    events::count(|stats| stats.sessions_rejudged += 1);
    if rule != decision.rule || flags != new_flags {
        let packed = events::pack(decision.reason(), env.verdict(decision.allow), 0);
        events::emit(env, events::REJUDGED, key, session, packed);
    }
    1
}

/// Whether the latest question was about a session with this client and direction.
#[inline(always)]
fn was_asked(flags: u8) -> bool {
    classify::question().is_some_and(|question| (question.flags as u8 ^ flags) & (FLAG_CLIENT_IS_LOWER | FLAG_OUT) == 0)
}

/// Whether it was about a session of this interface.
#[inline(always)]
fn was_asked_at(ifindex: u32) -> bool {
    classify::question().is_some_and(|question| question.ifindex == ifindex)
}

/// Argument of [`decide_session`]: as it was opened, or is taken to have been.
const AS_OPENED: u32 = 0;
/// Argument of [`decide_session`]: as if the other side had opened it. Bit 0 is set if the packet's sender is the key's lower
/// endpoint.
const TURNED: u32 = 2;
/// Argument of [`decide_session`]: as if it had been opened where this packet arrives.
const PLACED: u32 = 4;

/// What the policy says of a session: a packed [`Decision`], 0 if its maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn decide_session(env: *const Env, key: *const SessionKey, session: *const Session, call: u32) -> u64 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), Some(session)) = (unsafe { (env.as_ref(), key.as_ref(), session.as_ref()) }) else {
        return 0;
    };
    let (mut flags, mut ifindex) = (session.flags, session.ifindex);
    if call & PLACED != 0 {
        (flags, ifindex) = (flags & !FLAG_OUT, env.ifindex);
    } else if call & TURNED != 0 {
        (flags, ifindex) = turned(env, session, call & 1);
    }
    classify::ask(ifindex, flags, |tuple| write_tuple(tuple, key, flags));
    classify::classify(env, key)
}

/// A session's flags if its other side opened it, and the interface at which that arrives, or by which it is reached; 0 if
/// nothing tells.
#[inline(always)]
fn turned(env: &Env, session: &Session, sender_is_lower: u32) -> (u8, u32) {
    let flags = session.flags ^ FLAG_CLIENT_IS_LOWER;
    if session.fins & PASSES_ON != 0 {
        // Where the client's packets arrive, those in the other side's name are made up.
        let tells = !from_client(session, sender_is_lower != 0) && arrives_elsewhere(env, session);
        let ifindex = if tells { env.ifindex } else { classify::question().map_or(0, |question| question.towards) };
        (flags & !FLAG_OUT, ifindex)
    } else if session.fins & PASSES_THROUGH != 0 || session.ifindex == sessions::LOOPBACK {
        (flags, session.ifindex)
    } else {
        // What the host was taken to have opened leaves by its route; the other side may arrive elsewhere.
        let tells = session.flags & FLAG_OUT != 0 && !from_client(session, sender_is_lower != 0) && env.arrives();
        (flags ^ FLAG_OUT, if tells { env.ifindex } else { session.ifindex })
    }
}

/// Whether the packet arrives at another interface than the session's.
#[inline(always)]
fn arrives_elsewhere(env: &Env, session: &Session) -> bool {
    env.arrives() && env.ifindex != session.ifindex
}

/// How else a connection may have been opened: [`PLACED`] and [`TURNED`], or neither. Asked after [`AS_OPENED`].
#[unsafe(no_mangle)]
pub extern "C" fn doubt(env: *const Env, key: *const SessionKey, session: *const Session, sender_is_lower: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), Some(session)) = (unsafe { (env.as_ref(), key.as_ref(), session.as_ref()) }) else {
        return 0;
    };
    let denied = !Decision::allows(classify::decision());
    let mut doubt = 0;
    // Elsewhere than where the route to it leads it may be made up, by who is behind NAT in the name that this gives. The kernel
    // drops what arrives in the host's own (fib_validate_source); what a bridge forwards needs no route.
    if (is_misplaced(env, session, sender_is_lower, denied)
        && classify::question().is_some_and(|question| {
            question.routed == env.ifindex || (question.routed == 0 && route::is_bridge_port(env.ifindex))
        }))
        || is_suggested(env, session, sender_is_lower, denied)
    {
        doubt |= PLACED;
    }
    if (denied && is_guess(key, session)) || is_first_answer(env, key, session, sender_is_lower) {
        doubt |= TURNED;
    }
    doubt
}

/// Whether the client's packets arrive elsewhere than is noted of a forwarded session, if that is wrong, since it was first
/// seen as it left, while the interface at which it arrived was not attached yet; or may be, as it was picked up, and is
/// `denied`.
#[inline(always)]
pub(crate) fn is_misplaced(env: &Env, session: &Session, sender_is_lower: u32, denied: bool) -> bool {
    may_be_misplaced(session)
        && (denied || session.flags & FLAG_OUT != 0)
        && from_client(session, sender_is_lower != 0)
        && arrives_elsewhere(env, session)
}

/// Whether the client's packets arrive elsewhere than the host's route to it suggests, where a session is `denied` that was
/// adopted; or than those did by which one of the host was picked up. Who sends there in the client's name could as well open
/// a connection of these ends there, if the policy allows that.
#[inline(always)]
pub(crate) fn is_suggested(env: &Env, session: &Session, sender_is_lower: u32, denied: bool) -> bool {
    denied
        && session.flags & (FLAG_OUT | FLAG_PICKED_UP) == FLAG_PICKED_UP
        && (!session.is_guessed() || session.to_server.packets == 0 || session.fins & (PASSES_ON | PASSES_THROUGH) == 0)
        && from_client(session, sender_is_lower != 0)
        && arrives_elsewhere(env, session)
}

/// Whether it is not certain where a session's client arrives.
#[inline(always)]
const fn may_be_misplaced(session: &Session) -> bool {
    if session.flags & FLAG_OUT != 0 {
        session.fins & OWN == 0
    } else {
        session.fins & PASSES_ON != 0 && session.is_guessed()
    }
}

/// Whether the packet is the first of the other side of a forwarded session that was picked up, and the ports say that it was
/// opened by that: then its interface is known, and while nothing is denied it need not say more later.
#[inline(always)]
pub(crate) fn is_first_answer(env: &Env, key: &SessionKey, session: &Session, sender_is_lower: u32) -> bool {
    let (client, server) = ports(key, session);
    session.flags & FLAG_HALF_OPEN != 0
        && session.fins & PASSES_ON != 0
        && session.fins & TURNED_AROUND == 0
        && session.is_guessed()
        && client < EPHEMERAL
        && server >= EPHEMERAL
        && !from_client(session, sender_is_lower != 0)
        && arrives_elsewhere(env, session)
}

/// Takes a session for opened where this packet arrives, if the policy allows that, which was asked last. 1 if so.
#[unsafe(no_mangle)]
pub extern "C" fn place(env: *const Env, key: *const SessionKey, session: *mut Session) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(_), false) = (unsafe { (env.as_ref(), key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    if !Decision::allows(classify::decision()) {
        return 0;
    }
    sources::release(env, key, session);
    // SAFETY: as in `tables::is_expired`. Two CPUs at once write the same, or each where its packet arrived.
    unsafe {
        let on = if may_be_misplaced(&*session) { PASSES_ON } else { 0 };
        (*session).ifindex = env.ifindex;
        store(&raw mut (*session).fins, (*session).fins & !MAY_LEAVE | on);
        store(&raw mut (*session).flags, (*session).flags & !FLAG_OUT);
    }
    1
}

/// Takes a session for opened by its other side, if the policy allows that, which was asked last. 1 if so.
#[unsafe(no_mangle)]
pub extern "C" fn turn(env: *const Env, key: *const SessionKey, session: *mut Session, sender_is_lower: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(_), false) = (unsafe { (env.as_ref(), key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    if !Decision::allows(classify::decision()) {
        return 0;
    }
    // SAFETY: as in `tables::is_expired`. Should another CPU do the same at this moment, what was counted is turned back at
    // worst: no window is checked of a session that was picked up. The flags are last, which say whose they are.
    unsafe {
        let before = *session;
        let (flags, ifindex) = turned(env, &before, sender_is_lower);
        if !was_asked(flags) {
            // It was faster: this is how it was turned.
            return 1;
        }
        if before.flags & FLAG_HALF_OPEN != 0 {
            // Both sides were heard. And it is another source's now.
            store((&raw mut (*session).state).cast(), SessionState::Established as u8);
            sources::release(env, key, session);
        }
        if ifindex == 0 && before.fins & TURNED_AROUND != 0 {
            // No rule of an interface was asked. Else each side's packets could turn it to and fro, and pass.
            return 0;
        }
        (*session).to_server = before.to_client;
        (*session).to_client = before.to_server;
        (*session).client = before.server;
        (*session).server = before.client;
        (*session).client_window = before.server_window;
        (*session).server_window = before.client_window;
        (*session).ifindex = ifindex;
        (*session).tcp_state = match before.tcp_state {
            TcpState::FinWait => TcpState::CloseWait,
            TcpState::CloseWait => TcpState::FinWait,
            other => other,
        };
        let fins = before.fins & FINS;
        let fins = (fins << 1 | fins >> 1) & FINS;
        store(&raw mut (*session).fins, before.fins & !(FINS | OWN | MAY_LEAVE) ^ TURNED_AROUND | fins);
        store(&raw mut (*session).flags, flags & !FLAG_SAMPLED);
    }
    1
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
fn write_tuple(tuple: &mut Tuple, key: &SessionKey, flags: u8) {
    let client_is_lower = flags & FLAG_CLIENT_IS_LOWER != 0;
    if client_is_lower {
        copy_address(&mut tuple.source, &key.lower_address);
        copy_address(&mut tuple.destination, &key.higher_address);
    } else {
        copy_address(&mut tuple.source, &key.higher_address);
        copy_address(&mut tuple.destination, &key.lower_address);
    }
    let (source_port, destination_port) =
        if client_is_lower { (key.lower_port, key.higher_port) } else { (key.higher_port, key.lower_port) };
    let words: [u64; 2] = zerocopy::transmute!(key.lower_address);
    let ipv4 = words[0] == 0 && u64::from_be(words[1]) >> 32 == 0xffff;
    // The only ICMP that has a session is echo; its ports are an identifier.
    match key.protocol {
        protocol::ICMP => (tuple.source_port, tuple.destination_port) = (0, (icmp_type::ECHO_REQUEST as u16) << 8),
        protocol::ICMPV6 => (tuple.source_port, tuple.destination_port) = (0, (icmp_type::V6_ECHO_REQUEST as u16) << 8),
        _ => {
            tuple.source_port = u16::from_be_bytes(source_port);
            tuple.destination_port = u16::from_be_bytes(destination_port);
        }
    }
    tuple.protocol = key.protocol;
    tuple.ipv6 = !ipv4 as u8;
    tuple.direction = if flags & FLAG_OUT != 0 { DIRECTION_OUT } else { DIRECTION_IN };
}

/// Word by word: of its own accord the compiler holds both addresses in registers, and those on the stack.
#[inline(always)]
fn copy_address(to: &mut [u8; 16], from: &[u8; 16]) {
    let (to, from) = (to.as_mut_ptr().cast::<u64>(), from.as_ptr().cast::<u64>());
    for word in 0..2 {
        // SAFETY: both have two words, and lie at multiples of 8 in structs that are so aligned.
        unsafe { store(to.add(word), load(from.add(word))) };
    }
}
