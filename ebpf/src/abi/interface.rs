//! INTERFACES: what is attached where.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of an interface name with its terminating zero: the kernel's `IFNAMSIZ`.
pub const NAME_LEN: usize = 16;

/// The host's own interface: its ingress is direction `in`, and all of them share zone 0.
pub const ROLE_HOST: u8 = 0;
/// The host end of a workload's veth pair: its ingress is what the workload sends, direction `out`.
pub const ROLE_WORKLOAD: u8 = 1;

/// Attached by two pinned TCX links (kernel 6.6 and later).
pub const HOOK_TCX: u8 = 0;
/// Attached by two filters on the clsact qdisc.
pub const HOOK_CLSACT: u8 = 1;

/// [`Interface::flags`]: the clsact qdisc was not there before us.
pub const FLAG_MADE_QDISC: u8 = 1;
/// [`Interface::flags`]: only ingress is attached (loopback, where every packet passes both hooks).
pub const FLAG_INGRESS_ONLY: u8 = 2;
/// [`Interface::flags`]: it was a port of a bridge, which forwards what the host does not route.
pub const FLAG_BRIDGE_PORT: u8 = 4;

/// A value of INTERFACES (hash, key: `u32` interface index). Written by mseg-loader; read by the programs (for the
/// zone, and the name that rules match on) and by every reader. Lives from attach to detach; attach fails when full.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Interface {
    /// Name at attach, padded with zeros. Readers may live in another network namespace, so they cannot look it up.
    pub name: [u8; NAME_LEN],
    /// Inode of the network namespace it was attached in.
    pub netns: u64,
    /// When it was attached: nanoseconds of `CLOCK_MONOTONIC`.
    pub attached_ns: u64,
    /// The clsact filter handle, 0 with TCX.
    pub handle: u32,
    /// The clsact filter priority, 0 with TCX.
    pub priority: u16,
    /// Sessions of one zone are never seen by another. 0 for [`ROLE_HOST`], unique for each [`ROLE_WORKLOAD`].
    pub zone: u16,
    /// [`ROLE_HOST`] or [`ROLE_WORKLOAD`].
    pub role: u8,
    /// [`HOOK_TCX`] or [`HOOK_CLSACT`].
    pub hook: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 5],
}
