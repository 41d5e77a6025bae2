//! Rules by nftables and conntrack.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use mseg_tests::lab::Lab;

/// As [`mseg_tests::bed::POLICY`], with what mseg has built in.
pub(crate) const RULES: &str = "
table inet filter {
    set office4 { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 192.0.2.0/24 } }
    set office6 { type ipv6_addr; flags interval; elements = { 2001:db8:1::/48 } }
    set admins4 { type ipv4_addr; flags interval; elements = { 10.1.7.0/28 } }
    set admins6 { type ipv6_addr; flags interval; elements = { 2001:db8:1:7::/64 } }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related counter accept
        ct state invalid drop
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } ip6 hoplimit 255 accept
        tcp dport 22 accept
        ip saddr @office4 tcp dport 5432 accept
        ip6 saddr @office6 tcp dport 5432 accept
        ip saddr @admins4 tcp dport { 9090, 9100 } accept
        ip6 saddr @admins6 tcp dport { 9090, 9100 } accept
        ip saddr @office4 udp dport 53 accept
        ip6 saddr @office6 udp dport 53 accept
        icmp type echo-request accept
        icmpv6 type echo-request accept
        tcp dport { 80, 443, 8000-8999 } accept
        udp dport 7000 accept
    }
    chain output {
        type filter hook output priority filter; policy accept;
        ct state established,related counter accept
        tcp dport { 23, 25 } drop
    }
}
";

/// Applies rules on the protected host.
pub(crate) fn apply(lab: &Lab, rules: &str) -> Result<()> {
    lab.server.run(|| {
        let mut nft =
            Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().context("cannot start nft")?;
        nft.stdin.take().context("nft has no input")?.write_all(rules.as_bytes())?;
        ensure!(nft.wait()?.success(), "nft refuses the rules");
        Ok(())
    })
}

/// How many flows conntrack knows there.
pub(crate) fn tracked(lab: &Lab) -> Result<u64> {
    let count = lab.server.run(|| std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count"));
    count.context("there is no conntrack")?.trim().parse().context("an odd count")
}
