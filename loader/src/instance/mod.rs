//! An instance: the maps, programs and links pinned under one name, and typed access to them.

pub(crate) mod config;
mod counters;
pub(crate) mod layout;
mod lock;
mod second;
mod sessions;
mod usage;

pub(crate) mod bpffs;
pub(crate) mod hits;
pub(crate) mod interfaces;
pub(crate) mod kept;
pub(crate) mod paths;

use std::{
    collections::BTreeMap,
    fs::{File, FileTimes},
    io,
    sync::OnceLock,
    time::SystemTime,
};

use mseg_ebpf::abi::{
    map,
    meta::{ABI_VERSION, MAGIC, Meta, layout_hash},
};

use self::paths::Paths;
pub use self::{
    bpffs::is_mounted,
    interfaces::interface_name,
    lock::Lock,
    paths::{DEFAULT_BPFFS, DEFAULT_NAME, Options, instances},
    sessions::Table,
    usage::MapUsage,
};
use crate::{
    error::{Code, Error, Result},
    generation::Locked,
    kernel::{bpf, map::Map, mmap::ConfigMapping, ring::Ring},
};

/// What a program is going to do with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read: every map is opened read-only.
    Read,
    /// Read and change.
    Write,
}

/// An instance whose maps are open.
#[derive(Debug)]
pub struct Instance {
    options: Options,
    paths: Paths,
    access: Access,
    meta: Meta,
    maps: BTreeMap<&'static str, Map>,
    config: OnceLock<ConfigMapping>,
}

impl Instance {
    /// Opens the maps of an instance after checking who made them.
    ///
    /// # Errors
    /// [`Code::NotLoaded`] if there is no such instance, [`Code::Permission`] if the pins may not be opened,
    /// [`Code::Abi`] with every difference if the maps have another layout, [`Code::Usage`] if the name is not one.
    pub fn open(options: &Options, access: Access) -> Result<Self> {
        Self::open_checked(options, access, false)
    }

    /// [`Instance::open`] for loading programs onto the maps: with `strict` they must be exactly as the built-in object
    /// defines them.
    pub(crate) fn open_checked(options: &Options, access: Access, strict: bool) -> Result<Self> {
        let paths = Paths::new(options)?;
        paths.check_owner()?;
        let read_only = access == Access::Read;
        let meta_map = match Map::open(map::META, &paths.map(map::META), read_only) {
            Ok(map) => map,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(not_loaded(options)),
            Err(e) => return Err(open_error(&paths, map::META, &e)),
        };
        let meta = check_meta(&meta_map, options)?;

        let mut maps = BTreeMap::from([(map::META, meta_map)]);
        let mut problems = Vec::new();
        for name in map::ALL.into_iter().filter(|name| *name != map::META) {
            match Map::open(name, &paths.map(name), read_only) {
                Ok(map) => {
                    maps.insert(name, map);
                }
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(open_error(&paths, name, &e));
                }
                // About this process, and not about the map.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => {
                    return Err(Error::file("open", &paths.map(name), &e));
                }
                Err(e) => problems.push(format!("{name}: {e}")),
            }
        }
        problems.extend(layout::differences(maps.values(), strict)?);
        if !problems.is_empty() {
            return Err(layout::error(&paths, &problems));
        }
        Ok(Self { options: options.clone(), paths, access, meta, maps, config: OnceLock::new() })
    }

    /// Where it is.
    pub fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Who made the maps.
    pub fn meta(&self) -> Meta {
        self.meta
    }

    /// Takes the lock that every change of the instance is made under; waits for another program's change to end.
    ///
    /// # Errors
    /// [`Code::NotLoaded`] if the instance was removed meanwhile.
    pub fn lock(&self) -> Result<Locked<'_>> {
        let lock = Lock::take_unless(&self.paths.instance, &mut || Ok(()));
        Locked::new(self, lock.map_err(|e| e.unwrap_or_else(|| not_loaded(&self.options)))?)
    }

    /// Wakes those who watch the directory of the policy: stores to CONFIG are seen by nobody who does not look.
    pub(crate) fn touch(&self) {
        let now = SystemTime::now();
        // Both times: inotify calls a new time of modification alone something else than IN_ATTRIB.
        let times = FileTimes::new().set_accessed(now).set_modified(now);
        let touched = File::open(&self.paths.policy).and_then(|directory| directory.set_times(times));
        if let Err(error) = touched {
            // The change is made; it is only reported later.
            tracing::debug!("cannot touch {}: {error}", self.paths.policy.display());
        }
    }

    /// The reading end of EVENTS. There is only one reader of an instance: a second one would steal records.
    ///
    /// # Errors
    /// [`Code::Failed`] if another process has it.
    pub fn events(&self) -> Result<Ring> {
        let directory = &self.paths.maps;
        // Not the instance's own directory, which every writer locks.
        let lock = match Lock::try_take(directory) {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                return Err(Error::failed(format!(
                    "another program reads the events of instance \"{}\" ({} is locked)",
                    self.options.name,
                    directory.display()
                ))
                .hint(format!("there can be only one; find it with `fuser -v {}`", directory.display())));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(not_loaded(&self.options)),
            Err(e) => return Err(Error::file("lock", directory, &e)),
        };
        let path = self.paths.map(map::EVENTS);
        // The consumer position is written through the descriptor, whatever this instance was opened for.
        let fd = bpf::object_get(&path, false).map_err(|e| Error::file("open", &path, &e))?;
        Ring::new(fd, self.map(map::EVENTS)?.info().max_entries as usize, lock)
    }

    /// Refuses what is going to be pinned where nothing can be. Whatever needs no pins works there all the same.
    ///
    /// # Errors
    /// [`Code::Failed`] if the BPF file system is mounted read-only.
    pub fn require_pins(&self) -> Result<()> {
        bpffs::require_writable(&self.paths.bpffs)
    }

    pub(crate) fn require_write(&self) -> Result<()> {
        if self.access == Access::Write {
            return Ok(());
        }
        Err(Error::new(Code::Permission, "the instance was opened only for reading"))
    }

    pub(crate) fn map(&self, name: &str) -> Result<&Map> {
        self.maps.get(name).ok_or_else(|| Error::new(Code::Abi, format!("map {name} is missing")))
    }
}

