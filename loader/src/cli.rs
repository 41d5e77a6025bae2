//! The command line of mseg-loader.

mod adoption;
mod output;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use tracing::level_filters::LevelFilter;

use self::output::{Format, Output};
use crate::{
    attach::{self, AttachOptions, DEFAULT_GRACE_S, DetachOptions, Hook, Midstream, Mode, Role},
    error::{Code, Error, Result},
    instance::{DEFAULT_BPFFS, DEFAULT_NAME, Options},
    log, policy,
};

/// Attach mseg to network interfaces, and detach it
///
/// mseg tracks every session through the interfaces it is attached to and decides each by policy. Nothing has to stay
/// running: what this program sets up works until it is detached.
#[derive(Debug, Parser)]
#[command(name = "mseg-loader", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Print JSON; an error is one line of JSON on standard error
    #[arg(short, long, global = true)]
    json: bool,
    /// Print JSON with line breaks and indentation
    #[arg(short, long, global = true)]
    pretty: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more on standard error; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// The instance to work on
    #[arg(long, global = true, value_name = "NAME", default_value = DEFAULT_NAME)]
    instance: String,
    /// Where the BPF file system is mounted
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_BPFFS, value_hint = clap::ValueHint::DirPath)]
    bpffs: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Attach to interfaces; makes the instance if there is none
    ///
    /// All of them are attached, or none. An interface that is attached already stays as it is; --policy, --mode and
    /// --midstream apply to the whole instance, also then.
    Attach(Attach),
    /// Detach from interfaces
    Detach(Detach),
    /// Show what is loaded and attached
    Status,
}

#[derive(Debug, Args)]
struct Attach {
    /// Names of interfaces in this network namespace
    #[arg(value_name = "IFACE", required = true, value_hint = clap::ValueHint::Other)]
    interfaces: Vec<String>,
    /// The policy to make active, from a file (- for standard input) [default: as it is; at first one that allows all]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    policy: Option<PathBuf>,
    /// What becomes of packets that are denied [default: as it is; at first observe]
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Which side of the interfaces is protected
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// How to attach
    #[arg(long, value_enum, default_value_t)]
    hook: Hook,
    /// What becomes of TCP packets of unknown sessions [default: as it is; at first grace]
    #[arg(long, value_enum)]
    midstream: Option<Midstream>,
    /// About how many half-open sessions one source may have, 0 for any number [default: as it is; at first 1024]
    #[arg(long, value_name = "SESSIONS")]
    half_open_per_source: Option<u32>,
    /// The length of the grace period, which starts anew with every interface
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_GRACE_S)]
    grace: u32,
    /// Make sessions for the connections that are open already, and fail if they cannot be read [default: as far as
    /// they can be read]
    #[arg(long, overrides_with = "no_adopt")]
    adopt: bool,
    /// Make none: what becomes of open connections is up to --midstream
    #[arg(long, overrides_with = "adopt")]
    no_adopt: bool,
    /// Attach even if it cuts off your own connection
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["interfaces", "all"]))]
struct Detach {
    /// Names of attached interfaces
    #[arg(value_name = "IFACE", value_hint = clap::ValueHint::Other)]
    interfaces: Vec<String>,
    /// Detach from all interfaces and remove the instance, in whatever state it is
    #[arg(long)]
    all: bool,
}

/// The whole command line, for completions and for checking the manual page.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs mseg-loader with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    let format = match (cli.global.pretty, cli.global.json) {
        (true, _) => Format::Pretty,
        (false, true) => Format::Json,
        (false, false) => Format::Text,
    };
    let level = match cli.global.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    log::start(level);
    let output = Output::new(format, cli.global.quiet);
    match run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report(&error, format);
            ExitCode::from(error.code as u8)
        }
    }
}

fn run(cli: Cli, output: &Output) -> Result<()> {
    let instance = Options { bpffs: cli.global.bpffs, name: cli.global.instance };
    match cli.command {
        Command::Attach(arguments) => {
            // The policy first: nothing is touched for one that is wrong.
            let policy = arguments.policy.as_deref().map(policy::read_file).transpose()?;
            let options = AttachOptions {
                instance,
                interfaces: arguments.interfaces,
                policy,
                mode: arguments.mode,
                role: arguments.role,
                hook: arguments.hook,
                midstream: arguments.midstream,
                half_open_per_source: arguments.half_open_per_source,
                grace_s: arguments.grace,
                force: arguments.force,
                adopt: (arguments.adopt || arguments.no_adopt).then_some(arguments.adopt),
            };
            let done = attach::attach(&options)?;
            output.attached(&options.instance, &done).map_err(|error| untold(error, &options.instance))
        }
        Command::Detach(arguments) => {
            let options = DetachOptions { instance, interfaces: arguments.interfaces, all: arguments.all };
            let done = attach::detach(&options)?;
            output.detached(&options.instance, &done).map_err(|error| untold(error, &options.instance))
        }
        Command::Status => output.status(&attach::status(&instance)?),
    }
}

/// What was done and could not be said.
fn untold(error: Error, instance: &Options) -> Error {
    error.of_telling(format!("mseg-loader status {}", instance.arguments()).trim_end())
}

/// A wrong command line, or a request for help.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // EPIPE is quiet.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let json = arguments.iter().skip(1).take_while(|a| *a != "--").any(|argument| {
        let text = argument.to_string_lossy();
        match text.strip_prefix("--") {
            Some(long) => long == "json" || long == "pretty",
            None => text.strip_prefix('-').is_some_and(|short| short.contains(['j', 'p'])),
        }
    });
    if json {
        let rendered = error.render().to_string();
        // The first paragraph; the usage that follows is not for programs.
        let lines: Vec<&str> = rendered.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let message = lines.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let hint = format!("see `{} --help`", command().get_name());
        output::report(&Error::new(Code::Usage, message).hint(hint), Format::Json);
    } else {
        let _ = error.print();
    }
    ExitCode::from(Code::Usage as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn detach_needs_either_names_or_all() {
        for wrong in [&["mseg-loader", "detach"][..], &["mseg-loader", "detach", "eth0", "--all"]] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
        assert!(Cli::try_parse_from(["mseg-loader", "detach", "--all"]).is_ok());
    }
}
