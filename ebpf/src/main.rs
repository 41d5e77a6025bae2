//! The TC programs. Direction is the protected side's view; [`program::judge`] decides, this file only names the hooks.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(missing_docs, unreachable_pub, reason = "the attribute macro makes undocumented exports of the entry points")]
#![allow(internal_features, reason = "core's atomics need compare-and-swap, which the BPF target lacks")]

mod program;

use aya_ebpf::{macros::classifier, programs::TcContext};
use mseg_ebpf::abi::policy::{DIRECTION_IN, DIRECTION_OUT};

use program::run;

/// Ingress of a host interface.
#[classifier]
pub fn host_in(ctx: TcContext) -> i32 {
    run(ctx.skb.skb, DIRECTION_IN, false)
}

/// Egress of a host interface.
#[classifier]
pub fn host_out(ctx: TcContext) -> i32 {
    run(ctx.skb.skb, DIRECTION_OUT, false)
}

/// Egress of the host end of a workload's veth pair: what the workload receives.
#[classifier]
pub fn workload_in(ctx: TcContext) -> i32 {
    run(ctx.skb.skb, DIRECTION_IN, true)
}

/// Ingress of the host end of a workload's veth pair: what the workload sends.
#[classifier]
pub fn workload_out(ctx: TcContext) -> i32 {
    run(ctx.skb.skb, DIRECTION_OUT, true)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
