//! Denials as documents.

use mseg_ebpf::abi::{denied::Denied, session::SessionKey};

use super::{
    Context, Time, Totals,
    flow::{Fields, FlowView},
};

/// A flow that was denied lately.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Denied")]
pub struct DeniedView<'a> {
    /// The flow, as of the latest denial.
    #[serde(flatten)]
    pub flow: FlowView<'a>,
    /// Why the latest packet was denied.
    pub reason: &'static str,
    /// What was denied since `first_seen`, in both directions.
    pub denied: Totals,
    /// The first denial of which this entry knows.
    pub first_seen: Time,
    /// The latest denial.
    pub last_seen: Time,
}

impl<'a> DeniedView<'a> {
    /// Describes a denial.
    pub fn new(context: &'a Context, key: &SessionKey, denied: &Denied) -> Self {
        let Denied { flags, ifindex, rule, generation, .. } = *denied;
        Self {
            flow: FlowView::new(context, key, Fields { flags, ifindex, rule, generation }),
            reason: denied.reason.name(),
            denied: denied.traffic.into(),
            first_seen: Time::of(&context.clock, denied.first_ns),
            last_seen: Time::of(&context.clock, denied.last_ns),
        }
    }
}
