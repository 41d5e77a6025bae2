//! The BPF file system: is it there, and mounting it.

use std::path::Path;

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        statfs::{BPF_FS_MAGIC, statfs},
        statvfs::{FsFlags, statvfs},
    },
};

use crate::error::{Error, Result};

/// Whether a BPF file system is mounted at `path`.
pub fn is_mounted(path: &Path) -> Result<bool> {
    let found = statfs(path).map_err(|e| {
        Error::file("look at", path, &e.into()).hint("--bpffs must name the mount point of a BPF file system")
    })?;
    Ok(found.filesystem_type() == BPF_FS_MAGIC)
}

/// Refuses a read-only mount: nothing can be pinned in it.
pub(crate) fn require_writable(path: &Path) -> Result<()> {
    let found = statvfs(path).map_err(|e| Error::file("look at", path, &e.into()))?;
    if !found.flags().contains(FsFlags::ST_RDONLY) {
        return Ok(());
    }
    Err(Error::failed(format!("nothing can be pinned under {}, which is mounted read-only", path.display()))
        .hint(make_writable(path)))
}

/// The command that does.
pub(super) fn make_writable(path: &Path) -> String {
    format!("mount -o remount,rw {}", path.display())
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
