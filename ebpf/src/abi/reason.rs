//! Why a packet got its verdict. Numbers never change their meaning.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal, $text:literal, $allows:literal;)+) => {
        /// Why a packet got its verdict. Each packet is counted under exactly one.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name = $value,)+
        }

        impl Reason {
            /// Every reason, by rising number.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in statistics, events and documents.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Whether the packet is allowed; `session` speaks for itself only with the session's verdict.
            #[inline(always)]
            pub const fn allows(self) -> bool {
                match self {
                    $(Self::$name => $allows,)+
                }
            }
        }
    };
}

reasons! {
    /// Not judged; never counted.
    Unset = 0, "unset", false;
    /// The packet belongs to an allowed session.
    Session = 1, "session", true;
    /// A rule allows the packet.
    RuleAllow = 2, "rule-allow", true;
    /// No rule matched, the default allows.
    DefaultAllow = 3, "default-allow", true;
    /// A built-in rule allows the packet.
    Builtin = 4, "builtin", true;
    /// An ICMP error about an allowed session.
    IcmpError = 5, "icmp-error", true;
    /// A copy of the host's own multicast or broadcast packet, which the kernel hands back to it (`dev_loopback_xmit` in
    /// net/core/dev.c). It has no Ethernet header; the packet itself was judged on its way out.
    OwnCopy = 6, "own-copy", true;
    /// A rule denies the packet.
    RuleDeny = 32, "rule-deny", false;
    /// No rule matched, the default denies.
    DefaultDeny = 33, "default-deny", false;
    /// A TCP packet that opens nothing and belongs to no session.
    TcpMidstream = 34, "tcp-midstream", false;
    /// An echo reply nobody asked for.
    IcmpUnsolicited = 35, "icmp-unsolicited", false;
    /// An ICMP error about no session, or one that quotes too little.
    IcmpErrorUnrelated = 36, "icmp-error-unrelated", false;
    /// A later fragment of a datagram whose first fragment was not seen lately, or did not pass.
    Fragment = 37, "fragment", false;
    /// Neither IP nor allowed by a built-in rule.
    NotIp = 38, "not-ip", false;
    /// No policy generation is active, or its maps are damaged.
    NoPolicy = 39, "no-policy", false;
    /// The session table refused the new session.
    TableFull = 41, "table-full", false;
    /// A TCP packet outside the windows of its session.
    TcpWindow = 42, "tcp-window", false;
    /// Its source has as many half-open sessions as one may have.
    SourceLimit = 43, "source-limit", false;
    /// It arrives where only the other side of its session arrives: made up in the name of the protected side.
    WrongWay = 44, "wrong-way", false;
    /// It is at a workload's interface of which no zone is known: one that was moved to another network namespace.
    UnknownInterface = 45, "unknown-interface", false;
    /// The frame ends within its Ethernet or VLAN header.
    EthernetShort = 64, "ethernet-short", false;
    /// More than two VLAN tags in the frame, beside the one the kernel may keep apart.
    VlanDepth = 65, "vlan-depth", false;
    /// The frame ends within its IPv4 header.
    Ipv4Short = 66, "ipv4-short", false;
    /// The version field is not 4.
    Ipv4Version = 67, "ipv4-version", false;
    /// IHL below 5.
    Ipv4HeaderLength = 68, "ipv4-header-length", false;
    /// Total length shorter than the header or longer than the frame.
    Ipv4TotalLength = 69, "ipv4-total-length", false;
    /// A source route option (RFC 7126 section 4.3).
    Ipv4SourceRoute = 70, "ipv4-source-route", false;
    /// An option whose length is wrong.
    Ipv4Options = 71, "ipv4-options", false;
    /// The frame ends within its IPv6 header.
    Ipv6Short = 72, "ipv6-short", false;
    /// The version field is not 6.
    Ipv6Version = 73, "ipv6-version", false;
    /// Payload length longer than the frame, or 0 for a jumbogram (RFC 2675) that is none of the kernel's own.
    Ipv6PayloadLength = 74, "ipv6-payload-length", false;
    /// The packet ends within an extension header, or that is shorter than its fixed part.
    Ipv6ExtensionShort = 75, "ipv6-extension-short", false;
    /// More extension headers than are walked.
    Ipv6ExtensionDepth = 76, "ipv6-extension-depth", false;
    /// Routing header type 0 (RFC 5095).
    Ipv6RoutingType0 = 77, "ipv6-routing-type0", false;
    /// A v4-mapped address on the wire (RFC 4942 section 2.2).
    Ipv6MappedAddress = 78, "ipv6-mapped-address", false;
    /// The packet ends within its TCP, UDP, SCTP or ICMP header.
    TransportShort = 79, "transport-short", false;
    /// Data offset below 5 or beyond the packet.
    TcpDataOffset = 80, "tcp-data-offset", false;
    /// A combination of flags that no TCP sends.
    TcpFlags = 81, "tcp-flags", false;
    /// Length below 8 or beyond the packet.
    UdpLength = 82, "udp-length", false;
    /// A first fragment too short to hold all headers (RFC 1858, RFC 7112), or a later one that begins within them (RFC
    /// 1858 section 3.2.2, RFC 3128).
    FragmentTiny = 83, "fragment-tiny", false;
    /// A later fragment that overlaps the first (RFC 1858, RFC 3128, RFC 5722).
    FragmentOverlap = 84, "fragment-overlap", false;
    /// A hop-by-hop header that is not the first, or a second fragment header.
    Ipv6ExtensionOrder = 85, "ipv6-extension-order", false;
    /// ARP that is not whole, or not about IPv4 over Ethernet.
    ArpMalformed = 86, "arp-malformed", false;
    /// A fragment that more follow and whose length is no multiple of 8, or one that ends beyond the largest datagram
    /// (RFC 791 section 3.2, RFC 8200 section 4.5).
    FragmentLength = 87, "fragment-length", false;
}

/// One more than the highest number a reason may get: the stride of [`super::stats`].
pub const LIMIT: u32 = 96;
