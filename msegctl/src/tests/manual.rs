//! The manual page and the command line agree.

use std::{collections::BTreeSet, fs};

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
    for line in page.lines() {
        let Some(rest) = line.strip_prefix(".It ") else { continue };
        let mut macros = rest.split_whitespace().peekable();
        while let Some(word) = macros.next() {
            match word {
                "Fl" => {
                    if let Some(name) = macros.next() {
                        words.insert(format!("-{}", name.trim_end_matches(',')));
                    }
                }
                "Cm" => {
                    let mut command = Vec::new();
                    while let Some(next) = macros.peek() {
                        if next.chars().next().is_some_and(|c| c.is_ascii_uppercase()) {
                            break;
                        }
                        command.push(macros.next().unwrap_or_default());
                    }
                    words.insert(command.join(" "));
                }
                _ => {}
            }
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
