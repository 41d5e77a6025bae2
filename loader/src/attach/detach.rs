//! Detaching. `--all` must be able to clean up whatever state an instance is in.

use std::{fs, ops::ControlFlow};

use mseg_ebpf::abi::{
    interface::{HOOK_CLSACT, Interface},
    map,
};

use super::{hook, pins, preflight, signals::Blocked, target};
use crate::{
    error::{Code, Error, Result},
    instance::{Access, Instance, Lock, Options, interface_name, paths::Paths},
    kernel::map::Map,
};

/// What [`detach`] is to do.
#[derive(Clone, Debug)]
pub struct DetachOptions {
    /// Which instance.
    pub instance: Options,
    /// Names of interfaces.
    pub interfaces: Vec<String>,
    /// Detach everything and remove the instance.
    pub all: bool,
}

/// What [`detach`] did.
#[derive(Clone, Debug)]
pub struct Detached {
    /// What was detached.
    pub interfaces: Vec<(u32, Interface)>,
    /// Whether the instance was removed.
    pub removed: bool,
}

/// Detaches interfaces, or everything.
///
/// # Errors
/// [`Code::NotLoaded`] if there is no instance; [`Code::Failed`] if a named interface is not attached (then nothing is
/// changed), or if a clsact filter lives in another network namespace.
pub fn detach(options: &DetachOptions) -> Result<Detached> {
    let paths = Paths::new(&options.instance)?;
    preflight::rights()?;
    let _signals = Blocked::new()?;
    if options.all { detach_all(options, &paths) } else { detach_some(options, &paths) }
}

fn detach_some(options: &DetachOptions, paths: &Paths) -> Result<Detached> {
    let instance = Instance::open(&options.instance, Access::Write)?;
    let _lock = instance.lock()?;
    let netns = target::netns()?;
    let attached = instance.interfaces()?;
    let mut chosen: Vec<(u32, Interface)> = Vec::new();
    for name in &options.interfaces {
        let found = choose(name, &attached, netns)?;
        reachable(&found.1, netns)?;
        if chosen.iter().all(|(ifindex, _)| *ifindex != found.0) {
            chosen.push(found);
        }
    }
    for (ifindex, interface) in &chosen {
        hook::remove(paths, &options.instance.name, *ifindex, interface)?;
        instance.remove_interface(*ifindex)?;
    }
    Ok(Detached { interfaces: chosen, removed: false })
}

/// The record of an interface: by its present name in this network namespace, else by its name at attach, for it may be
/// gone or live elsewhere.
fn choose(name: &str, attached: &[(u32, Interface)], netns: u64) -> Result<(u32, Interface)> {
    if let Some(found) = target::find(name)?
        && let Some(record) = attached.iter().find(|(i, r)| *i == found.ifindex && r.netns == netns)
    {
        return Ok(*record);
    }
    let named: Vec<_> = attached.iter().filter(|(_, r)| interface_name(r) == name).collect();
    match named.iter().find(|(_, r)| r.netns == netns).or(named.first()) {
        Some(record) if named.len() == 1 || record.1.netns == netns => Ok(**record),
        Some(_) => Err(Error::failed(format!("{name} is attached in {} other network namespaces", named.len()))
            .hint("run this inside the one that is meant, with nsenter --net=")),
        None => Err(Error::failed(format!("{name} is not attached")).hint("see `mseg-loader status`")),
    }
}

/// Refuses a clsact filter that only a process in another network namespace can remove.
fn reachable(interface: &Interface, netns: u64) -> Result<()> {
    if interface.hook != HOOK_CLSACT || interface.netns == netns {
        return Ok(());
    }
    match target::find_netns(interface.netns) {
        Some(path) => Err(Error::failed(format!(
            "{} is attached by clsact in another network namespace, where its filters must be removed",
            interface_name(interface)
        ))
        .hint(format!("nsenter --net={} mseg-loader detach {}", path.display(), interface_name(interface)))),
        // The namespace is gone, and its interfaces with it.
        None => Ok(()),
    }
}

fn detach_all(options: &DetachOptions, paths: &Paths) -> Result<Detached> {
    paths.check_owner()?;
    let lock = Lock::take_unless(&paths.instance, &mut || Ok(()))
        .map_err(|error| error.unwrap_or_else(|| not_loaded(&options.instance)))?;
    // Before anything is undone: all of it goes, or none.
    pins::refuse_strangers(paths)?;
    let netns = target::netns()?;
    let attached = recorded(paths);
    for (_, interface) in &attached {
        reachable(interface, netns)?;
    }
    for (ifindex, interface) in &attached {
        if interface.hook != HOOK_CLSACT || interface.netns == netns {
            hook::remove(paths, &options.instance.name, *ifindex, interface)?;
        }
    }
    // What no record speaks of, as when INTERFACES itself is gone.
    for link in pins::links(paths)? {
        hook::remove_link(&link)?;
    }
    hook::remove_stray_filters(&options.instance.name)?;
    pins::remove_objects(paths)?;
    pins::remove_directory(&paths.instance)?;
    drop(lock);
    // Other instances may live there.
    let _ = fs::remove_dir(&paths.root);
    Ok(Detached { interfaces: attached, removed: true })
}

fn not_loaded(instance: &Options) -> Error {
    Error::new(
        Code::NotLoaded,
        format!("instance \"{}\" is not loaded under {}", instance.name, instance.bpffs.display()),
    )
}

/// What INTERFACES says, as far as it can be read.
pub(super) fn recorded(paths: &Paths) -> Vec<(u32, Interface)> {
    let mut found = Vec::new();
    if let Ok(map) = Map::open(map::INTERFACES, &paths.map(map::INTERFACES), true) {
        let read = map.for_each(&mut |ifindex: u32, interface: Interface| {
            found.push((ifindex, interface));
            ControlFlow::Continue(())
        });
        if let Err(error) = read {
            tracing::warn!("{error}");
        }
    }
    found.sort_by_key(|(ifindex, _)| *ifindex);
    found
}
