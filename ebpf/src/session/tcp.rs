//! The TCP sub-states, in the spirit of RFC 9293 section 3.3.2 as seen from the middle (nf_conntrack_proto_tcp.c).

use super::{
    progress::{LIBERAL, OUTSIDE, Step, Trust},
    window,
};
use crate::{
    abi::session::{SessionState, TcpState},
    packet::{
        Fragment, Packet,
        transport::tcp_flag::{ACK, FIN, RST, SYN},
    },
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

/// Whether a packet of no session may be of a connection that was there before the filter: a reset or a SYN+ACK may not,
/// they are answers to what would have been seen.
#[inline(always)]
pub const fn is_picked_up(flags: u8) -> bool {
    flags & (SYN | RST | ACK) == ACK
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
        // Only the client ends the handshake: a challenge ACK (RFC 5961 section 4) may come before that.
        [row([NO, SS, ES, ES, FW, CW, TW, TW, CL]), row([NO, SS, SR, ES, FW, CW, TW, TW, CL])],
    ]
};

/// Who sent the packet and who received it, as far as both have heard each other. While the handshake is under way, what
/// the client has sent is what the server has acknowledged: the number itself is that of its last SYN by then ([`syn`]).
#[inline(always)]
const fn heard(step: &Step, from_client: bool) -> (window::Side, window::Side) {
    let (mut sender, mut receiver) = (step.sender, step.receiver);
    if step.tcp_state == TcpState::SynRecv as u8 {
        if from_client {
            sender.sent.end = receiver.sent.ack;
        } else {
            receiver.sent.end = sender.sent.ack;
        }
    }
    (sender, receiver)
}

/// The next step at any other segment.
#[inline(always)]
pub(super) const fn step_data(before: Step, liberal: bool, packet: &Packet, from_client: bool, trust: Trust) -> Step {
    // A later fragment: no header, no change.
    if packet.tcp_flags == 0 {
        return before;
    }
    let (known, receiver) = heard(&before, from_client);
    let fits = !receiver.is_known() || {
        let sender = if known.is_known() { known } else { window::assumed(receiver, packet) };
        window::fits(sender, receiver, packet)
    };
    // How long the segment is only its last fragment tells, which has no header. What of it is here must fit.
    if !matches!(packet.fragment, Fragment::Whole) {
        return if fits { Step { found: LIBERAL, ..before } } else { passing(before, liberal || trust.passes) };
    }
    // An unanswered SYN stays so. What else passes belongs to an earlier connection that has not heard of it, or is
    // the challenge that tells so (RFC 9293 section 3.5.2, RFC 5961 section 4).
    if before.tcp_state == TcpState::SynSent as u8 {
        return before;
    }
    if before.tcp_state == TcpState::SynRecv as u8 && from_client && receiver.is_known() {
        // It must show that it has the server's SYN+ACK, if that was seen: what `syn` noted is the number of that SYN.
        let acknowledged = packet.tcp_acknowledgement;
        let missing = before.receiver.sent.end.wrapping_sub(acknowledged) as i32;
        let got = acknowledged.wrapping_sub(before.sender.sent.ack) as i32;
        if missing < 0 || got <= 0 || !fits {
            return passing(before, liberal);
        }
        if packet.tcp_flags & FIN != 0 && window::is_repeated(receiver, packet) {
            // A guess, as below. What it acknowledges is what the handshake ends by.
            return before;
        }
    } else if !fits {
        // Who knows which of the numbers are wrong: those of its next segment are taken as they are.
        let sender = if liberal || trust.learns { before.sender.forgotten() } else { before.sender };
        return passing(Step { sender, ..before }, liberal || trust.passes);
    }
    // What one side alone has shown may be made up, unless it was seen to open: its next segment counts as much.
    let sender = if known.is_known() && (receiver.is_known() || !liberal) {
        window::sent(known, packet)
    } else {
        window::learnt(known, packet)
    };
    let step = Step { sender, ..before };
    // Nothing tells a FIN to whom nothing is known of from a guess, which would let an idle connection expire. It is sent
    // again if it is not acknowledged. Nor does one count that lies before what is expected.
    let guess = packet.tcp_flags & FIN != 0 && (!receiver.is_known() || window::is_repeated(receiver, packet));
    let after = if guess { step } else { advanced(step, packet, from_client) };
    // A server that closes before it was acknowledged ends the opening, and the client's other SYNs with it.
    if after.tcp_state == TcpState::SynRecv as u8 { after } else { Step { receiver, ..after } }
}

