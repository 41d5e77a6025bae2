//! The TCP sub-states, in the spirit of RFC 9293 section 3.3.2 as seen from the middle (nf_conntrack_proto_tcp.c).

use crate::{
    abi::session::{SessionState, TcpState},
    packet::transport::tcp_flag::{ACK, FIN, RST, SYN},
};

/// Bit of [`crate::abi::session::Session::fins`]: the client's FIN was seen.
pub const FIN_CLIENT: u8 = 1;
/// Bit of [`crate::abi::session::Session::fins`]: the server's FIN was seen.
pub const FIN_SERVER: u8 = 2;

/// Whether the flags open a connection: a SYN without ACK (the parser has refused SYN with FIN or RST).
#[inline(always)]
pub const fn opens(flags: u8) -> bool {
    flags & (SYN | ACK) == SYN
}

/// The sub-state and FINs after a packet with `flags` from the client or the server.
#[inline(always)]
pub const fn advance(state: TcpState, fins: u8, flags: u8, from_client: bool) -> (TcpState, u8) {
    use TcpState::{Close, CloseWait, Established, FinWait, LastAck, None, SynRecv, SynSent, TimeWait};
    if flags & RST != 0 {
        return (Close, fins);
    }
    let mut state = state;
    match state {
        None | Close | TimeWait => return (state, fins),
        // The server's SYN+ACK, or its SYN in a simultaneous open.
        SynSent if flags & SYN != 0 && !from_client => return (SynRecv, fins),
        SynSent => return (state, fins),
        SynRecv if flags & SYN != 0 || flags & ACK == 0 => return (state, fins),
        // The handshake's last packet; it may carry data and a FIN. After a simultaneous open either side sends it.
        SynRecv => state = Established,
        Established | FinWait | CloseWait | LastAck => {}
    }
    if flags & FIN != 0 {
        let fins = fins | if from_client { FIN_CLIENT } else { FIN_SERVER };
        let state = match fins {
            FIN_CLIENT => FinWait,
            FIN_SERVER => CloseWait,
            _ => LastAck,
        };
        return (state, fins);
    }
    if matches!(state, LastAck) && flags & ACK != 0 {
        return (TimeWait, fins);
    }
    (state, fins)
}

/// The state that every protocol has.
#[inline(always)]
pub const fn session_state(state: TcpState) -> SessionState {
    match state {
        TcpState::None => SessionState::None,
        TcpState::SynSent | TcpState::SynRecv => SessionState::New,
        TcpState::Established => SessionState::Established,
        TcpState::FinWait | TcpState::CloseWait | TcpState::LastAck => SessionState::Closing,
        TcpState::TimeWait | TcpState::Close => SessionState::Closed,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{vec, vec::Vec};

    use super::*;
    use TcpState::{Close, CloseWait, Established, FinWait, LastAck, SynRecv, SynSent, TimeWait};

    /// `c` is a packet of the client, `s` one of the server: S SYN, A ACK, F FIN, R RST.
    fn states(script: &str) -> Vec<TcpState> {
        let mut state = SynSent;
        let mut fins = 0;
        let mut seen = vec![];
        for packet in script.split_whitespace() {
            let flags = packet[1..].chars().fold(0, |flags, c| {
                flags
                    | match c {
                        'S' => SYN,
                        'A' => ACK,
                        'F' => FIN,
                        'R' => RST,
                        _ => panic!("{c}"),
                    }
            });
            (state, fins) = advance(state, fins, flags, packet.starts_with('c'));
            seen.push(state);
        }
        seen
    }

    #[test]
    fn a_handshake_and_an_orderly_close_by_the_client() {
        assert_eq!(
            states("sSA cA cA sA cFA sA sFA cA"),
            [SynRecv, Established, Established, Established, FinWait, FinWait, LastAck, TimeWait]
        );
    }

    #[test]
    fn a_close_by_the_server() {
        assert_eq!(states("sSA cA sFA cA cFA sA"), [
            SynRecv, Established, CloseWait, CloseWait, LastAck, TimeWait
        ]);
    }

    #[test]
    fn both_sides_close_at_once() {
        assert_eq!(states("sSA cA cFA sFA cA sA"), [SynRecv, Established, FinWait, LastAck, TimeWait, TimeWait]);
    }

    #[test]
    fn a_simultaneous_open() {
        assert_eq!(states("sS cSA sSA cA"), [SynRecv, SynRecv, SynRecv, Established]);
    }

    #[test]
    fn a_reset_closes_from_every_state() {
        for script in ["sRA", "sSA cR", "sSA cA sR", "sSA cA cFA sR", "sSA cA sFA cFA cR"] {
            assert_eq!(states(script).last(), Some(&Close), "{script}");
        }
    }

    #[test]
    fn retransmitted_syns_change_nothing() {
        assert_eq!(states("cS cS sSA cS sSA cA"), [SynSent, SynSent, SynRecv, SynRecv, SynRecv, Established]);
    }

    #[test]
    fn the_last_packet_of_the_handshake_may_carry_a_fin() {
        assert_eq!(states("sSA cFA sFA cA"), [SynRecv, FinWait, LastAck, TimeWait]);
    }

    #[test]
    fn an_unanswered_syn_stays_so_whatever_else_the_client_sends() {
        assert_eq!(states("cA cFA cA"), [SynSent, SynSent, SynSent]);
    }

    #[test]
    fn only_a_plain_syn_opens() {
        assert!(opens(SYN));
        assert!(!opens(SYN | ACK));
        assert!(!opens(ACK));
        assert!(!opens(0));
    }
}
