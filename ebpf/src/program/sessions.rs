//! A packet of a session that is there: the hot path, and all that is not on it.

use mseg_ebpf::{
    abi::{
        policy::timeout,
        reason::Reason,
        session::{
            FINS, FLAG_CLIENT_IS_LOWER, FLAG_DENIED, FLAG_HALF_OPEN, FLAG_LIBERAL, FLAG_OUT, FLAG_SAMPLED, MAY_LEAVE,
            OWN, PASSES_ON, PASSES_THROUGH, Session, SessionKey, SessionState, TcpState,
        },
        stats::VERDICT_ALLOWED,
        time,
    },
    packet::{
        Fragment, Packet, protocol,
        transport::tcp_flag::{RST, SYN},
    },
    session::{
        opener::is_guess,
        progress::{self, ANSWERED, Kind, LIBERAL, OUTSIDE, Reopening, from_client},
        window::{self, Side},
    },
};

use super::{
    account,
    classify::{self, Decision},
    env::{Env, may_have_missed},
    events,
    judge::{self, Judgement},
    memory::{add, load, on_stack, store},
    rejudge, sources,
    tables::{is_expired, promote, remove, retire},
};

/// The index of the loopback interface, in every network namespace (LOOPBACK_IFINDEX in include/linux/net/loopback.h).
pub(crate) const LOOPBACK: u32 = 1;

/// The hot path: counts a packet whose session lets it pass and only changes its counters and numbers. 1; or 0 if it
/// takes more to judge it, and nothing was changed.
#[unsafe(no_mangle)]
pub extern "C" fn pass(env: *const Env, packet: *const Packet, session: *mut Session, sender_is_lower: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), false) = (unsafe { (env.as_ref(), packet.as_ref(), session.is_null()) }) else {
        return 0;
    };
    // SAFETY: as in `tables::is_expired`.
    let before = unsafe { &*session };
    // A first fragment leads others, which are to follow it.
    if before.generation != env.generation
        || packet.fragment != Fragment::Whole
        || before.flags & FLAG_DENIED != 0
        || before.ifindex == 0
        || !progress::is_steady(before, packet)
        || may_have_missed(env, before.last_seen_tick)
        || is_expired(env, session)
    {
        return 0;
    }
    let from_client = from_client(before, sender_is_lower != 0);
    if !goes_its_way(env, before, from_client) || strays(env, before) {
        return 0;
    }
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

/// Whether the packet goes the way of the side that sent it: that of the session's first packet, or the other.
#[inline(always)]
fn goes_its_way(env: &Env, session: &Session, from_client: bool) -> bool {
    (env.is_out() == (session.flags & FLAG_OUT != 0)) == from_client
}

/// Whether the session is one of the host with itself, all of whose packets pass loopback, and this one does not.
#[inline(always)]
fn strays(env: &Env, session: &Session) -> bool {
    session.ifindex == LOOPBACK && env.ifindex != LOOPBACK
}

/// What a packet's direction says of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing against it.
    Plausible,
    /// The protected side sends it in the name of the other: of the client whose packets arrive, and whoever opened the
    /// session in that name may have been a stranger; or of the server, whose packets ought to arrive. Only the policy can say
    /// whether it may leave.
    Leaves,
    /// A stranger may have sent it, or it took another way than the other side's packets through a network with several
    /// routers. It passes, and says nothing of the session.
    Doubtful,
    /// A stranger sent it, in the name of the protected side.
    MadeUp,
    /// The host sends to another what it sent to itself before, as the address has moved: the session is over.
    Moved,
}

