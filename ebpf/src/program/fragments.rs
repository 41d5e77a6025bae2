//! Fragments: the later ones follow their first, whose transport header they share.

use aya_ebpf::bindings::BPF_ANY;
use mseg_ebpf::{
    abi::{
        fragment::{FragmentKey, Fragmented, TIMEOUT_S},
        reason::Reason,
        time,
    },
    packet::Packet,
};
use zerocopy::transmute;

use super::{env::Env, maps};

/// Remembers a first fragment that passed. 1 if it could.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lead(env: *const Env, packet: *const Packet) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet)) = (unsafe { (env.as_ref(), packet.as_ref()) }) else {
        return 0;
    };
    let key = key(env, packet);
    // One that is sent again may be shorter, but not make room within what was judged; another's datagram has the id anew.
    // SAFETY: copied at once.
    let before = match unsafe { maps::FRAGMENTS.get(key) } {
        Some(first)
            if is_live(env, first)
                && first.source_port == packet.source_port
                && first.destination_port == packet.destination_port =>
        {
            first.end
        }
        _ => 0,
    };
    let value = Fragmented {
        seen_tick: env.tick(),
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        end: if before > packet.fragment_end { before } else { packet.fragment_end },
        echo: packet.echo as u16,
        protocol: packet.protocol,
        icmp_type: packet.icmp_type,
        reserved: 0,
    };
    // A retransmitted first fragment replaces the entry; that it may evict another is no loss here.
    maps::FRAGMENTS.insert(key, &value, BPF_ANY as u64).is_ok() as u32
}

/// Gives a later fragment the transport header of its first. 0, or the [`Reason`] for which there is none.
#[unsafe(no_mangle)]
pub extern "C" fn follow(env: *const Env, packet: *mut Packet) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet)) = (unsafe { (env.as_ref(), packet.as_mut()) }) else {
        return Reason::Fragment as u32;
    };
    // SAFETY: copied at once.
    let Some(first) = (unsafe { maps::FRAGMENTS.get(key(env, packet)).copied() }) else {
        return Reason::Fragment as u32;
    };
    if !is_live(env, &first) {
        return Reason::Fragment as u32;
    }
    // It could write over the header that was judged (RFC 1858 section 3).
    if packet.fragment_start < first.end {
        return Reason::FragmentOverlap as u32;
    }
    packet.source_port = first.source_port;
    packet.destination_port = first.destination_port;
    packet.protocol = first.protocol;
    packet.icmp_type = first.icmp_type;
    packet.echo = first.echo as u8;
    0
}

/// Whether the rest of its datagram may still come.
#[inline(always)]
fn is_live(env: &Env, first: &Fragmented) -> bool {
    time::ticks_since(env.tick(), first.seen_tick) <= time::seconds_to_ticks(TIMEOUT_S)
}

#[inline(always)]
fn key(env: &Env, packet: &Packet) -> FragmentKey {
    FragmentKey {
        source: transmute!(packet.source),
        destination: transmute!(packet.destination),
        id: packet.fragment_id,
        zone: env.zone as u16,
        protocol: if packet.ipv6 == 0 { packet.protocol } else { 0 },
        reserved: 0,
    }
}
