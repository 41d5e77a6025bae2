//! The files of a policy: reading what `include` and `file` name, within limits.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::{self, Read},
    ops::Range,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    problem::{MAX_PROBLEMS, Problem, Problems},
    words::quote,
};

/// Bytes of all files of a policy together; more is refused.
pub const MAX_BYTES: u64 = 64 << 20;
/// Files of a policy, those of sets included.
pub const MAX_FILES: usize = 1024;
/// How deep files include files: the policy file is at depth 1.
pub const MAX_DEPTH: usize = 16;

/// What tells a file from others, whatever it is called.
type Identity = (u64, u64);

struct Source {
    name: String,
    text: Rc<str>,
    /// What relative paths are relative to; none if the text may name no files.
    directory: Option<PathBuf>,
    identity: Option<Identity>,
    /// File and line of the statement that named this one.
    parent: Option<(usize, usize)>,
}

/// A statement that names a file.
pub(super) struct Naming<'a> {
    /// The statement's file and line.
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) path: &'a str,
    /// Where the path stands.
    pub(super) span: Range<usize>,
}

/// Every file that was read. The first is the policy file.
pub(super) struct Sources {
    files: Vec<Source>,
    bytes: u64,
    /// Files of `include` statements, each of which is read once.
    included: Vec<Identity>,
}

impl Sources {
    /// A text that names no other file.
    pub(super) fn text_only(name: &str, text: &str) -> Self {
        Self::new(name, text, None, None)
    }

    pub(super) fn new(name: &str, text: &str, directory: Option<PathBuf>, metadata: Option<&Metadata>) -> Self {
        let identity = metadata.map(identity);
        let source = Source { name: name.to_owned(), text: text.into(), directory, identity, parent: None };
        Self { bytes: text.len() as u64, files: vec![source], included: identity.into_iter().collect() }
    }

    pub(super) fn text(&self, file: usize) -> Rc<str> {
        self.files[file].text.clone()
    }

    pub(super) fn name(&self, file: usize) -> &str {
        &self.files[file].name
    }

    /// Name and line of the statements that led to a file, from the nearest on.
    pub(super) fn chain(&self, file: usize) -> impl Iterator<Item = (&str, usize)> {
        std::iter::successors(self.files[file].parent, |(file, _)| self.files[*file].parent)
            .map(|(file, line)| (self.name(file), line))
    }

    /// Reads an included file and returns its number; none if there is nothing to read: it was read before, or that
    /// failed, which is reported.
    pub(super) fn include(&mut self, naming: &Naming<'_>, problems: &mut Problems) -> Included {
        match self.include_or_refuse(naming, problems) {
            Ok(included) => included,
            Err(problem) => {
                problems.push(*problem);
                Included::Failed
            }
        }
    }

    /// Reads the file of a set and returns its number, none if that failed, which is reported.
    pub(super) fn set(&mut self, naming: &Naming<'_>, problems: &mut Problems) -> Option<usize> {
        let read = self.find(naming).and_then(|(path, metadata)| self.read(naming, path, &metadata, problems));
        read.map_err(|problem| problems.push(*problem)).ok()
    }

    fn include_or_refuse(&mut self, naming: &Naming<'_>, problems: &mut Problems) -> Step<Included> {
        let (path, metadata) = self.find(naming)?;
        let identity = identity(&metadata);
        let open = std::iter::successors(Some(naming.file), |file| self.files[*file].parent.map(|(file, _)| file));
        let open: Vec<usize> = open.collect();
        if let Some(again) = open.iter().find(|file| self.files[**file].identity == Some(identity)) {
            let label = match *again == naming.file {
                true => "is the file that includes it".to_owned(),
                false => format!("is {}, which leads here", quote(&self.files[*again].name)),
            };
            return refuse(naming, format!("{} includes itself", quote(naming.path)), label);
        }
        if self.included.contains(&identity) {
            return Ok(Included::Before);
        }
        if open.len() >= MAX_DEPTH {
            return refuse(naming, format!("files include files more than {MAX_DEPTH} deep"), "is one too deep");
        }
        self.included.push(identity);
        let file = self.read(naming, path, &metadata, problems)?;
        if super::file::is_json(&self.files[file].text) {
            let help = "`msegctl policy fmt` writes it as text";
            let message = format!("{} is a policy in JSON form", quote(naming.path));
            return Err(Box::new(Problem::new(naming.span.clone(), message, "only text can be included").help(help)));
        }
        Ok(Included::File(file))
    }