/// Judges a packet by its direction. `asked`: the policy lets it leave.
///
/// Where a client's packets arrive, it is the protected side that answers. An answer that arrives is made up, unless the
/// protected side was seen to forward the session: no stranger can make it do that. Nor does an answer leave where the
/// questions did: a workload does not answer itself. And an answer is doubtful if the session was
/// forwarded to another interface than the answer comes from; one that is forwarded must leave where the client is, too, and
/// come from elsewhere. What is doubtful shakes no hands. What the host itself sends arrives nowhere, unless it was seen to
/// leave for there. Loopback sees everything arrive and nothing leave.
#[inline(always)]
pub(crate) fn way(env: &Env, packet: &Packet, session: *mut Session, sender_is_lower: bool, asked: bool) -> Way {
    // SAFETY: as in `tables::is_expired`.
    let before = unsafe { &*session };
    let from_client = from_client(before, sender_is_lower);
    let same = env.ifindex == before.ifindex;
    let (through, on) = (before.fins & PASSES_THROUGH != 0, before.fins & PASSES_ON != 0);
    let half_open = before.flags & FLAG_HALF_OPEN != 0;
    let doubtful = !from_client && on && !through && half_open;
    if env.ifindex == LOOPBACK {
        return Way::Plausible;
    }
    if strays(env, before) {
        return if env.is_own() { Way::Moved } else { Way::MadeUp };
    }
    // Of what leaves: it is not what arrived where the client's packets do.
    let comes_from_elsewhere = env.is_own() || (same && !env.returns());
    if goes_its_way(env, before, from_client) {
        return if doubtful && env.is_out() && !comes_from_elsewhere { Way::Doubtful } else { Way::Plausible };
    }
    if !env.is_out() {
        // Clients without an address share one, and so a session, wherever they are.
        let plausible = if from_client {
            packet.is_from_nobody() || (!same && (before.fins & OWN == 0 || env.is_counted()))
        } else {
            // Counted: it was judged where it arrived first. An open connection may take another way.
            on && (!half_open || (!same && !env.is_counted()))
        };
        // What its client's packets left by was perhaps attached only since. Of TCP the receiver checks the numbers.
        let unseen = packet.protocol == protocol::TCP
            && !half_open
            && (env.trusts() || may_have_missed(env, before.last_seen_tick));
        return if plausible || through {
            Way::Plausible
        } else if doubtful || (!from_client && !same && unseen) {
            Way::Doubtful
        } else {
            Way::MadeUp
        };
    }
    if !from_client {
        // In the server's name it leaves where the client's packets do. If it was seen to arrive, it was believed then.
        if through {
            return Way::Plausible;
        }
        if same && before.fins & MAY_LEAVE == 0 {
            if !asked {
                return Way::Leaves;
            }
            show(session, MAY_LEAVE);
        }
        return if same || half_open { Way::Doubtful } else { Way::Plausible };
    }
    // What is forwarded is taken for what arrived as the client's, unless it leaves where that arrives, and comes from
    // elsewhere, or was not seen to arrive in this name: behind NAT it may be anybody's.
    if comes_from_elsewhere || (!same && !on && env.is_unmarked()) {
        if before.fins & MAY_LEAVE == 0 && !asked {
            return Way::Leaves;
        }
        show(session, MAY_LEAVE);
    }
    show(session, if same { PASSES_THROUGH } else { PASSES_ON });
    Way::Plausible
}

/// Whether an error about a packet of one side goes the way of the other's: nobody refuses what he sent himself.
#[inline(always)]
pub(crate) fn answers(env: &Env, session: *mut Session, sender_is_lower: bool) -> bool {
    // SAFETY: as in `tables::is_expired`.
    let session = unsafe { &*session };
    let from_client = from_client(session, sender_is_lower);
    // Through a network with several routers it may come elsewhere; and loopback sees everything arrive.
    goes_its_way(env, session, !from_client)
        || env.ifindex != session.ifindex
        || env.ifindex == LOOPBACK
        || session.fins & PASSES_THROUGH != 0
}

/// Takes note of what was seen of a session.
#[inline(always)]
fn show(session: *mut Session, bit: u8) {
    // SAFETY: as in `tables::is_expired`.
    unsafe {
        let fins = (*session).fins;
        if fins & bit == 0 {
            store(&raw mut (*session).fins, fins | bit);
        }
    }
}

/// Counts a packet in its session.
#[inline(always)]
pub(crate) fn tally(env: &Env, session: *mut Session, from_client: bool) {
    let now = env.tick();
    // SAFETY: as in `tables::is_expired`; the counters are added to atomically, since both directions may run at once.
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
    // SAFETY: as in `tables::is_expired`.
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
    // SAFETY: as in `tables::is_expired`.
    let (state, flags) = unsafe { ((*session).state, (*session).flags) };
    if !matches!(state, SessionState::Closed) {
        let verdict = env.verdict(flags & FLAG_DENIED == 0);
        events::emit(env, events::CLOSED, key, session, events::pack(Reason::Session, verdict, 0));
    }
    remove(key, session);
    events::count(|stats| stats.sessions_expired += 1);
    1
}

