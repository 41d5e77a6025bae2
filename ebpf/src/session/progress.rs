//! A session's first state and its next one, for every protocol.

use super::{
    tcp,
    window::{self, Side},
};
use crate::{
    abi::{
        policy::timeout,
        session::{FINS, FLAG_CLIENT_IS_LOWER, FLAG_HALF_OPEN, FLAG_LIBERAL, Session, SessionState, TcpState},
        time,
    },
    packet::{
        Fragment, Packet, protocol,
        transport::tcp_flag::{ACK, FIN, RST, SYN},
    },
};

/// State and sub-state of a session that `packet` opens.
#[inline(always)]
pub const fn first(packet: &Packet) -> (SessionState, TcpState) {
    match packet.protocol {
        protocol::TCP if tcp::opens(packet.tcp_flags) => (SessionState::New, TcpState::SynSent),
        // Picked up in mid-stream: New until the other side is heard. A FIN may be a guess.
        protocol::TCP => (SessionState::New, TcpState::Established),
        _ => (SessionState::New, TcpState::None),
    }
}

/// What a packet does to a session. Numbers of the enums, so that nothing is converted on the hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its [`SessionState`] from now on.
    pub state: u8,
    /// Its [`TcpState`] from now on.
    pub tcp_state: u8,
    /// FINs seen from now on.
    pub fins: u8,
    /// What was found besides: [`OUTSIDE`], [`LIBERAL`], [`ANSWERED`].
    pub found: u32,
    /// Who sent the packet, from now on.
    pub sender: Side,
    /// Who received it, from now on.
    pub receiver: Side,
}

/// What becomes of TCP packets that do not fit what was seen of their session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// They pass: the filter has not seen everything yet.
    pub passes: bool,
    /// They reach their receiver in any case, so the numbers of their sender are learnt anew.
    pub learns: bool,
    /// The session may have gone on unseen: a packet that does not fit may be in the right, and none can be trusted to say
    /// how it went on. From then on no window is checked.
    pub doubts: bool,
}

/// A TCP packet that its sender may not send now. It changes no state.
pub const OUTSIDE: u32 = 1 << 24;
/// From now on no window is checked.
pub const LIBERAL: u32 = 1 << 25;
/// The client has shown that it hears the server, which a made-up sender cannot: the session need not be half-open any
/// more.
pub const ANSWERED: u32 = 1 << 26;

/// The bits of [`Step::pack`] that hold the states.
pub const STATES: u32 = 0xff_ffff;

impl Step {
    /// All but the sides in one number, to be passed to a BPF function.
    #[inline(always)]
    pub const fn pack(self) -> u32 {
        self.state as u32 | (self.tcp_state as u32) << 8 | (self.fins as u32) << 16 | self.found
    }

    /// State, sub-state and FINs from [`Self::pack`].
    #[inline(always)]
    pub const fn unpack(packed: u32) -> (u8, u8, u8) {
        (packed as u8, (packed >> 8) as u8, (packed >> 16) as u8)
    }

    /// A connection answers by the last packet of the handshake.
    #[inline(always)]
    const fn answered(self) -> Self {
        let answered = self.state == SessionState::Established as u8 || self.state == SessionState::Closing as u8;
        Self { found: if answered { self.found | ANSWERED } else { self.found }, ..self }
    }

    /// A step that changes nothing.
    #[inline(always)]
    const fn none(session: &Session, from_client: bool) -> Self {
        Self {
            state: session.state as u8,
            tcp_state: session.tcp_state as u8,
            fins: session.fins & FINS,
            found: 0,
            sender: Side::of(session, from_client),
            receiver: Side::of(session, !from_client),
        }
    }
}

/// The states of a session as [`Step::pack`] has them.
#[inline(always)]
pub const fn states(session: &Session) -> u32 {
    session.state as u32 | (session.tcp_state as u32) << 8 | ((session.fins & FINS) as u32) << 16
}

/// The session's next state. A packet of the server makes any session ESTABLISHED that is not TCP.
///
/// `now`: ticks.
#[inline(always)]
pub const fn step(session: &Session, packet: &Packet, from_client: bool, trust: Trust, now: u32) -> Step {
    match kind(packet) {
        Kind::Data => step_data(session, packet, from_client, trust, now),
        Kind::Reset => step_reset(session, packet, from_client, trust),
        Kind::Syn => step_syn(session, packet, from_client, trust),
    }
}

/// Which step is that of a packet. In one piece they need more of the stack than a BPF program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`step_data`].
    Data,
    /// [`step_reset`].
    Reset,
    /// [`step_syn`].
    Syn,
}

/// The step of a packet.
#[inline(always)]
pub const fn kind(packet: &Packet) -> Kind {
    if packet.protocol != protocol::TCP || packet.tcp_flags & (SYN | RST) == 0 {
        Kind::Data
    } else if packet.tcp_flags & RST != 0 {
        Kind::Reset
    } else {
        Kind::Syn
    }
}

/// [`step`] for a TCP reset.
#[inline(always)]
pub const fn step_reset(session: &Session, packet: &Packet, from_client: bool, trust: Trust) -> Step {
    let step = tcp::reset(Step::none(session, from_client), packet, from_client);
    Step { found: passed(session, trust, step.found), ..step }.answered()
}

/// [`step`] for a TCP SYN.
#[inline(always)]
pub const fn step_syn(session: &Session, packet: &Packet, from_client: bool, trust: Trust) -> Step {
    let step = tcp::syn(Step::none(session, from_client), packet, from_client);
    Step { found: passed(session, trust, step.found), ..step }.answered()
}

