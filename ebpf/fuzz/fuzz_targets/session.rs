//! Scripts of packets of one session: what holds after every step, whatever came before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mseg_ebpf::{
    abi::{
        policy::timeout,
        session::{FLAG_LIBERAL, FLAG_PICKED_UP, Sequence, Session, SessionState, TcpState},
    },
    packet::{
        Fragment, Packet, protocol,
        transport::{
            NO_SCALE, SCALE, SCALE_UNREAD,
            tcp_flag::{ACK, FIN, PSH, RST, SYN},
        },
    },
    session::{
        progress::{self, ANSWERED, LIBERAL, OUTSIDE, Step, Trust},
        tcp,
        window::{self, Side},
    },
};
use zerocopy::{FromZeros, TryFromBytes};

/// The bytes of the input, zeros behind them.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Mostly near `base`, on either side; at times far from it.
    fn near(&mut self, base: u32) -> u32 {
        let kind = self.byte();
        let by = self.number() as i16 as u32;
        match kind & 7 {
            0..4 => base,
            4 | 5 => base.wrapping_add(by),
            6 => base.wrapping_add(by << 12),
            _ => by << 16 | u32::from(kind),
        }
    }
}

/// The combinations that the parser lets through.
const FLAGS: [u8; 12] =
    [SYN, SYN | ACK, ACK, ACK, ACK | PSH, FIN | ACK, FIN | ACK, RST, RST | ACK, ACK, SYN | PSH, FIN | ACK | PSH];

fn packet(script: &mut Script<'_>, sender: Side, receiver: Side) -> Packet {
    let kind = script.byte();
    let flags = FLAGS[usize::from(kind & 15) % FLAGS.len()];
    let payload = if kind & 16 != 0 { u32::from(script.number()) } else { 0 };
    let fragment = match kind >> 5 {
        0 => Fragment::First,
        1 => Fragment::Later,
        _ => Fragment::Whole,
    };
    if fragment == Fragment::Later {
        return Packet { protocol: protocol::TCP, fragment, ..Packet::default() };
    }
    let from = if script.byte() & 1 == 0 { sender.sent.end } else { receiver.sent.ack };
    Packet {
        protocol: protocol::TCP,
        fragment,
        tcp_flags: flags,
        tcp_sequence: script.near(from),
        tcp_acknowledgement: script.near(receiver.sent.end),
        tcp_window: script.number(),
        tcp_length: payload + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0),
        tcp_scale: match script.byte() {
            _ if flags & SYN == 0 => NO_SCALE,
            scale @ 0..=14 => SCALE + scale,
            15 => SCALE_UNREAD,
            _ => NO_SCALE,
        },
        ..Packet::default()
    }
}

/// A session as the program opens it.
fn opened(packet: &Packet) -> Session {
    let mut session = Session::default();
    (session.state, session.tcp_state) = progress::first(packet);
    if packet.protocol != protocol::TCP {
        return session;
    }
    if !tcp::opens(packet.tcp_flags) {
        session.flags |= FLAG_PICKED_UP | FLAG_LIBERAL;
        session.fins = packet.tcp_flags & FIN;
    }
    if packet.fragment == Fragment::Whole {
        write(&mut session, true, window::learnt(Side { sent: Sequence::new_zeroed(), window: 0 }, packet));
    } else {
        session.flags |= FLAG_LIBERAL;
    }
    session
}

fn write(session: &mut Session, client: bool, side: Side) {
    if client {
        (session.client, session.client_window) = (side.sent, side.window);
    } else {
        (session.server, session.server_window) = (side.sent, side.window);
    }
}

