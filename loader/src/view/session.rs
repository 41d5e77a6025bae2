//! Sessions as documents.

use std::borrow::Cow;

use mseg_ebpf::abi::session::{FLAG_CLIENT_IS_LOWER, FLAG_PICKED_UP, Session, SessionKey, Traffic};

use super::{
    Context, Direction, Endpoint, Protocol, SessionId, State, TcpState, Time, Verdict, address,
    time::{idle_ticks, ticks_ns},
};
use crate::clock::Clock;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Totals {
    /// Packets.
    pub packets: u64,
    /// Bytes with the Ethernet header.
    pub bytes: u64,
}

impl From<Traffic> for Totals {
    fn from(traffic: Traffic) -> Self {
        Self { packets: traffic.packets, bytes: traffic.bytes }
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Session")]
pub struct SessionView<'a> {
    /// Names the session.
    pub id: SessionId,
    /// Protocol.
    pub protocol: Protocol,
    /// Who sent the first packet.
    pub client: Endpoint,
    /// The other side.
    pub server: Endpoint,
    /// State.
    pub state: Option<State>,
    /// TCP sub-state; null for other protocols.
    pub tcp_state: Option<TcpState>,
    /// Which way the first packet went.
    pub direction: Direction,
    /// The interface of the first packet; `#N`, its index, when that is not attached any more.
    pub interface: Cow<'a, str>,
    /// The rule that decided it; `#N`, its number, when that is gone.
    pub rule: Cow<'a, str>,
    /// What its packets get.
    pub verdict: Verdict,
    /// From the client.
    pub to_server: Totals,
    /// To the client.
    pub to_client: Totals,
    /// When the first packet was seen, to a sixtieth of a second.
    pub created: Time,
    /// When the last packet was seen, to a sixtieth of a second.
    pub last_seen: Time,
    /// Seconds until it is forgotten if nothing more is seen.
    pub expires_in_s: u64,
    /// The policy generation it was last judged in.
    pub generation: u32,
    /// The zone; sessions of one zone are not seen by others. 0: the host's.
    pub zone: u16,
    /// Whether it was taken up in its middle: its first packets were not seen.
    pub picked_up: bool,
}

impl<'a> SessionView<'a> {
    /// Describes a session.
    pub fn new(context: &'a Context, key: &SessionKey, session: &Session) -> Self {
        let (client, server) = endpoints(key, session.flags);
        let clock = &context.clock;
        Self {
            id: SessionId(*key),
            protocol: Protocol(key.protocol),
            client,
            server,
            state: State::of(session.state),
            tcp_state: TcpState::of(session.tcp_state),
            direction: Direction::of_flags(session.flags),
            interface: context.interface(session.ifindex),
            rule: context.rule(session.rule),
            verdict: Verdict::of_flags(session.flags),
            to_server: session.to_server.into(),
            to_client: session.to_client.into(),
            created: Time(clock.tick_timestamp(session.created)),
            last_seen: last_seen(clock, session),
            expires_in_s: expires_in_s(clock, session),
            generation: session.generation,
            zone: key.zone,
            picked_up: session.flags & FLAG_PICKED_UP != 0,
        }
    }
}

/// The client (or sender) and the server (or receiver), by [`FLAG_CLIENT_IS_LOWER`].
pub(crate) fn endpoints(key: &SessionKey, flags: u8) -> (Endpoint, Endpoint) {
    let lower = Endpoint { address: address(key.lower_address), port: u16::from_be_bytes(key.lower_port) };
    let higher = Endpoint { address: address(key.higher_address), port: u16::from_be_bytes(key.higher_port) };
    if flags & FLAG_CLIENT_IS_LOWER != 0 { (lower, higher) } else { (higher, lower) }
}

/// When the last packet was seen, to a tick, but not before the session was created.
pub fn last_seen(clock: &Clock, session: &Session) -> Time {
    Time(clock.tick_timestamp(session.last_seen_tick).max(clock.tick_timestamp(session.created)))
}

/// Whether the session is as good as absent: the same judgement as in the datapath.
pub fn is_expired(clock: &Clock, session: &Session) -> bool {
    idle_ticks(clock, session.last_seen_tick) > session.timeout_ticks
}

/// Whole seconds until the session expires; 0 when it has.
fn expires_in_s(clock: &Clock, session: &Session) -> u64 {
    let left = session.timeout_ticks.saturating_sub(idle_ticks(clock, session.last_seen_tick));
    ticks_ns(left) / 1_000_000_000
}
