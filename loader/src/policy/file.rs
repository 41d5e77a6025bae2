//! A policy file as it was read, for those who need more of it than the policy.

use std::{
    fs::{File, Metadata},
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    Policy,
    diagnostic::Diagnostics,
    document,
    expect::{self, Expectation},
    format,
    problem::Problems,
    source::{self, MAX_BYTES, Sources},
};
use crate::error::{Code, Error, Result};

/// The text of a policy file, and what is needed to read the files that it names.
pub struct PolicyFile {
    name: String,
    text: String,
    /// None if the text may not name files.
    directory: Option<PathBuf>,
    /// None for what is not a file.
    metadata: Option<Metadata>,
    /// Where lines begin to be not UTF-8.
    unreadable: Vec<usize>,
}

impl PolicyFile {
    /// Reads the file, but not those that it names; `-` is standard input, to which the current directory is what its
    /// directory is to a file.
    ///
    /// # Errors
    /// [`Code::Failed`] or [`Code::Permission`] if it cannot be read, [`Code::InvalidPolicy`] if it is too large.
    pub fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        let standard_input = path == Path::new("-");
        let mut read = || {
            if standard_input {
                std::io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
                return Ok(None);
            }
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(Some(metadata))
        };
        let metadata = read().map_err(|error| Error::file("read", path, &error))?;
        let name = if standard_input { "standard input".into() } else { path.to_string_lossy() };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Error::new(Code::InvalidPolicy, format!("{name} is larger than {} MiB", MAX_BYTES >> 20)));
        }
        let directory = if standard_input { PathBuf::new() } else { source::parent(path) };
        Ok(Self { directory: Some(directory), metadata, ..Self::from_bytes(&name, bytes) })
    }

    /// A policy that is in no file and names none.
    pub(super) fn from_bytes(name: &str, bytes: Vec<u8>) -> Self {
        let (text, unreadable) = source::decode(bytes);
        Self { name: name.to_owned(), text, directory: None, metadata: None, unreadable }
    }

    /// The text, with stand-ins for what is not UTF-8.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is in JSON form: nothing else begins with a brace.
    pub fn is_json(&self) -> bool {
        is_json(&self.text)
    }

    /// The policy, with the files that it names.
    ///
    /// # Errors
    /// Every error of every file.
    pub fn policy(&self) -> Result<Policy, Diagnostics> {
        read(Sources::new(&self.name, &self.text, self.directory.clone(), self.metadata.as_ref()), self.problems())
    }

    /// The assertions in it.
    ///
    /// # Errors
    /// Every error of the text.
    pub fn expectations(&self) -> Result<Vec<Expectation>, Diagnostics> {
        expect::read(&self.name, &self.text, self.problems())
    }

    /// The text in canonical form, see [`format()`](super::format()).
    ///
    /// # Errors
    /// Every error of the text.
    pub fn formatted(&self) -> Result<String, Diagnostics> {
        format::read(&self.name, &self.text, self.problems())
    }

    /// What is wrong with the text before anything is read of it.
    fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        problems.not_utf8(0, self.unreadable.clone());
        problems
    }
}

/// Whether a text is a policy in JSON form.
pub(super) fn is_json(text: &str) -> bool {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii_start().starts_with('{')
}

/// Reads the first of the files as a policy.
pub(super) fn read(mut sources: Sources, mut problems: Problems) -> Result<Policy, Diagnostics> {
    let policy = document::read(&mut sources, &mut problems);
    if problems.is_empty() { Ok(policy) } else { Err(Diagnostics::new(&sources, problems)) }
}
