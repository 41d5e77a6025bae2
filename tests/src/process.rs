//! Running a program inside the lab: in its network and mount namespace, as a chosen user, never for too long.

use std::{
    fmt,
    io::Read,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
    },
};
use serde_json::Value;

use crate::{
    bpffs::{Mounts, PROGRAMS},
    namespace::Namespace,
};

/// After this time a program hangs, and is killed.
const TOO_LONG: Duration = Duration::from_secs(120);

/// Where and as whom a program runs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its network namespace.
    pub network: &'a Namespace,
    /// Its mount namespace.
    pub mounts: &'a Mounts,
    /// Its user and group id; none is this process's own.
    pub user: Option<u32>,
}

/// What a finished program left.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The command line, as one would type it.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Place<'_> {
    /// A command that will start here, without input and without a terminal.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The tests must see the same text everywhere.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").env("COLUMNS", "120");
        // Ctrl-C is for the demo to handle, not for what it started.
        command.process_group(0);
        let (network, mounts) = (self.network.as_fd().as_raw_fd(), self.mounts.as_fd().as_raw_fd());
        let user = self.user;
        let enter = move || enter(network, mounts, user).map_err(Into::into);
        // SAFETY: `enter` only makes system calls, allocates nothing and takes no lock, so it may run after fork. The
        // numbers name open descriptors in the child as long as the lab lives; after that the calls fail, no more.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it cannot be started, or hangs.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran> {
        let line = typed(program, arguments);
        let mut child = self.command(program, arguments).spawn().with_context(|| format!("cannot start {line}"))?;
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let status = wait(&mut child, TOO_LONG).with_context(|| format!("waiting for {line}"))?;
        let text = |reader: thread::JoinHandle<Vec<u8>>| -> String {
            String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
        };
        Ok(Ran { command: line, status, stdout: text(stdout), stderr: text(stderr) })
    }
}

impl Ran {
    /// Itself, if it succeeded.
    ///
    /// # Errors
    /// Everything it printed, if not.
    pub fn ok(self) -> Result<Self> {
        self.exits(0)
    }

    /// Itself, if it ended with this exit code.
    ///
    /// # Errors
    /// Everything it printed, if not.
    pub fn exits(self, code: i32) -> Result<Self> {
        ensure!(self.status.code() == Some(code), "expected exit code {code} of\n{self}");
        Ok(self)
    }

    /// Itself, if its standard error says all of this.
    ///
    /// # Errors
    /// Everything it printed, if not.
    pub fn complains(self, of: &[&str]) -> Result<Self> {
        match of.iter().find(|part| !self.stderr.contains(*part)) {
            Some(part) => bail!("expected {part:?} in the errors of\n{self}"),
            None => Ok(self),
        }
    }

    /// Its standard output as one JSON document.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON:\n{self}"))
    }

    /// The error in its standard error, as `-j` prints it: one line, `{"error":{...}}`.
    ///
    /// # Errors
    /// When it is none.
    pub fn json_error(&self) -> Result<Value> {
        let document: Value =
            serde_json::from_str(self.stderr.trim_end()).with_context(|| format!("not JSON:\n{self}"))?;
        ensure!(self.stderr.trim_end().lines().count() == 1, "more than one line of errors:\n{self}");
        document.get("error").cloned().with_context(|| format!("no error in:\n{self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        f.write_str(&self.stdout)?;
        f.write_str(&self.stderr)?;
        if !self.status.success() {
            writeln!(f, "({})", self.status)?;
        }
        Ok(())
    }
}

/// The command line as one would type it.
pub fn typed(program: &str, arguments: &[&str]) -> String {
    let plain = |argument: &&str| !argument.is_empty() && !argument.contains([' ', '*', '{', '$', ';']);
    let quoted = arguments.iter().map(|a| if plain(a) { (*a).to_owned() } else { format!("'{a}'") });
    [program.to_owned()].into_iter().chain(quoted).collect::<Vec<_>>().join(" ")
}

/// Waits for a child, and kills it when it takes too long.
///
/// # Errors
/// When it took too long.
pub fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            bail!("it took longer than {limit:?}, and was killed");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn enter(network: RawFd, mounts: RawFd, user: Option<u32>) -> Result<(), Errno> {
    // SAFETY: both descriptors are open, inherited from the parent, and borrowed only for the two calls.
    let [network, mounts] = [network, mounts].map(|fd| unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) });
    setns(network, CloneFlags::CLONE_NEWNET)?;
    setns(mounts, CloneFlags::CLONE_NEWNS)?;
    if let Some(id) = user {
        nix::unistd::setgroups(&[])?;
        nix::unistd::setresgid(id.into(), id.into(), id.into())?;
        nix::unistd::setresuid(id.into(), id.into(), id.into())?;
    }
    // The demo blocks signals to clean up on Ctrl-C; its children must not.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // A killed test leaves no daemon.
    prctl::set_pdeathsig(Signal::SIGKILL)
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}
