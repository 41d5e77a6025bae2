//! How the tour looks: chapters, commands with their real output, and claims that were checked.

use std::{
    env,
    io::{self, IsTerminal, Write},
    time::Instant,
};

use anyhow::{Context, Result};
use mseg_tests::process::{Ran, typed};

use crate::interrupt;

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";

/// Prints the tour, and counts what it claimed.
#[derive(Debug)]
pub(crate) struct Narrator {
    began: Instant,
    chapters: u32,
    claims: u32,
    colored: bool,
}

impl Narrator {
    pub(crate) fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { began: Instant::now(), chapters: 0, claims: 0, colored: wanted && io::stdout().is_terminal() }
    }

    /// Begins the clock: what came before was building.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// A new part of the tour.
    pub(crate) fn chapter(&mut self, title: &str) -> Result<()> {
        self.chapters += 1;
        let title = format!("{}. {title}", self.chapters);
        self.print(&format!("\n{}\n", self.paint(BOLD, &title)))
    }

    /// Something to know.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        self.print(&format!("{text}\n"))
    }

    /// A command and what it really printed; it must have succeeded.
    pub(crate) fn ran(&self, ran: Ran) -> Result<Ran> {
        let ran = ran.ok()?;
        self.prompt(&ran.command)?;
        self.print(&format!("{}{}", ran.stdout, ran.stderr))?;
        Ok(ran)
    }

    /// A command that goes on in the background.
    pub(crate) fn background(&self, program: &str, arguments: &[&str]) -> Result<()> {
        self.prompt(&format!("{} &", typed(program, arguments)))
    }

    /// A command line that the tour carries out itself.
    pub(crate) fn prompt(&self, line: &str) -> Result<()> {
        self.print(&format!("\n{}\n", self.paint(CYAN, &format!("$ {line}"))))
    }

    /// Claims something, after it was checked.
    pub(crate) fn claim(&mut self, what: &str, checked: Result<()>) -> Result<()> {
        checked.with_context(|| format!("this is not so: {what}"))?;
        self.claims += 1;
        self.print(&format!("  {} {what}\n", self.paint(GREEN, "ok")))
    }

    /// The end.
    pub(crate) fn finish(&self) -> Result<()> {
        let line = format!("{} claims checked in {:.1} s.", self.claims, self.began.elapsed().as_secs_f64());
        self.print(&format!("\n{}\n", self.paint(BOLD, &line)))
    }

    fn paint(&self, color: &str, text: &str) -> String {
        if self.colored { format!("{color}{text}\x1b[0m") } else { text.to_owned() }
    }

    fn print(&self, text: &str) -> Result<()> {
        interrupt::check()?;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")
    }
}
