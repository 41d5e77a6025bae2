//! Reading what msegd writes: the names that the tests and the demo rely on, in one place.

use serde_json::Value;

/// A session was created.
pub const OPENED: &str = "session-opened";
/// A session ended.
pub const CLOSED: &str = "session-closed";
/// A session was judged again, and differently.
pub const REJUDGED: &str = "session-rejudged";
/// A packet was denied.
pub const DENIED: &str = "denied";

/// Whether an event is of one kind.
pub fn is(event: &Value, kind: &str) -> bool {
    event["event"] == kind
}

/// Whether an event came out of the kernel's ring, and was not msegd's own, such as a count of lost ones.
pub fn is_from_kernel(event: &Value) -> bool {
    [OPENED, CLOSED, REJUDGED, DENIED].iter().any(|kind| is(event, kind))
}

/// Whether an event tells of a denied packet to this port.
pub fn is_denial_of_port(event: &Value, port: u16) -> bool {
    is(event, DENIED) && event["server"]["port"] == port
}