    /// The path of the file from here, and what the file system says of it.
    fn find(&self, naming: &Naming<'_>) -> Step<(PathBuf, Metadata)> {
        let Some(directory) = &self.files[naming.file].directory else {
            return refuse(naming, "a file is named where none can be read", "only a policy file may name files");
        };
        if naming.path.is_empty() {
            return refuse(naming, "the path is empty", "expected the path of a file");
        }
        if self.files.len() >= MAX_FILES {
            return refuse(naming, format!("the policy has more than {MAX_FILES} files"), "is one too many");
        }
        let path = directory.join(naming.path);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok((path, metadata)),
            Ok(metadata) => {
                let message = format!("cannot read {}: it is {}", quote(naming.path), kind(&metadata));
                refuse(naming, message, "expected a regular file")
            }
            Err(error) => Err(unreadable(naming, &path, &error)),
        }
    }

    /// Reads a file. What of its text is not UTF-8 is reported at its place there.
    fn read(&mut self, naming: &Naming<'_>, path: PathBuf, found: &Metadata, problems: &mut Problems) -> Step<usize> {
        let left = MAX_BYTES.saturating_sub(self.bytes);
        let mut bytes = Vec::new();
        // Should another file have come in its place meanwhile, opening it must not wait, nor move a terminal.
        let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path);
        let read = opened.and_then(|file| match file.metadata()? {
            same if identity(&same) == identity(found) => file.take(left + 1).read_to_end(&mut bytes),
            _ => Err(io::Error::other("it was replaced while it was read")),
        });
        read.map_err(|error| unreadable(naming, &path, &error))?;
        if bytes.len() as u64 > left {
            let message = format!("the policy has more than {} MiB with {}", MAX_BYTES >> 20, quote(naming.path));
            return refuse(naming, message, "is too large");
        }
        self.bytes += bytes.len() as u64;
        let (text, unreadable) = decode(bytes);
        let file = self.files.len();
        self.files.push(Source {
            name: path.to_string_lossy().into_owned(),
            text: text.into(),
            directory: Some(parent(&path)),
            identity: Some(identity(found)),
            parent: Some((naming.file, naming.line)),
        });
        problems.not_utf8(file, unreadable);
        Ok(file)
    }
}

/// What became of an `include`.
pub(super) enum Included {
    /// The number of its file, to be read now.
    File(usize),
    /// It was read by an `include` before.
    Before,
    /// It cannot be read, which is reported.
    Failed,
}

type Step<T> = Result<T, Box<Problem>>;

fn refuse<T>(naming: &Naming<'_>, message: impl Into<String>, label: impl Into<String>) -> Step<T> {
    Err(Box::new(Problem::new(naming.span.clone(), message, label)))
}

fn unreadable(naming: &Naming<'_>, path: &Path, error: &io::Error) -> Box<Problem> {
    let message = format!("cannot read {}: {error}", quote(naming.path));
    let problem = Problem::new(naming.span.clone(), message, "expected the path of a file that can be read");
    let elsewhere = Path::new(naming.path) != path && !path.as_os_str().is_empty();
    Box::new(match elsewhere && error.kind() == io::ErrorKind::NotFound {
        true => problem.help(format!("looked for as {}", quote(&path.to_string_lossy()))),
        false => problem,
    })
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

/// The directory of a file, that relative paths in it are relative to.
pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new(OsStr::new(""))).to_owned()
}

/// The text, with stand-ins for what is not UTF-8, and where that begins in each line which has such: of the first lines,
/// as many as errors are kept.
pub(super) fn decode(bytes: Vec<u8>) -> (String, Vec<usize>) {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return (text, Vec::new()),
        Err(error) => error,
    };
    let (mut text, mut places) = (String::with_capacity(error.as_bytes().len()), Vec::new());
    // Nothing was found in the line that the text ends in.
    let mut first = true;
    for chunk in error.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        first |= chunk.valid().contains('\n');
        if !chunk.invalid().is_empty() {
            if std::mem::take(&mut first) && places.len() < MAX_PROBLEMS {
                places.push(text.len());
            }
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    (text, places)
}
