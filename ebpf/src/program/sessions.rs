//! The session tables: continuing a session, opening one, promoting one at its first reply.
//!
//! An existing entry is always written through the pointer a look-up gave, never by a map update: updating an existing
//! key of a full LRU hash evicts others (kernel/bpf/hashtab.c takes a free node before it looks for the key).

use aya_ebpf::bindings::BPF_NOEXIST;
use mseg_ebpf::{
    abi::{
        interface,
        policy::{DIRECTION_IN, DIRECTION_OUT, timeout},
        reason::Reason,
        session::{
            FLAG_CLIENT_IS_LOWER, FLAG_DENIED, FLAG_HALF_OPEN, FLAG_LIBERAL, FLAG_LOG, FLAG_OUT, FLAG_PICKED_UP,
            FLAG_SAMPLED, Sequence, Session, SessionKey, SessionState, TcpState, Traffic,
        },
        stats::VERDICT_ALLOWED,
        time,
    },
    packet::{
        Fragment, Packet, protocol,
        transport::{
            icmp_type,
            tcp_flag::{FIN, SYN},
        },
    },
    policy::Tuple,
    session::{
        progress::{self, ANSWERED, LIBERAL, OUTSIDE, Reopening, from_client},
        tcp,
        window::{self, Side},
    },
};

use super::{
    account,
    classify::{self, Decision, classify},
    env::Env,
    events,
    judge::{self, Judgement},
    maps,
    memory::{add, load, on_stack, store},
    sources,
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
    if key.protocol == protocol::TCP { maps::SESSIONS.get_ptr_mut(key) } else { maps::DATAGRAMS.get_ptr_mut(key) }
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

/// The hot path: counts a packet whose session lets it pass and only changes its counters and numbers. 1; or 0 if it
/// takes more to judge it, and nothing was changed.
#[unsafe(no_mangle)]
pub extern "C" fn pass(env: *const Env, packet: *const Packet, session: *mut Session, sender_is_lower: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), false) = (unsafe { (env.as_ref(), packet.as_ref(), session.is_null()) }) else {
        return 0;
    };
    // SAFETY: as in `is_expired`.
    let before = unsafe { &*session };
    // A first fragment leads others, which are to follow it.
    if before.generation != env.generation
        || packet.fragment != Fragment::Whole
        || before.flags & (FLAG_DENIED | FLAG_LIBERAL) != 0
        || !progress::is_steady(before, packet)
        || is_expired(env, session)
    {
        return 0;
    }
    let from_client = from_client(before, sender_is_lower != 0);
    if packet.protocol == protocol::TCP {
        let (sender, receiver) = (Side::of(before, from_client), Side::of(before, !from_client));
        if !window::fits(sender, receiver, packet) {
            return 0;
        }
        write_side(session, from_client, window::sent(sender, packet));
    }
    tally(env, session, from_client);
    account::count(env, VERDICT_ALLOWED, Judgement::session(before.rule));
    1
}

/// Counts a packet in its session.
#[inline(always)]
fn tally(env: &Env, session: *mut Session, from_client: bool) {
    let now = env.tick();
    // SAFETY: as in `is_expired`; the counters are added to atomically, since both directions may run at once.
    unsafe {
        let traffic = if from_client { &raw mut (*session).to_server } else { &raw mut (*session).to_client };
        add(&raw mut (*traffic).packets, env.packets());
        add(&raw mut (*traffic).bytes, env.bytes());
        // Writing only what changes keeps the line clean for other CPUs.
        if (*session).last_seen_tick != now {
            store(&raw mut (*session).last_seen_tick, now);
        }
    }
}

/// Writes what a side has sent. Packets of one side hardly ever run on two CPUs at once; if they do, the later number may
/// be lost until the side's next packet.
#[inline(always)]
fn write_side(session: *mut Session, client: bool, side: Side) {
    // SAFETY: as in `is_expired`.
    unsafe {
        let (sent, window) = if client {
            (&raw mut (*session).client, &raw mut (*session).client_window)
        } else {
            (&raw mut (*session).server, &raw mut (*session).server_window)
        };
        store(&raw mut (*sent).end, side.sent.end);
        store(&raw mut (*sent).ack, side.sent.ack);
        store(window, side.window);
    }
}

