//! The frame in an skb, and its headers.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_skb_load_bytes;
use mseg_ebpf::{
    abi::{reason::Reason, session::SessionKey},
    packet::{
        self, Frame, Kind, Packet, Payload,
        transport::{SCALE_UNREAD, window_scale},
    },
    session::key,
};
use zerocopy::FromBytes;

use super::{env::Env, skb::__sk_buff};

/// The linear part of an skb, read directly: the hot path.
struct Linear {
    data: usize,
    end: usize,
    length: usize,
    skb: *mut __sk_buff,
}

impl Linear {
    #[inline(always)]
    fn new(skb: *mut __sk_buff) -> Self {
        // SAFETY: `skb` is the program's context.
        unsafe { Self { data: (*skb).data as usize, end: (*skb).data_end as usize, length: (*skb).len as usize, skb } }
    }
}

impl Frame for Linear {
    const PLAIN: bool = true;
    const LAZY: bool = true;

    #[inline(always)]
    fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T> {
        let start = self.data + offset;
        if start + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: the bytes lie within the linear part, as just checked, and every bit pattern is a T.
        Some(unsafe { (start as *const T).read_unaligned() })
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.length
    }

    #[inline(always)]
    fn is_gso(&self) -> bool {
        // SAFETY: the program's context. Read only where a length is 0: it takes the kernel three loads.
        unsafe { (*self.skb).gso_size != 0 }
    }
}

/// All of an skb, read by a helper call each: for whatever is not plain or not linear. The helper takes any offset, so
/// the verifier need not follow how it came about.
pub(crate) struct Whole(pub(crate) *mut __sk_buff);

impl Frame for Whole {
    const PLAIN: bool = false;
    const LAZY: bool = true;

    #[inline(always)]
    fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: `value` has room for the bytes asked for; the helper checks the rest.
        let outcome = unsafe {
            bpf_skb_load_bytes(self.0.cast(), offset as u32, value.as_mut_ptr().cast(), size_of::<T>() as u32)
        };
        // SAFETY: on success the helper has filled it, and every bit pattern is a T.
        (outcome == 0).then(|| unsafe { value.assume_init() })
    }

    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the program's context.
        unsafe { (*self.0).len as usize }
    }

    #[inline(always)]
    fn is_gso(&self) -> bool {
        // SAFETY: the program's context.
        unsafe { (*self.0).gso_size != 0 }
    }
}

/// Parses the headers of a plain packet and writes its key. 1 if its sender is the key's lower endpoint, 0 if not;
/// [`NOT_PLAIN`] if it is malformed, or merely not plain, or not linear.
#[unsafe(no_mangle)]
pub extern "C" fn read_plain(skb: *mut __sk_buff, env: *const Env, packet: *mut Packet, key: *mut SessionKey) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet), Some(key)) = (unsafe { (env.as_ref(), packet.as_mut(), key.as_mut()) }) else {
        return NOT_PLAIN;
    };
    if packet::parse(&Linear::new(skb), packet).is_err() {
        return NOT_PLAIN;
    }
    key::write(packet, env.zone as u16, key) as u32
}

/// [`read_plain`]: it takes a look at the whole frame.
pub(crate) const NOT_PLAIN: u32 = 2;

/// Parses the headers of any packet. The outcome as a number: a kind, or a reason with [`MALFORMED`].
#[unsafe(no_mangle)]
pub extern "C" fn parse_headers(skb: *mut __sk_buff, packet: *mut Packet) -> u32 {
    // SAFETY: the caller's packet, or null.
    let Some(reset) = (unsafe { packet.as_mut() }) else {
        return MALFORMED | Reason::Unset as u32;
    };
    *reset = Packet::default();
    let link = parse_link(skb);
    if link & MALFORMED != 0 {
        return link;
    }
    let (kind, offset) = (link & 0xff, link >> 16);
    let length = if kind == Payload::Ipv4 as u32 {
        parse_ipv4(skb, packet, offset)
    } else if kind == Payload::Ipv6 as u32 {
        parse_ipv6(skb, packet, offset)
    } else if kind == Payload::Arp as u32 {
        return outcome(packet::arp(&Whole(skb), offset as usize).map(|()| Kind::Arp));
    } else if kind == Payload::LinkControl as u32 {
        return LINK_CONTROL;
    } else {
        return Kind::Other as u32;
    };
    if length & TOO_LONG != 0 {
        return length as u32;
    }
    parse_transport(skb, packet, length as u32)
}

