//! The TC programs. Direction is the protected side's view; [`program::judge`] decides, this file only names the hooks.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(missing_docs, unreachable_pub, reason = "the entry points are exported for the kernel alone")]
#![allow(internal_features, reason = "core's atomics need compare-and-swap, which the BPF target lacks")]

mod program;

use mseg_ebpf::abi::policy::{DIRECTION_IN, DIRECTION_OUT};

use program::{run, skb::__sk_buff};

/// Ingress of a host interface.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn host_in(skb: *mut __sk_buff) -> i32 {
    run(skb, DIRECTION_IN, false)
}

/// Egress of a host interface.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn host_out(skb: *mut __sk_buff) -> i32 {
    run(skb, DIRECTION_OUT, false)
}

/// Egress of the host end of a workload's veth pair: what the workload receives.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn workload_in(skb: *mut __sk_buff) -> i32 {
    run(skb, DIRECTION_IN, true)
}

/// Ingress of the host end of a workload's veth pair: what the workload sends.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn workload_out(skb: *mut __sk_buff) -> i32 {
    run(skb, DIRECTION_OUT, true)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
