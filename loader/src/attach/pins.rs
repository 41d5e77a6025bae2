//! The directories of an instance: making them, looking for what is not ours, removing them.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use mseg_ebpf::abi::map;

use crate::{
    error::{Error, Result},
    instance::{kept::OUTER, paths::Paths},
    kernel::object::PROGRAMS,
};

/// Makes a directory for root alone; `false` if it is there already.
pub(super) fn make(path: &Path) -> Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::file("make", path, &e)),
    }
}

/// Removes an empty directory; it may be gone already.
pub(super) fn remove_directory(path: &Path) -> Result<()> {
    absent_is_fine(path, fs::remove_dir(path))
}

/// Removes a pin; it may be gone already.
pub(super) fn remove_pin(path: &Path) -> Result<()> {
    absent_is_fine(path, fs::remove_file(path))
}

fn absent_is_fine(path: &Path, result: io::Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, &e)),
        _ => Ok(()),
    }
}

/// The names in a directory; none if it is not there.
fn names(directory: &Path) -> Result<Vec<(String, bool)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::file("read", directory, &e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::file("read", directory, &e))?;
        let kind = entry.file_type().map_err(|e| Error::file("look at", &entry.path(), &e))?;
        names.push((entry.file_name().to_string_lossy().into_owned(), kind.is_dir()));
    }
    names.sort();
    Ok(names)
}

fn is_link(name: &str) -> bool {
    name.strip_suffix("-ingress")
        .or_else(|| name.strip_suffix("-egress"))
        .is_some_and(|ifindex| ifindex.parse::<u32>().is_ok())
}

/// The name of a generation, or of a block of counters.
fn is_number(name: &str) -> bool {
    name.parse::<u32>().is_ok()
}

/// What is in the instance's directories and not from us.
pub(super) fn strangers(paths: &Paths) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut look = |directory: &Path, ours: &dyn Fn(&str, bool) -> bool| -> Result<()> {
        let all = names(directory)?;
        found.extend(all.iter().filter(|(name, dir)| !ours(name, *dir)).map(|(name, _)| directory.join(name)));
        Ok(())
    };
    look(&paths.instance, &|name, dir| dir && ["maps", "progs", "links", "policy", "hits"].contains(&name))?;
    look(&paths.maps, &|name, dir| !dir && map::ALL.contains(&name))?;
    look(&paths.programs, &|name, dir| !dir && PROGRAMS.contains(&name))?;
    look(&paths.links, &|name, dir| !dir && is_link(name))?;
    look(&paths.policy, &|name, dir| dir && is_number(name))?;
    for (generation, _) in names(&paths.policy)? {
        look(&paths.policy.join(generation), &|name, dir| !dir && OUTER.contains(&name))?;
    }
    look(&paths.hits, &|name, dir| !dir && is_number(name))?;
    Ok(found)
}

/// Refuses to work beside files that are not ours.
pub(super) fn refuse_strangers(paths: &Paths) -> Result<()> {
    let found = strangers(paths)?;
    if found.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    Err(Error::failed(format!("not from mseg: {}", list.join(", "))).hint("find out what it is, and remove it"))
}

/// The pinned links.
pub(super) fn links(paths: &Paths) -> Result<Vec<PathBuf>> {
    Ok(names(&paths.links)?
        .into_iter()
        .filter(|(name, dir)| !dir && is_link(name))
        .map(|(name, _)| paths.links.join(name))
        .collect())
}

/// Removes the pins of all maps, programs and generations and their directories, but no link: nothing may be attached
/// any more. What is not ours stays, and is the error.
pub(super) fn remove_objects(paths: &Paths) -> Result<()> {
    for (generation, _) in names(&paths.policy)?.into_iter().filter(|(name, dir)| *dir && is_number(name)) {
        let directory = paths.policy.join(generation);
        for outer in OUTER {
            remove_pin(&directory.join(outer))?;
        }
        if names(&directory)?.is_empty() {
            remove_directory(&directory)?;
        }
    }
    for (block, _) in names(&paths.hits)?.into_iter().filter(|(name, dir)| !dir && is_number(name)) {
        remove_pin(&paths.hits.join(block))?;
    }
    for name in PROGRAMS {
        remove_pin(&paths.program(name))?;
    }
    // META last: as long as it is there, the rest can be found by what it says.
    for name in map::ALL.into_iter().rev() {
        remove_pin(&paths.map(name))?;
    }
    refuse_strangers(paths)?;
    for directory in paths.directories() {
        remove_directory(directory)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_told_from_strangers_by_name() {
        assert!(is_link("12-ingress") && is_link("1-egress"));
        assert!(!is_link("12") && !is_link("x-ingress") && !is_link("-egress"));
        assert!(is_number("7") && !is_number("7a"));
    }
}