/// What was found of a SYN or reset that may pass in any case.
#[inline(always)]
const fn passed(session: &Session, trust: Trust, found: u32) -> u32 {
    let passes = session.flags & FLAG_LIBERAL != 0 || trust.passes || trust.doubts;
    (if passes { found & !OUTSIDE } else { found }) | if trust.doubts { LIBERAL } else { 0 }
}

/// [`step`] for any other packet.
#[inline(always)]
pub const fn step_data(session: &Session, packet: &Packet, from_client: bool, trust: Trust, now: u32) -> Step {
    // What nf_conntrack_proto_udp.c calls a stream.
    const TWO_SECONDS: u32 = time::seconds_to_ticks(2);
    let before = Step::none(session, from_client);
    if packet.protocol == protocol::TCP {
        let liberal = session.flags & FLAG_LIBERAL != 0 || trust.doubts;
        let mut step = tcp::step_data(before, liberal, packet, from_client, trust);
        if trust.doubts && !dispels(session, packet, from_client) {
            step.found |= LIBERAL;
        }
        return step.answered();
    }
    // By a packet after the first reply, or by going on for long.
    let heard = matches!(session.state, SessionState::Established);
    let answered = heard && (from_client || time::ticks_since(now, session.created) > TWO_SECONDS);
    let state = if from_client { before.state } else { SessionState::Established as u8 };
    Step { state, found: if answered { ANSWERED } else { 0 }, ..before }
}

/// Whether a segment shows that its session did not go on unseen.
#[inline(always)]
const fn dispels(session: &Session, packet: &Packet, from_client: bool) -> bool {
    let (sender, receiver) = (Side::of(session, from_client), Side::of(session, !from_client));
    let known = sender.is_known() && receiver.is_known();
    known && matches!(packet.fragment, Fragment::Whole) && window::fits(sender, receiver, packet)
}

/// Whether a TCP packet that its session does not expect passes all the same, and changes nothing: its sender only goes on
/// for too long ([`window::overshoots`]).
#[inline(always)]
pub const fn overshoots(session: &Session, packet: &Packet, from_client: bool) -> bool {
    let (sender, receiver) = (Side::of(session, from_client), Side::of(session, !from_client));
    let open = !matches!(session.tcp_state, TcpState::None | TcpState::SynSent | TcpState::SynRecv);
    open && sender.is_known() && receiver.is_known() && window::overshoots(sender, receiver, packet)
}

/// Whether the packet changes nothing in its session but the counters and, of TCP, the numbers of its sender: the hot
/// path. A TCP packet must still fit its windows.
#[inline(always)]
pub const fn is_steady(session: &Session, packet: &Packet) -> bool {
    if packet.protocol == protocol::TCP {
        return packet.tcp_flags & (SYN | FIN | RST | ACK) == ACK
            && matches!(session.tcp_state, TcpState::Established)
            && matches!(session.state, SessionState::Established)
            && session.client_window != 0
            && session.server_window != 0;
    }
    matches!(session.state, SessionState::Established)
}

/// Which timeout rules a session in this state: an index of [`mod@timeout`], from a [`SessionState`] and a [`TcpState`] as
/// numbers.
#[inline(always)]
pub const fn timeout(ip_protocol: u8, state: u8, tcp_state: u8) -> usize {
    // By sub-state. A session picked up in mid-stream is not trusted for long before the other side is heard.
    const TCP: u64 = tcp::packed(&[
        timeout::TCP_SYN_SENT as u8,
        timeout::TCP_SYN_SENT as u8,
        timeout::TCP_SYN_RECV as u8,
        timeout::TCP_ESTABLISHED as u8,
        timeout::TCP_FIN_WAIT as u8,
        timeout::TCP_FIN_WAIT as u8,
        timeout::TCP_LAST_ACK as u8,
        timeout::TCP_TIME_WAIT as u8,
        timeout::TCP_CLOSE as u8,
    ]);
    match ip_protocol {
        protocol::TCP => {
            if tcp_state == TcpState::Established as u8 && state == SessionState::New as u8 {
                return timeout::TCP_SYN_SENT;
            }
            (TCP >> (4 * (tcp_state & 15))) as usize & 15
        }
        protocol::UDP if state == SessionState::Established as u8 => timeout::UDP_ESTABLISHED,
        protocol::UDP => timeout::UDP_NEW,
        protocol::ICMP | protocol::ICMPV6 => timeout::ICMP,
        _ => timeout::OTHER,
    }
}

/// Whether the packet comes from the session's client.
#[inline(always)]
pub const fn from_client(session: &Session, sender_is_lower: bool) -> bool {
    // Arithmetic, and not a comparison of two conditions: the verifier need not follow four cases.
    (session.flags & FLAG_CLIENT_IS_LOWER) ^ sender_is_lower as u8 == 0
}

/// What a SYN does beside passing through a session: one of the following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopening {
    /// Nothing, or it is no SYN.
    None,
    /// It may open a new session in the place of this one, in which both sides have closed (RFC 9293 section 3.6.1, RFC
    /// 6191).
    InPlace,
    /// It may open a new session that takes the place of this one when its handshake is complete. That cannot be had
    /// with made-up packets: who still has the old connection answers them with a challenge ACK (RFC 5961 section 4).
    Beside,
}

/// Whether `packet` may open another session, policy permitting.
#[inline(always)]
pub const fn reopens(session: &Session, packet: &Packet) -> Reopening {
    if packet.protocol != protocol::TCP || !tcp::opens(packet.tcp_flags) {
        return Reopening::None;
    }
    match session.tcp_state {
        TcpState::LastAck | TcpState::TimeWait | TcpState::Close => Reopening::InPlace,
        TcpState::SynSent | TcpState::SynRecv if session.flags & FLAG_HALF_OPEN != 0 => Reopening::None,
        _ => Reopening::Beside,
    }
}
