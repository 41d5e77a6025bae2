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

/// What a packet does to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its state from now on.
    pub state: SessionState,
    /// Its TCP sub-state from now on.
    pub tcp_state: TcpState,
    /// FINs seen from now on.
    pub fins: u8,
}

/// The session's next state. A packet of the server makes any session ESTABLISHED that is not TCP.
#[inline(always)]
pub const fn step(session: &Session, packet: &Packet, from_client: bool) -> Step {
    if packet.protocol == protocol::TCP {
        let (tcp_state, fins) = tcp::advance(session.tcp_state, session.fins, packet.tcp_flags, from_client);
        let mut state = tcp::session_state(tcp_state);
        // Picked up, and still only one side heard.
        if matches!(state, SessionState::Established) && matches!(session.state, SessionState::New) && from_client {
            if matches!(session.tcp_state, TcpState::Established) {
                state = SessionState::New;
            }
        }
        Step { state, tcp_state, fins }
    } else {
        let state = if from_client { session.state } else { SessionState::Established };
        Step { state, tcp_state: TcpState::None, fins: 0 }
    }
}

/// Which timeout rules a session in this state: an index of [`timeout`].
#[inline(always)]
pub const fn timeout(ip_protocol: u8, state: SessionState, tcp_state: TcpState) -> usize {
    match ip_protocol {
        protocol::TCP => match tcp_state {
            TcpState::None | TcpState::SynSent => timeout::TCP_SYN_SENT,
            TcpState::SynRecv => timeout::TCP_SYN_RECV,
            // A session picked up in mid-stream is not trusted for long before the other side is heard.
            TcpState::Established if matches!(state, SessionState::New) => timeout::TCP_SYN_SENT,
            TcpState::Established => timeout::TCP_ESTABLISHED,
            TcpState::FinWait | TcpState::CloseWait => timeout::TCP_FIN_WAIT,
            TcpState::LastAck => timeout::TCP_LAST_ACK,
            TcpState::TimeWait => timeout::TCP_TIME_WAIT,
            TcpState::Close => timeout::TCP_CLOSE,
        },
        protocol::UDP => match state {
            SessionState::Established => timeout::UDP_ESTABLISHED,
            _ => timeout::UDP_NEW,
        },
        protocol::ICMP | protocol::ICMPV6 => timeout::ICMP,
        _ => timeout::OTHER,
    }
}

/// Whether the packet comes from the session's client.
#[inline(always)]
pub const fn from_client(session: &Session, sender_is_lower: bool) -> bool {
    (session.flags & FLAG_CLIENT_IS_LOWER != 0) == sender_is_lower
}

/// Whether `packet` opens a new session in the place of this one: a SYN after the close (RFC 9293 section 3.6.1, RFC
/// 6191).
#[inline(always)]
pub const fn reopens(session: &Session, packet: &Packet) -> bool {
    packet.protocol == protocol::TCP && tcp::opens(packet.tcp_flags) && matches!(session.state, SessionState::Closed)
}
