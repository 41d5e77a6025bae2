//! The manual page and the command line agree.

use std::{collections::BTreeSet, fs, process::Command};

use super::in_crate;

/// The programs whose pages are checked here; msegd checks its own.
const PROGRAMS: [fn() -> clap::Command; 2] = [crate::cli::command, mseg::cli::command];

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

/// Every option the page describes (`Fl` in an `.It`), and every command (an `.It` that begins with `Cm`).
fn described(page: &str) -> BTreeSet<String> {
    let is_macro = |word: &str| {
        let mut letters = word.chars();
        word.len() == 2
            && letters.all(|c| c.is_ascii_alphabetic())
            && word.starts_with(|c: char| c.is_ascii_uppercase())
    };
    let mut words = BTreeSet::new();
    for item in page.lines().filter_map(|line| line.strip_prefix(".It ")) {
        let mut command = Vec::new();
        let mut current = "";
        for (position, word) in item.split_whitespace().enumerate() {
            match (current, word) {
                _ if is_macro(word) => current = if word == "Cm" && position > 0 { "" } else { word },
                (_, "," | "|") => {}
                ("Fl", option) => drop(words.insert(format!("-{option}"))),
                ("Cm", word) => command.push(word),
                _ => {}
            }
        }
        if !command.is_empty() {
            words.insert(command.join(" "));
        }
    }
    words
}

#[test]
fn the_manual_page_has_every_option_and_command_and_no_other() {
    for program in PROGRAMS {
        let mut command = program();
        command.build();
        let mut words = BTreeSet::new();
        collect(&command, "", &mut words);
        let page = fs::read_to_string(in_crate(&format!("../man/{}.8", command.get_name()))).unwrap();
        assert_eq!(described(&page), words, "{}", command.get_name());
    }
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

/// `Op` takes all that follows in its line; where there is more, `Oo` and `Oc` stand around it.
#[test]
fn no_option_in_a_manual_page_is_shown_as_part_of_another() {
    for page in fs::read_dir(in_crate("../man")).unwrap() {
        let page = fs::read_to_string(page.unwrap().path()).unwrap();
        let nested: Vec<&str> = page.lines().filter(|line| line.matches(" Op ").count() > 1).collect();
        assert!(nested.is_empty(), "{nested:#?}");
    }
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