/// Removes an expired session, which is as good as absent.
#[unsafe(no_mangle)]
pub extern "C" fn expire(env: *const Env, key: *const SessionKey, session: *mut Session) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), false) = (unsafe { (env.as_ref(), key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    let key = &on_stack(key);
    // SAFETY: as in `is_expired`.
    let (state, flags) = unsafe { ((*session).state, (*session).flags) };
    if !matches!(state, SessionState::Closed) {
        let verdict = env.verdict(flags & FLAG_DENIED == 0);
        events::emit(env, events::CLOSED, key, session, events::pack(Reason::Session, verdict, 0));
    }
    remove(key, session);
    events::count(|stats| stats.sessions_expired += 1);
    1
}

/// Removes a session from its table.
#[inline(always)]
pub(crate) fn remove(key: &SessionKey, session: *mut Session) {
    // SAFETY: as in `is_expired`.
    let half_open = unsafe { (*session).flags } & FLAG_HALF_OPEN != 0;
    if half_open { remove_from_half_open(key) } else { remove_answered(key) }
}

#[inline(always)]
fn remove_answered(key: &SessionKey) {
    // Another CPU may have removed it already, which is as well.
    if key.protocol == protocol::TCP {
        remove_tcp(key);
    } else if maps::DATAGRAMS.remove(key).is_ok() {
        events::count(|stats| stats.datagrams_removed += 1);
    }
}

#[inline(always)]
fn remove_tcp(key: &SessionKey) {
    if maps::SESSIONS.remove(key).is_ok() {
        events::count(|stats| stats.sessions_removed += 1);
    }
}

#[inline(always)]
fn remove_from_half_open(key: &SessionKey) {
    if maps::HALF_OPEN.remove(key).is_ok() {
        events::count(|stats| stats.half_open_removed += 1);
    }
}

/// Whether the packet may open another session.
#[inline(always)]
pub(crate) fn reopens(session: *mut Session, packet: &Packet) -> Reopening {
    // SAFETY: as in `is_expired`.
    progress::reopens(unsafe { &*session }, packet)
}

/// Judges a packet by its session: see [`judge::judge_session`].
#[inline(always)]
pub(crate) fn go_on(env: &Env, packet: &Packet, key: &SessionKey, session: *mut Session, call: u32) -> u64 {
    let fresh = call & judge::REJUDGED != 0;
    // SAFETY: as in `is_expired`.
    if unsafe { load(&raw const (*session).generation) } != env.generation {
        // Judged again, and still not of this generation: its maps are damaged.
        return if fresh { Judgement::unruled(Reason::NoPolicy).pack() } else { judge::STALE_SESSION };
    }
    // SAFETY: as in `is_expired`.
    let (rule, flags) = unsafe { (load(&raw const (*session).rule), load(&raw const (*session).flags)) };
    let mut allow = flags & FLAG_DENIED == 0;
    let mut reason = if allow { Reason::Session } else { Decision { rule, allow, log: false }.reason() };
    // A denied session is kept as it is: should the policy change back before it expires, it goes on.
    if allow || !env.enforces() {
        // SAFETY: as in `is_expired`.
        let from_client = from_client(unsafe { &*session }, call & 1 != 0);
        if !advance(env, packet, key, session, from_client) {
            (allow, reason) = (false, Reason::TcpWindow);
        }
    }
    let opener = judge::HAS_SESSION | flags & (FLAG_CLIENT_IS_LOWER | FLAG_OUT);
    Judgement { rule, reason, allow, fresh, opener }.pack()
}

/// Counts a packet in its session and takes the session to its next state; false, and nothing else, if the session
/// does not expect the packet.
#[inline(always)]
fn advance(env: &Env, packet: &Packet, key: &SessionKey, session: *mut Session, from_client: bool) -> bool {
    // SAFETY: as in `is_expired`.
    let (before, flags) = unsafe { (progress::states(&*session), (*session).flags) };
    let step = if progress::is_control(packet) {
        step_control(env, packet, session, from_client as u32)
    } else {
        step_data(env, packet, session, from_client as u32)
    };
    if step & OUTSIDE != 0 {
        return false;
    }
    tally(env, session, from_client);
    if step & progress::STATES != before {
        change_state(env, key, session, step);
    }
    if flags & FLAG_HALF_OPEN != 0 && step & ANSWERED != 0 {
        promote(key, session);
    }
    true
}

/// Whether a packet may belong to the handshake of a half-open session, beside which an older one lives.
#[inline(always)]
pub(crate) fn is_handshake(session: *mut Session, packet: &Packet) -> bool {
    // SAFETY: as in `is_expired`.
    let state = unsafe { (*session).tcp_state };
    packet.tcp_flags & SYN != 0 || matches!(state, TcpState::SynRecv)
}

/// What a packet does to its session ([`progress::Step::pack`]); writes all of it but the states.
#[unsafe(no_mangle)]
pub extern "C" fn step_data(env: *const Env, packet: *const Packet, session: *mut Session, from_client: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), false) = (unsafe { (env.as_ref(), packet.as_ref(), session.is_null()) }) else {
        return OUTSIDE;
    };
    let from_client = from_client != 0;
    // SAFETY: as in `is_expired`.
    let before = unsafe { &*session };
    let step = progress::step_data(before, packet, from_client, env.trust(), time::created(env.now_ns));
    write_step(session, packet, from_client, step)
}

