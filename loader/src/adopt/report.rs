//! What adoption did, and what it could not do.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::view::{Endpoint, Protocol};

/// Why a flow was not adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The table has no room for more without pushing others out.
    TableFull,
    /// It passes a workload interface of a bridge, and the bridge has forgotten which.
    WorkloadPort,
    /// There is no route to its peer.
    NoRoute,
    /// Its protocol has no sessions that could be taken over.
    Protocol,
    /// It is only being opened, is unanswered or is closed.
    State,
    /// It passes no attached interface.
    NotAttached,
}

impl Reason {
    /// The rest of a sentence that begins with a number of connections.
    pub const fn text(self) -> &'static str {
        match self {
            Self::TableFull => "find no room in the session table",
            Self::WorkloadPort => "pass a workload interface of a bridge, which has forgotten which one",
            Self::NoRoute => "have no route to their peer",
            Self::Protocol => "are of a protocol that cannot be taken over",
            Self::State => "are unanswered or closed: their next packet is judged by itself",
            Self::NotAttached => "pass no attached interface",
        }
    }
}

/// A flow that was not adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unplaced {
    /// Why.
    #[serde(skip)]
    pub reason: Reason,
    /// Its protocol.
    pub protocol: Protocol,
    /// Who opened it.
    pub client: Endpoint,
    /// The other side.
    pub server: Endpoint,
    /// The interface it passes, if one is known.
    pub interface: Option<String>,
}

/// What could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// The outcome of an adoption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sessions that were made, by protocol number.
    pub adopted: BTreeMap<u8, u64>,
    /// Flows that had a session already, which was left as it is.
    pub known: u64,
    /// Flows that have none now.
    pub unplaced: Vec<Unplaced>,
    /// What could not be looked at.
    pub unread: Vec<Unread>,
}

impl Report {
    /// Sessions that were made.
    pub fn total(&self) -> u64 {
        self.adopted.values().sum()
    }

    /// What was not adopted, by reason; the gravest first, and loopback last in each.
    pub fn groups(&self) -> Vec<(Reason, Vec<&Unplaced>)> {
        let mut groups: BTreeMap<Reason, Vec<&Unplaced>> = BTreeMap::new();
        for unplaced in &self.unplaced {
            groups.entry(unplaced.reason).or_default().push(unplaced);
        }
        for group in groups.values_mut() {
            group.sort_by_key(|unplaced| unplaced.interface.as_deref() == Some("lo"));
        }
        groups.into_iter().collect()
    }
}
