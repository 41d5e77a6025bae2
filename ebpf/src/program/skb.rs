//! The context of a TC program (`struct __sk_buff` in include/uapi/linux/bpf.h), as far as it is read here.
//!
//! Not the bindings' type: its pointers to other kernel types become forward declarations in the BTF, which LLVM emits
//! in the order of their addresses (`BTFDebug::endModule`), so that the object would differ from build to build.

/// The kernel knows an argument of a global function for the context by this name (`btf_is_prog_ctx_type` in
/// kernel/bpf/btf.c).
#[repr(C)]
pub struct __sk_buff {
    /// Bytes from the Ethernet header on, also those outside the linear part.
    pub(crate) len: u32,
    /// `PACKET_HOST` and so on (include/uapi/linux/if_packet.h).
    pub(crate) pkt_type: u32,
    before_ingress_ifindex: [u32; 7],
    /// On egress, the interface at which a forwarded packet arrived; 0 for what this host sends itself (`skb_iif`, which
    /// only `__netif_receive_skb_core` in net/core/dev.c sets).
    pub(crate) ingress_ifindex: u32,
    /// The interface of the hook.
    pub(crate) ifindex: u32,
    /// A number of 16 bits that stays with the packet from hook to hook, through bridges and veth pairs; nothing in the
    /// kernel uses it any more (its classifier and its qdisc were removed in 6.3).
    pub(crate) tc_index: u32,
    before_data: [u32; 7],
    /// Where the linear part begins: a pointer once the verifier has rewritten the load.
    pub(crate) data: u32,
    /// Where it ends.
    pub(crate) data_end: u32,
    before_gso_segs: [u32; 20],
    /// Packets on the wire that this one stands for; 0 where segmentation offload is not used.
    pub(crate) gso_segs: u32,
    before_gso_size: [u32; 2],
    /// Bytes of payload in each of them; 0 likewise.
    pub(crate) gso_size: u32,
}

/// [`__sk_buff::pkt_type`]: a copy of what this host sends itself. No device driver sets it.
pub(crate) const PACKET_LOOPBACK: u32 = 5;

const _: () = assert!(core::mem::offset_of!(__sk_buff, ingress_ifindex) == 36);
const _: () = assert!(core::mem::offset_of!(__sk_buff, ifindex) == 40);
const _: () = assert!(core::mem::offset_of!(__sk_buff, tc_index) == 44);
const _: () = assert!(core::mem::offset_of!(__sk_buff, data) == 76);
const _: () = assert!(core::mem::offset_of!(__sk_buff, data_end) == 80);
const _: () = assert!(core::mem::offset_of!(__sk_buff, gso_segs) == 164);
const _: () = assert!(core::mem::offset_of!(__sk_buff, gso_size) == 176);
