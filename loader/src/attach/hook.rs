//! One interface's attachment, by either hook.

use std::{fs, io, path::Path};

use mseg_ebpf::abi::interface::{FLAG_INGRESS_ONLY, FLAG_MADE_QDISC, HOOK_CLSACT, Interface, ROLE_WORKLOAD};

use crate::{
    error::{Error, Result},
    instance::{interface_name, paths::Paths},
    kernel::{
        clsact,
        object::Program,
        tcx::{self, Link, Side},
    },
};

/// Both sides.
pub(super) const SIDES: [Side; 2] = [Side::Ingress, Side::Egress];

/// The program of one side: they are named from the protected side's view.
pub(super) const fn program_name(role: u8, side: Side) -> &'static str {
    match (role, side) {
        (ROLE_WORKLOAD, Side::Ingress) => "workload_out",
        (ROLE_WORKLOAD, Side::Egress) => "workload_in",
        (_, Side::Ingress) => "host_in",
        (_, Side::Egress) => "host_out",
    }
}

/// The sides an interface is attached on.
pub(super) fn sides(interface: &Interface) -> &'static [Side] {
    if interface.flags & FLAG_INGRESS_ONLY != 0 { &[Side::Ingress] } else { &SIDES }
}

/// The start of the names of an instance's clsact filters: it tells them from everybody else's.
fn filter_prefix(instance: &str) -> String {
    format!("mseg/{instance}/")
}

/// Attaches one side.
pub(super) fn attach(
    paths: &Paths,
    instance: &str,
    program: &Program,
    ifindex: u32,
    interface: &Interface,
    side: Side,
) -> Result<()> {
    if interface.hook == HOOK_CLSACT {
        let name = filter_prefix(instance) + program_name(interface.role, side);
        clsact::attach(program, ifindex, side, interface.handle, &name)
    } else {
        tcx::attach(program, ifindex, side, &paths.link(ifindex, side))
    }
}

/// Whether every side of it is attached. `None` if only a process in its network namespace can tell.
pub(super) fn alive(
    paths: &Paths,
    instance: &str,
    ifindex: u32,
    interface: &Interface,
    netns: u64,
) -> Result<Option<bool>> {
    for side in sides(interface) {
        let attached = if interface.hook != HOOK_CLSACT {
            link_alive(&paths.link(ifindex, *side), ifindex)?
        } else if interface.netns == netns {
            own_filters(instance, ifindex, *side)?.iter().any(|f| f.handle == interface.handle)
        } else {
            return Ok(None);
        };
        if !attached {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

fn link_alive(pin: &Path, ifindex: u32) -> Result<bool> {
    match Link::open(pin) {
        Ok(link) => Ok(link.is_some_and(|link| link.ifindex == ifindex)),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(false),
        Err(e) => Err(Error::file("open", pin, &e)),
    }
}

/// Whether what is attached, and was attached in this network namespace, has moved to another one with its interface:
/// then another interface may have its index here.
pub(super) fn has_moved(paths: &Paths, ifindex: u32, interface: &Interface) -> Result<bool> {
    if interface.hook == HOOK_CLSACT {
        // Its filters were looked for here.
        return Ok(false);
    }
    for side in sides(interface) {
        let pin = paths.link(ifindex, *side);
        let link = Link::open(&pin).map_err(|e| Error::file("open", &pin, &e))?;
        let here = link.map(|link| link.is_here(ifindex, *side)).transpose();
        if here.map_err(|e| Error::system(format_args!("ask what is attached to interface {ifindex}"), &e))?
            != Some(true)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes an attachment, whole or half, and whatever is left of it. A clsact one must be in this network namespace.
pub(super) fn remove(paths: &Paths, instance: &str, ifindex: u32, interface: &Interface) -> Result<()> {
    for side in SIDES {
        remove_link(&paths.link(ifindex, side))?;
    }
    if interface.hook == HOOK_CLSACT {
        for side in SIDES {
            for filter in own_filters(instance, ifindex, side)? {
                clsact::detach(ifindex, side, filter.priority, filter.handle)?;
            }
        }
        if interface.flags & FLAG_MADE_QDISC != 0 && !clsact::remove_empty_qdisc(ifindex)? {
            tracing::info!("{}: the clsact qdisc stays, others have filters on it", interface_name(interface));
        }
    }
    Ok(())
}

/// Detaches a pinned link and removes the pin; it may be gone already.
pub(super) fn remove_link(pin: &Path) -> Result<()> {
    match Link::open(pin) {
        Ok(Some(link)) => link.detach().map_err(|e| Error::file("detach", pin, &e))?,
        Ok(None) => return Ok(()),
        // Not a link: only the pin goes.
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {}
        Err(e) => return Err(Error::file("open", pin, &e)),
    }
    match fs::remove_file(pin) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", pin, &e)),
        _ => Ok(()),
    }
}

fn own_filters(instance: &str, ifindex: u32, side: Side) -> Result<Vec<clsact::Filter>> {
    let prefix = filter_prefix(instance);
    let mut filters = clsact::filters(ifindex, side)?;
    filters.retain(|f| f.name.as_deref().is_some_and(|name| name.starts_with(&prefix)));
    Ok(filters)
}

/// Removes every clsact filter of the instance in this network namespace, also those that no record speaks of.
pub(super) fn remove_stray_filters(instance: &str) -> Result<()> {
    let with_qdisc = clsact::interfaces_with_qdisc().map_err(|e| Error::system("list the queueing disciplines", &e))?;
    for ifindex in with_qdisc {
        for side in SIDES {
            for filter in own_filters(instance, ifindex, side)? {
                clsact::detach(ifindex, side, filter.priority, filter.handle)?;
            }
        }
    }
    Ok(())
}