/// [`step_data`] for a TCP SYN or reset.
#[unsafe(no_mangle)]
pub extern "C" fn step_control(env: *const Env, packet: *const Packet, session: *mut Session, from_client: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), false) = (unsafe { (env.as_ref(), packet.as_ref(), session.is_null()) }) else {
        return OUTSIDE;
    };
    let from_client = from_client != 0;
    // SAFETY: as in `is_expired`.
    let step = progress::step_control(unsafe { &*session }, packet, from_client, env.trust());
    write_step(session, packet, from_client, step)
}

#[inline(always)]
fn write_step(session: *mut Session, packet: &Packet, from_client: bool, step: progress::Step) -> u32 {
    if packet.protocol == protocol::TCP {
        if step.found & LIBERAL != 0 {
            // SAFETY: as in `is_expired`.
            unsafe { store(&raw mut (*session).flags, (*session).flags | FLAG_LIBERAL) };
        }
        write_side(session, from_client, step.sender);
        write_side(session, !from_client, step.receiver);
    }
    step.pack()
}

/// Writes a new state, its timeout, and reports a close.
#[unsafe(no_mangle)]
pub extern "C" fn change_state(env: *const Env, key: *const SessionKey, session: *mut Session, step: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), false) = (unsafe { (env.as_ref(), key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    let (state, tcp_state, fins) = progress::Step::unpack(step);
    // SAFETY: as in `is_expired`.
    let before = unsafe { (*session).state } as u8;
    // SAFETY: as in `is_expired`; the numbers are those of the enums.
    unsafe {
        store((&raw mut (*session).state).cast(), state);
        store((&raw mut (*session).tcp_state).cast(), tcp_state);
        store(&raw mut (*session).fins, fins);
    }
    let index = progress::timeout(key.protocol, state, tcp_state);
    set_timeout(env.generation, session, index);
    // SAFETY: as in `is_expired`.
    let flags = unsafe { (*session).flags };
    // Answered, if only by a reset: it does not weigh on its source any more.
    if flags & FLAG_SAMPLED != 0 && state != SessionState::New as u8 {
        // SAFETY: as in `is_expired`.
        unsafe { store(&raw mut (*session).flags, flags & !FLAG_SAMPLED) };
        sources::release(env, key, flags as u32);
    }
    if state == SessionState::Closed as u8 && before != SessionState::Closed as u8 {
        events::count(|stats| stats.sessions_closed += 1);
        // SAFETY: as in `is_expired`.
        let verdict = env.verdict(unsafe { (*session).flags } & FLAG_DENIED == 0);
        events::emit(env, events::CLOSED, key, session, events::pack(Reason::Session, verdict, 0));
    }
    1
}

/// Takes the session's timeout from the generation; without one the old timeout stays.
#[inline(always)]
fn set_timeout(generation: u32, session: *mut Session, index: usize) {
    if let Some(ticks) = timeout_ticks(generation, index) {
        // SAFETY: as in `is_expired`.
        unsafe { store(&raw mut (*session).timeout_ticks, ticks) };
    }
}

#[inline(always)]
fn timeout_ticks(generation: u32, index: usize) -> Option<u32> {
    let header = classify::header(generation)?;
    if index >= timeout::COUNT {
        return None;
    }
    Some(time::seconds_to_ticks(header.timeouts_s[index]))
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
        if let Some(old) = maps::SESSIONS.get_ptr_mut(key) {
            // SAFETY: as in `is_expired`.
            let (created, end) = unsafe { ((*old).created, (*old).client.end) };
            if created != entry.created || entry.client.end.wrapping_sub(end).wrapping_add(1 << 16) > 1 << 17 {
                remove_tcp(key);
            }
        }
        if maps::SESSIONS.insert(key, &entry, BPF_NOEXIST as u64).is_ok() {
            events::count(|stats| stats.sessions_promoted += 1);
        }
    } else if maps::DATAGRAMS.insert(key, &entry, BPF_NOEXIST as u64).is_ok() {
        events::count(|stats| stats.datagrams_promoted += 1);
    }
    remove_from_half_open(key);
    1
}

/// Judges a session by the active generation, from its client's point of view, whoever sent this packet. 0 if the
/// generation's maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn rejudge(env: *const Env, key: *const SessionKey, session: *mut Session) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), false) = (unsafe { (env.as_ref(), key.as_ref(), session.is_null()) }) else {
        return 0;
    };
    // SAFETY: as in `is_expired`.
    let (rule, flags, state, tcp_state) =
        unsafe { ((*session).rule, (*session).flags, (*session).state as u8, (*session).tcp_state as u8) };
    let Some(decision) = Decision::unpack(decide_session(env, key, session)) else {
        return 0;
    };
    let new_flags = flags & !(FLAG_DENIED | FLAG_LOG) | decision_flags(decision);
    // SAFETY: as in `is_expired`. Two CPUs at once write the same. The generation is last: who sees it sees the rest.
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
const fn decision_flags(decision: Decision) -> u8 {
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

/// Argument of [`open`]: the sender is the key's lower endpoint.
pub(crate) const SENDER_IS_LOWER: u32 = 1;
/// Argument of [`open`]: the packet replaces a session that is not half-open. What [`sources::admit`] says of the source comes on top.
pub(crate) const REPLACES: u32 = 2;
/// Argument of [`open`]: the packet replaces a session of HALF_OPEN.
pub(crate) const REPLACES_HALF_OPEN: u32 = 4;

/// Opens a session, unless `decision` (packed) drops its packet. A packed [`Judgement`].
#[unsafe(no_mangle)]
pub extern "C" fn open(
    env: *const Env,
    packet: *const Packet,
    key: *const SessionKey,
    call: u32,
    decision: u64,
) -> u64 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), Some(key)) = (unsafe { (env.as_ref(), packet.as_ref(), key.as_ref()) }) else {
        return Judgement::unruled(Reason::NoPolicy).pack();
    };
    let Some(decision) = Decision::unpack(decision) else {
        return Judgement::unruled(Reason::NoPolicy).pack();
    };
    open_session(env, packet, &on_stack(key), call, decision).pack()
}

