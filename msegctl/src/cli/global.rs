//! Options that every command takes, before or after its name.

use std::{env, path::PathBuf};

use clap::{Args, ValueEnum, ValueHint};
use mseg::{
    error::{Code, Error},
    instance::{DEFAULT_BPFFS, DEFAULT_NAME},
};

use crate::output::Format;

#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Write JSON: one object
    #[arg(short, long, global = true)]
    pub(crate) json: bool,
    /// Write indented JSON
    #[arg(short, long, global = true)]
    pub(crate) pretty: bool,
    /// Write TSV: fields separated by tabs
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    /// Leave out the header of text and TSV
    #[arg(long, global = true)]
    pub(crate) no_header: bool,
    /// Do not say what a change did
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Show more columns and details
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Colour the text
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// The instance to work on
    #[arg(long, global = true, value_name = "NAME", default_value = DEFAULT_NAME)]
    pub(crate) instance: String,
    /// Where bpffs is mounted
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_BPFFS, value_hint = ValueHint::DirPath)]
    pub(crate) bpffs: PathBuf,
}

/// When to colour text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Global {
    /// The form of the output. Options of different levels of commands cannot conflict in clap, so that is checked
    /// here.
    pub(crate) fn format(&self) -> Result<Format, Error> {
        let json = self.json || self.pretty;
        match (json, self.plain) {
            (true, true) => {
                Err(Error::new(Code::Usage, "--json and --plain are two different forms").hint("leave one of them out"))
            }
            (true, false) => Ok(Format::Json { pretty: self.pretty }),
            (false, true) => Ok(Format::Plain),
            (false, false) => Ok(Format::Text),
        }
    }

    /// Whether to colour text on standard output.
    pub(crate) fn colored(&self, terminal: bool) -> bool {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

/// Whether JSON was asked for, for errors that come before there is a [`Global`].
pub(crate) fn wants_json(args: &[std::ffi::OsString]) -> bool {
    args.iter().skip(1).map_while(|a| (a != "--").then(|| a.to_string_lossy())).any(|arg| {
        let flags = arg.strip_prefix('-').filter(|flags| flags.bytes().all(|b| b"jpqv".contains(&b)));
        arg == "--json" || arg == "--pretty" || flags.is_some_and(|flags| flags.contains(['j', 'p']))
    })
}
