//! Stopping or killing a program at a chosen system call, under ptrace.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::{
        ptrace,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::process::{Place, typed};

/// A program that stands still before its first instruction. It must be stepped on the thread that started it.
#[derive(Debug)]
pub struct Stepper {
    child: Child,
    line: String,
    code: Option<i32>,
}

impl Stepper {
    /// Starts a program, whose output nobody reads.
    ///
    /// # Errors
    /// When it cannot be started or traced.
    pub fn start(place: Place<'_>, program: &str, arguments: &[&str]) -> Result<Self> {
        Self::trace(place.command(program, arguments), typed(program, arguments))
    }

    /// Starts a command, which reads like `line`; nobody reads its output.
    ///
    /// # Errors
    /// When it cannot be started or traced.
    pub fn trace(mut command: Command, line: String) -> Result<Self> {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: the closure makes one system call, allocates nothing and takes no lock, so it may run after fork.
        unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
        let child = command.spawn().with_context(|| format!("cannot start {line}"))?;
        let this = Self { child, line, code: None };
        match waitpid(this.pid(), None)? {
            WaitStatus::Stopped(..) => Ok(this),
            other => bail!("{} does not stop: {other:?}", this.line),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Goes on to the entry or the return of the next system call, and says which call it is; `None` if the program
    /// ended.
    ///
    /// # Errors
    /// When it cannot be traced.
    pub fn step(&mut self) -> Result<Option<i64>> {
        ptrace::syscall(self.pid(), None)?;
        match waitpid(self.pid(), None)? {
            WaitStatus::Stopped(pid, _) => Ok(Some(ptrace::getregs(pid)?.orig_rax.cast_signed())),
            WaitStatus::Exited(_, code) => {
                self.code = Some(code);
                Ok(None)
            }
            other => bail!("{} did not run to its end: {other:?}", self.line),
        }
    }

    /// Goes on to the next entry or return of this system call; `false` if the program ended.
    ///
    /// # Errors
    /// When it cannot be traced.
    pub fn step_to(&mut self, call: i64) -> Result<bool> {
        while let Some(at) = self.step()? {
            if at == call {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lets it run to its end, and returns its exit code.
    ///
    /// # Errors
    /// When it did not exit.
    pub fn finish(mut self) -> Result<i32> {
        if self.code.is_none() {
            ptrace::detach(self.pid(), None)?;
            self.code = self.child.wait()?.code();
        }
        self.code.with_context(|| format!("{} was killed", self.line))
    }

    /// Kills it where it stands.
    ///
    /// # Errors
    /// When it has ended.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Stepper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
