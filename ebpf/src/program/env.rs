//! What holds for the whole of one packet's judgement, read once.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_ktime_get_coarse_ns};
use mseg_ebpf::abi::{
    config::{MIDSTREAM_GRACE, MIDSTREAM_PICKUP, MODE_OBSERVE},
    stats::{VERDICT_ALLOWED, VERDICT_DENIED, VERDICT_OBSERVED},
    time,
};

use super::{maps, memory};

/// No padding: the verifier of older kernels wants every byte of what is passed to a global function initialised.
#[repr(C)]
pub struct Env {
    /// `CLOCK_MONOTONIC_COARSE`.
    pub(crate) now_ns: u64,
    /// Bytes with the Ethernet header.
    pub(crate) bytes: u64,
    grace_until_ns: u64,
    /// The active generation. It is read before any session is looked up: a session that is judged in this generation
    /// while a newer one becomes active is then judged again by its next packet, never the other way round.
    pub(crate) generation: u32,
    pub(crate) ifindex: u32,
    /// [`MODE_OBSERVE`] or not.
    mode: u32,
    midstream: u32,
    /// `DIRECTION_*`.
    pub(crate) direction: u32,
    /// 1 if the interface is a workload's.
    workload: u32,
}

impl Env {
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff, direction: u8, workload: bool) -> Option<Self> {
        let config = maps::CONFIG.get_ptr(0)?;
        // SAFETY: a pointer the kernel returned for this map; user space stores each field atomically.
        let (generation, mode, midstream, grace_until_ns) = unsafe {
            (
                memory::load(&raw const (*config).generation),
                memory::load(&raw const (*config).mode),
                memory::load(&raw const (*config).midstream),
                memory::load(&raw const (*config).grace_until_ns),
            )
        };
        // SAFETY: the helper has no preconditions.
        let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
        // SAFETY: `skb` is the program's context.
        let (bytes, ifindex) = unsafe { ((*skb).len, (*skb).ifindex) };
        Some(Self {
            now_ns,
            bytes: bytes as u64,
            grace_until_ns,
            generation,
            ifindex,
            mode,
            midstream,
            direction: direction as u32,
            workload: workload as u32,
        })
    }

    /// Whether what is denied is dropped.
    #[inline(always)]
    pub(crate) fn enforces(&self) -> bool {
        self.mode != MODE_OBSERVE
    }

    /// Whether a TCP packet of no session is judged as if it opened one. While observing it is: what runs is learnt, so
    /// that enforcing later does not cut it off.
    #[inline(always)]
    pub(crate) fn picks_up(&self) -> bool {
        !self.enforces()
            || self.midstream == MIDSTREAM_PICKUP
            || (self.midstream == MIDSTREAM_GRACE && self.now_ns < self.grace_until_ns)
    }

    /// All host interfaces are one zone; a workload's is its own. `None` for a workload that is not in INTERFACES.
    #[inline(always)]
    pub(crate) fn zone(&self) -> Option<u16> {
        if self.workload == 0 {
            return Some(0);
        }
        // SAFETY: entries of INTERFACES are replaced only by the loader, and the zone is copied at once.
        unsafe { maps::INTERFACES.get(self.ifindex) }.map(|interface| interface.zone)
    }

    #[inline(always)]
    pub(crate) fn tick(&self) -> u32 {
        time::tick(self.now_ns)
    }

    #[inline(always)]
    pub(crate) fn verdict(&self, allow: bool) -> u32 {
        match (allow, self.enforces()) {
            (true, _) => VERDICT_ALLOWED,
            (false, true) => VERDICT_DENIED,
            (false, false) => VERDICT_OBSERVED,
        }
    }
}
