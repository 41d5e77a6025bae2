//! The order in which a packet is decided: built-in rules, its session, the policy.

use mseg_ebpf::{
    abi::{
        policy::{BUILTIN_ICMP_ERRORS, BUILTIN_MLD, BUILTIN_ND, DIRECTION_IN, DIRECTION_OUT, PolicyHeader},
        reason::Reason,
        rule,
        session::{FLAG_CLIENT_IS_LOWER, FLAG_OUT, Session, SessionKey},
    },
    packet::{Fragment, Packet, protocol, transport::ECHO_REPLY},
    policy::Tuple,
    session::{progress::Reopening, tcp},
};
use zerocopy::transmute;

use super::{
    classify::{self, Decision},
    denied,
    env::Env,
    events, memory, open, related,
    sessions::{self, Way},
    skb::__sk_buff,
    tables,
};

/// The outcome for one packet.
#[derive(Clone, Copy)]
pub(crate) struct Judgement {
    pub(crate) rule: u32,
    pub(crate) reason: Reason,
    pub(crate) allow: bool,
    /// Whether the rule decided now, and not a session that it decided earlier.
    pub(crate) fresh: bool,
    /// [`HAS_SESSION`] and the flags that say who opened the session, so that its denials name the same client.
    pub(crate) opener: u8,
}

/// [`Judgement::opener`]: the packet belongs to a session.
pub(crate) const HAS_SESSION: u8 = 4;
const _: () = assert!((FLAG_CLIENT_IS_LOWER | FLAG_OUT) == 3);

impl Judgement {
    /// A denial that no rule had a say in.
    #[inline(always)]
    pub(crate) const fn unruled(reason: Reason) -> Self {
        Self { reason, rule: rule::NONE, allow: false, fresh: false, opener: 0 }
    }

    /// What an allowed session says.
    #[inline(always)]
    pub(crate) const fn session(rule: u32) -> Self {
        Self { reason: Reason::Session, rule, allow: true, fresh: false, opener: 0 }
    }

    /// What becomes of the host's own copies.
    #[inline(always)]
    pub(crate) const fn own_copy() -> Self {
        Self { reason: Reason::OwnCopy, rule: rule::NONE, allow: true, fresh: false, opener: 0 }
    }

    #[inline(always)]
    const fn builtin(reason: Reason, rule: u32) -> Self {
        Self { reason, rule, allow: true, fresh: true, opener: 0 }
    }

    #[inline(always)]
    pub(crate) const fn of(decision: Decision) -> Self {
        Self { reason: decision.reason(), rule: decision.rule, allow: decision.allow, fresh: true, opener: 0 }
    }

    /// What a packed decision says, 0 if there is no policy.
    #[inline(always)]
    pub(crate) const fn by_policy(decision: u64) -> Self {
        match Decision::unpack(decision) {
            Some(decision) => Self::of(decision),
            None => Self::unruled(Reason::NoPolicy),
        }
    }

    /// In one number, which a BPF function can return.
    #[inline(always)]
    pub(crate) const fn pack(self) -> u64 {
        self.rule as u64
            | (self.reason as u64) << 32
            | (self.allow as u64) << 40
            | (self.fresh as u64) << 41
            | (self.opener as u64) << 42
    }

    #[inline(always)]
    pub(crate) fn unpack(packed: u64) -> Self {
        Self {
            rule: packed as u32,
            reason: memory::reason((packed >> 32) as u8),
            allow: packed & 1 << 40 != 0,
            fresh: packed & 1 << 41 != 0,
            opener: (packed >> 42) as u8 & 7,
        }
    }
}

/// What is not IP has no sessions: a built-in rule lets it pass or nothing does. A packed [`Judgement`].
#[unsafe(no_mangle)]
pub extern "C" fn judge_link(env: *const Env, builtin: u32, rule: u32) -> u64 {
    // SAFETY: the caller's, or null.
    let Some(env) = (unsafe { env.as_ref() }) else {
        return Judgement::unruled(Reason::NoPolicy).pack();
    };
    let judgement = match classify::header(env.generation) {
        Some(header) if is_on(header, builtin) => Judgement::builtin(Reason::Builtin, rule),
        Some(_) => Judgement::unruled(Reason::NotIp),
        None => Judgement::unruled(Reason::NoPolicy),
    };
    judgement.pack()
}

