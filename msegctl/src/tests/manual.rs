//! The manual page and the command line agree.

use std::{collections::BTreeSet, fs, process::Command};

use super::in_crate;

fn page() -> String {
    fs::read_to_string(in_crate("../man/msegctl.8")).unwrap()
}

/// Every visible option and command below `command`, as they are typed.
fn collect(command: &clap::Command, path: &str, words: &mut BTreeSet<String>) {
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        words.extend(arg.get_long().map(|long| format!("--{long}")));
        words.extend(arg.get_short().map(|short| format!("-{short}")));
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let path = format!("{path} {}", sub.get_name()).trim_start().to_owned();
        if sub.has_subcommands() {
            collect(sub, &path, words);
        } else {
            words.insert(path.clone());
            collect(sub, &path, words);
        }
    }
}

/// Every option the page describes (`.It Fl`), and every command (`.It Cm`).
fn described(page: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for item in page.lines().filter_map(|line| line.strip_prefix(".It ")) {
        if let Some(command) = item.strip_prefix("Cm ") {
            // What follows the name are macros, which begin with a capital.
            let is_macro = |word: &&str| word.starts_with(|c: char| c.is_ascii_uppercase());
            let name: Vec<_> = command.split_whitespace().take_while(|word| !is_macro(word)).collect();
            words.insert(name.join(" "));
        }
        let options = item.split("Fl ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        if item.starts_with("Fl ") {
            words.extend(options.map(|name| format!("-{name}")));
        }
    }
    words
}

#[test]
fn the_manual_page_has_every_option_and_command_and_no_other() {
    let mut command = crate::cli::command();
    command.build();
    let mut words = BTreeSet::new();
    collect(&command, "", &mut words);
    assert_eq!(described(&page()), words);
}

#[test]
fn the_reasons_in_the_manual_are_all_reasons() {
    let page = fs::read_to_string(in_crate("../man/mseg.7")).unwrap();
    let table: BTreeSet<_> = page
        .lines()
        .skip_while(|line| !line.starts_with(".Sh REASONS"))
        .skip(1)
        .take_while(|line| !line.starts_with(".Sh"))
        .filter_map(|line| line.strip_prefix(".It Sy "))
        .collect();
    let reasons = mseg_ebpf::abi::reason::Reason::ALL.iter().skip(1).map(|reason| reason.name()).collect();
    assert_eq!(table, reasons);
}

#[test]
fn every_manual_page_is_clean_for_mandoc() {
    let pages: Vec<_> = fs::read_dir(in_crate("../man")).unwrap().map(|page| page.unwrap().path()).collect();
    assert!(!pages.is_empty());
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output();
    match lint {
        Ok(lint) => assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout)),
        Err(error) if std::env::var_os("CI").is_none() => eprintln!("skipped, cannot run mandoc: {error}"),
        Err(error) => panic!("cannot run mandoc: {error}"),
    }
}
