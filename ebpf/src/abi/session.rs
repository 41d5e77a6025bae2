//! SESSIONS, DATAGRAMS, HALF_OPEN, CLOSING and CLOSED.
//!
//! All are LRU hashes from [`SessionKey`] to [`Session`]. A session lives in HALF_OPEN until its client has shown that
//! it hears the server: TCP by the last packet of the handshake, others by a packet after the first reply. Then it moves
//! to SESSIONS if it is TCP, else to DATAGRAMS: without a handshake a made-up sender can have its packets answered, and
//! pretend to have heard. So no flood with made-up senders can evict a TCP session that is in use. With its first FIN one
//! moves from SESSIONS to CLOSING, and once it has closed to CLOSED: those times are short, so what has expired in one table
//! is always what was used least recently, and the many short connections of a busy server, whatever becomes of them,
//! evict none that idles. Written by the programs; user space reads, deletes, and adopts what was there before the attach.
//! When full, the least recently used entry goes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// Entries of SESSIONS. 100,000 are promised; the rest is room for the LRU hash, whose CPUs take free entries in batches
/// of 128.
pub const MAX_SESSIONS: usize = 104_448;
/// Entries of DATAGRAMS.
pub const MAX_DATAGRAMS: usize = 8_192;
/// Entries of HALF_OPEN.
pub const MAX_HALF_OPEN: usize = 8_192;
/// Entries of CLOSING: most connections close within a few round trips.
pub const MAX_CLOSING: usize = 3_072;
/// Entries of CLOSED: what is sent again of a connection that is over comes within a few round trips.
pub const MAX_CLOSED: usize = 2_048;

/// One session in both directions: the endpoint with the lower (address, port), compared as big-endian numbers, is
/// always `lower`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SessionKey {
    /// Address of the lower endpoint, IPv4 as v4-mapped.
    pub lower_address: [u8; 16],
    /// Address of the higher endpoint.
    pub higher_address: [u8; 16],
    /// Port of the lower endpoint, big-endian. ICMP and ICMPv6 echo: the identifier, for both. Other protocols: 0.
    pub lower_port: [u8; 2],
    /// Port of the higher endpoint, big-endian.
    pub higher_port: [u8; 2],
    /// The zone of the interface ([`super::interface::Interface::zone`]).
    pub zone: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// ICMP and ICMPv6 echo: 1 if the lower endpoint asks, 2 if the higher does, so that two hosts may ask each other
    /// with one identifier and neither is taken for the other's reply. Other protocols: 0.
    pub echo: u8,
}

/// The state every protocol has.
#[repr(u8)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, TryFromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub enum SessionState {
    /// No session.
    #[default]
    None = 0,
    /// Packets in one direction only, or a TCP handshake under way.
    New = 1,
    /// Packets in both directions; TCP: the handshake is complete.
    Established = 2,
    /// TCP: a FIN was seen.
    Closing = 3,
    /// TCP: both FINs and their acknowledgements, or a reset.
    Closed = 4,
}

/// The TCP sub-state, by nf_conntrack's names.
#[repr(u8)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, TryFromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub enum TcpState {
    /// Not TCP.
    #[default]
    None = 0,
    /// The client's SYN was seen.
    SynSent = 1,
    /// The server's SYN+ACK was seen.
    SynRecv = 2,
    /// The handshake is complete.
    Established = 3,
    /// The client's FIN was seen.
    FinWait = 4,
    /// The server's FIN was seen.
    CloseWait = 5,
    /// Both FINs were seen.
    LastAck = 6,
    /// The last FIN was acknowledged.
    TimeWait = 7,
    /// A reset was seen.
    Close = 8,
}

impl TcpState {
    /// Number of sub-states.
    pub const COUNT: usize = 9;
}

