//! Every document in every form, against committed files.

use super::{
    document::{ALL, Form},
    expect_file, fixture, in_crate,
};
use crate::output::Format;

const FORMS: [(&str, Form); 5] = [
    ("txt", Form { format: Format::Text, color: false, verbose: false, header: true }),
    ("verbose.txt", Form { format: Format::Text, color: true, verbose: true, header: true }),
    ("json", Form { format: Format::Json { pretty: false }, color: false, verbose: false, header: true }),
    ("pretty.json", Form { format: Format::Json { pretty: true }, color: false, verbose: false, header: true }),
    ("tsv", Form { format: Format::Plain, color: false, verbose: false, header: true }),
];

#[test]
fn every_document_is_written_as_it_always_was() {
    for document in ALL {
        for (extension, form) in FORMS {
            let path = in_crate(&format!("tests/golden/{}.{extension}", document.name));
            expect_file(&path, &document.render(form));
        }
    }
}

#[test]
fn nothing_that_steers_a_terminal_comes_from_data() {
    for document in ALL {
        for (extension, form) in FORMS {
            let text = document.render(Form { color: false, ..form });
            let steering = text.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
            assert_eq!(steering, None, "{}.{extension}", document.name);
        }
    }
}

#[test]
fn without_a_header_the_rows_are_the_same() {
    let document = ALL.iter().find(|d| d.name == "session-list").unwrap();
    for (_, form) in FORMS.iter().filter(|(extension, _)| matches!(*extension, "tsv" | "verbose.txt")) {
        let with = document.render(*form);
        let without = document.render(Form { header: false, ..*form });
        let rows = |text: &str| text.lines().map(|l| l.split_whitespace().collect::<String>()).collect::<Vec<_>>();
        assert_eq!(rows(&without), rows(&with)[1..]);
    }
}

#[test]
fn the_text_of_rule_list_can_be_applied_again() {
    let document = ALL.iter().find(|d| d.name == "rule-list").unwrap();
    let mut text = String::from("define office = { 10.1.0.0/16, 2001:db8:1::/48 }\ntimeout tcp-established 2h\n");
    text.push_str(&document.render(FORMS[0].1));
    let mut again = mseg::policy::parse("rule list", &text).unwrap();
    let written = mseg::policy::parse("fixture", fixture::POLICY).unwrap();
    let order = |name: &str| written.rules.iter().position(|rule| rule.name == name);
    again.rules.sort_by_key(|rule| order(&rule.name));
    assert_eq!(again, written);
}

#[test]
fn every_line_of_tsv_has_the_fields_of_its_header() {
    for document in ALL {
        let text = document.render(FORMS[4].1);
        let mut fields = text.lines().map(|line| line.split('\t').count());
        let first = fields.next().unwrap();
        assert!(fields.all(|n| n == first), "{}", document.name);
    }
}
