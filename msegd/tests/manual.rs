//! The manual page and the command line agree.

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn the_manual_page_has_every_option_and_no_other() {
    let mut command = msegd::cli::command();
    command.build();
    let mut options = BTreeSet::new();
    for argument in command.get_arguments() {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
        options.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../man/msegd.8")).unwrap();
    let mut described = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(".It Fl ")) {
        let mut words = line.split_whitespace().peekable();
        described.extend(words.next().map(|word| format!("-{word}")));
        while let Some(word) = words.next() {
            if word == "Fl" {
                described.extend(words.next().map(|word| format!("-{word}")));
            }
        }
    }
    assert_eq!(described, options);
}
