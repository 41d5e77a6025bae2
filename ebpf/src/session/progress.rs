//! A session's first state and its next one, for every protocol.

use super::tcp;
use crate::{
    abi::{
        policy::timeout,
        session::{FLAG_CLIENT_IS_LOWER, Session, SessionState, TcpState},
    },
    packet::{Packet, protocol},
};

/// State and sub-state of a session that `packet` opens.
#[inline(always)]
pub const fn first(packet: &Packet) -> (SessionState, TcpState) {
    match packet.protocol {
        protocol::TCP if tcp::opens(packet.tcp_flags) => (SessionState::New, TcpState::SynSent),
        // Picked up in mid-stream: New until the other side is heard.
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
}

impl Step {
    /// In one number, to be passed to a BPF function.
    #[inline(always)]
    pub const fn pack(self) -> u32 {
        self.state as u32 | (self.tcp_state as u32) << 8 | (self.fins as u32) << 16
    }

    /// From [`Self::pack`].
    #[inline(always)]
    pub const fn unpack(packed: u32) -> Self {
        Self { state: packed as u8, tcp_state: (packed >> 8) as u8, fins: (packed >> 16) as u8 }
    }
}

/// The session's next state. A packet of the server makes any session ESTABLISHED that is not TCP.
#[inline(always)]
pub const fn step(session: &Session, packet: &Packet, from_client: bool) -> Step {
    let state = session.state as u8;
    if packet.protocol != protocol::TCP {
        let state = if from_client { state } else { SessionState::Established as u8 };
        return Step { state, tcp_state: TcpState::None as u8, fins: 0 };
    }
    let before = session.tcp_state as u8;
    // A later fragment: no header, no change.
    if packet.tcp_flags == 0 {
        return Step { state, tcp_state: before, fins: session.fins };
    }
    let (tcp_state, fins) = tcp::advance(before, session.fins, packet.tcp_flags, from_client);
    // Picked up in mid-stream, and still only one side heard.
    if from_client && state == SessionState::New as u8 && before == tcp_state {
        return Step { state, tcp_state, fins };
    }
    Step { state: tcp::session_state(tcp_state), tcp_state, fins }
}

/// Which timeout rules a session in this state: an index of [`timeout`], from a [`SessionState`] and a [`TcpState`] as
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

/// Whether `packet` opens a new session in the place of this one: a SYN after the close (RFC 9293 section 3.6.1, RFC
/// 6191).
#[inline(always)]
pub const fn reopens(session: &Session, packet: &Packet) -> bool {
    packet.protocol == protocol::TCP && tcp::opens(packet.tcp_flags) && matches!(session.state, SessionState::Closed)
}
