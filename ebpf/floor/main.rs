//! What the benchmarks compare the filter with: programs that do one thing of what it does, on maps of the same type,
//! size, key and value. They share its types and nothing of its logic, so that they do not change when it does.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(missing_docs, unreachable_pub, reason = "the entry points are exported for the kernel alone")]
#![allow(internal_features, reason = "core's atomics need compare-and-swap, which the BPF target lacks")]

#[path = "../src/program/skb.rs"]
#[allow(dead_code, reason = "a part of the context is enough here")]
mod skb;

use core::{
    hint::black_box,
    intrinsics::{AtomicOrdering, atomic_xadd},
};

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::{LruHashMap, PerCpuArray},
    macros::btf_map,
};
use mseg_ebpf::{
    abi::{
        session::{MAX_HALF_OPEN, MAX_SESSIONS, Session, SessionKey},
        stats::Counter,
    },
    packet::{mapped, protocol},
};
use zerocopy::transmute;

use skb::__sk_buff;

/// As large as SESSIONS; filled by the benchmark.
#[btf_map]
static FLOWS: LruHashMap<SessionKey, Session, MAX_SESSIONS> = LruHashMap::new();

/// As large as HALF_OPEN, where the filter opens sessions.
#[btf_map]
static SMALL: LruHashMap<SessionKey, Session, MAX_HALF_OPEN> = LruHashMap::new();

#[btf_map]
static COUNTERS: PerCpuArray<Counter, 1> = PerCpuArray::new();

/// `TC_ACT_UNSPEC` and `TCX_NEXT`.
const NEXT: i32 = -1;
/// `TC_ACT_SHOT`: what was to be done could not be done, which the benchmark takes for a failure.
const SHOT: i32 = 2;

/// Nothing.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn noop(_skb: *mut __sk_buff) -> i32 {
    NEXT
}

/// Reads the 5-tuple.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn parse(skb: *mut __sk_buff) -> i32 {
    let Some(key) = key(skb) else {
        return SHOT;
    };
    black_box(&key);
    NEXT
}

/// Reads the 5-tuple and looks it up: *the* floor.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn look_up(skb: *mut __sk_buff) -> i32 {
    match key(skb).and_then(|key| FLOWS.get_ptr(&key)) {
        Some(_) => NEXT,
        None => SHOT,
    }
}

/// Likewise, and counts in the entry and in a counter of this CPU.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn count(skb: *mut __sk_buff) -> i32 {
    let (Some(session), Some(counter)) = (key(skb).and_then(|key| FLOWS.get_ptr_mut(&key)), COUNTERS.get_ptr_mut(0))
    else {
        return SHOT;
    };
    // SAFETY: the program's context, a live entry, and this CPU's own value of another.
    unsafe {
        let bytes = (*skb).len as u64;
        add(&raw mut (*session).to_server.packets, 1);
        add(&raw mut (*session).to_server.bytes, bytes);
        (*counter).packets += 1;
        (*counter).bytes += bytes;
    }
    NEXT
}

/// Reads the 5-tuple and inserts it into the small table, where it is not yet.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn insert(skb: *mut __sk_buff) -> i32 {
    match key(skb).map(|key| SMALL.insert(&key, &Session::default(), BPF_NOEXIST as u64)) {
        Some(Ok(())) => NEXT,
        _ => SHOT,
    }
}

/// Reads the 5-tuple and inserts it into the large table, where it is not yet.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn insert_large(skb: *mut __sk_buff) -> i32 {
    match key(skb).map(|key| FLOWS.insert(&key, &Session::default(), BPF_NOEXIST as u64)) {
        Some(Ok(())) => NEXT,
        _ => SHOT,
    }
}

/// The 5-tuple of a plain TCP or UDP packet, the source first.
#[inline(always)]
fn key(skb: *mut __sk_buff) -> Option<SessionKey> {
    const IPV4: u16 = 0x0800_u16.to_be();
    const IPV6: u16 = 0x86dd_u16.to_be();
    let (source, destination, protocol, transport) = match read::<u16>(skb, 12)? {
        IPV4 => {
            let [version_ihl, ..] = read::<[u8; 20]>(skb, 14)?;
            if version_ihl != 0x45 {
                return None;
            }
            (mapped(read(skb, 26)?), mapped(read(skb, 30)?), read::<u8>(skb, 23)?, 34)
        }
        IPV6 => (read::<[u64; 2]>(skb, 22)?, read::<[u64; 2]>(skb, 38)?, read::<u8>(skb, 20)?, 54),
        _ => return None,
    };
    if !matches!(protocol, protocol::TCP | protocol::UDP) {
        return None;
    }
    let [s0, s1, d0, d1] = read::<[u8; 4]>(skb, transport)?;
    Some(SessionKey {
        lower_address: transmute!(source),
        higher_address: transmute!(destination),
        lower_port: [s0, s1],
        higher_port: [d0, d1],
        zone: 0,
        protocol,
        echo: 0,
    })
}

#[inline(always)]
fn read<T: Copy>(skb: *mut __sk_buff, offset: usize) -> Option<T> {
    // SAFETY: the program's context.
    let (data, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
    let start = data + offset;
    if start + size_of::<T>() > end {
        return None;
    }
    // SAFETY: the bytes lie within the linear part, as just checked, and every bit pattern is a T here.
    Some(unsafe { (start as *const T).read_unaligned() })
}

/// Adds atomically.
///
/// # Safety
/// `pointer` is aligned and points into a live map value.
#[inline(always)]
unsafe fn add(pointer: *mut u64, value: u64) {
    // SAFETY: the caller's promise.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(pointer, value) };
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
