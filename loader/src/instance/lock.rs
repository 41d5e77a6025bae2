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

/// An exclusive flock on the instance's directory. It ends when this is dropped, and with the process.
#[derive(Debug)]
pub struct Lock {
    _directory: Flock<File>,
}

impl Lock {
    /// Locks `directory`. `NotFound` if it is not there.
    pub(crate) fn try_take(directory: &Path) -> io::Result<Option<Self>> {
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

    pub(crate) fn take(directory: &Path) -> Result<Self> {
        let start = Instant::now();
        loop {
            match Self::try_take(directory).map_err(|e| Error::file("lock", directory, &e))? {
                Some(lock) => return Ok(lock),
                None if start.elapsed() > PATIENCE => return Err(busy(directory)),
                None => thread::sleep(PAUSE),
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