fn not_loaded(options: &Options) -> Error {
    let mut error = Error::new(
        Code::NotLoaded,
        format!("instance \"{}\" is not loaded under {}", options.name, options.bpffs.display()),
    );
    let elsewhere = if *options == Options::default() { String::new() } else { format!(" {}", options.arguments()) };
    error.hint = Some(format!("mseg-loader attach IFACE{elsewhere}"));
    error
}

fn open_error(paths: &Paths, name: &str, error: &io::Error) -> Error {
    let path = paths.map(name);
    if error.kind() == io::ErrorKind::InvalidData {
        return Error::new(Code::Abi, format!("{}: {error}", path.display()));
    }
    let problem = Error::file("open", &path, error);
    match (problem.code, error.kind()) {
        (Code::Permission, _) => problem.hint("run this as root"),
        (_, io::ErrorKind::ReadOnlyFilesystem) => problem.hint(bpffs::make_writable(&paths.bpffs)),
        _ => problem,
    }
}

/// Reads META, which says whether the other maps are ours to read.
fn check_meta(map: &Map, options: &Options) -> Result<Meta> {
    let again = "run `mseg-loader detach --all` and attach again, with the mseg-loader of this version";
    if map.info().value_size as usize != size_of::<Meta>() || map.info().key_size != 4 {
        return Err(Error::new(
            Code::Abi,
            format!("META: value size {}, expected {}", map.info().value_size, size_of::<Meta>()),
        )
        .hint(again));
    }
    let meta: Meta = map.get(&0u32)?.ok_or_else(|| Error::new(Code::Abi, "map META is empty"))?;
    if meta.magic == 0 {
        // An attach that was killed, or is under way: there is nothing attached yet.
        return Err(not_loaded(options));
    }
    let mut problems = Vec::new();
    if meta.magic != MAGIC {
        problems.push(format!("META: magic {:#010x}, expected {MAGIC:#010x}", meta.magic));
    }
    if meta.abi_version != ABI_VERSION {
        problems.push(format!("META: ABI version {}, expected {ABI_VERSION}", meta.abi_version));
    }
    if meta.layout_hash != layout_hash() {
        problems.push(format!("META: layout hash {:#018x}, expected {:#018x}", meta.layout_hash, layout_hash()));
    }
    if problems.is_empty() {
        return Ok(meta);
    }
    Err(Error::new(Code::Abi, format!("the maps are of another version of mseg: {}", problems.join("; "))).hint(again))
}
