//! What must be true before anything is changed: rights and kernel.

use caps::{CapSet, Capability};
use nix::{sys::utsname::uname, unistd::geteuid};

use super::Hook;
use crate::error::{Code, Error, Result};

/// The oldest kernel that is supported.
const OLDEST: (u32, u32) = (6, 1);
/// The oldest kernel with TCX.
const TCX: (u32, u32) = (6, 6);

/// What each capability is for, and which other one includes it.
const NEEDED: [(Capability, Option<Capability>, &str); 3] = [
    (Capability::CAP_BPF, Some(Capability::CAP_SYS_ADMIN), "to load programs and maps"),
    (Capability::CAP_NET_ADMIN, None, "to attach to network interfaces"),
    (Capability::CAP_PERFMON, Some(Capability::CAP_SYS_ADMIN), "for the pointer arithmetic of the programs"),
];

/// Checks that this process may do it.
pub fn rights() -> Result<()> {
    let mut missing = Vec::new();
    if !geteuid().is_root() {
        missing.push("user root (to own the pins)".to_owned());
    }
    for (capability, includes, why) in NEEDED {
        let has = |c: Capability| caps::has_cap(None, CapSet::Effective, c).unwrap_or(false);
        if !has(capability) && !includes.is_some_and(has) {
            missing.push(format!("{capability} ({why})"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(Code::Permission, format!("missing: {}", missing.join(", "))).hint("run this as root"))
}

/// The running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` prints it.
    pub release: String,
    /// Whether it has TCX.
    pub tcx: bool,
}

/// Checks that the kernel is recent enough.
pub fn kernel() -> Result<Kernel> {
    let name = uname().map_err(|e| Error::system("read the kernel version", &e.into()))?;
    let release = name.release().to_string_lossy();
    let version =
        version(&release).ok_or_else(|| Error::failed(format!("cannot tell the kernel version from \"{release}\"")))?;
    if version < OLDEST {
        return Err(Error::failed(format!("Linux {release} is too old: {}.{} or later is needed", OLDEST.0, OLDEST.1)));
    }
    Ok(Kernel { release: release.into_owned(), tcx: version >= TCX })
}

/// Checks the kernel and decides between the hooks: `true` for TCX.
pub(super) fn tcx(hook: Hook) -> Result<bool> {
    let Kernel { release, tcx } = kernel()?;
    if hook == Hook::Tcx && !tcx {
        return Err(Error::failed(format!("Linux {release} has no TCX: {}.{} or later is needed", TCX.0, TCX.1))
            .hint("use --hook clsact, or leave --hook out"));
    }
    Ok(tcx && hook != Hook::Clsact)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_starts_with_its_version() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("6.1.0-41-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("6.6"), Some((6, 6)));
        assert_eq!(version("linux"), None);
    }
}
