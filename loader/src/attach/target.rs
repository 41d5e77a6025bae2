//! The interfaces a command names, and the network namespace they live in.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use netlink_packet_route::link::LinkLayerType;

use crate::{
    error::{Error, Result},
    kernel::netlink,
};

/// An interface to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) ifindex: u32,
    /// Every packet passes both hooks of loopback: only ingress is used.
    pub(super) loopback: bool,
    /// A port of a bridge.
    pub(super) bridge_port: bool,
}

/// Looks the interfaces up; the same one twice counts once.
pub(super) fn resolve(names: &[String]) -> Result<Vec<Target>> {
    let mut targets: Vec<Target> = Vec::new();
    for name in names {
        let found = find(name)?.ok_or_else(|| {
            Error::failed(format!("there is no interface \"{name}\"")).hint("see `ip link` for their names")
        })?;
        let loopback = match found.link_layer {
            LinkLayerType::Ether => false,
            LinkLayerType::Loopback => true,
            _ => {
                return Err(Error::failed(format!(
                    "{name} is neither Ethernet nor loopback: its packets have no Ethernet header"
                ))
                .hint("attach to the Ethernet interface below it"));
            }
        };
        let target = Target { name: found.name, ifindex: found.ifindex, loopback, bridge_port: found.bridge_port };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// The interface of that name in this network namespace.
pub(super) fn find(name: &str) -> Result<Option<netlink::Interface>> {
    netlink::interface(name).map_err(|e| Error::system(format_args!("look up interface \"{name}\""), &e))
}

/// The inode of this thread's network namespace.
pub(crate) fn netns() -> Result<u64> {
    const PATH: &str = "/proc/thread-self/ns/net";
    fs::metadata(PATH).map(|m| m.ino()).map_err(|e| Error::system(format_args!("look at {PATH}"), &e))
}

/// A path to a live network namespace, if one can be found: it is named, or a process runs in it.
pub(super) fn find_netns(inode: u64) -> Option<PathBuf> {
    let named = fs::read_dir("/run/netns").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.bytes().all(|c| c.is_ascii_digit()).then(|| entry.path().join("ns/net"))
    });
    named.chain(of_processes).find(|path| fs::metadata(path).is_ok_and(|m| m.ino() == inode))
}
