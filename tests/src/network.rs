//! More networks around the protected host: one that it routes to, and a workload behind it.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    interface::{self, End},
    lab::{CLIENT_V4, CLIENT_V6, Lab, PEER, SERVER_V4, SERVER_V6},
    namespace::Namespace,
};

/// The protected host's interface towards [`far`].
pub const FAR_INTERFACE: &str = "mseg1";
/// The other end of that cable.
pub const FAR_PEER: &str = "far0";
/// The Ethernet address of [`FAR_INTERFACE`].
pub const FAR_HERE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
/// The Ethernet address of [`FAR_PEER`].
pub const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 4];
/// The protected host's addresses there.
pub const FAR_HERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1))];
/// The addresses of the host there.
pub const FAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2))];

/// The protected host's end of the cable to [`workload`].
pub const WORKLOAD_INTERFACE: &str = "mseg2";
/// The workload's address.
pub const WORKLOAD: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2));

/// A host on a second network of the protected host.
///
/// # Errors
/// When the kernel refuses a part of it.
pub fn far(lab: &Lab) -> Result<Namespace> {
    let far = Namespace::new()?;
    let prefixes = [24, 64];
    let here: Vec<_> = FAR_HERE.into_iter().zip(prefixes).collect();
    let there: Vec<_> = FAR.into_iter().zip(prefixes).collect();
    interface::join(
        End { namespace: &lab.server, name: FAR_INTERFACE, mac: FAR_HERE_MAC, addresses: &here },
        End { namespace: &far, name: FAR_PEER, mac: FAR_MAC, addresses: &there },
    )?;
    Ok(far)
}

/// Makes the protected host a router between its client and [`far`].
///
/// # Errors
/// When the kernel refuses a part of it.
pub fn route(lab: &Lab, far: &Namespace) -> Result<()> {
    lab.server.set("net/ipv4/ip_forward", "1")?;
    lab.server.set("net/ipv6/conf/all/forwarding", "1")?;
    for (address, via) in FAR.into_iter().zip([SERVER_V4, SERVER_V6]) {
        lab.client.run(|| interface::add_route(address, PEER, Some(via)))?;
    }
    for (address, via) in [CLIENT_V4, CLIENT_V6].into_iter().zip(FAR_HERE) {
        far.run(|| interface::add_route(address, FAR_PEER, Some(via)))?;
    }
    Ok(())
}

/// A workload of the protected host.
///
/// # Errors
/// When the kernel refuses a part of it.
pub fn workload(lab: &Lab) -> Result<Namespace> {
    let workload = Namespace::new()?;
    let host = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    interface::join(
        End { namespace: &lab.server, name: WORKLOAD_INTERFACE, mac: [2, 0, 0, 0, 0, 5], addresses: &[(host, 24)] },
        End { namespace: &workload, name: "work0", mac: [2, 0, 0, 0, 0, 6], addresses: &[(WORKLOAD, 24)] },
    )?;
    Ok(workload)
}

/// Loads rules of nftables in a namespace.
///
/// # Errors
/// What nft says.
pub fn nft(namespace: &Namespace, rules: &str) -> Result<()> {
    let ran = namespace.run(|| -> Result<_> {
        let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        nft.stdin.take().context("standard input")?.write_all(rules.as_bytes())?;
        Ok(nft.wait_with_output()?)
    })?;
    ensure!(ran.status.success(), "nft: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}
