//! The command line, as clap sees it. The text here is the help; msegd(8) says more.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, ValueHint};
use mseg::instance::{DEFAULT_BPFFS, DEFAULT_NAME};

/// The clap definition: what completions and the manual page are checked against.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Write the events of mseg as JSON, one object a line
///
/// msegd reads what the programs in the kernel report: sessions opened and closed, packets denied. Nothing is lost
/// unless the ring between them runs full, and then it says how many. Enforcement does not depend on it.
#[derive(Debug, Parser)]
#[command(name = "msegd", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done, 1 failed, 2 usage, 3 not loaded, 4 permission, 6 maps of another version."
)]
pub(crate) struct Cli {
    /// Append to a file instead of writing to standard output; SIGHUP opens it anew
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Write what is there, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// The instance to read
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME)]
    pub(crate) instance: String,
    /// Where bpffs is mounted
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS, value_hint = ValueHint::DirPath)]
    pub(crate) bpffs: PathBuf,
    /// Write errors as JSON, too
    #[arg(short, long)]
    pub(crate) json: bool,
    /// Say nothing on standard error but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Say more on standard error; twice for even more
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
}

/// Whether JSON was asked for, for errors that come before there is a [`Cli`].
pub(crate) fn wants_json(args: &[std::ffi::OsString]) -> bool {
    args.iter().skip(1).map_while(|a| (a != "--").then(|| a.to_string_lossy())).any(|arg| {
        let flags = arg.strip_prefix('-').filter(|flags| flags.bytes().all(|b| b"jqv".contains(&b)));
        arg == "--json" || flags.is_some_and(|flags| flags.contains('j'))
    })
}
