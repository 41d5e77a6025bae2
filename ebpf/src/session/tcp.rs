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

/// What a packet means to the machine, in the order of the rows of [`NEXT`].
#[derive(Clone, Copy)]
enum Signal {
    Reset = 0,
    Syn = 1,
    /// FIN; with it all FINs of the session so far have been the client's.
    FinOfClient = 2,
    /// FIN; with it all FINs of the session so far have been the server's.
    FinOfServer = 3,
    /// FIN; with it both sides have sent one.
    FinOfBoth = 4,
    Ack = 5,
}

/// A row of [`NEXT`]: the next sub-state for each sub-state, four bits each.
const fn row(next: [TcpState; TcpState::COUNT]) -> u64 {
    let mut numbers = [0; TcpState::COUNT];
    let mut state = 0;
    while state < next.len() {
        numbers[state] = next[state] as u8;
        state += 1;
    }
    packed(&numbers)
}

/// The sub-state after a signal of the client and of the server. Numbers, not branches: cheap to run and to verify.
const NEXT: [[u64; 2]; 6] = {
    use TcpState::{
        Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, None as NO, SynRecv as SR,
        SynSent as SS, TimeWait as TW,
    };
    // From:    none syn-sent syn-recv established fin-wait close-wait last-ack time-wait close
    [
        [row([NO, CL, CL, CL, CL, CL, CL, CL, CL]), row([NO, CL, CL, CL, CL, CL, CL, CL, CL])],
        // The server's SYN comes with its ACK, or without in a simultaneous open.
        [row([NO, SS, SR, ES, FW, CW, LA, TW, CL]), row([NO, SR, SR, ES, FW, CW, LA, TW, CL])],
        // A FIN always has an ACK (the parser refuses it otherwise), so it may also be the handshake's last packet.
        [row([NO, SS, FW, FW, FW, FW, FW, TW, CL]), row([NO, SS, FW, FW, FW, FW, FW, TW, CL])],
        [row([NO, SS, CW, CW, CW, CW, CW, TW, CL]), row([NO, SS, CW, CW, CW, CW, CW, TW, CL])],
        [row([NO, SS, LA, LA, LA, LA, LA, TW, CL]), row([NO, SS, LA, LA, LA, LA, LA, TW, CL])],
        // After a simultaneous open either side sends the handshake's last packet.
        [row([NO, SS, ES, ES, FW, CW, TW, TW, CL]), row([NO, SS, ES, ES, FW, CW, TW, TW, CL])],
    ]
};

/// The sub-state (a [`TcpState`] as number) and FINs after a packet with `flags` from the client or the server.
#[inline(always)]
pub const fn advance(state: u8, fins: u8, flags: u8, from_client: bool) -> (u8, u8) {
    let mut fins = fins;
    let signal = if flags & RST != 0 {
        Signal::Reset
    } else if flags & SYN != 0 {
        Signal::Syn
    } else if flags & FIN != 0 {
        // The FIN of a client whose SYN was not answered yet counts for nothing.
        if state > TcpState::SynSent as u8 {
            fins |= if from_client { FIN_CLIENT } else { FIN_SERVER };
        }
        match fins {
            FIN_CLIENT => Signal::FinOfClient,
            FIN_SERVER => Signal::FinOfServer,
            _ => Signal::FinOfBoth,
        }
    } else {
        Signal::Ack
    };
    let row = NEXT[signal as usize][!from_client as usize];
    ((row >> (4 * (state & 15))) as u8 & 15, fins)
}

/// The state that every protocol has (a [`SessionState`] as number) for a sub-state.
#[inline(always)]
pub const fn session_state(state: u8) -> u8 {
    use SessionState::{Closed, Closing, Established, New, None};
    const STATES: u64 = packed(&[
        None as u8,
        New as u8,
        New as u8,
        Established as u8,
        Closing as u8,
        Closing as u8,
        Closing as u8,
        Closed as u8,
        Closed as u8,
    ]);
    (STATES >> (4 * (state & 15))) as u8 & 15
}

/// Numbers below 16, four bits each.
pub(super) const fn packed(numbers: &[u8]) -> u64 {
    let mut packed = 0;
    let mut i = 0;
    while i < numbers.len() {
        packed |= (numbers[i] as u64) << (4 * i);
        i += 1;
    }
    packed
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{vec, vec::Vec};

    use zerocopy::TryFromBytes;

    use super::*;
    use TcpState::{Close, CloseWait, Established, FinWait, LastAck, SynRecv, SynSent, TimeWait};

    /// `c` is a packet of the client, `s` one of the server: S SYN, A ACK, F FIN, R RST.
    fn states(script: &str) -> Vec<TcpState> {
        let mut state = SynSent as u8;
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
            seen.push(TcpState::try_read_from_bytes(&[state]).unwrap());
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
        assert_eq!(states("sSA cA sFA cA cFA sA"), [SynRecv, Established, CloseWait, CloseWait, LastAck, TimeWait]);
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
