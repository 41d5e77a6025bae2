//! Every document in every form, against committed files.

use mseg::view::{MapView, PressureView, StatusView};

use super::{
    document::{ALL, Form, output},
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

/// The counters of pressure.
fn figures(pressure: &mut PressureView) -> [&mut u64; 7] {
    [
        &mut pressure.sessions_evicted,
        &mut pressure.closing_evicted,
        &mut pressure.datagrams_evicted,
        &mut pressure.half_open_evicted,
        &mut pressure.inserts_refused,
        &mut pressure.source_limited,
        &mut pressure.midstream_misses,
    ]
}

#[test]
fn status_and_stats_show_every_figure_of_pressure_even_if_it_is_the_only_one() {
    const FIGURE: u64 = 987_654;
    for nth in 0..7 {
        let (mut stats, mut status) = (fixture::stats(), fixture::status(&fixture::context()));
        for pressure in [&mut stats.pressure, &mut status.status.pressure] {
            figures(pressure).into_iter().for_each(|figure| *figure = 0);
            *figures(pressure)[nth] = FIGURE;
        }
        for (_, form) in [FORMS[0], FORMS[2]] {
            let (mut of_stats, mut of_status) = (Vec::new(), Vec::new());
            output(&mut of_stats, form).report(&stats).unwrap();
            output(&mut of_status, form).report(&status).unwrap();
            for (name, text) in [("stats", of_stats), ("status", of_status)] {
                let text = String::from_utf8(text).unwrap();
                assert_eq!(text.matches(&FIGURE.to_string()).count(), 1, "{name} does not show figure {nth}: {text}");
            }
        }
    }
}

#[test]
fn status_and_stats_show_how_full_each_table_of_sessions_is() {
    const ENTRIES: [u64; 4] = [5_111, 6_222, 7_333, 8_444];
    let names = ["SESSIONS", "CLOSING", "DATAGRAMS", "HALF_OPEN"];
    let map = |(name, entries): (&str, u64)| MapView {
        name: name.into(),
        entries: Some(entries),
        max_entries: 9_000,
        bytes: 0,
    };
    let (mut stats, mut status) = (fixture::stats(), fixture::status(&fixture::context()));
    stats.maps = names.into_iter().zip(ENTRIES).map(map).collect();
    let StatusView { sessions, closing, datagrams, half_open, .. } = &mut status.status;
    for (fill, entries) in [sessions, closing, datagrams, half_open].into_iter().zip(ENTRIES) {
        fill.entries = entries;
    }
    for (_, form) in [FORMS[0], FORMS[2]] {
        let (mut of_stats, mut of_status) = (Vec::new(), Vec::new());
        output(&mut of_stats, form).report(&stats).unwrap();
        output(&mut of_status, form).report(&status).unwrap();
        for text in [of_stats, of_status] {
            let text = String::from_utf8(text).unwrap();
            assert!(ENTRIES.iter().all(|entries| text.contains(&entries.to_string())), "{text}");
        }
    }
}