/// Whether the packet may open another session.
#[inline(always)]
pub(crate) fn reopens(session: *mut Session, packet: &Packet) -> Reopening {
    // SAFETY: as in `tables::is_expired`.
    progress::reopens(unsafe { &*session }, packet)
}

/// Whether the session was judged in another generation.
#[inline(always)]
pub(crate) fn is_stale(env: &Env, session: *mut Session) -> bool {
    // SAFETY: as in `tables::is_expired`.
    unsafe { load(&raw const (*session).generation) != env.generation }
}

/// Whether the session's verdict is deny.
#[inline(always)]
pub(crate) fn is_denied(session: *mut Session) -> bool {
    // SAFETY: as in `tables::is_expired`.
    unsafe { load(&raw const (*session).flags) & FLAG_DENIED != 0 }
}

/// Judges a packet by its session: see [`judge::judge_session`].
#[inline(always)]
pub(crate) fn go_on(env: &Env, packet: &Packet, key: &SessionKey, session: *mut Session, call: u32) -> u64 {
    let fresh = call & judge::REJUDGED != 0;
    if !fresh && tells_more(env, key, session, call & 1 != 0) {
        return judge::STALE_SESSION;
    }
    if is_stale(env, session) {
        // Judged again, and still not of this generation: its maps are damaged.
        return if fresh { Judgement::unruled(Reason::NoPolicy).pack() } else { judge::STALE_SESSION };
    }
    // SAFETY: as in `tables::is_expired`.
    let (rule, flags) = unsafe { (load(&raw const (*session).rule), load(&raw const (*session).flags)) };
    let mut allow = flags & FLAG_DENIED == 0;
    let mut reason = if allow { Reason::Session } else { Decision { rule, allow, log: false }.reason() };
    // A denied session is kept as it is: should the policy change back before it expires, it goes on.
    if allow || !env.enforces() {
        // SAFETY: as in `tables::is_expired`.
        let from_client = from_client(unsafe { &*session }, call & 1 != 0);
        if call & judge::DOUBTED != 0 {
            let counted = sources::slot_of(session);
            tally(env, session, from_client);
            if flags & FLAG_SAMPLED != 0 {
                sources::recount(env, key, session, counted);
            }
        } else if !advance(env, packet, key, session, from_client) {
            (allow, reason) = (false, Reason::TcpWindow);
        }
    }
    let opener = judge::HAS_SESSION | flags & (FLAG_CLIENT_IS_LOWER | FLAG_OUT);
    Judgement { rule, reason, allow, fresh, opener }.pack()
}

/// Whether the packet tells at which interface the client of a session arrives, or may, if that or its opener is a guess and
/// it is denied: then it is to be judged again.
#[inline(always)]
fn tells_more(env: &Env, key: &SessionKey, session: *mut Session, sender_is_lower: bool) -> bool {
    // SAFETY: as in `tables::is_expired`.
    let before = unsafe { &*session };
    if !env.arrives() {
        return false;
    }
    let (denied, on) = (before.flags & FLAG_DENIED != 0, before.fins & PASSES_ON != 0);
    if !from_client(before, sender_is_lower) {
        // Of the host's own, only elsewhere than the other side was judged at.
        let elsewhere = on || (before.flags & FLAG_OUT != 0 && before.ifindex != env.ifindex);
        return (denied && elsewhere && is_guess(key, before))
            || rejudge::is_first_answer(env, key, before, sender_is_lower as u32);
    }
    if on && before.ifindex == 0 {
        // SAFETY: as in `tables::is_expired`.
        unsafe { store(&raw mut (*session).ifindex, env.ifindex) };
        return true;
    }
    rejudge::is_misplaced(env, before, sender_is_lower as u32, denied)
        || rejudge::is_suggested(env, before, sender_is_lower as u32, denied)
}