// The steps of `parse_headers`. Each is verified by itself, so that the ways through them add up and do not multiply.

/// What the frame carries as [`Payload`], its offset from bit 16 on; or a reason with [`MALFORMED`].
#[unsafe(no_mangle)]
pub extern "C" fn parse_link(skb: *mut __sk_buff) -> u32 {
    match packet::link(&Whole(skb)) {
        Ok((kind, offset)) => kind as u32 | (offset as u32) << 16,
        Err(reason) => MALFORMED | reason as u32,
    }
}

/// Bytes behind the network header; or a reason with [`MALFORMED`] and [`TOO_LONG`].
#[unsafe(no_mangle)]
pub extern "C" fn parse_ipv4(skb: *mut __sk_buff, packet: *mut Packet, offset: u32) -> u64 {
    // SAFETY: the caller's packet, or null.
    match unsafe { packet.as_mut() } {
        Some(packet) => length(packet::ipv4(&Whole(skb), offset as usize, packet)),
        None => length(Err(Reason::Unset)),
    }
}

/// Likewise.
#[unsafe(no_mangle)]
pub extern "C" fn parse_ipv6(skb: *mut __sk_buff, packet: *mut Packet, offset: u32) -> u64 {
    // SAFETY: the caller's packet, or null.
    match unsafe { packet.as_mut() } {
        Some(packet) => length(packet::ipv6(&Whole(skb), offset as usize, packet)),
        None => length(Err(Reason::Unset)),
    }
}

/// The outcome for an IP packet, as [`parse_headers`] has it.
#[unsafe(no_mangle)]
pub extern "C" fn parse_transport(skb: *mut __sk_buff, packet: *mut Packet, length: u32) -> u32 {
    // SAFETY: the caller's packet, or null.
    match unsafe { packet.as_mut() } {
        Some(packet) => outcome(packet::transport(&Whole(skb), length as usize, packet).map(|()| Kind::Ip)),
        None => outcome(Err(Reason::Unset)),
    }
}

/// No packet is so long: with a reason, instead of its length.
const TOO_LONG: u64 = 1 << 32;

#[inline(always)]
fn length(length: Result<usize, Reason>) -> u64 {
    match length {
        Ok(length) => length as u64,
        Err(reason) => TOO_LONG | outcome(Err(reason)) as u64,
    }
}

#[inline(always)]
fn outcome(outcome: Result<Kind, Reason>) -> u32 {
    match outcome {
        Ok(kind) => kind as u32,
        Err(reason) => MALFORMED | reason as u32,
    }
}

/// Reads the window scale option of a SYN, which the parsers leave out.
#[unsafe(no_mangle)]
pub extern "C" fn read_scale(skb: *mut __sk_buff, packet: *mut Packet) -> u32 {
    // SAFETY: the caller's packet, or null.
    let Some(packet) = (unsafe { packet.as_mut() }) else {
        return 0;
    };
    if packet.tcp_scale == SCALE_UNREAD {
        let length = packet.payload.wrapping_sub(packet.transport);
        packet.tcp_scale = window_scale(&Whole(skb), packet.transport as usize, length as usize);
    }
    packet.tcp_scale as u32
}

/// [`parse_headers`]: the rest of the number is a [`Reason`].
pub(crate) const MALFORMED: u32 = 1 << 8;
/// [`parse_headers`]: an IP packet.
pub(crate) const IP: u32 = Kind::Ip as u32;
/// [`parse_headers`]: ARP.
pub(crate) const ARP: u32 = Kind::Arp as u32;
/// [`parse_headers`]: a frame that no bridge forwards.
pub(crate) const LINK_CONTROL: u32 = Kind::LinkControl as u32;