/// A packet that may not be sent now: it changes nothing.
#[inline(always)]
const fn outside(step: Step) -> Step {
    Step { found: OUTSIDE, ..step }
}

/// Likewise, but it passes where `pass`.
#[inline(always)]
const fn passing(step: Step, pass: bool) -> Step {
    if pass { step } else { outside(step) }
}

/// The next step of a connection, in which nothing has changed yet, at a reset. It closes only what it surely belongs to.
#[inline(always)]
pub(super) const fn reset(before: Step, packet: &Packet, from_client: bool) -> Step {
    let (sender, receiver) = heard(&before, from_client);
    let closes = if before.tcp_state == TcpState::SynSent as u8 && !from_client {
        // RFC 9293 section 3.10.7.3.
        if !window::acknowledges_syn(receiver, packet, true) {
            return outside(before);
        }
        true
    } else if before.tcp_state == TcpState::SynRecv as u8 && !from_client && refuses(before.receiver, packet) {
        return advanced(before, packet, from_client);
    } else if !receiver.is_known() {
        // Nothing tells such a reset from a guess: what is known of its sender may be one, too.
        false
    } else if !sender.is_known() {
        packet.tcp_sequence == receiver.sent.ack
    } else if !window::fits(sender, receiver, packet) {
        return outside(before);
    } else if window::resets(before.sender, receiver, packet) {
        true
    } else if window::is_old(receiver, packet) {
        return outside(before);
    } else {
        // The receiver answers with a challenge ACK, and another reset may follow (RFC 5961 section 3.2).
        false
    };
    if closes { advanced(Step { sender, receiver, ..before }, packet, from_client) } else { before }
}

/// Whether a reset refuses the last SYN of the client, whatever was answered to those before.
#[inline(always)]
const fn refuses(client: window::Side, packet: &Packet) -> bool {
    packet.tcp_flags & ACK != 0 && packet.tcp_acknowledgement == client.sent.end
}

/// The next step at a SYN, with or without ACK.
#[inline(always)]
pub(super) const fn syn(before: Step, packet: &Packet, from_client: bool) -> Step {
    let opening = before.tcp_state == TcpState::SynSent as u8 || before.tcp_state == TcpState::SynRecv as u8;
    // No connection opens by pieces; nor do pieces pass that would not in one.
    let whole = matches!(packet.fragment, Fragment::Whole);
    if packet.tcp_flags & ACK == 0 {
        if !whole {
            return before;
        }
        if before.tcp_state == TcpState::SynRecv as u8 && from_client {
            // Who answered the SYN before may not remember it, and answer this one: what nf_conntrack_proto_tcp.c calls
            // an ignored SYN. The handshake with the other goes on, too.
            let mut after = before;
            after.sender.sent.end = window::learnt(before.sender, packet).sent.end;
            return after;
        }
        if before.tcp_state != TcpState::SynSent as u8 {
            // To a connection that goes on, it draws a challenge ACK.
            return before;
        }
        let mut after = Step { sender: window::learnt(before.sender, packet), ..before };
        if !from_client {
            // Both open at once (RFC 9293 section 3.5).
            after.receiver.sent.ack = packet.tcp_sequence;
            after.sender.sent.ack = before.receiver.sent.end;
        }
        return advanced(after, packet, from_client);
    }
    if opening && !from_client {
        let first = before.tcp_state == TcpState::SynSent as u8;
        let again = !first && packet.tcp_acknowledgement == before.sender.sent.ack;
        if !again && !window::acknowledges_syn(before.receiver, packet, first) {
            return outside(before);
        }
        if !whole {
            return before;
        }
        let mut after = Step { sender: window::learnt(before.sender, packet), ..before };
        // What the client must acknowledge more than.
        after.receiver.sent.ack = packet.tcp_sequence;
        if !first && !again && after.sender.scales() {
            // It answers another SYN, which must have offered it, too.
            after.receiver = after.receiver.rescaled();
        } else if !after.sender.scales() || !after.receiver.scales() {
            // Both must offer it.
            after.sender = after.sender.unscaled();
            after.receiver = after.receiver.unscaled();
        }
        return advanced(after, packet, from_client);
    }
    if before.tcp_state == TcpState::SynRecv as u8 {
        // The client's half of an opening from both sides.
        return if window::acknowledges_syn(before.receiver, packet, false) { before } else { outside(before) };
    }
    let known = before.sender.is_known() && before.receiver.is_known();
    if known && window::fits(before.sender, before.receiver, packet) { before } else { outside(before) }
}

