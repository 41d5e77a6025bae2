//! Where the lines go.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write, stdout},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use mseg::error::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{signals::Signals, stop::Stop};

/// What a pipe takes in one piece once it says that it can take something.
const PIECE: usize = libc::PIPE_BUF;

/// How long to wait, once asked to end, for an output that takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open output.
#[derive(Debug)]
pub(crate) struct Output {
    /// None is standard output.
    path: Option<PathBuf>,
    file: File,
    /// A regular file never makes a writer wait.
    regular: bool,
}

impl Output {
    /// Opens a file for appending, or standard output.
    pub(crate) fn open(path: Option<PathBuf>) -> Result<Self, Stop> {
        let file = match &path {
            Some(path) => append_to(path).map_err(|e| Error::file("open", path, &e))?,
            None => stdout()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from)
                .map_err(|e| Error::system("use standard output", &e))?,
        };
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Ok(Self { path, file, regular })
    }

    /// Opens the file anew, for a log that was moved away. False if this is standard output.
    pub(crate) fn reopen(&mut self) -> Result<bool, Stop> {
        let named = self.path.is_some();
        if named {
            *self = Self::open(self.path.take())?;
        }
        Ok(named)
    }

    /// The descriptor to poll for the reader's going away; a regular file has none.
    pub(crate) fn reader(&self) -> Option<BorrowedFd<'_>> {
        (!self.regular).then(|| self.file.as_fd())
    }

    /// What the end of the reader means.
    pub(crate) fn reader_gone(&self) -> Stop {
        self.failed(&ErrorKind::BrokenPipe.into())
    }

    /// Writes everything: how much of it was, and what went wrong if that is not all.
    pub(crate) fn write(&mut self, bytes: &[u8], signals: &mut Signals) -> (usize, Result<(), Stop>) {
        let mut done = 0;
        let result = self.write_from(bytes, signals, &mut done);
        (done, result)
    }

    fn write_from(&mut self, bytes: &[u8], signals: &mut Signals, done: &mut usize) -> Result<(), Stop> {
        while let Some(rest) = bytes.get(*done..).filter(|rest| !rest.is_empty()) {
            let piece = if self.regular {
                rest
            } else {
                self.wait(signals)?;
                rest.get(..PIECE).unwrap_or(rest)
            };
            match self.file.write(piece) {
                Ok(0) => return Err(self.failed(&ErrorKind::WriteZero.into())),
                Ok(n) => *done += n,
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(e) => return Err(self.failed(&e)),
            }
        }
        Ok(())
    }

    /// Waits until the output takes something, as long as nobody wants this program to end.
    fn wait(&self, signals: &mut Signals) -> Result<(), Stop> {
        let mut deadline = None;
        loop {
            signals.read()?;
            if signals.stops() > 0 && deadline.is_none() {
                deadline = Some(Instant::now() + PATIENCE);
            }
            let left = deadline.map(|deadline: Instant| deadline.saturating_duration_since(Instant::now()));
            let timeout =
                left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
            let mut fds =
                [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(e) => return Err(self.failed(&e.into())),
            }
            // Also when the reader has gone: the write will say so.
            if fds[0].any().unwrap_or(true) {
                return Ok(());
            }
            if signals.stops() > 1 || left.is_some_and(|left| left.is_zero()) {
                return Err(self.failed(&io::Error::other("nobody reads it")));
            }
        }
    }

    /// What a failure to write means.
    fn failed(&self, error: &io::Error) -> Stop {
        match &self.path {
            None if error.kind() == ErrorKind::BrokenPipe => Stop::Pipe,
            None => Error::system("write to standard output", error).hint(KEPT).into(),
            Some(path) => Error::file("write to", path, error).hint(KEPT).into(),
        }
    }
}

const KEPT: &str = "events that were not written stay in the ring as long as it has room; start msegd again";

/// Opens a file for appending, after a line that a killed writer did not end.
fn append_to(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Without O_NONBLOCK the open of a named pipe would wait for its reader, deaf to every signal.
    options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => {
            return Err(io::Error::other("it is a named pipe that nobody reads"));
        }
        Err(e) => return Err(e),
    };
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > 0 {
        let mut last = [0; 1];
        let mut reader = File::open(path)?;
        reader.seek(SeekFrom::End(-1))?;
        reader.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}
