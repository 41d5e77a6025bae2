//! Making an instance: its directories, maps and programs, and what an attach that was killed left of them.

use std::{io, path::PathBuf};

use mseg_ebpf::abi::{
    map,
    meta::{ABI_VERSION, MAGIC, Meta, layout_hash},
};

use super::{detach::recorded, pins, signals::Blocked, undo::Undo};
use crate::{
    clock::monotonic_ns,
    error::{Error, Result},
    instance::{Lock, Options, bpffs, hits, layout, paths::Paths},
    kernel::{
        map::{ANY, Map},
        object::{self, InnerMaps, PROGRAMS},
    },
};

/// Mounts bpffs if needed, makes the instance's directory and locks it.
pub(super) fn enter(paths: &Paths, signals: &Blocked, undo: &mut Undo) -> Result<Lock> {
    if !bpffs::is_mounted(&paths.bpffs)? {
        bpffs::do_mount(&paths.bpffs)?;
        let path = paths.bpffs.clone();
        undo.push(move || bpffs::unmount(&path));
    }
    bpffs::require_writable(&paths.bpffs)?;
    paths.check_owner()?;
    loop {
        for directory in [&paths.root, &paths.instance] {
            if pins::make(directory)? {
                let directory = directory.clone();
                undo.push(move || pins::remove_directory(&directory));
            }
        }
        match Lock::take_unless(&paths.instance, &mut || signals.check()) {
            Ok(lock) => return Ok(lock),
            // A detach removed it between the two steps.
            Err(None) => {}
            Err(Some(error)) => return Err(error),
        }
    }
}

/// Whether the instance is complete as far as META. What an attach left that was killed is removed.
pub(super) fn exists(paths: &Paths, options: &Options) -> Result<bool> {
    let path = paths.map(map::META);
    match Map::open(map::META, &path, true) {
        Ok(meta) => {
            // Another layout is Instance::open's to refuse.
            if meta.info().value_size as usize != size_of::<Meta>() || meta.info().key_size != 4 {
                return Ok(true);
            }
            if meta.get::<u32, Meta>(&0)?.is_some_and(|meta| meta.magic != 0) {
                return Ok(true);
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        // Nor is it ours to say what is wrong with a pin that is no map.
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(true),
        Err(e) => return Err(Error::file("open", &path, &e)),
    }
    // META is written before the first attach.
    if !pins::links(paths)?.is_empty() || !recorded(paths).is_empty() {
        return Err(Error::failed(format!(
            "{} is not complete: interfaces are attached, but there is no META",
            paths.instance.display()
        ))
        .hint(format!("mseg-loader detach --all {}", options.arguments()).trim_end().to_owned()));
    }
    refuse_foreign_maps(paths)?;
    pins::remove_objects(paths)?;
    Ok(false)
}

/// A map under one of our names that is not of our layout is not what an attach left: it is not ours to remove.
fn refuse_foreign_maps(paths: &Paths) -> Result<()> {
    let mut maps = Vec::new();
    for name in map::ALL {
        let path = paths.map(name);
        match Map::open(name, &path, true) {
            Ok(map) => maps.push(map),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::file("open", &path, &e)),
        }
    }
    let problems = layout::differences(maps.iter(), true)?;
    if problems.is_empty() { Ok(()) } else { Err(layout::error(paths, &problems)) }
}

/// Makes the maps and programs of a new instance.
pub(super) fn create(paths: &Paths, undo: &mut Undo) -> Result<()> {
    let all = paths.clone();
    undo.push(move || pins::remove_objects(&all));
    for directory in paths.directories() {
        pins::make(directory)?;
    }
    object::load(&paths.maps, &paths.programs)?;
    create_hits(paths)?;
    let meta = Map::open(map::META, &paths.map(map::META), false)
        .map_err(|e| Error::file("open", &paths.map(map::META), &e))?;
    let mut loader_version = [0; 20];
    for (to, from) in loader_version.iter_mut().zip(env!("CARGO_PKG_VERSION").bytes()) {
        *to = from;
    }
    meta.put(
        &0u32,
        &Meta {
            magic: MAGIC,
            abi_version: ABI_VERSION,
            layout_hash: layout_hash(),
            build_id: object::build_id(),
            loader_version,
            created_ns: monotonic_ns()?,
        },
        ANY,
    )
}

/// The counters of the first block of rule ids, which holds those of built-in rules.
fn create_hits(paths: &Paths) -> Result<()> {
    let outer = Map::open(map::RULE_HITS, &paths.map(map::RULE_HITS), false)
        .map_err(|e| Error::file("open", &paths.map(map::RULE_HITS), &e))?;
    let first = hits::create(&InnerMaps::new())?;
    first.pin(&paths.hits(0))?;
    outer.put_map(0, &first)
}

/// Loads the programs again, onto the maps that are there, if one of their pins is missing.
pub(super) fn complete(paths: &Paths, undo: &mut Undo) -> Result<()> {
    for directory in paths.directories() {
        pins::make(directory)?;
    }
    let missing: Vec<PathBuf> = PROGRAMS.iter().map(|name| paths.program(name)).filter(|path| !path.exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for name in PROGRAMS {
        pins::remove_pin(&paths.program(name))?;
    }
    for path in missing {
        undo.push(move || pins::remove_pin(&path));
    }
    object::load(&paths.maps, &paths.programs)
}
