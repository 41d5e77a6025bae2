//! The lock of an instance.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Error, Result};

/// How long another program's change may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often to look whether it is over. A blocking flock could not be given up.
const PAUSE: Duration = Duration::from_millis(20);

/// An exclusive flock on a directory of the instance. It ends when this is dropped, and with the process.
#[derive(Debug)]
pub struct Lock {
    _directory: Flock<File>,
}

impl Lock {
    /// Takes the lock of a directory if nobody has it and the directory stays.
    pub(super) fn try_take(directory: &Path) -> io::Result<Option<Self>> {
        let file = File::open(directory)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => {
                // Whoever held it may have removed the directory, and somebody may have made it anew.
                let (ours, there) = (locked.metadata()?, fs::metadata(directory)?);
                Ok(((ours.dev(), ours.ino()) == (there.dev(), there.ino())).then_some(Self { _directory: locked }))
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, e)) => Err(e.into()),
        }
    }

    /// Waits for the lock as long as `check` lets it. `None` if the directory is gone.
    pub(crate) fn take_unless(directory: &Path, check: &mut dyn FnMut() -> Result<()>) -> Result<Self, Option<Error>> {
        let start = Instant::now();
        loop {
            match Self::try_take(directory) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) if start.elapsed() > PATIENCE => return Err(Some(busy(directory))),
                Ok(None) => {
                    check()?;
                    thread::sleep(PAUSE);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(None),
                Err(e) => return Err(Some(Error::file("lock", directory, &e))),
            }
        }
    }
}

fn busy(directory: &Path) -> Error {
    Error::failed(format!(
        "another program has been changing the instance for {} s ({} is locked)",
        PATIENCE.as_secs(),
        directory.display()
    ))
    .hint(format!("find it with `fuser -v {}`", directory.display()))
}
