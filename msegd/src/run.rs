//! From the command line to the exit code.

use std::{
    ffi::OsString,
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use clap::Parser;
use mseg::{
    error::{Code, Error},
    instance::{Access, Instance, Options},
};
use tracing::{info, level_filters::LevelFilter};

use crate::{
    cli::{Cli, wants_json},
    daemon::Daemon,
    output::Output,
    privilege,
    signals::Signals,
    stop::Stop,
    watch::Watch,
};

/// The program: runs the command line of this process.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(match run(&args) {
        Ok(()) => 0,
        Err(stop) => stop.report(&mut stderr().lock(), wants_json(&args)),
    })
}

/// Runs a command line.
pub(crate) fn run(args: &[OsString]) -> Result<(), Stop> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        // Help and version were asked for, so they are data.
        Err(help) if !help.use_stderr() => {
            return write!(stdout(), "{}", help.render()).map_err(|e| match e.kind() {
                std::io::ErrorKind::BrokenPipe => Stop::Pipe,
                _ => Error::system("write to standard output", &e).into(),
            });
        }
        Err(error) => return Err(usage(&error).into()),
    };
    let level = match cli.verbose {
        _ if cli.quiet => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    mseg::log::start(level);

    // First of all: from here on a signal ends the program in good order or not at all.
    let signals = Signals::block()?;
    let options = Options { bpffs: cli.bpffs, name: cli.instance };
    let instance = Instance::open(&options, Access::Read)?;
    let ring = instance.events()?;
    let watch = Watch::new(&options);
    let output = Output::open(cli.output)?;
    privilege::drop_all()?;
    info!("reading the events of instance {} without any capability", options.name);
    Daemon::new(instance, ring, output, signals, watch, cli.once)?.run()
}

/// A wrong command line: clap's first sentence is the message, its usage is the hint.
fn usage(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let hint = paragraphs.find(|p| p.starts_with("Usage: ")).unwrap_or_else(|| "--help says more".into());
    Error::new(Code::Usage, message).hint(hint.replacen("Usage:", "usage:", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a command line that opens no ring: exit code, standard error.
    fn msegd(line: &[&str]) -> (u8, String) {
        let args: Vec<OsString> = ["msegd"].iter().chain(line).map(OsString::from).collect();
        let mut err = Vec::new();
        let code = run(&args).map_or_else(|stop| stop.report(&mut err, wants_json(&args)), |()| 0);
        (code, String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_command_line_is_consistent() {
        crate::cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_is_code_2_with_a_hint() {
        for line in [&["--nope"][..], &["x"], &["--output"], &["-qv"], &["--instance", "../x"]] {
            let (code, err) = msegd(line);
            assert!(code == 2 && err.starts_with("error: ") && err.contains("\nhint: "), "{line:?}: {err}");
        }
    }

    #[test]
    fn nothing_loaded_is_code_3_and_with_json_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let bpffs = directory.path().to_str().unwrap();
        assert_eq!(msegd(&["--bpffs", bpffs]).0, 3);
        for (line, name) in [(&["-j", "--bpffs", bpffs][..], "not-loaded"), (&["--nope", "-qj"], "usage")] {
            let (_, err) = msegd(line);
            assert_eq!(err.lines().count(), 1, "{err}");
            let document: serde_json::Value = serde_json::from_str(&err).unwrap();
            assert_eq!(document["error"]["code"], name);
            assert!(document["error"]["hint"].is_string(), "{err}");
        }
    }

    #[test]
    fn what_would_steer_a_terminal_is_escaped_in_errors() {
        let (_, err) = msegd(&["--bpffs", "/no\x1b[2J"]);
        assert!(!err.contains('\x1b'), "{err:?}");
    }
}
