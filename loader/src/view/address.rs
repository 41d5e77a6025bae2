//! Addresses and endpoints.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// The address in 16 bytes of the ABI, where IPv4 is v4-mapped.
pub fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// The 16 bytes of the ABI for an address.
pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
pub struct Endpoint {
    /// IPv4 or IPv6, in canonical form.
    pub address: IpAddr,
    /// The port; the echo identifier of ICMP and ICMPv6; 0 for protocols without either.
    pub port: u16,
}

/// `192.0.2.1:80` and `[2001:db8::1]:80`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.address, self.port).fmt(f)
    }
}
