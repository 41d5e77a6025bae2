//! What adoption did, as a document and for people.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use crate::{
    adopt::{Reason, Report, Unplaced, Unread},
    view::Protocol,
};

/// Named at most, of the connections that were not adopted for one reason; the document names all.
const NAMED: usize = 5;

#[derive(Serialize)]
pub(super) struct AdoptionDocument<'a> {
    /// Sessions that were made.
    adopted: u64,
    by_protocol: BTreeMap<String, u64>,
    /// Connections that had a session already.
    known: u64,
    unplaced: Vec<GroupDocument<'a>>,
    unread: &'a [Unread],
}

#[derive(Serialize)]
struct GroupDocument<'a> {
    reason: Reason,
    count: usize,
    connections: Vec<&'a Unplaced>,
}

impl<'a> AdoptionDocument<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let group = |(reason, connections): (Reason, Vec<&'a Unplaced>)| GroupDocument {
            reason,
            count: connections.len(),
            connections,
        };
        Self {
            adopted: report.total(),
            by_protocol: report.adopted.iter().map(|(number, count)| (Protocol(*number).to_string(), *count)).collect(),
            known: report.known,
            unplaced: report.groups().into_iter().map(group).collect(),
            unread: &report.unread,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("adopted: {} open connections", self.adopted);
        let by: Vec<String> = self.by_protocol.iter().map(|(name, count)| format!("{count} {name}")).collect();
        if !by.is_empty() {
            let _ = write!(text, " ({})", by.join(", "));
        }
        if self.known > 0 {
            let _ = write!(text, "; {} were known", self.known);
        }
        text.push('\n');
        for group in &self.unplaced {
            let _ = writeln!(text, "not adopted: {} that {}", group.count, group.reason.text());
            for Unplaced { protocol, client, server, interface, .. } in group.connections.iter().take(NAMED) {
                let by = interface.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
                let _ = writeln!(text, "  {protocol} {client} to {server}{by}");
            }
            if group.count > NAMED {
                let _ = writeln!(text, "  \u{2026} and {} more", group.count - NAMED);
            }
        }
        for Unread { what, why } in self.unread {
            let _ = writeln!(text, "not looked at: {what}: {why}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Endpoint;

    fn report(many: u16) -> Report {
        let unplaced = |port: u16| Unplaced {
            reason: Reason::NotAttached,
            protocol: Protocol(6),
            client: Endpoint { address: [192, 0, 2, 1].into(), port },
            server: Endpoint { address: [192, 0, 2, 2].into(), port: 80 },
            interface: Some(if port == 1 { "lo" } else { "eth1" }.to_owned()),
        };
        Report {
            adopted: [(6, 4), (17, 1)].into(),
            known: 2,
            unplaced: (1..=many).map(unplaced).collect(),
            unread: vec![Unread { what: "UDP sockets".to_owned(), why: "no module".to_owned() }],
        }
    }

    #[test]
    fn what_is_not_named_is_counted() {
        let report = report(7);
        let text = AdoptionDocument::new(&report).text();
        let expected = "adopted: 5 open connections (4 tcp, 1 udp); 2 were known\n\
            not adopted: 7 that pass no attached interface\n\
            \x20 tcp 192.0.2.1:2 to 192.0.2.2:80 by eth1\n\
            \x20 tcp 192.0.2.1:3 to 192.0.2.2:80 by eth1\n\
            \x20 tcp 192.0.2.1:4 to 192.0.2.2:80 by eth1\n\
            \x20 tcp 192.0.2.1:5 to 192.0.2.2:80 by eth1\n\
            \x20 tcp 192.0.2.1:6 to 192.0.2.2:80 by eth1\n\
            \x20 \u{2026} and 2 more\n\
            not looked at: UDP sockets: no module\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_document_names_all() {
        let report = report(7);
        let document = serde_json::to_value(AdoptionDocument::new(&report)).unwrap();
        assert_eq!(document["unplaced"][0]["reason"], "not-attached");
        assert_eq!(document["unplaced"][0]["count"], 7);
        assert_eq!(document["unplaced"][0]["connections"].as_array().unwrap().len(), 7);
        assert_eq!(document["unplaced"][0]["connections"][6]["client"]["port"], 1, "loopback comes last");
        assert_eq!(document["by_protocol"]["udp"], 1);
    }
}
