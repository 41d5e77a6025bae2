//! Completion scripts.

use std::io::{self, Write};

use clap_complete::{aot, generate};

use crate::cli::Shell;

/// Writes the completion script of a command for a shell.
pub fn write(mut command: clap::Command, shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // Into memory first: clap_complete panics when it cannot write.
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(aot::Bash, &mut command, name, &mut script),
        Shell::Zsh => generate(aot::Zsh, &mut command, name, &mut script),
        Shell::Fish => generate(aot::Fish, &mut command, name, &mut script),
    }
    out.write_all(&script)
}
