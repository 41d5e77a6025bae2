//! Opening a session, in HALF_OPEN.

use aya_ebpf::bindings::BPF_NOEXIST;
use mseg_ebpf::{
    abi::{
        reason::Reason,
        session::{
            FLAG_CLIENT_IS_LOWER, FLAG_HALF_OPEN, FLAG_LIBERAL, FLAG_OUT, FLAG_PICKED_UP, FLAG_SAMPLED, OWN, Sequence,
            Session, SessionKey, Traffic,
        },
    },
    packet::{Fragment, Packet, protocol},
    session::{
        progress::{self, from_client},
        tcp,
        window::{self, Side},
    },
};

use super::{
    classify::Decision,
    env::Env,
    events,
    judge::Judgement,
    maps,
    memory::on_stack,
    rejudge::decision_flags,
    sessions::{tally, timeout_ticks},
    sources,
    tables::{remove_from_half_open, remove_tcp},
};

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
    if packet.protocol == protocol::TCP {
        if !tcp::opens(packet.tcp_flags) {
            flags |= FLAG_PICKED_UP | FLAG_LIBERAL;
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
        created: env.tick(),
        state,
        tcp_state,
        flags,
        fins: if env.is_own() { OWN } else { 0 },
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
                // SAFETY: as in `tables::is_expired`.
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
