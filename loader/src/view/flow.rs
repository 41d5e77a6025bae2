//! A flow that may have no session, as far as documents about it say the same.

use std::borrow::Cow;

use mseg_ebpf::abi::session::SessionKey;

use super::{Context, Direction, Endpoint, Protocol, SessionId, session::endpoints};

/// A flow, and what decided its latest packet.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct FlowView<'a> {
    /// The session's id, or the one that it would have.
    pub id: SessionId,
    /// Protocol.
    pub protocol: Protocol,
    /// Who opens the session, or who sent the packet if it has none.
    pub client: Endpoint,
    /// To whom.
    pub server: Endpoint,
    /// Which way the session, or the packet, goes.
    pub direction: Direction,
    /// The interface; `#N`, its index, when that is not attached any more.
    pub interface: Cow<'a, str>,
    /// The rule; `none` when the packet did not come so far, `#N`, its number, when the rule is gone.
    pub rule: Cow<'a, str>,
    /// The policy generation that has the rule.
    pub generation: u32,
    /// The zone; 0: the host's.
    pub zone: u16,
}

/// What a map says of a flow beside its key.
pub(super) struct Fields {
    /// `FLAG_*` of [`mseg_ebpf::abi::session`].
    pub(super) flags: u8,
    pub(super) ifindex: u32,
    pub(super) rule: u32,
    pub(super) generation: u32,
}

impl<'a> FlowView<'a> {
    pub(super) fn new(context: &'a Context, key: &SessionKey, fields: Fields) -> Self {
        let (client, server) = endpoints(key, fields.flags);
        Self {
            id: SessionId(*key),
            protocol: Protocol(key.protocol),
            client,
            server,
            direction: Direction::of_flags(fields.flags),
            interface: context.interface(fields.ifindex),
            rule: context.rule(fields.rule),
            generation: fields.generation,
            zone: key.zone,
        }
    }
}
