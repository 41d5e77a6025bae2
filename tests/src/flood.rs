//! Sessions that must survive a flood, and floods.

use anyhow::{Result, ensure};

use crate::{
    bed::{Bed, CLOSED_PORT, DROPPED, ECHO_PORT, OPEN_PORT, PASSED},
    flows::{Family, Frames, Step},
};

/// The network of the clients that are connected; floods come from others.
const CONNECTED: u8 = 10;
const SPOOFED: u8 = 11;

/// What each client of a flood sends, and what the protected host answers. No address comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One SYN that nobody answers.
    Syn,
    /// A SYN, and a SYN+ACK after it from the same client.
    SynAndMore,
    /// A SYN that the protected host answers: the client is spoofed, and no more comes.
    SynAnswered,
    /// A whole connection, which the client closes, and the host does not.
    HalfClosed,
    /// One that both close, and the client vanishes before it acknowledges that.
    LastAck,
    /// One that both sides close.
    Closed,
    /// One that the client resets.
    Reset,
    /// One UDP datagram.
    Datagram,
    /// One that the protected host answers, as a name server does.
    DatagramAnswered,
    /// Two, the first of which is answered: the client seems to hear the host.
    DatagramsAnswered,
    /// A SYN to a port that is denied.
    Denied,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Syn,
        Self::SynAndMore,
        Self::SynAnswered,
        Self::HalfClosed,
        Self::LastAck,
        Self::Closed,
        Self::Reset,
        Self::Datagram,
        Self::DatagramAnswered,
        Self::DatagramsAnswered,
        Self::Denied,
    ];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "SYN",
            Self::SynAndMore => "SYN, and SYN+ACK by the same client",
            Self::SynAnswered => "SYN, answered",
            Self::HalfClosed => "connection, half-closed",
            Self::LastAck => "connection, the last FIN not acknowledged",
            Self::Closed => "connection, closed",
            Self::Reset => "connection, reset",
            Self::Datagram => "datagram",
            Self::DatagramAnswered => "datagram, answered",
            Self::DatagramsAnswered => "datagrams, answered",
            Self::Denied => "denied",
        }
    }

    /// The packets of one client.
    const fn steps(self) -> &'static [Step] {
        match self {
            Self::Syn | Self::Denied => &[Step::Syn],
            Self::SynAndMore => &[Step::Syn, Step::ClientSynAck],
            Self::SynAnswered => &[Step::Syn, Step::SynAck],
            Self::HalfClosed => &[Step::Syn, Step::SynAck, Step::Ack, Step::Fin],
            Self::LastAck => &[Step::Syn, Step::SynAck, Step::Ack, Step::Fin, Step::FinReply],
            Self::Closed => &[Step::Syn, Step::SynAck, Step::Ack, Step::Fin, Step::FinReply, Step::LastAck],
            Self::Reset => &[Step::Syn, Step::SynAck, Step::Ack, Step::Reset],
            Self::Datagram => &[Step::Ask],
            Self::DatagramAnswered => &[Step::Ask, Step::Answer],
            Self::DatagramsAnswered => &[Step::Ask, Step::Answer, Step::Ask],
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Denied => CLOSED_PORT,
            Self::Datagram | Self::DatagramAnswered | Self::DatagramsAnswered => ECHO_PORT,
            _ => OPEN_PORT,
        }
    }
}

/// Opens this many connections, then leaves them idle. The thread must be in the server's network namespace.
///
/// # Errors
/// When one cannot be opened.
pub fn connect(bed: &Bed<'_>, established: u32) -> Result<()> {
    bed.establish(Family::V4, CONNECTED, 0..established)
}

/// How many of them are lost: their next packet is dropped.
///
/// # Errors
/// When a packet is neither passed nor dropped.
pub fn lost(bed: &Bed<'_>, established: u32) -> Result<u32> {
    let mut data = Frames::new(Family::V4, CONNECTED, OPEN_PORT, Step::Data);
    let mut lost = 0;
    bed.for_each(0..established, |client| {
        match bed.run(&bed.ingress, data.of(client), 1)?.returned {
            PASSED => {}
            DROPPED => lost += 1,
            other => anyhow::bail!("the program returned {other}"),
        }
        Ok(())
    })?;
    Ok(lost)
}

/// Sends `packets` packets of clients that were never seen before: the numbers from `from` on. Returns the number after
/// the last one. Fails when an opening packet is not decided as the policy says, so that a flood is what it claims to be.
///
/// # Errors
/// As said, and when numbers run out (2^24).
pub fn send(bed: &Bed<'_>, shape: Shape, from: u32, packets: u32) -> Result<u32> {
    let steps = shape.steps();
    let end = from.saturating_add(packets / u32::try_from(steps.len())?);
    ensure!(end < 1 << 24, "more clients than there are addresses");
    let mut frames: Vec<_> = steps.iter().map(|&step| Frames::new(Family::V4, SPOOFED, shape.port(), step)).collect();
    let expected = if shape == Shape::Denied { DROPPED } else { PASSED };
    bed.for_each(from..end, |client| {
        for (at, (step, frames)) in steps.iter().zip(&mut frames).enumerate() {
            let program = if step.is_from_server() { &bed.egress } else { &bed.ingress };
            let returned = bed.run(program, frames.of(client), 1)?.returned;
            ensure!(at > 0 || returned == expected, "{step:?} of client {client}: {returned}, expected {expected}");
        }
        Ok(())
    })?;
    Ok(end)
}