/// What [`judge_session`] returns for a packet that opens a session, if any. No judgement is 0: each has a reason.
pub(crate) const NO_SESSION: u64 = 0;
/// What [`judge_session`] returns when the session is of another generation: no judgement has the reason 0.
pub(crate) const STALE_SESSION: u64 = 1;
/// What [`judge_session`] returns for a packet that opens a session in the place of this one.
pub(crate) const REPLACES: u64 = open::REPLACES as u64;
/// Added where that one is half-open.
pub(crate) const REPLACES_HALF_OPEN: u64 = open::REPLACES_HALF_OPEN as u64;
/// What [`judge_session`] returns for a packet that may open a session beside this one.
pub(crate) const BESIDE: u64 = 8;

/// What [`judge_session`] returns for a packet that leaves if the policy lets it, and then belongs to this session.
pub(crate) const LEAVES: u64 = 16;

/// Instead of it where that is the half-open one.
pub(crate) const LEAVES_BY_HALF_OPEN: u64 = 32;

/// Whether that is a packed judgement, and none of the numbers above: each has a reason.
#[inline(always)]
pub(crate) const fn is_final(judgement: u64) -> bool {
    judgement >> 32 != 0
}

/// Whether a packed judgement says that the session does not expect the packet. A newer session may.
#[inline(always)]
pub(crate) const fn is_unexpected(judgement: u64) -> bool {
    (judgement >> 32) as u8 == Reason::TcpWindow as u8
}

/// Argument of [`judge_session`]: the session was just judged again.
pub(crate) const REJUDGED: u32 = 2;
/// Argument of [`judge_session`]: the packet opens no session beside this one.
pub(crate) const THROUGH: u32 = 4;

/// Argument of [`judge_session`]: the policy lets the packet leave.
pub(crate) const LEAVE: u32 = 8;

/// Argument of [`sessions::go_on`]: the packet moves nothing.
pub(crate) const DOUBTED: u32 = 16;

/// Judges a packet by its session. A packed [`Judgement`], or one of the numbers above. Bit 0 of `call` is set if the
/// sender is the key's lower endpoint, the others are [`REJUDGED`], [`THROUGH`] and [`LEAVE`].
#[unsafe(no_mangle)]
pub extern "C" fn judge_session(
    env: *const Env,
    packet: *const Packet,
    key: *const SessionKey,
    session: *mut Session,
    call: u32,
) -> u64 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), Some(key), false) =
        (unsafe { (env.as_ref(), packet.as_ref(), key.as_ref(), session.is_null()) })
    else {
        return Judgement::unruled(Reason::NoPolicy).pack();
    };
    let mut call = call;
    let way = sessions::way(env, packet, session, call & 1 != 0, call & LEAVE != 0);
    if way == Way::Moved
        || tables::is_expired(env, session)
        || (way == Way::Plausible && sessions::is_abandoned(env, packet, session, call & 1 != 0))
    {
        sessions::expire(env, key, session);
        return NO_SESSION;
    }
    match way {
        Way::Plausible => {}
        Way::Leaves => {
            return if sessions::is_stale(env, session) && call & REJUDGED == 0 { STALE_SESSION } else { LEAVES };
        }
        Way::Doubtful => call |= DOUBTED,
        Way::MadeUp | Way::Moved => return Judgement::unruled(Reason::WrongWay).pack(),
    }
    match sessions::reopens(session, packet) {
        Reopening::InPlace => return REPLACES,
        Reopening::Beside if call & THROUGH == 0 => {
            return if sessions::is_stale(env, session) && call & REJUDGED == 0 { STALE_SESSION } else { BESIDE };
        }
        _ => {}
    }
    sessions::go_on(env, packet, key, session, call)
}

