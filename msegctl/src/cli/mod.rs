//! The command line, as clap sees it. The text here is the help; msegctl(8) says more.

mod filter;
mod global;

use std::{path::PathBuf, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use mseg::{
    attach::{Mode, Role},
    view::SessionId,
};

pub(crate) use filter::{Denials, Selection, Sessions, Sort};
pub(crate) use global::{Global, wants_json};

/// The clap definition: what completions and the manual page are checked against.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Inspect and edit what mseg keeps in the kernel
///
/// msegctl reads sessions, rules and counters from the maps of an mseg instance, and edits its policy. Each run does
/// one thing and ends; nothing has to stay running.
#[derive(Debug, Parser)]
#[command(name = "msegctl", version, arg_required_else_help = true, subcommand_required = true)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done, 1 failed or nothing matched, 2 usage, 3 not loaded, 4 permission, \
                        5 invalid policy, 6 maps of another version, 7 would lock you out.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show whether it works: mode, policy, interfaces, sessions
    #[command(alias = "show")]
    Status,
    /// Check everything that can be wrong, and say what to do
    Doctor,
    /// List, count and delete sessions
    #[command(subcommand)]
    Session(SessionCommand),
    /// List what was denied lately
    #[command(subcommand)]
    Denied(DeniedCommand),
    /// List, add and delete rules
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Apply, check, format, compare and show the policy, and go back to a former one
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show or set whether denied packets are dropped
    #[command(subcommand)]
    Mode(ModeCommand),
    /// Say what becomes of a packet, and why
    ///
    /// Runs the loaded program a second time, on the active policy and with tables, counters and events of its own:
    /// `msegctl explain in tcp from 10.0.0.1 to 10.0.0.2 port 22`. The packet is written as in a rule, see
    /// msegctl(8).
    Explain(ExplainArgs),
    /// Show the counters
    #[command(subcommand)]
    Stats(StatsCommand),
    /// Print the completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List sessions
    #[command(aliases = ["show", "ls"])]
    List(Selection<Sessions>),
    /// Show one session
    Get {
        /// The session's id, as `session list -v` prints it
        id: SessionId,
    },
    /// Count sessions
    Count(Selection<Sessions>),
    /// Delete sessions: their next packet is judged as if it were the first
    #[command(aliases = ["del", "rm"])]
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// Ids of sessions, as `session list -v` prints them
    #[arg(conflicts_with = "all")]
    pub(crate) ids: Vec<SessionId>,
    /// Delete every session
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) selection: Selection<Sessions>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeniedCommand {
    /// List flows that were denied lately
    #[command(aliases = ["show", "ls"])]
    List(Selection<Denials>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// List rules with their hits, in the order in which they are asked
    ///
    /// The text can be applied again: hits are comments.
    #[command(aliases = ["show", "ls"])]
    List,
    /// Show one rule with its hits
    Get {
        /// The rule's name
        name: String,
    },
    /// Add a rule to the active policy
    ///
    /// The arguments are a rule of the policy language, see mseg-policy(5):
    /// `msegctl rule add web allow in tcp from any to any port 80,443`.
    Add {
        /// The rule: NAME ACTION DIRECTION [PROTOCOL] [from ...] [to ...] [ATTRIBUTES]
        #[arg(required = true, value_name = "RULE")]
        rule: Vec<String>,
        /// Do it even if it cuts off your own connection
        #[arg(long)]
        force: bool,
    },
    /// Delete a rule from the active policy
    #[command(aliases = ["del", "rm"])]
    Delete {
        /// The rules' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Do it even if it cuts off your own connection
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Make a policy the active one, at once and as a whole
    Apply(ApplyArgs),
    /// Keep the change that waits to be confirmed
    Confirm,
    /// Undo the change that waits to be confirmed, or go back to a generation that is kept
    Rollback(RollbackArgs),
    /// List the generations that are kept
    History,
    /// Show what differs between two policies
    ///
    /// With one argument, from the active policy to that file or generation; with two, from the first to the second. The
    /// exit code is 1 if they differ.
    Diff {
        /// A policy file, `-` for standard input, or the number of a generation
        #[arg(value_name = "FILE|GENERATION", value_hint = ValueHint::FilePath)]
        policy: PathBuf,
        /// The number of the generation to compare with
        #[arg(value_name = "GENERATION")]
        other: Option<u32>,
    },
    /// Check a policy file without loading anything
    Check {
        /// The policy file; `-` for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Write a policy file in canonical form, with its comments
    ///
    /// With --json it is written in JSON form, and a file in JSON form is written as text without.
    Fmt(Format),
    /// Check that a policy decides as a file of assertions says
    ///
    /// A line of it reads `expect deny in tcp from 10.0.0.1 to 10.0.0.2 port 22 by no-ssh`, see msegctl(8).
    Test {
        /// The file of assertions; `-` for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Ask this policy file instead of the active policy; needs neither root nor an instance
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        policy: Option<PathBuf>,
    },
    /// Print the active policy
    ///
    /// It is told from the kernel's maps alone, and proven to be what they hold. The text can be applied again.
    #[command(aliases = ["list", "ls"])]
    Show {
        /// A generation that is kept instead of the active one
        #[arg(long, value_name = "NUMBER")]
        generation: Option<u32>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    /// The policy file; `-` for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    /// Exit with 1 if the policy is another one than before
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Only say what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it even if it cuts off your own connection
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    /// The generation to go back to [default: the one that was active before]
    pub(crate) generation: Option<u32>,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    /// Do it even if it cuts off your own connection
    #[arg(long)]
    pub(crate) force: bool,
}

/// How long a change waits.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Confirm {
    /// Undo it after this time, such as 90s or 10m, unless `policy confirm` is run
    ///
    /// The kernel's side undoes it, with every process dead.
    #[arg(long = "confirm", value_name = "TIME", value_parser = confirm_time)]
    pub(crate) time: Option<Duration>,
}

fn confirm_time(text: &str) -> Result<Duration, String> {
    let time = mseg::view::duration(text).and_then(|time| Duration::try_from(time).ok());
    let time = time.ok_or("expected a time such as 90s, 10m or 1h30m")?;
    mseg::generation::check_confirm(time).map(|()| time).map_err(|error| error.message)
}

#[derive(Args, Debug)]
pub(crate) struct Format {
    /// The policy file; `-` for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Write nothing; the exit status is 1 if something would change
    #[arg(long, conflicts_with = "write")]
    pub(crate) check: bool,
    /// Rewrite the file in place
    #[arg(short, long)]
    pub(crate) write: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The packet: in|out PROTOCOL from ADDRESS [port PORT] to ADDRESS [port PORT] [type TYPE [code CODE]]
    #[arg(required = true, value_name = "PACKET")]
    pub(crate) packet: Vec<String>,
    /// The interface that it passes [default: the only one that is attached]
    #[arg(long, value_name = "NAME")]
    pub(crate) iface: Option<String>,
    /// Take the interface as if it were attached in this role
    #[arg(long, value_enum, conflicts_with = "policy")]
    pub(crate) role: Option<Role>,
    /// Ask this policy file instead of the active policy; needs neither root nor an instance
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModeCommand {
    /// Show the mode
    #[command(aliases = ["list", "ls"])]
    Show,
    /// Set the mode
    Set {
        /// The mode
        mode: Mode,
        #[command(flatten)]
        confirm: Confirm,
        /// Do it even if it cuts off your own connection
        #[arg(long)]
        force: bool,
    },
    /// Keep the change that waits to be confirmed; as `policy confirm`
    Confirm,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StatsCommand {
    /// Show the counters
    #[command(aliases = ["list", "ls"])]
    Show,
}

/// The shells that completions exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}
