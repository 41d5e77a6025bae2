//! The BPF file system: is it there, and mounting it.

use std::path::Path;

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use crate::error::{Error, Result};

/// Whether a BPF file system is mounted at `path`.
pub fn is_mounted(path: &Path) -> Result<bool> {
    let found = statfs(path).map_err(|e| {
        Error::file("look at", path, &e.into()).hint("--bpffs must name the mount point of a BPF file system")
    })?;
    Ok(found.filesystem_type() == BPF_FS_MAGIC)
}

/// Mounts one at `path`, for root alone.
pub(crate) fn do_mount(path: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RELATIME;
    mount(Some("bpf"), path, Some("bpf"), flags, Some("mode=0700")).map_err(|e| {
        Error::file("mount a BPF file system at", path, &e.into()).hint(format!("mount -t bpf bpf {}", path.display()))
    })
}

/// Undoes [`do_mount`].
pub(crate) fn unmount(path: &Path) -> Result<()> {
    umount2(path, MntFlags::empty()).map_err(|e| Error::file("unmount", path, &e.into()))
}
