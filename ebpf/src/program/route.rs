//! Where the host sends what it forwards.

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_PROHIBIT, BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNREACHABLE,
        bpf_fib_lookup,
    },
    helpers::generated,
};
use mseg_ebpf::abi::{
    interface::{FLAG_BRIDGE_PORT, ROLE_HOST},
    session::SessionKey,
};
use zerocopy::transmute;

use super::{env::Env, maps, skb::__sk_buff};

/// [`to_end`]: not forwarded. No interface has this index.
pub(crate) const NOWHERE: u32 = u32::MAX;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The interface by which the host would forward to the lower or the higher end of a session what arrived where this packet
/// did; [`NOWHERE`] if that is the host itself, or there is no route or one that forbids it; 0 if the host does not forward
/// what arrives there.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn to_end(skb: *mut __sk_buff, env: *const Env, key: *const SessionKey, lower: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key)) = (unsafe { (env.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    let (from, to) =
        if lower != 0 { (&key.higher_address, &key.lower_address) } else { (&key.lower_address, &key.higher_address) };
    let (from, to): ([u32; 4], [u32; 4]) = (transmute!(*from), transmute!(*to));
    // SAFETY: plain numbers.
    let mut asked: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    asked.ifindex = env.ifindex;
    if to[0] | to[1] == 0 && u32::from_be(to[2]) == 0xffff {
        asked.family = AF_INET;
        asked.__bindgen_anon_3.ipv4_src = from[3];
        asked.__bindgen_anon_4.ipv4_dst = to[3];
    } else {
        asked.family = AF_INET6;
        asked.__bindgen_anon_3.ipv6_src = from;
        asked.__bindgen_anon_4.ipv6_dst = to;
    }
    // SAFETY: the program's context, and a struct of this function's own.
    let answer =
        unsafe { generated::bpf_fib_lookup(skb.cast(), &raw mut asked, size_of::<bpf_fib_lookup>() as i32, 0) };
    // The interface is told without a neighbour, too, and for what is too long for it (net/core/filter.c).
    match answer as u32 {
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED => asked.ifindex,
        // Such a route keeps what comes for an address of NAT from going on.
        BPF_FIB_LKUP_RET_NOT_FWDED
        | BPF_FIB_LKUP_RET_BLACKHOLE
        | BPF_FIB_LKUP_RET_UNREACHABLE
        | BPF_FIB_LKUP_RET_PROHIBIT => NOWHERE,
        _ => 0,
    }
}

/// Whether the interface is attached, as the host's.
#[inline(always)]
pub(crate) fn is_attached(ifindex: u32) -> bool {
    // SAFETY: as in `env::zone_of`.
    unsafe { maps::INTERFACES.get(ifindex) }.is_some_and(|interface| interface.role == ROLE_HOST)
}

/// Whether the interface is a bridge's port.
#[inline(always)]
pub(crate) fn is_bridge_port(ifindex: u32) -> bool {
    // SAFETY: as in `env::zone_of`.
    unsafe { maps::INTERFACES.get(ifindex) }.is_some_and(|interface| interface.flags & FLAG_BRIDGE_PORT != 0)
}
