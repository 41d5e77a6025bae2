//! What holds for the whole of one packet's judgement, read once.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use mseg_ebpf::abi::{
    config::{MIDSTREAM_GRACE, MIDSTREAM_PICKUP, MODE_OBSERVE},
    policy::DIRECTION_OUT,
    stats::{VERDICT_ALLOWED, VERDICT_DENIED, VERDICT_OBSERVED},
    time,
};

use super::{maps, memory, skb::__sk_buff};

/// No padding: the verifier of older kernels wants every byte of what is passed to a global function initialised.
#[repr(C)]
pub struct Env {
    /// `CLOCK_MONOTONIC_COARSE`.
    pub(crate) now_ns: u64,
    /// Bytes with the Ethernet header.
    length: u32,
    /// The active generation. It is read before any session is looked up: a session that is judged in this generation
    /// while a newer one becomes active is then judged again by its next packet, never the other way round.
    pub(crate) generation: u32,
    pub(crate) ifindex: u32,
    /// Bits, below.
    flags: u32,
    /// All host interfaces are zone 0; a workload's is its own.
    pub(crate) zone: u32,
    reserved: u32,
}

/// The packet goes from the protected side.
const OUT: u32 = 1;
/// What is denied is dropped.
const ENFORCE: u32 = 2;
/// A TCP packet of no session is judged as if it opened one.
const PICK_UP: u32 = 4;

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
        let mut flags = if direction == DIRECTION_OUT { OUT } else { 0 };
        if mode != MODE_OBSERVE {
            flags |= ENFORCE;
        }
        // While observing, what runs is learnt, so that enforcing later does not cut it off.
        if mode == MODE_OBSERVE
            || midstream == MIDSTREAM_PICKUP
            || (midstream == MIDSTREAM_GRACE && now_ns < grace_until_ns)
        {
            flags |= PICK_UP;
        }
        // SAFETY: `skb` is the program's context.
        let (length, ifindex) = unsafe { ((*skb).len, (*skb).ifindex) };
        let zone = if workload { zone_of(ifindex) } else { 0 };
        Some(Self { now_ns, length, generation, ifindex, flags, zone, reserved: 0 })
    }

    /// Bytes with the Ethernet header.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u64 {
        self.length as u64
    }

    /// Whether what is denied is dropped.
    #[inline(always)]
    pub(crate) fn enforces(&self) -> bool {
        self.flags & ENFORCE != 0
    }

    /// Whether a TCP packet of no session is judged as if it opened one.
    #[inline(always)]
    pub(crate) fn picks_up(&self) -> bool {
        self.flags & PICK_UP != 0
    }

    #[inline(always)]
    pub(crate) fn is_out(&self) -> bool {
        self.flags & OUT != 0
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

/// The zone of a workload's interface; one that no interface has if it is not in INTERFACES.
#[inline(always)]
fn zone_of(ifindex: u32) -> u32 {
    // SAFETY: entries of INTERFACES are replaced only by the loader, and the zone is copied at once.
    match unsafe { maps::INTERFACES.get(ifindex) } {
        Some(interface) => interface.zone as u32,
        None => u16::MAX as u32,
    }
}