#[inline(always)]
fn open_session(env: &Env, packet: &Packet, key: &SessionKey, call: u32, decision: Decision) -> Judgement {
    let judgement = Judgement::of(decision);
    if !decision.allow && env.enforces() {
        return judgement;
    }
    let (state, tcp_state) = progress::first(packet);
    let Some(timeout_ticks) =
        timeout_ticks(env.generation, progress::timeout(packet.protocol, state as u8, tcp_state as u8))
    else {
        return Judgement::unruled(Reason::NoPolicy);
    };
    let mut flags = FLAG_HALF_OPEN | decision_flags(decision);
    if call & SENDER_IS_LOWER != 0 {
        flags |= FLAG_CLIENT_IS_LOWER;
    }
    if call & sources::REFUSED != 0 {
        return Judgement { rule: decision.rule, ..Judgement::unruled(Reason::SourceLimit) };
    }
    flags |= call as u8 & FLAG_SAMPLED;
    let mut client = Side::default();
    let mut fins = 0;
    if packet.protocol == protocol::TCP {
        if !tcp::opens(packet.tcp_flags) {
            flags |= FLAG_PICKED_UP;
            fins = packet.tcp_flags & FIN;
        }
        if packet.fragment == Fragment::Whole {
            client = window::learnt(client, packet);
        } else {
            flags |= FLAG_LIBERAL;
        }
    }
    if env.is_out() {
        flags |= FLAG_OUT;
    }
    let session = Session {
        to_server: Traffic { packets: env.packets(), bytes: env.bytes() },
        to_client: Traffic::default(),
        last_seen_tick: env.tick(),
        timeout_ticks,
        rule: decision.rule,
        generation: env.generation,
        ifindex: env.ifindex,
        created: time::created(env.now_ns),
        state,
        tcp_state,
        flags,
        fins,
        client: client.sent,
        server: Sequence::default(),
        client_window: client.window,
        server_window: 0,
    };
    // Only now that the new one may be: a packet that the policy denies closes nothing.
    if call & REPLACES != 0 {
        remove_tcp(key);
    }
    if call & REPLACES_HALF_OPEN != 0 {
        remove_from_half_open(key);
    }
    if maps::HALF_OPEN.insert(key, &session, BPF_NOEXIST as u64).is_err() {
        // Another CPU opened it just now, or the table has no room.
        return match maps::HALF_OPEN.get_ptr_mut(key) {
            Some(other) => {
                // SAFETY: as in `is_expired`.
                tally(env, other, from_client(unsafe { &*other }, call & SENDER_IS_LOWER != 0));
                judgement
            }
            None => Judgement::unruled(Reason::TableFull),
        };
    }
    events::count(|stats| stats.sessions_created += 1);
    let packed = events::pack(judgement.reason, env.verdict(judgement.allow), 0);
    events::emit(env, events::OPENED, key, &session, packed);
    judgement
}