/// Counts a packet in its session and takes the session to its next state; false, and nothing else, if it is not let pass,
/// since the session does not expect it.
#[inline(always)]
fn advance(env: &Env, packet: &Packet, key: &SessionKey, session: *mut Session, from_client: bool) -> bool {
    // SAFETY: as in `tables::is_expired`.
    let (before, flags) = unsafe { (progress::states(&*session), (*session).flags) };
    let step = match progress::kind(packet) {
        Kind::Data => step_data(env, packet, session, from_client as u32),
        Kind::Reset => step_reset(env, packet, session, from_client as u32),
        Kind::Syn => step_syn(env, packet, session, from_client as u32),
    };
    if step & OUTSIDE != 0 {
        let passes = overshoots(packet, session, from_client as u32) != 0;
        if passes {
            tally(env, session, from_client);
        }
        return passes;
    }
    let counted = sources::slot_of(session);
    tally(env, session, from_client);
    if step & progress::STATES != before {
        change_state(env, key, session, step);
    }
    if flags & FLAG_SAMPLED != 0 {
        sources::recount(env, key, session, counted);
    }
    let answered = step & ANSWERED != 0;
    if flags & FLAG_HALF_OPEN != 0 && answered {
        promote(key, session);
    }
    let ends = step as u8 >= SessionState::Closing as u8 && step as u8 != before as u8;
    if ends && (flags & FLAG_HALF_OPEN == 0 || answered) {
        retire(key);
    }
    true
}

/// Whether a denied session that is not TCP's stays in the way of what its other side now sends by itself. Nothing tells how
/// such a session began; and that side may send what the policy lets it open, once it cannot be an answer any more.
#[inline(always)]
pub(crate) fn is_abandoned(env: &Env, packet: &Packet, session: *mut Session, sender_is_lower: bool) -> bool {
    const ANSWERED_BY_THEN: u32 = time::seconds_to_ticks(2);
    // SAFETY: as in `tables::is_expired`.
    let before = unsafe { &*session };
    packet.protocol != protocol::TCP
        && env.enforces()
        && before.flags & FLAG_DENIED != 0
        && before.generation == env.generation
        && !from_client(before, sender_is_lower)
        && time::ticks_since(env.tick(), before.last_seen_tick) > ANSWERED_BY_THEN
}

/// Whether the session's windows are not known.
#[inline(always)]
pub(crate) fn is_liberal(session: *mut Session) -> bool {
    // SAFETY: as in `tables::is_expired`.
    unsafe { (*session).flags & FLAG_LIBERAL != 0 }
}

/// Whether a packet may belong to the handshake of a half-open session, beside which an older one lives.
#[inline(always)]
pub(crate) fn is_handshake(session: *mut Session, packet: &Packet, sender_is_lower: bool) -> bool {
    // SAFETY: as in `tables::is_expired`.
    let session = unsafe { &*session };
    // An unanswered SYN may also be refused, if both sides have forgotten the older one.
    packet.tcp_flags & SYN != 0
        || matches!(session.tcp_state, TcpState::SynRecv)
        || (packet.tcp_flags & RST != 0 && !from_client(session, sender_is_lower))
}

/// Whether the SYN of a half-open session was answered, and no more.
#[inline(always)]
pub(crate) fn is_answered(session: *mut Session) -> bool {
    // SAFETY: as in `tables::is_expired`.
    matches!(unsafe { (*session).tcp_state }, TcpState::SynRecv)
}

/// What a packet does to its session ([`progress::Step::pack`]); writes all of it but the states.
#[unsafe(no_mangle)]
pub extern "C" fn step_data(env: *const Env, packet: *const Packet, session: *mut Session, from_client: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), false) = (unsafe { (env.as_ref(), packet.as_ref(), session.is_null()) }) else {
        return OUTSIDE;
    };
    let from_client = from_client != 0;
    // SAFETY: as in `tables::is_expired`.
    let before = unsafe { &*session };
    let opening = matches!(before.tcp_state, TcpState::SynRecv);
    let step = progress::step_data(before, packet, from_client, env.trust(before), env.tick());
    write_step(session, packet, from_client, step, opening)
}

