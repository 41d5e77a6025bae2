//! From the command line to the exit code.

use std::{
    ffi::OsString,
    io::{BufWriter, IsTerminal, Write, stderr, stdout},
    process::ExitCode,
};

use clap::Parser;
use mseg::{
    error::Result,
    instance::{Access, Instance, Options},
    view::Context,
};

use crate::{
    cli::{Cli, Command, command, wants_json},
    completions, denied, doctor, explain, mode,
    output::{Output, Report},
    policy, rule, session, stats, status,
    stop::Stop,
    usage,
};

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1: a filter matched nothing, or a check failed; the output says all there is to say.
    Nothing,
}

impl Outcome {
    pub(crate) fn matched(matched: bool) -> Self {
        if matched { Self::Done } else { Self::Nothing }
    }
}

/// What a command works with.
pub(crate) struct Run<'a> {
    pub(crate) output: Output<'a>,
    pub(crate) options: Options,
}

impl Run<'_> {
    /// Opens the instance.
    pub(crate) fn open(&self, access: Access) -> Result<Instance> {
        Instance::open(&self.options, access)
    }

    /// Says what a change did. If that fails, the error says that the change holds: nobody shall have to guess.
    pub(crate) fn done<R: Report>(&mut self, report: Result<R>) -> Result<R, Stop> {
        self.say(report).map_err(|stop| match stop {
            Stop::Error(error) => {
                let show = format!("msegctl status {}", self.options.arguments());
                error.of_telling(show.trim_end()).into()
            }
            Stop::Pipe => stop,
        })
    }

    fn say<R: Report>(&mut self, report: Result<R>) -> Result<R, Stop> {
        let report = report?;
        self.output.unless_quiet(&report)?;
        self.output.out.flush()?;
        Ok(report)
    }

    /// The clock and the names of the instance.
    pub(crate) fn context(&self, instance: &Instance) -> Result<Context> {
        Context::of(instance)
    }
}

/// The program: runs the command line of this process.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let terminal = stdout().is_terminal();
    let mut out = BufWriter::with_capacity(64 * 1024, stdout().lock());
    let result = run(&args, &mut out, terminal).and_then(|outcome| {
        out.flush()?;
        Ok(outcome)
    });
    ExitCode::from(match result {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::Nothing) => 1,
        Err(stop) => {
            // What was written before the failure goes out first; if it cannot, the failure is still the news.
            let _ = out.flush();
            stop.report(&mut stderr().lock(), wants_json(&args))
        }
    })
}

/// Runs a command line; `terminal` is whether `out` is one.
pub(crate) fn run(args: &[OsString], out: &mut dyn Write, terminal: bool) -> Result<Outcome, Stop> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        // Help and version were asked for, so they are data.
        Err(help) if !help.use_stderr() => {
            let text = help.render();
            let text = if terminal { text.ansi().to_string() } else { text.to_string() };
            out.write_all(text.as_bytes())?;
            return Ok(Outcome::Done);
        }
        Err(error) => return Err(usage::error(&error).into()),
    };
    let global = &cli.global;
    let output = Output {
        out,
        format: global.format()?,
        header: !global.no_header,
        color: global.colored(terminal),
        verbose: global.verbose,
        quiet: global.quiet,
    };
    let mut run = Run { output, options: Options { bpffs: global.bpffs.clone(), name: global.instance.clone() } };
    let run = &mut run;
    match cli.command {
        Command::Status => status::run(run),
        Command::Doctor => doctor::run(run),
        Command::Rule(command) => rule::run(run, &command),
        Command::Policy(command) => policy::run(run, &command),
        Command::Session(command) => session::run(run, command),
        Command::Denied(command) => denied::run(run, &command),
        Command::Mode(command) => mode::run(run, &command),
        Command::Explain(arguments) => explain::run(run, &arguments),
        Command::Stats(command) => stats::run(run, &command),
        Command::Completions { shell } => {
            completions::write(command(), shell, run.output.out)?;
            Ok(Outcome::Done)
        }
    }
}