/// Why a packet may not open a session, whatever the policy says.
#[inline(always)]
pub(crate) fn refusal(env: &Env, packet: &Packet) -> Option<Reason> {
    if packet.fragment == Fragment::Later {
        // What it shares with its first fragment may be reused by another datagram since.
        return Some(Reason::Fragment);
    }
    if packet.echo == ECHO_REPLY {
        return Some(Reason::IcmpUnsolicited);
    }
    if packet.protocol == protocol::TCP && !tcp::opens(packet.tcp_flags) {
        events::count(|stats| stats.midstream_misses += env.packets());
        if !env.picks_up() || !tcp::is_picked_up(packet.tcp_flags) {
            return Some(Reason::TcpMidstream);
        }
    }
    None
}

/// ICMP and ICMPv6 other than echo: each packet is judged by itself and makes no session. A packed [`Judgement`].
#[unsafe(no_mangle)]
pub extern "C" fn judge_icmp(
    skb: *mut __sk_buff,
    env: *const Env,
    packet: *const Packet,
    key: *const SessionKey,
    sender_is_lower: u32,
) -> u64 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet)) = (unsafe { (env.as_ref(), packet.as_ref()) }) else {
        return Judgement::unruled(Reason::NoPolicy).pack();
    };
    let judgement = match classify::header(env.generation) {
        None => Judgement::unruled(Reason::NoPolicy),
        Some(_) if packet.fragment == Fragment::Later => Judgement::unruled(Reason::Fragment),
        Some(header) if is_on(header, BUILTIN_ND) && packet.is_neighbour_discovery() => {
            Judgement::builtin(Reason::Builtin, rule::ND)
        }
        Some(header) if is_on(header, BUILTIN_MLD) && packet.is_listener_discovery() => {
            Judgement::builtin(Reason::Builtin, rule::MLD)
        }
        Some(header) if is_on(header, BUILTIN_ICMP_ERRORS) && packet.is_icmp_error() => {
            match related::belongs(skb, env, packet) {
                0 => Judgement::unruled(Reason::IcmpErrorUnrelated),
                _ => Judgement::builtin(Reason::IcmpError, rule::ICMP_ERRORS),
            }
        }
        Some(_) => Judgement::by_policy(decide(env, packet, key, sender_is_lower)),
    };
    judgement.pack()
}

/// What the policy says of a packet: a packed [`Decision`], 0 if its maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn decide(env: *const Env, packet: *const Packet, key: *const SessionKey, sender_is_lower: u32) -> u64 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), Some(key)) = (unsafe { (env.as_ref(), packet.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    classify::ask(env.ifindex, denied::flags_of(env, sender_is_lower), |tuple| write_tuple(tuple, env, packet));
    classify::classify(env, key)
}

/// What the policy says of a packet that would open a session, from memory if it can. Likewise.
#[unsafe(no_mangle)]
pub extern "C" fn decide_new(
    env: *const Env,
    packet: *const Packet,
    key: *const SessionKey,
    sender_is_lower: u32,
) -> u64 {
    // SAFETY: the caller's, or null.
    let coded = unsafe { packet.as_ref() }.is_none_or(|packet| packet.icmp_code != 0);
    match if coded { 0 } else { denied::remembered(env, key, sender_is_lower) } {
        0 => decide(env, packet, key, sender_is_lower),
        decision => decision,
    }
}

#[inline(always)]
fn is_on(header: &PolicyHeader, builtin: u32) -> bool {
    header.builtins & builtin != 0
}

/// What rules look at in a packet.
#[inline(always)]
fn write_tuple(tuple: &mut Tuple, env: &Env, packet: &Packet) {
    tuple.source = transmute!(packet.source);
    tuple.destination = transmute!(packet.destination);
    let icmp = packet.is_icmp();
    tuple.source_port = if icmp { 0 } else { u16::from_be_bytes(packet.source_port) };
    tuple.destination_port =
        u16::from_be_bytes(if icmp { [packet.icmp_type, packet.icmp_code] } else { packet.destination_port });
    tuple.protocol = packet.protocol;
    tuple.ipv6 = packet.ipv6;
    tuple.direction = if env.is_out() { DIRECTION_OUT } else { DIRECTION_IN };
}
