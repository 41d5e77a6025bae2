//! The committed completion scripts are those of the command lines.

use std::{env, fs, path::Path};

use clap::ValueEnum;
use msegctl::cli::Shell;

/// The programs. Each has its command line in a function, for this and for the check of its manual page.
const PROGRAMS: [fn() -> clap::Command; 3] = [msegctl::cli::command, mseg::cli::command, msegd::cli::command];

#[test]
fn the_committed_completions_are_those_of_the_command_lines() {
    for program in PROGRAMS {
        for shell in Shell::value_variants() {
            let command = program();
            let name = command.get_name().to_owned();
            // Where each shell looks for the completions of a program.
            let file = match shell {
                Shell::Bash => format!("bash/{name}"),
                Shell::Zsh => format!("zsh/_{name}"),
                Shell::Fish => format!("fish/{name}.fish"),
            };
            let mut script = Vec::new();
            msegctl::completions::write(command, *shell, &mut script).unwrap();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../completions").join(file);
            if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, script).unwrap();
                continue;
            }
            assert!(
                fs::read(&path).is_ok_and(|committed| committed == script),
                "{} is not what is made now (UPDATE_GOLDEN=1 cargo test -p msegctl writes it)",
                path.display()
            );
        }
    }
}
