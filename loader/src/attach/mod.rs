//! Attaching interfaces to an instance, detaching them, and saying what is attached.

mod adoption;
mod create;
mod detach;
mod hook;
mod interfaces;
mod pins;
pub mod preflight;
mod signals;
mod status;
mod target;
mod undo;

use clap::ValueEnum;
use mseg_ebpf::abi::{config, interface};

pub(crate) use self::target::netns;
pub use self::{
    detach::{DetachOptions, Detached, detach},
    interfaces::{AttachOptions, Attached, AttachedInterface, DEFAULT_GRACE_S, attach},
    status::{InterfaceStatus, Status, status},
};

/// What becomes of a packet that is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide, count and report, but drop nothing
    Observe,
    /// Drop what is denied
    Enforce,
}

/// Which side of the interface is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The host: what arrives at the interface is direction "in"
    #[default]
    Host,
    /// The workload behind it, as at the host's end of a veth pair: what arrives is direction "out"
    Workload,
}

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Hook {
    /// TCX where the kernel has it
    #[default]
    Auto,
    /// Pinned TCX links (Linux 6.6 and later)
    Tcx,
    /// Filters on the clsact qdisc
    Clsact,
}

/// What becomes of a TCP packet that opens nothing and belongs to no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Midstream {
    /// Judged as if it opened a session for some time after attach, then denied
    Grace,
    /// Denied
    Strict,
    /// Always judged as if it opened a session
    Pickup,
}

impl Mode {
    /// The value in CONFIG.
    pub const fn value(self) -> u32 {
        match self {
            Self::Observe => config::MODE_OBSERVE,
            Self::Enforce => config::MODE_ENFORCE,
        }
    }

    /// The mode of a value in CONFIG. The programs enforce under any value but that of observe.
    pub const fn from_value(value: u32) -> Self {
        match value {
            config::MODE_OBSERVE => Self::Observe,
            _ => Self::Enforce,
        }
    }

    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

impl Midstream {
    /// The value in CONFIG.
    pub const fn value(self) -> u32 {
        match self {
            Self::Grace => config::MIDSTREAM_GRACE,
            Self::Strict => config::MIDSTREAM_STRICT,
            Self::Pickup => config::MIDSTREAM_PICKUP,
        }
    }
}

impl Role {
    /// The value in INTERFACES.
    pub const fn value(self) -> u8 {
        match self {
            Self::Host => interface::ROLE_HOST,
            Self::Workload => interface::ROLE_WORKLOAD,
        }
    }
}

/// The name of a value of `Interface::role` in documents.
pub const fn role_name(role: u8) -> &'static str {
    match role {
        interface::ROLE_WORKLOAD => "workload",
        _ => "host",
    }
}

/// The name of a value of `Interface::hook` in documents.
pub const fn hook_name(hook: u8) -> &'static str {
    match hook {
        interface::HOOK_CLSACT => "clsact",
        _ => "tcx",
    }
}
