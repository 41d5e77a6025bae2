//! Denials as documents.

use std::borrow::Cow;

use mseg_ebpf::abi::{denied::Denied, session::SessionKey};

use super::{Context, Direction, Endpoint, Protocol, SessionId, Time, Totals, session::endpoints};

/// A flow that was denied lately.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Denied")]
pub struct DeniedView<'a> {
    /// The id that the session would have.
    pub id: SessionId,
    /// Protocol.
    pub protocol: Protocol,
    /// Who sent the latest denied packet.
    pub client: Endpoint,
    /// To whom.
    pub server: Endpoint,
    /// Which way the latest denied packet went.
    pub direction: Direction,
    /// The interface of the latest denial; `#N`, its index, when that is not attached any more.
    pub interface: Cow<'a, str>,
    /// The rule of the latest denial; `none` when the packet did not come so far.
    pub rule: Cow<'a, str>,
    /// Why the latest packet was denied.
    pub reason: &'static str,
    /// What was denied since `first_seen`, in both directions.
    pub denied: Totals,
    /// The first denial of which this entry knows.
    pub first_seen: Time,
    /// The latest denial.
    pub last_seen: Time,
    /// The policy generation of the latest denial.
    pub generation: u32,
    /// The zone; 0: the host's.
    pub zone: u16,
}

impl<'a> DeniedView<'a> {
    /// Describes a denial.
    pub fn new(context: &'a Context, key: &SessionKey, denied: &Denied) -> Self {
        let (client, server) = endpoints(key, denied.flags);
        Self {
            id: SessionId(*key),
            protocol: Protocol(key.protocol),
            client,
            server,
            direction: Direction::of_flags(denied.flags),
            interface: context.interface(denied.ifindex),
            rule: context.rule(denied.rule),
            reason: denied.reason.name(),
            denied: denied.traffic.into(),
            first_seen: Time::of(&context.clock, denied.first_ns),
            last_seen: Time::of(&context.clock, denied.last_ns),
            generation: denied.generation,
            zone: key.zone,
        }
    }
}
