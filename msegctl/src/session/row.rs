//! How sessions are written.

use mseg::view::{SessionView, State, Time, Verdict};

use crate::output::{Column, Report, Row, Shown, Text, Tone, ago};

/// A session and the time it is looked at, from which text tells how long ago things were.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(crate) struct SessionRow<'a> {
    pub(crate) session: SessionView<'a>,
    #[serde(skip)]
    pub(crate) now: Time,
}

impl Row for SessionRow<'_> {
    const SCHEMA: &'static str = "mseg.session-list/1";
    const KEY: &'static str = "sessions";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new(Shown::Always, "protocol", |r, o| write!(o, "{}", r.session.protocol)),
            Column::new(Shown::Text, "client", |r, o| write!(o, "{}", r.session.client)),
            Column::new(Shown::Text, "server", |r, o| write!(o, "{}", r.session.server)),
            Column::new(Shown::Plain, "client_address", |r, o| write!(o, "{}", r.session.client.address)),
            Column::number(Shown::Plain, "client_port", |r, o| write!(o, "{}", r.session.client.port)),
            Column::new(Shown::Plain, "server_address", |r, o| write!(o, "{}", r.session.server.address)),
            Column::number(Shown::Plain, "server_port", |r, o| write!(o, "{}", r.session.server.port)),
            Column::new(Shown::Always, "state", |r, o| o.write_str(r.session.state.map_or("", State::name))),
            Column::new(Shown::Verbose, "tcp_state", |r, o| r.session.tcp_state.map_or(Ok(()), |s| write!(o, "{s}"))),
            Column::new(Shown::Always, "direction", |r, o| write!(o, "{}", r.session.direction)),
            Column::new(Shown::Always, "interface", |r, o| o.write_str(&r.session.interface)),
            Column::new(Shown::Always, "verdict", |r: &Self, o| write!(o, "{}", r.session.verdict))
                .tone(|r| verdict_tone(r.session.verdict)),
            Column::new(Shown::Always, "rule", |r, o| o.write_str(&r.session.rule)),
            Column::number(Shown::Plain, "to_server_packets", |r, o| write!(o, "{}", r.session.to_server.packets)),
            Column::number(Shown::Plain, "to_server_bytes", |r, o| write!(o, "{}", r.session.to_server.bytes)),
            Column::number(Shown::Plain, "to_client_packets", |r, o| write!(o, "{}", r.session.to_client.packets)),
            Column::number(Shown::Plain, "to_client_bytes", |r, o| write!(o, "{}", r.session.to_client.bytes)),
            Column::number(Shown::Text, "packets", |r, o| {
                write!(o, "{}/{}", r.session.to_server.packets, r.session.to_client.packets)
            }),
            Column::number(Shown::Text, "bytes", |r, o| {
                write!(o, "{}/{}", r.session.to_server.bytes, r.session.to_client.bytes)
            }),
            Column::number(Shown::Text, "age", |r, o| write!(o, "{}", ago(r.now, r.session.created))),
            Column::number(Shown::Text, "idle", |r, o| write!(o, "{}", ago(r.now, r.session.last_seen))),
            Column::new(Shown::Plain, "created", |r, o| write!(o, "{}", r.session.created)),
            Column::new(Shown::Plain, "last_seen", |r, o| write!(o, "{}", r.session.last_seen)),
            Column::number(Shown::Verbose, "expires_in_s", |r, o| write!(o, "{}", r.session.expires_in_s)),
            Column::number(Shown::Verbose, "generation", |r, o| write!(o, "{}", r.session.generation)),
            Column::number(Shown::Plain, "zone", |r, o| write!(o, "{}", r.session.zone)),
            Column::new(Shown::Plain, "picked_up", |r, o| write!(o, "{}", r.session.picked_up)),
            Column::new(Shown::Verbose, "id", |r, o| write!(o, "{}", r.session.id)),
        ]
    }
}

impl Report for SessionRow<'_> {
    const SCHEMA: &'static str = "mseg.session/1";

    fn describe(&self, text: &mut Text, _: bool) {
        let session = &self.session;
        text.field("id", session.id);
        text.field("protocol", session.protocol);
        text.field("client", session.client);
        text.field("server", session.server);
        match (session.state, session.tcp_state) {
            (Some(state), Some(tcp)) => text.field("state", format!("{state} (TCP {tcp})")),
            (state, _) => text.field("state", state.map_or("none", State::name)),
        }
        text.field("direction", session.direction);
        text.field("interface", &session.interface);
        text.toned_field("verdict", session.verdict, verdict_tone(session.verdict));
        text.field("rule", &session.rule);
        text.field("generation", session.generation);
        if session.zone != 0 {
            text.field("zone", session.zone);
        }
        let totals = |t: mseg::view::Totals| format!("{} packets, {} bytes", t.packets, t.bytes);
        text.field("to server", totals(session.to_server));
        text.field("to client", totals(session.to_client));
        text.field("created", format!("{} ({} ago)", session.created, ago(self.now, session.created)));
        text.field("last seen", format!("{} ({} ago)", session.last_seen, ago(self.now, session.last_seen)));
        text.field("expires in", format!("{} s", session.expires_in_s));
        if session.picked_up {
            text.field("picked up", "in its middle: its first packets were not seen");
        }
    }
}

fn verdict_tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Allow => Tone::Good,
        Verdict::Deny => Tone::Bad,
    }
}
