//! How rules are written: as lines of a policy, with their hits in a comment.

use mseg::view::{RuleAction, RuleView, Time};

use crate::output::{Column, Report, Row, Shown, Text, Tone, ago};

/// A rule and the time it is looked at.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(crate) struct RuleRow {
    pub(crate) rule: RuleView,
    #[serde(skip)]
    pub(crate) now: Time,
    /// A further line of the text of the rule before, whose hits are there.
    #[serde(skip)]
    pub(crate) continues: bool,
}

impl RuleRow {
    /// One row for each line of the rule's text.
    pub(crate) fn lines(self) -> impl Iterator<Item = Self> {
        let lines: Vec<String> = self.rule.text.lines().map(String::from).collect();
        lines.into_iter().enumerate().map(move |(i, text)| Self {
            rule: RuleView { text, ..self.rule.clone() },
            now: self.now,
            continues: i > 0,
        })
    }
}

impl Row for RuleRow {
    const SCHEMA: &'static str = "mseg.rule-list/1";
    const KEY: &'static str = "rules";

    fn columns() -> Vec<Column<Self>> {
        vec![
            // In text even the header is a comment, so that all of it can be applied.
            Column::new(Shown::Text, "# rule", |r: &Self, o| o.write_str(&r.rule.text)).tone(|r| tone(&r.rule)),
            Column::new(Shown::Text, "# hits", |r, o| match (r.continues, r.rule.last_hit) {
                (true, _) => Ok(()),
                (false, None) => o.write_str("# never"),
                (false, Some(last)) => {
                    let hits = &r.rule.hits;
                    let (sessions, packets, bytes) = (hits.sessions, hits.packets, hits.bytes);
                    let ago = ago(r.now, last);
                    write!(o, "# sessions {sessions}, packets {packets}, bytes {bytes}, last {ago} ago")
                }
            }),
            Column::new(Shown::Plain, "name", |r, o| o.write_str(&r.rule.name)),
            Column::new(Shown::Plain, "action", |r, o| write!(o, "{}", r.rule.action)),
            Column::new(Shown::Plain, "direction", |r, o| write!(o, "{}", r.rule.direction)),
            Column::new(Shown::Plain, "priority", |r, o| r.rule.priority.map_or(Ok(()), |p| write!(o, "{p}"))),
            Column::new(Shown::Plain, "builtin", |r, o| write!(o, "{}", r.rule.builtin)),
            Column::new(Shown::Plain, "enabled", |r, o| write!(o, "{}", r.rule.enabled)),
            Column::new(Shown::Plain, "sessions", |r, o| write!(o, "{}", r.rule.hits.sessions)),
            Column::new(Shown::Plain, "packets", |r, o| write!(o, "{}", r.rule.hits.packets)),
            Column::new(Shown::Plain, "bytes", |r, o| write!(o, "{}", r.rule.hits.bytes)),
            Column::new(Shown::Plain, "last_hit", |r, o| r.rule.last_hit.map_or(Ok(()), |t| write!(o, "{t}"))),
            Column::new(Shown::Plain, "text", |r, o| o.write_str(&r.rule.text)),
        ]
    }
}

impl Report for RuleRow {
    const SCHEMA: &'static str = "mseg.rule/1";

    fn describe(&self, text: &mut Text, _: bool) {
        let rule = &self.rule;
        text.field("name", &rule.name);
        for (i, line) in rule.text.lines().enumerate() {
            text.toned_field(if i == 0 { "text" } else { "" }, line, tone(rule));
        }
        if let Some(priority) = rule.priority {
            text.field("priority", priority);
        }
        text.field("sessions", rule.hits.sessions);
        text.field("packets", rule.hits.packets);
        text.field("bytes", rule.hits.bytes);
        let last = rule.last_hit.map(|last| format!("{last} ({} ago)", ago(self.now, last)));
        text.field("last hit", last.unwrap_or_else(|| "never".into()));
    }
}

fn tone(rule: &RuleView) -> Tone {
    match (rule.enabled, rule.action) {
        (false, _) => Tone::Warn,
        (true, RuleAction::Allow) => Tone::Good,
        (true, RuleAction::Deny) => Tone::Bad,
    }
}
