//! The state of an instance as a document.

use super::Time;
use crate::attach::Mode;

/// Whether an instance works.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Status")]
pub struct StatusView {
    /// The instance.
    pub instance: String,
    /// Where it is pinned.
    pub path: String,
    /// Version of the mseg-loader that made the maps.
    pub loader_version: String,
    /// What becomes of denied packets.
    pub mode: Mode,
    /// What becomes of TCP packets of unknown sessions: `grace`, `strict` or `pickup`.
    pub midstream: &'static str,
    /// With `grace`: until when they are judged as if they opened a session; null when that is over.
    pub grace_until: Option<Time>,
    /// The change that waits to be confirmed; null if none does.
    pub waiting: Option<super::WaitingView>,
    /// The active policy; null before there is one.
    pub policy: Option<PolicyStatus>,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceView>,
    /// How full the table of TCP sessions is.
    pub sessions: FillView,
    /// The same of those of which a FIN was seen.
    pub closing: FillView,
    /// The same of sessions of other protocols.
    pub datagrams: FillView,
    /// The same of half-open ones.
    pub half_open: FillView,
    /// What they could not hold.
    pub pressure: super::PressureView,
    /// Events.
    pub events: super::EventsView,
}

/// The active policy in figures.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct PolicyStatus {
    /// Its generation.
    pub generation: u32,
    /// When it was applied.
    pub applied: Time,
    /// Rules that are written in it.
    pub rules: usize,
    /// Entries they were compiled to.
    pub entries: u32,
}

/// An interface of the instance.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Interface")]
pub struct InterfaceView {
    /// Its name when it was attached.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// `host`, or `workload`: the host's end of a workload's veth pair.
    pub role: &'static str,
    /// How it is attached: `tcx` or `clsact`.
    pub hook: &'static str,
    /// The zone; 0: the host's.
    pub zone: u16,
    /// Whether the programs are attached still; null where that cannot be told from this network namespace.
    pub attached: Option<bool>,
    /// Whether it lives in this network namespace.
    pub here: bool,
    /// When it was attached.
    pub since: Time,
}

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Fill")]
pub struct FillView {
    /// Entries that are not expired.
    pub active: u64,
    /// Entries in use, expired ones included.
    pub entries: u64,
    /// Entries at most.
    pub max_entries: u32,
}

impl FillView {
    /// Percent of the entries in use.
    pub fn percent(&self) -> u64 {
        self.entries * 100 / u64::from(self.max_entries).max(1)
    }
}