/// What holds for one step.
fn check(session: &Session, packet: &Packet, from_client: bool, trust: Trust, step: Step) {
    let (sender, receiver) = (Side::of(session, from_client), Side::of(session, !from_client));
    let states = (session.state as u8, session.tcp_state as u8, session.fins);
    let after = (step.state, step.tcp_state, step.fins);
    assert_eq!(Step::unpack(step.pack()), after);
    assert!(progress::timeout(packet.protocol, step.state, step.tcp_state) < timeout::COUNT);
    assert_eq!(step.fins & session.fins, session.fins, "a FIN is not taken back");
    if packet.protocol != protocol::TCP {
        assert_eq!((step.found & (OUTSIDE | LIBERAL), step.tcp_state), (0, 0));
        return;
    }
    let liberal = session.flags & FLAG_LIBERAL != 0;
    if step.found & OUTSIDE != 0 {
        assert_eq!(after, states, "what may not be sent changes no state");
        assert_eq!(step.receiver, receiver);
        assert!(step.sender == sender || trust.learns, "nor a number, unless it is learnt");
        // The last packet of a handshake that was seen is checked in any case.
        assert!(!liberal && !trust.doubts && (!trust.passes || matches!(session.tcp_state, TcpState::SynRecv)));
    }
    let ended = matches!(session.tcp_state, TcpState::Close);
    assert!(!ended || (step.state, step.tcp_state) == (states.0, states.1), "what is closed stays so");
    let known = sender.is_known() && receiver.is_known();
    let established = matches!(session.tcp_state, TcpState::Established);
    if packet.tcp_flags & RST != 0 && known && established && step.tcp_state == TcpState::Close as u8 {
        assert!(window::fits(sender, receiver, packet) && window::resets(sender, receiver, packet), "a blind reset");
    }
    if packet.tcp_flags & SYN != 0 && !matches!(session.tcp_state, TcpState::SynSent | TcpState::SynRecv) {
        assert_eq!((after, step.sender, step.receiver), (states, sender, receiver), "a SYN on a connection");
    }
    // What the hot path does without a step.
    if !liberal
        && packet.fragment == Fragment::Whole
        && progress::is_steady(session, packet)
        && window::fits(sender, receiver, packet)
    {
        assert_eq!((after, step.found & (OUTSIDE | LIBERAL)), (states, 0));
        assert_eq!((step.sender, step.receiver), (window::sent(sender, packet), receiver));
    }
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script(input);
    let is_tcp = script.byte() & 7 != 0;
    let nobody = Side { sent: Sequence::new_zeroed(), window: 0 };
    let make = |script: &mut Script<'_>, sender, receiver| match packet(script, sender, receiver) {
        packet if is_tcp => packet,
        _ => Packet { protocol: protocol::UDP, ..Packet::default() },
    };
    let first = make(&mut script, nobody, nobody);
    // The program opens no session with anything else.
    let opens = tcp::opens(first.tcp_flags) || tcp::is_picked_up(first.tcp_flags);
    if is_tcp && (!opens || first.fragment == Fragment::Later) {
        return;
    }
    let mut session = opened(&first);
    let mut server_was_heard = false;
    while !script.0.is_empty() {
        let way = script.byte();
        let from_client = way & 1 == 0;
        let opening = matches!(session.tcp_state, TcpState::SynSent | TcpState::SynRecv);
        let doubts = way & 0x40 != 0 && !opening;
        let trust = Trust { passes: way & 0x30 == 0x30, learns: way & 0x30 != 0, doubts };
        let (sender, receiver) = (Side::of(&session, from_client), Side::of(&session, !from_client));
        let packet = make(&mut script, sender, receiver);
        let step = progress::step(&session, &packet, from_client, trust, u32::from(way));
        check(&session, &packet, from_client, trust, step);
        if is_tcp {
            if step.found & LIBERAL != 0 {
                session.flags |= FLAG_LIBERAL;
            }
            write(&mut session, from_client, step.sender);
            write(&mut session, !from_client, step.receiver);
        }
        if step.found & OUTSIDE != 0 {
            continue;
        }
        server_was_heard |= !from_client;
        session.fins = step.fins;
        session.state = SessionState::try_read_from_bytes(&[step.state]).expect("a state");
        session.tcp_state = TcpState::try_read_from_bytes(&[step.tcp_state]).expect("a sub-state");
        let answered = step.found & ANSWERED != 0 || session.state == SessionState::Established;
        assert!(server_was_heard || !answered, "one side alone is no conversation: {session:?}");
    }
});
