//! Where the pins of an instance are, and who may own them.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{Code, Error, Result},
    kernel::tcx::Side,
};

/// Where bpffs is mounted by default.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";
/// The name of the default instance.
pub const DEFAULT_NAME: &str = "default";

/// Longest name of an instance.
const MAX_NAME: usize = 31;

/// Which instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where bpffs is mounted.
    pub bpffs: PathBuf,
    /// The instance's name: `[a-z0-9][a-z0-9_-]{0,30}` (bpffs refuses dots).
    pub name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { bpffs: PathBuf::from(DEFAULT_BPFFS), name: DEFAULT_NAME.to_owned() }
    }
}

impl Options {
    /// The directory of all instances.
    fn root(&self) -> PathBuf {
        self.bpffs.join("mseg")
    }

    /// The directory of its pins.
    pub fn directory(&self) -> PathBuf {
        self.root().join(&self.name)
    }

    /// The command-line arguments that select this instance, without those that are the default.
    pub fn arguments(&self) -> String {
        let mut arguments = Vec::new();
        if self.bpffs != Path::new(DEFAULT_BPFFS) {
            arguments.push(format!("--bpffs {}", self.bpffs.display()));
        }
        if self.name != DEFAULT_NAME {
            arguments.push(format!("--instance {}", self.name));
        }
        arguments.join(" ")
    }
}

/// The paths of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// The mount point.
    pub(crate) bpffs: PathBuf,
    /// The directory of all instances.
    pub(crate) root: PathBuf,
    /// The directory of this one; locked by every writer.
    pub(crate) instance: PathBuf,
    /// Pinned maps, by name.
    pub(crate) maps: PathBuf,
    /// Pinned programs, by name.
    pub(crate) programs: PathBuf,
    /// Pinned TCX links, by interface index and side.
    pub(crate) links: PathBuf,
    /// The inner maps of the kept policy generations, each in a directory of the generation's number: a map in a slot
    /// could only be opened by its id, for which the kernel wants CAP_SYS_ADMIN.
    pub(crate) policy: PathBuf,
    /// The inner maps of RULE_HITS, by block.
    pub(crate) hits: PathBuf,
}

impl Paths {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        check_name(&options.name)?;
        let (root, instance) = (options.root(), options.directory());
        Ok(Self {
            bpffs: options.bpffs.clone(),
            maps: instance.join("maps"),
            programs: instance.join("progs"),
            links: instance.join("links"),
            policy: instance.join("policy"),
            hits: instance.join("hits"),
            root,
            instance,
        })
    }

    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.maps.join(name)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    pub(crate) fn link(&self, ifindex: u32, side: Side) -> PathBuf {
        self.links.join(format!("{ifindex}-{}", side.name()))
    }

    pub(crate) fn generation(&self, generation: u32) -> PathBuf {
        self.policy.join(generation.to_string())
    }

    /// The counters of the rules of a block of ids.
    pub(crate) fn hits(&self, block: u32) -> PathBuf {
        self.hits.join(block.to_string())
    }

    /// The directories of the pins, without those above them.
    pub(crate) fn directories(&self) -> [&Path; 5] {
        [&self.maps, &self.programs, &self.links, &self.policy, &self.hits]
    }

    /// Refuses directories that another user made: whoever owns one decides what is pinned in it.
    pub(crate) fn check_owner(&self) -> Result<()> {
        for directory in [&*self.root, &*self.instance].into_iter().chain(self.directories()) {
            let metadata = match fs::symlink_metadata(directory) {
                Ok(metadata) => metadata,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    let error = Error::file("look at", directory, &e);
                    return Err(if error.code == Code::Permission { error.hint("run this as root") } else { error });
                }
            };
            if !metadata.is_dir() {
                return Err(Error::failed(format!("{} is not a directory", directory.display()))
                    .hint("it is not from mseg; remove it"));
            }
            if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
                return Err(Error::new(
                    Code::Permission,
                    format!(
                        "{} is owned by user {} with mode {:04o}: only root may be able to pin there",
                        directory.display(),
                        metadata.uid(),
                        metadata.mode() & 0o7777
                    ),
                )
                .hint("find out who made it, and remove it"));
            }
        }
        Ok(())
    }
}

/// The instances under the same mount point as `options`, by name; loaded or half removed.
pub fn instances(options: &Options) -> Result<Vec<Options>> {
    let root = Paths::new(options)?.root;
    let entries = match fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::file("read", &root, &e)),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| check_name(name).is_ok())
        .collect();
    names.sort();
    Ok(names.into_iter().map(|name| Options { name, ..options.clone() }).collect())
}

fn check_name(name: &str) -> Result<()> {
    let first = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let valid = name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(first)
        && name.bytes().all(|c| first(c) || c == b'_' || c == b'-');
    if valid {
        return Ok(());
    }
    Err(Error::new(Code::Usage, format!("\"{name}\" cannot be the name of an instance"))
        .hint(format!("use lower-case letters, digits, - and _, at most {MAX_NAME}, and start with a letter or digit")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_name_cannot_leave_its_directory() {
        for name in ["", ".", "..", "a/b", "a.b", "-a", "A", "ä", &"a".repeat(32)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["default", "a", "9", "a-b_c", &"a".repeat(31)] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn only_what_is_not_default_is_repeated_in_a_hint() {
        assert_eq!(Options::default().arguments(), "");
        let options = Options { name: "test".to_owned(), ..Options::default() };
        assert_eq!(options.arguments(), "--instance test");
    }
}
