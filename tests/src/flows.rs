//! Conversations in great number: each from a client of its own with the protected host, one frame at a time.

use std::net::IpAddr;

use crate::lab::{CLIENT_MAC, SERVER_MAC, SERVER_V4, SERVER_V6};

/// Which Internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Its name in tables and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// A packet's place in its conversation. The numbers follow from one another as TCP wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client's SYN.
    Syn,
    /// The server's SYN+ACK.
    SynAck,
    /// The client's ACK, which completes the handshake.
    Ack,
    /// The client's first data. Again, it is a retransmission.
    Data,
    /// The server's first data, likewise.
    Reply,
    /// The client's FIN after the handshake.
    Fin,
    /// The server's, which acknowledges it.
    FinReply,
    /// The client's acknowledgement of that.
    LastAck,
    /// The client's reset after the handshake.
    Reset,
    /// A SYN+ACK from the client, which nobody asked for.
    ClientSynAck,
    /// The client's UDP datagram.
    Ask,
    /// The server's.
    Answer,
}

impl Step {
    /// Whether the server sends it.
    pub const fn is_from_server(self) -> bool {
        matches!(self, Self::SynAck | Self::Reply | Self::FinReply | Self::Answer)
    }

    const fn is_udp(self) -> bool {
        matches!(self, Self::Ask | Self::Answer)
    }
}

/// Data in [`Step::Data`] and [`Step::Reply`], and in datagrams.
pub const PAYLOAD: usize = 64;

const CLIENT_PORT: u16 = 40_000;
const CLIENT_SEQUENCE: u32 = 1_000;
const SERVER_SEQUENCE: u32 = 900_000;

/// The frames of one step for one client after the other.
#[derive(Clone, Debug)]
pub struct Frames {
    frame: Vec<u8>,
    /// Where the client's number is written: the last three bytes of its address.
    number: usize,
}

impl Frames {
    /// Of clients in a network (of 256 each family has) that talk to a port of the server.
    pub fn new(family: Family, network: u8, port: u16, step: Step) -> Self {
        let from_server = step.is_from_server();
        let protocol = if step.is_udp() { 17 } else { 6 };
        let (client, server, kind) = match (family, SERVER_V4, SERVER_V6) {
            (Family::V4, IpAddr::V4(server), _) => (vec![network, 0, 0, 0], server.octets().to_vec(), [0x08, 0x00]),
            (_, _, server) => {
                let mut client = vec![0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, network, 0, 0, 0, 0, 0, 0, 0, 0];
                let server = if let IpAddr::V6(server) = server { server.octets() } else { [0; 16] };
                client[8] = 0x02;
                (client, server.to_vec(), [0x86, 0xdd])
            }
        };
        let (source, destination) = if from_server { (port, CLIENT_PORT) } else { (CLIENT_PORT, port) };
        let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
        let mut segment = if step.is_udp() { datagram(ports) } else { segment(step, ports) };
        let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
        let mut frame = [&SERVER_MAC[..], &CLIENT_MAC, &kind].concat();
        match family {
            Family::V4 => {
                let [high, low] = (20 + length).to_be_bytes();
                frame.extend_from_slice(&[0x45, 0, high, low, 0, 1, 0x40, 0, 64, protocol, 0, 0]);
            }
            Family::V6 => {
                let [high, low] = length.to_be_bytes();
                frame.extend_from_slice(&[0x60, 0, 0, 0, high, low, protocol, 64]);
            }
        }
        let client_at = frame.len() + if from_server { server.len() } else { 0 };
        let number = client_at + client.len() - 3;
        let [source, destination] = if from_server { [&server, &client] } else { [&client, &server] };
        frame.extend_from_slice(source);
        frame.extend_from_slice(destination);
        frame.append(&mut segment);
        if from_server {
            frame[..6].copy_from_slice(&CLIENT_MAC);
            frame[6..12].copy_from_slice(&SERVER_MAC);
        }
        Self { frame, number }
    }

    /// The frame of a client. Checksums are left 0, which the filter does not look at.
    pub fn of(&mut self, client: u32) -> &[u8] {
        let [_, number @ ..] = client.to_be_bytes();
        self.frame[self.number..self.number + 3].copy_from_slice(&number);
        &self.frame
    }
}

fn datagram(mut ports: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(8 + PAYLOAD).unwrap_or(u16::MAX).to_be_bytes();
    ports.extend_from_slice(&[length[0], length[1], 0, 0]);
    ports.resize(8 + PAYLOAD, 0);
    ports
}

fn segment(step: Step, ports: Vec<u8>) -> Vec<u8> {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const PUSH: u8 = 0x08;
    const ACK: u8 = 0x10;
    let (flags, sequence, acknowledgement, payload) = match step {
        Step::Syn => (SYN, CLIENT_SEQUENCE, 0, 0),
        Step::SynAck => (SYN | ACK, SERVER_SEQUENCE, CLIENT_SEQUENCE + 1, 0),
        Step::Ack => (ACK, CLIENT_SEQUENCE + 1, SERVER_SEQUENCE + 1, 0),
        Step::Data => (PUSH | ACK, CLIENT_SEQUENCE + 1, SERVER_SEQUENCE + 1, PAYLOAD),
        Step::Reply => (PUSH | ACK, SERVER_SEQUENCE + 1, CLIENT_SEQUENCE + 1, PAYLOAD),
        Step::Fin => (FIN | ACK, CLIENT_SEQUENCE + 1, SERVER_SEQUENCE + 1, 0),
        Step::FinReply => (FIN | ACK, SERVER_SEQUENCE + 1, CLIENT_SEQUENCE + 2, 0),
        Step::LastAck => (ACK, CLIENT_SEQUENCE + 2, SERVER_SEQUENCE + 2, 0),
        Step::Reset => (RST | ACK, CLIENT_SEQUENCE + 1, SERVER_SEQUENCE + 1, 0),
        Step::ClientSynAck => (SYN | ACK, CLIENT_SEQUENCE, SERVER_SEQUENCE + 1, 0),
        Step::Ask | Step::Answer => (0, 0, 0, 0),
    };
    let mut segment = ports;
    segment.extend_from_slice(&sequence.to_be_bytes());
    segment.extend_from_slice(&acknowledgement.to_be_bytes());
    segment.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.resize(segment.len() + payload, 0);
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_where_its_step_says() {
        let mut data = Frames::new(Family::V4, 10, 443, Step::Data);
        let frame = data.of(0x01_02_03);
        assert_eq!(frame.len(), 14 + 20 + 20 + PAYLOAD);
        assert_eq!(frame[26..34], [10, 1, 2, 3, 192, 0, 2, 2]);
        assert_eq!(frame[34..38], [0x9c, 0x40, 0x01, 0xbb]);
        let mut reply = Frames::new(Family::V6, 10, 443, Step::SynAck);
        let frame = reply.of(7);
        assert_eq!(frame[38..54], [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 10, 2, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(frame[54..58], [0x01, 0xbb, 0x9c, 0x40]);
    }
}