/// [`Session::flags`]: the client is the lower endpoint of the key.
pub const FLAG_CLIENT_IS_LOWER: u8 = 1 << 0;
/// [`Session::flags`]: the first packet went from the protected side (direction `out`).
pub const FLAG_OUT: u8 = 1 << 1;
/// [`Session::flags`]: the verdict is deny.
pub const FLAG_DENIED: u8 = 1 << 2;
/// [`Session::flags`]: picked up in mid-stream.
pub const FLAG_PICKED_UP: u8 = 1 << 3;
/// [`Session::flags`]: the rule has the attribute `log`.
pub const FLAG_LOG: u8 = 1 << 4;
/// [`Session::flags`]: it is in HALF_OPEN.
pub const FLAG_HALF_OPEN: u8 = 1 << 5;
/// [`Session::flags`]: no window check. Its TCP segments came in fragments, whose length the filter cannot know; or it was
/// not seen to open, or may have gone on unseen, and a stranger may have made up what was seen since (netfilter is as
/// liberal: `nf_conntrack_tcp_loose`).
pub const FLAG_LIBERAL: u8 = 1 << 6;
/// [`Session::flags`]: it counts among the half-open sessions of its source ([`super::source`]).
pub const FLAG_SAMPLED: u8 = 1 << 7;

/// The bits of [`Session::fins`] that are FINs.
pub const FINS: u8 = 3;
/// [`Session::fins`]: a packet of the side that arrives was seen to leave by the interface at which it arrives, so the
/// protected side forwards the session there, and both sides' packets may arrive at it.
pub const PASSES_THROUGH: u8 = 1 << 7;
/// [`Session::fins`]: likewise, but by another interface.
pub const PASSES_ON: u8 = 1 << 5;
/// [`Session::fins`]: the packets of one side arrive, and the policy lets the protected side send them, too.
pub const MAY_LEAVE: u8 = 1 << 6;
/// [`Session::fins`]: it was picked up, and is taken for opened by the other side than at first.
pub const TURNED_AROUND: u8 = 1 << 2;
/// [`Session::fins`]: user space has put it in, and the kernel's sockets or nf_conntrack say who opened it.
pub const ADOPTED: u8 = 1 << 3;
/// [`Session::fins`]: the host itself sent the first packet, and forwarded it for nobody.
pub const OWN: u8 = 1 << 4;

/// Packets and bytes of one direction, added to atomically.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes with the Ethernet header, as the interface counts them.
    pub bytes: u64,
}

/// What one side of a TCP connection has sent, as far as the window check needs it (nf_conntrack_proto_tcp.c keeps the
/// like in `struct ip_ct_tcp_state`). Written only when a packet of that side passes, but for the first packets.
///
/// Sequence numbers are in the host's order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Sequence {
    /// The sequence number after the last that was sent.
    pub end: u32,
    /// The highest acknowledgement that was sent.
    pub ack: u32,
}

/// A session.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Session {
    /// From the client, which sent the first packet.
    pub to_server: Traffic,
    /// To the client.
    pub to_client: Traffic,
    /// When the last allowed (or observed) packet was seen: ticks.
    pub last_seen_tick: u32,
    /// The idle time after which it is as good as absent: ticks.
    pub timeout_ticks: u32,
    /// The rule that decided it ([`super::rule`]).
    pub rule: u32,
    /// The policy generation it was judged in; 0, which no generation has, for one that is yet to be judged.
    pub generation: u32,
    /// The interface of its first packet; 0 if that is not known.
    pub ifindex: u32,
    /// When it was created: ticks.
    pub created: u32,
    /// What the client has sent.
    pub client: Sequence,
    /// What the server has sent.
    pub server: Sequence,
    /// `FLAG_*`. First of its word, so that a changed one is an aligned store.
    pub flags: u8,
    /// FINs seen: bit 0 the client's, bit 1 the server's. And [`PASSES_THROUGH`], [`PASSES_ON`], [`MAY_LEAVE`], [`OWN`],
    /// [`ADOPTED`] and [`TURNED_AROUND`].
    pub fins: u8,
    /// State.
    pub state: SessionState,
    /// TCP sub-state.
    pub tcp_state: TcpState,
    /// The largest window the client has offered ([`crate::session::window`]); 0 before its first packet.
    pub client_window: u16,
    /// The largest window the server has offered.
    pub server_window: u16,
}

impl Session {
    /// Whether it is a guess who opened it: it was picked up in mid-stream, and nobody told.
    #[inline(always)]
    pub const fn is_guessed(&self) -> bool {
        self.flags & FLAG_PICKED_UP != 0 && self.fins & ADOPTED == 0
    }
}

const _: () = assert!(size_of::<SessionKey>() == 40);
const _: () = assert!(size_of::<Session>() == 80);