/// [`step_data`] for a TCP reset.
#[unsafe(no_mangle)]
pub extern "C" fn step_reset(env: *const Env, packet: *const Packet, session: *mut Session, from_client: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), false) = (unsafe { (env.as_ref(), packet.as_ref(), session.is_null()) }) else {
        return OUTSIDE;
    };
    let from_client = from_client != 0;
    // SAFETY: as in `tables::is_expired`.
    let before = unsafe { &*session };
    let step = progress::step_reset(before, packet, from_client, env.trust(before));
    write_step(session, packet, from_client, step, true)
}

/// [`step_data`] for a TCP SYN.
#[unsafe(no_mangle)]
pub extern "C" fn step_syn(env: *const Env, packet: *const Packet, session: *mut Session, from_client: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), false) = (unsafe { (env.as_ref(), packet.as_ref(), session.is_null()) }) else {
        return OUTSIDE;
    };
    let from_client = from_client != 0;
    // SAFETY: as in `tables::is_expired`.
    let before = unsafe { &*session };
    let step = progress::step_syn(before, packet, from_client, env.trust(before));
    write_step(session, packet, from_client, step, true)
}

/// Whether a packet that its session does not expect passes all the same.
#[unsafe(no_mangle)]
pub extern "C" fn overshoots(packet: *const Packet, session: *const Session, from_client: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(packet), Some(session)) = (unsafe { (packet.as_ref(), session.as_ref()) }) else {
        return 0;
    };
    (packet.protocol == protocol::TCP && progress::overshoots(session, packet, from_client != 0)) as u32
}

#[inline(always)]
fn write_step(session: *mut Session, packet: &Packet, from_client: bool, step: progress::Step, both: bool) -> u32 {
    if packet.protocol == protocol::TCP {
        if step.found & LIBERAL != 0 {
            // SAFETY: as in `tables::is_expired`.
            unsafe { store(&raw mut (*session).flags, (*session).flags | FLAG_LIBERAL) };
        }
        write_side(session, from_client, step.sender);
        // The other side may be sending at this moment; only an opening or a reset changes what is known of it.
        if both {
            write_side(session, !from_client, step.receiver);
        }
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
    // SAFETY: as in `tables::is_expired`.
    let before = unsafe { (*session).state } as u8;
    // SAFETY: as in `tables::is_expired`; the numbers are those of the enums.
    unsafe {
        store((&raw mut (*session).state).cast(), state);
        store((&raw mut (*session).tcp_state).cast(), tcp_state);
        store(&raw mut (*session).fins, (*session).fins & !FINS | fins);
    }
    let index = progress::timeout(key.protocol, state, tcp_state);
    set_timeout(env.generation, session, index);
    // SAFETY: as in `tables::is_expired`.
    let flags = unsafe { (*session).flags };
    // Answered, if only by a reset: it does not weigh on its source any more.
    if flags & FLAG_SAMPLED != 0 && state != SessionState::New as u8 {
        // SAFETY: as in `tables::is_expired`.
        unsafe { store(&raw mut (*session).flags, flags & !FLAG_SAMPLED) };
    }
    if state == SessionState::Closed as u8 && before != SessionState::Closed as u8 {
        events::count(|stats| stats.sessions_closed += 1);
        // SAFETY: as in `tables::is_expired`.
        let verdict = env.verdict(unsafe { (*session).flags } & FLAG_DENIED == 0);
        events::emit(env, events::CLOSED, key, session, events::pack(Reason::Session, verdict, 0));
    }
    1
}

/// Takes the session's timeout from the generation; without one the old timeout stays.
#[inline(always)]
pub(crate) fn set_timeout(generation: u32, session: *mut Session, index: usize) {
    if let Some(ticks) = timeout_ticks(generation, index) {
        // SAFETY: as in `tables::is_expired`.
        unsafe { store(&raw mut (*session).timeout_ticks, ticks) };
    }
}

#[inline(always)]
pub(crate) fn timeout_ticks(generation: u32, index: usize) -> Option<u32> {
    let header = classify::header(generation)?;
    if index >= timeout::COUNT {
        return None;
    }
    Some(time::seconds_to_ticks(header.timeouts_s[index]))
}
