//! Replacing a file's content at once: whoever reads it sees the old or the new, whatever happens meanwhile.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

use mseg::error::{Error, Result};

/// Writes a new file beside the old one and gives it that one's name, owner, group and mode. A symbolic link stays, what
/// it points to is replaced.
///
/// # Errors
/// What the system says; the file is then as before.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    exchange(path, content).map_err(|error| Error::file("write", path, &error))
}

fn exchange(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    if !old.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let directory = path.parent().unwrap_or(&path);
    // Dropped before it has the name, it is removed.
    let mut new = tempfile::Builder::new().prefix(".msegctl-").tempfile_in(directory)?;
    new.write_all(content)?;
    let file = new.as_file();
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())?;
    // A full disk may show only here.
    file.sync_all()?;
    new.persist(&path)?;
    File::open(directory)?.sync_all()
}
