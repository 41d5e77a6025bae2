//! What the maps hold, in the form that leaves the program: serialisable structs, the filters over them, and the
//! names of everything. Only [`Context::of`] reads from the kernel.
//!
//! Numbers are numbers with the unit in the key's name, addresses canonical strings, times RFC 3339 in UTC, and
//! enumerations lower-case words. Keys are only ever added.

mod address;
mod context;
mod denied;
mod event;
mod filter;
mod flow;
mod id;
pub(crate) mod names;
mod protocol;
mod rule;
mod session;
mod since;
mod stats;
mod status;
mod time;
mod waiting;

pub use address::{Endpoint, address, mapped};
pub use context::Context;
pub use denied::DeniedView;
pub use event::{AuditedEvent, CloseCause, DeniedEvent, EventDocument, EventView, Started, StopCause, Stopped};
pub use filter::{Criterion, Field, Filter, Record};
pub use flow::FlowView;
pub use id::SessionId;
pub use names::{Direction, State, TcpState, Verdict};
pub use protocol::Protocol;
pub use rule::{Hits, RuleAction, RuleDirection, RuleView};
pub(crate) use session::endpoints;
pub use session::{SessionView, Totals, is_expired, last_seen};
pub use since::duration;
pub use stats::{EventsView, MapView, PacketsView, PressureView, SessionsView, StatsView};
pub use status::{FillView, InterfaceView, PolicyStatus, StatusView};
pub use time::Time;
pub use waiting::WaitingView;