/// The step with the packet's flags put to the table.
#[inline(always)]
const fn advanced(step: Step, packet: &Packet, from_client: bool) -> Step {
    let (tcp_state, fins) = advance(step.tcp_state, step.fins, packet.tcp_flags, from_client);
    // Picked up in mid-stream, and still only one side heard: whatever the client says, but a reset.
    let unheard = from_client && step.state == SessionState::New as u8 && step.tcp_state != TcpState::SynRecv as u8;
    let state = if unheard && tcp_state != TcpState::Close as u8 { step.state } else { session_state(tcp_state) };
    Step { state, tcp_state, fins, ..step }
}

/// The sub-state (a [`TcpState`] as number) and FINs after a packet with `flags` from the client or the server.
#[inline(always)]
const fn advance(state: u8, fins: u8, flags: u8, from_client: bool) -> (u8, u8) {
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
    use crate::abi::session::Session;
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
    fn a_forged_first_fragment_does_not_lift_the_window_check() {
        use crate::{
            abi::session::{Sequence, Session},
            packet::protocol,
            session::progress,
        };
        let session = Session {
            state: SessionState::Established,
            tcp_state: Established,
            client: Sequence { end: 1001, ack: 5001 },
            server: Sequence { end: 5001, ack: 1001 },
            client_window: 64,
            server_window: 64,
            ..Session::default()
        };
        let trust = Trust { passes: false, learns: false, doubts: false };
        let fragment = |tcp_sequence| Packet {
            protocol: protocol::TCP,
            fragment: Fragment::First,
            tcp_flags: ACK,
            tcp_window: 1000,
            tcp_acknowledgement: 5001,
            tcp_length: 8,
            tcp_sequence,
            ..Packet::default()
        };
        assert_eq!(progress::step(&session, &fragment(1001), true, trust, 0).found & LIBERAL, LIBERAL);
        let forged = progress::step(&session, &fragment(2_000_000_000), true, trust, 0);
        assert_eq!(forged.found & (LIBERAL | OUTSIDE), OUTSIDE);
    }

    #[test]
    fn an_adopted_handshake_ends_with_what_its_client_sends_whatever_its_numbers() {
        let adopted = |client: bool| Step {
            state: SessionState::New as u8,
            tcp_state: SynRecv as u8,
            fins: 0,
            found: 0,
            sender: window::Side::of(&Session::default(), client),
            receiver: window::Side::of(&Session::default(), !client),
        };
        let trust = Trust { passes: false, learns: false, doubts: false };
        for acknowledgement in [1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            let packet = Packet { tcp_flags: ACK, tcp_acknowledgement: acknowledgement, ..Packet::default() };
            let after = step_data(adopted(true), true, &packet, true, trust);
            assert_eq!(after.tcp_state, Established as u8, "{acknowledgement:#x}");
            let after = step_data(adopted(false), true, &packet, false, trust);
            assert_eq!(after.tcp_state, SynRecv as u8, "only the client ends it");
        }
    }

    #[test]
    fn one_side_alone_is_no_conversation_even_if_it_closes() {
        use crate::{
            packet::protocol,
            session::progress::{self, ANSWERED},
        };
        let packet = |tcp_flags| Packet { protocol: protocol::TCP, tcp_flags, tcp_window: 1000, ..Packet::default() };
        let mut session = Session::default();
        (session.state, session.tcp_state) = progress::first(&packet(ACK));
        let client = window::learnt(window::Side::of(&session, true), &packet(ACK));
        (session.client, session.client_window) = (client.sent, client.window);
        let trust = Trust { passes: true, learns: true, doubts: false };
        // Nor is it closed by it: the FIN may be a guess.
        let closing = progress::step(&session, &packet(FIN | ACK), true, trust, 0);
        assert_eq!((closing.state, closing.tcp_state), (SessionState::New as u8, Established as u8));
        assert_eq!(closing.found & ANSWERED, 0);
        // Who may be a stranger, as may be whoever sent what came before.
        let reset = progress::step(&session, &packet(RST), true, trust, 0);
        assert_eq!((reset.state, reset.tcp_state), (SessionState::New as u8, Established as u8));
        session.tcp_state = FinWait;
        let answer = progress::step(&session, &packet(ACK), false, trust, 0);
        assert_eq!((answer.state, answer.found & ANSWERED), (SessionState::Closing as u8, ANSWERED));
    }

    #[test]
    fn only_a_plain_syn_opens() {
        assert!(opens(SYN));
        assert!(!opens(SYN | ACK));
        assert!(!opens(ACK));
        assert!(!opens(0));
    }
}
