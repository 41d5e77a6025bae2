//! A private mount namespace with its own bpffs: pins and mounts in it end with the last descriptor.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use crate::namespace::on_thread;

/// Where bpffs is mounted, as on any host.
pub const BPFFS: &str = "/sys/fs/bpf";

/// Where the programs are seen inside: anybody may run them there, wherever the workspace lies.
pub const PROGRAMS: &str = "/run/programs";

/// A mount namespace with an empty bpffs at [`BPFFS`], an empty tmpfs at /run, and the programs in [`PROGRAMS`].
#[derive(Debug)]
pub struct Mounts {
    fd: OwnedFd,
}

impl Mounts {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel refuses a part of it (it needs `CAP_SYS_ADMIN`).
    pub fn new(programs: &[PathBuf]) -> Result<Self> {
        let fd = on_thread(|| -> Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount::<str, str, str, str>(None, "/", None, private, None).context("cannot make / private")?;
            // Opened before anything is mounted over them.
            let opened: io::Result<Vec<_>> = programs.iter().map(File::open).collect();
            let opened = opened.context("cannot open a program")?;
            mount_new("tmpfs", "/run", "mode=0755")?;
            // The host's own, which would show through where a test unmounts the lab's.
            while umount2(BPFFS, MntFlags::MNT_DETACH).is_ok() {}
            mount_new("bpf", BPFFS, "mode=0700")?;
            fs::create_dir(PROGRAMS)?;
            for (program, file) in programs.iter().zip(opened) {
                let from = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
                let name = program.file_name().context("a program without a name")?;
                let inside = Path::new(PROGRAMS).join(name);
                File::create(&inside)?;
                mount::<_, _, str, str>(Some(&*from), &inside, None, MsFlags::MS_BIND, None)
                    .with_context(|| format!("cannot show {} in the lab", program.display()))?;
            }
            Ok(File::open("/proc/thread-self/ns/mnt")?.into())
        })?;
        Ok(Self { fd })
    }

    /// Runs `work` inside, on a thread of its own.
    ///
    /// # Panics
    /// When `work` panics, or when the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_thread(|| {
            // A thread that shares its working directory with others may not change its mount namespace.
            unshare(CloneFlags::CLONE_FS).expect("a thread can have its own working directory");
            setns(&self.fd, CloneFlags::CLONE_NEWNS).expect("a mount namespace we made can be entered");
            work()
        })
    }

    /// Takes bpffs away, as on a host that never mounted it.
    ///
    /// # Errors
    /// When it is not mounted.
    pub fn unmount_bpffs(&self) -> Result<()> {
        self.run(|| umount2(BPFFS, MntFlags::MNT_DETACH)).context("cannot unmount bpffs")
    }

    /// Whether bpffs is mounted at `path`.
    pub fn is_bpffs(&self, path: &str) -> bool {
        let mounted = self.run(|| nix::sys::statfs::statfs(path).map(|found| found.filesystem_type()));
        mounted.is_ok_and(|kind| kind == nix::sys::statfs::BPF_FS_MAGIC)
    }

    /// Every path below bpffs, directories with a trailing slash, sorted.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn pins(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        self.run(|| list(Path::new(BPFFS), &mut found))?;
        found.sort();
        Ok(found)
    }
}

impl AsFd for Mounts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn mount_new(kind: &str, at: &str, options: &str) -> Result<()> {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options))
        .with_context(|| format!("cannot mount {kind} at {at}"))
}

fn list(directory: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path: PathBuf = entry?.path();
        // The kernel itself puts maps.debug and progs.debug into each bpffs; nobody else can use a dot.
        if path.extension().is_some() {
            continue;
        }
        let is_directory = path.is_dir();
        found.push(format!("{}{}", path.display(), if is_directory { "/" } else { "" }));
        if is_directory {
            list(&path, found)?;
        }
    }
    Ok(())
}
