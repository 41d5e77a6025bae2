//! A program that stays: msegd, read line by line while it runs.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    process::{self, Place},
    wait::{SOON, eventually},
};

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    followers: Vec<thread::JoinHandle<()>>,
}

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Daemon {
    /// Starts a program that will stay.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(place: Place<'_>, program: &str, arguments: &[&str]) -> Result<Self> {
        let line = process::typed(program, arguments);
        let mut child = place.command(program, arguments).spawn().with_context(|| format!("cannot start {line}"))?;
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let followers = vec![stdout.follow(child.stdout.take()), stderr.follow(child.stderr.take())];
        Ok(Self { child, stdout, stderr, followers })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// What it printed so far, one JSON document a line.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn events(&self) -> Result<Vec<Value>> {
        let lines = self.lines();
        lines.iter().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect()
    }

    /// What it printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.get()
    }

    /// What it complained of so far.
    pub fn complaints(&self) -> String {
        self.stderr.get().join("\n")
    }

    /// Waits for an event.
    ///
    /// # Errors
    /// When there is none soon, with what there is.
    pub fn event(&self, wanted: &str, mut is: impl FnMut(&Value) -> bool) -> Result<Value> {
        eventually(|| {
            let events = self.events()?;
            let found = events.iter().find(|event| is(event)).cloned();
            found.with_context(|| format!("no event {wanted} in {events:#?}\n{}", self.complaints()))
        })
    }

    /// Sends SIGTERM and waits for its end.
    ///
    /// # Errors
    /// When it does not end soon.
    pub fn terminate(mut self) -> Result<(ExitStatus, Vec<String>)> {
        ensure!(self.child.try_wait()?.is_none(), "it ended before: {}", self.complaints());
        kill(self.pid(), Signal::SIGTERM)?;
        let status = process::wait(&mut self.child, SOON)?;
        // They may still be at the last lines.
        for follower in std::mem::take(&mut self.followers) {
            let _ = follower.join();
        }
        Ok((status, self.lines()))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end soon.
    pub fn wait(mut self) -> Result<ExitStatus> {
        process::wait(&mut self.child, SOON)
    }

    /// Kills it, as `kill -9` does.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "it ended before: {}", self.complaints());
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn follow(&self, pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<()> {
        let lines = self.clone();
        thread::spawn(move || {
            for line in pipe.map(BufReader::new).into_iter().flat_map(BufReader::lines).map_while(Result::ok) {
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }

    fn get(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
