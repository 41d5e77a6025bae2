//! What holds for the whole of one packet's judgement, read once.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use mseg_ebpf::{
    abi::{
        config::{Config, MARKS_ARRIVED, MARKS_COUNTED, MIDSTREAM_GRACE, MIDSTREAM_PICKUP, MODE_OBSERVE},
        policy::DIRECTION_OUT,
        session::{Session, SessionKey, TcpState},
        stats::{VERDICT_ALLOWED, VERDICT_DENIED, VERDICT_OBSERVED},
        time,
    },
    packet::Packet,
    session::{key, progress::Trust},
};

use super::{
    maps, memory,
    skb::{__sk_buff, PACKET_LOOPBACK},
};

/// No padding: the verifier of older kernels wants every byte of what is passed to a global function initialised.
#[repr(C)]
pub struct Env {
    /// `CLOCK_MONOTONIC_COARSE`.
    pub(crate) now_ns: u64,
    /// Bytes on the wire with the Ethernet headers.
    bytes: u32,
    /// Packets on the wire.
    packets: u32,
    /// The active generation. It is read before any session is looked up: a session that is judged in this generation
    /// while a newer one becomes active is then judged again by its next packet, never the other way round.
    pub(crate) generation: u32,
    pub(crate) ifindex: u32,
    /// Bits, below.
    flags: u32,
    /// All host interfaces are zone 0; a workload's is its own.
    pub(crate) zone: u32,
}

/// The packet goes from the protected side.
const OUT: u32 = 1;
/// What is denied is dropped.
const ENFORCE: u32 = 2;
/// A TCP packet of no session is judged as if it opened one.
const PICK_UP: u32 = 4;
/// The packet was counted at another interface.
const COUNTED: u32 = 8;
/// TCP packets that do not fit their session pass.
const TRUST: u32 = 32;
/// Packets are to be marked when they are counted.
const MARK: u32 = 16;
/// The packet leaves, and nobody forwards it.
const OWN: u32 = 64;
/// The packet leaves by the interface at which it arrived.
const RETURNS: u32 = 128;

