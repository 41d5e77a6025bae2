//! Where the host sends what it forwards.

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup},
    helpers::generated,
};
use mseg_ebpf::abi::{
    interface::ROLE_HOST,
    session::{FLAG_CLIENT_IS_LOWER, Session, SessionKey},
};
use zerocopy::transmute;

use super::{env::Env, maps, skb::__sk_buff};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The attached interface by which the host would send to the session's server what arrived where this packet did; 0 if
/// there is none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn to_server(
    skb: *mut __sk_buff,
    env: *const Env,
    key: *const SessionKey,
    session: *const Session,
) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key), Some(session)) = (unsafe { (env.as_ref(), key.as_ref(), session.as_ref()) }) else {
        return 0;
    };
    let (client, server) = if session.flags & FLAG_CLIENT_IS_LOWER != 0 {
        (&key.lower_address, &key.higher_address)
    } else {
        (&key.higher_address, &key.lower_address)
    };
    let (client, server): ([u32; 4], [u32; 4]) = (transmute!(*client), transmute!(*server));
    // SAFETY: plain numbers.
    let mut asked: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    asked.ifindex = env.ifindex;
    if server[0] | server[1] == 0 && u32::from_be(server[2]) == 0xffff {
        asked.family = AF_INET;
        asked.__bindgen_anon_3.ipv4_src = client[3];
        asked.__bindgen_anon_4.ipv4_dst = server[3];
    } else {
        asked.family = AF_INET6;
        asked.__bindgen_anon_3.ipv6_src = client;
        asked.__bindgen_anon_4.ipv6_dst = server;
    }
    // SAFETY: the program's context, and a struct of this function's own.
    let answer =
        unsafe { generated::bpf_fib_lookup(skb.cast(), &raw mut asked, size_of::<bpf_fib_lookup>() as i32, 0) };
    // The interface is told without a neighbour, too, and for what is too long for it (net/core/filter.c).
    if !matches!(answer as u32, BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED) {
        return 0;
    }
    // SAFETY: as in `env::zone_of`.
    match unsafe { maps::INTERFACES.get(asked.ifindex) } {
        Some(interface) if interface.role == ROLE_HOST => asked.ifindex,
        _ => 0,
    }
}