impl Env {
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff, direction: u8, workload: bool) -> Option<Self> {
        let config = maps::CONFIG.get_ptr(0)?;
        // SAFETY: a pointer the kernel returned for this map; user space stores each field atomically.
        let (deadline_ns, mut generation, mut mode, midstream, grace_until_ns, marks) = unsafe {
            (
                // First: it is cleared only after what it guards was made to say the same.
                memory::load(&raw const (*config).deadline_ns),
                memory::load(&raw const (*config).generation),
                memory::load(&raw const (*config).mode),
                memory::load(&raw const (*config).midstream),
                memory::load(&raw const (*config).grace_until_ns),
                memory::load(&raw const (*config).marks),
            )
        };
        // SAFETY: the helper has no preconditions.
        let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
        if Config::is_overdue(deadline_ns, now_ns) {
            // SAFETY: as above.
            (generation, mode) = unsafe {
                (
                    memory::load(&raw const (*config).fallback_generation),
                    memory::load(&raw const (*config).fallback_mode),
                )
            };
        }
        let mut flags = if direction == DIRECTION_OUT { OUT } else { 0 };
        if mode != MODE_OBSERVE {
            flags |= ENFORCE;
        }
        if midstream == MIDSTREAM_PICKUP || (midstream == MIDSTREAM_GRACE && now_ns < grace_until_ns) {
            flags |= PICK_UP | TRUST;
        }
        // While observing, what runs is learnt, so that enforcing later does not cut it off.
        if mode == MODE_OBSERVE {
            flags |= PICK_UP;
        }
        if marks == MARKS_COUNTED {
            flags |= MARK;
        }
        // SAFETY: `skb` is the program's context.
        let (length, ifindex, from) = unsafe { ((*skb).len, (*skb).ifindex, (*skb).ingress_ifindex) };
        // Whether a workload forwards cannot be seen from here.
        if direction == DIRECTION_OUT && (workload || from == 0) {
            flags |= OWN;
        } else if direction == DIRECTION_OUT && from == ifindex {
            flags |= RETURNS;
        } else if marks == MARKS_ARRIVED && !workload {
            flags |= mark_arrived(skb, (direction == DIRECTION_OUT) as u32);
        }
        let zone = if workload { zone_of(ifindex) } else { 0 };
        Some(Self { now_ns, bytes: length, packets: 1, generation, ifindex, flags, zone })
    }

    /// Whether [`weigh`] has anything to do.
    #[inline(always)]
    pub(crate) fn is_simple(&self, skb: *mut __sk_buff) -> bool {
        // SAFETY: `skb` is the program's context.
        self.flags & MARK == 0 && unsafe { (*skb).gso_size } == 0
    }

    /// Counts an skb of segmentation offload as the segments that go over the wire, each with headers of its own, like
    /// `qdisc_pkt_len_segs_init` in net/core/dev.c.
    #[inline(always)]
    fn count_segments(&mut self, skb: *mut __sk_buff, packet: &Packet) {
        // SAFETY: `skb` is the program's context.
        let (size, counted) = unsafe { ((*skb).gso_size, (*skb).gso_segs) };
        if size == 0 {
            return;
        }
        let headers = packet.payload as u32;
        let segments = if counted != 0 || headers == 0 {
            counted
        } else {
            // A virtual device may leave it out.
            self.bytes.saturating_sub(headers).div_ceil(size)
        };
        if segments > 1 {
            self.packets = segments;
            self.bytes += (segments - 1) * headers;
        }
    }

    /// Marks the packet, and remembers whether it bore the mark already: then another interface of its zone has counted
    /// it. Whoever forges a mark must know the salt, and is judged all the same.
    #[inline(always)]
    fn mark(&mut self, skb: *mut __sk_buff, key: &SessionKey) {
        if self.flags & MARK == 0 {
            return;
        }
        let Some(config) = maps::CONFIG.get_ptr(0) else {
            return;
        };
        // SAFETY: a pointer the kernel returned for this map.
        let salt = unsafe { memory::load(&raw const (*config).salt) };
        let mark = (key::hash(key, salt) >> 48) as u32 | 1;
        // SAFETY: `skb` is the program's context.
        unsafe {
            if (*skb).tc_index == mark {
                self.flags |= COUNTED;
                (self.packets, self.bytes) = (0, 0);
            } else {
                (*skb).tc_index = mark;
            }
        }
    }

    /// Whether another interface has counted the packet.
    #[inline(always)]
    pub(crate) fn is_counted(&self) -> bool {
        self.flags & COUNTED != 0
    }

    /// Whether no other interface has counted the packet, though all of them mark what they count.
    #[inline(always)]
    pub(crate) fn is_unmarked(&self) -> bool {
        self.flags & (MARK | COUNTED) == MARK
    }

    /// Bytes on the wire with the Ethernet headers; 0 if the packet was counted before.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Packets on the wire; 0 if the packet was counted before.
    #[inline(always)]
    pub(crate) fn packets(&self) -> u64 {
        self.packets as u64
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

    /// Whether what does not fit a session may be of what was not seen.
    #[inline(always)]
    pub(crate) fn trusts(&self) -> bool {
        self.flags & TRUST != 0
    }

    /// What becomes of TCP packets that do not fit this session.
    #[inline(always)]
    pub(crate) fn trust(&self, session: &Session) -> Trust {
        let opening = matches!(session.tcp_state, TcpState::SynSent | TcpState::SynRecv);
        Trust {
            passes: self.trusts(),
            learns: self.flags & PICK_UP != 0,
            doubts: !opening && may_have_missed(self, session.last_seen_tick),
        }
    }

    #[inline(always)]
    pub(crate) fn is_out(&self) -> bool {
        self.flags & OUT != 0
    }

    /// Whether the packet comes from beyond, and was seen nowhere before.
    #[inline(always)]
    pub(crate) fn arrives(&self) -> bool {
        self.flags & (OUT | COUNTED) == 0
    }

    /// Whether the protected side sends the packet itself, and does not forward it for somebody else. Of a workload that is
    /// taken for granted.
    #[inline(always)]
    pub(crate) fn is_own(&self) -> bool {
        self.flags & OWN != 0
    }

    /// Whether the packet is forwarded by the interface at which it arrived.
    #[inline(always)]
    pub(crate) fn returns(&self) -> bool {
        self.flags & RETURNS != 0
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

/// Marks what arrives at the only interface. Of what leaves: [`RETURNS`] if it bears the mark. What an interface above has
/// forwarded seems to have arrived at that (`skb_iif` in net/core/dev.c).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_arrived(skb: *mut __sk_buff, leaves: u32) -> u32 {
    let Some(config) = maps::CONFIG.get_ptr(0) else {
        return 0;
    };
    // SAFETY: a pointer the kernel returned for this map, and the program's context.
    unsafe {
        let mark = memory::load(&raw const (*config).salt) >> 16 | 1;
        if leaves == 0 {
            (*skb).tc_index = mark;
        }
        if leaves != 0 && (*skb).tc_index == mark { RETURNS } else { 0 }
    }
}

/// For how many packets and bytes the skb counts.
#[unsafe(no_mangle)]
pub extern "C" fn weigh(skb: *mut __sk_buff, env: *mut Env, packet: *const Packet, key: *const SessionKey) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), Some(key)) = (unsafe { (env.as_mut(), packet.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    env.count_segments(skb, packet);
    env.mark(skb, key);
    1
}

/// For how many packets and bytes the skb counts, though another interface has counted it.
#[unsafe(no_mangle)]
pub extern "C" fn weigh_again(skb: *mut __sk_buff, env: *mut Env, packet: *const Packet) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet)) = (unsafe { (env.as_mut(), packet.as_ref()) }) else {
        return 0;
    };
    // SAFETY: `skb` is the program's context.
    (env.packets, env.bytes) = (1, unsafe { (*skb).len });
    env.count_segments(skb, packet);
    1
}

/// Whether a session that was last seen then may have gone on unseen. Not in [`Env`], for want of room on the stack.
#[inline(always)]
pub(crate) fn may_have_missed(env: &Env, last_seen_tick: u32) -> bool {
    let Some(config) = maps::CONFIG.get_ptr(0) else {
        return true;
    };
    // SAFETY: a pointer the kernel returned for this map.
    let attached_ns = unsafe { memory::load(&raw const (*config).attached_ns) };
    time::may_have_missed(env.now_ns, last_seen_tick, attached_ns)
}

/// Whether the packet is a copy of what this host sends itself ([`PACKET_LOOPBACK`]).
#[inline(always)]
pub(crate) fn is_own_copy(skb: *mut __sk_buff) -> bool {
    // SAFETY: `skb` is the program's context.
    unsafe { (*skb).pkt_type == PACKET_LOOPBACK }
}

/// [`Env::zone`] where INTERFACES does not have the interface.
pub(crate) const NO_ZONE: u32 = u16::MAX as u32;

/// The zone of a workload's interface.
#[inline(always)]
fn zone_of(ifindex: u32) -> u32 {
    // SAFETY: entries of INTERFACES are replaced only by the loader, and the zone is copied at once.
    match unsafe { maps::INTERFACES.get(ifindex) } {
        Some(interface) => interface.zone as u32,
        None => NO_ZONE,
    }
}
