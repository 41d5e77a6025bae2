//! `msegctl stats`.

use mseg::{
    error::Result,
    instance::{Access, Instance},
    view::{MapView, StatsView},
};

use crate::{
    cli::StatsCommand,
    output::{Report, Text, Tone},
    run::{Outcome, Run},
    session,
    stop::Stop,
};

impl Report for StatsView {
    const SCHEMA: &'static str = "mseg.stats/1";

    fn describe(&self, text: &mut Text, verbose: bool) {
        let plain = |value: &dyn ToString| (value.to_string(), Tone::Plain);
        let (packets, bytes) = (&self.packets, &self.bytes);
        let row =
            |name: &str, packets: u64, bytes: u64, tone| vec![plain(&name), (packets.to_string(), tone), plain(&bytes)];
        text.table(
            &["verdict", ">packets", ">bytes"],
            vec![
                row("seen", packets.seen, bytes.seen, Tone::Plain),
                row("allowed", packets.allowed, bytes.allowed, Tone::Plain),
                row("denied", packets.denied, bytes.denied, Tone::Plain),
                row("observed", packets.observed, bytes.observed, Tone::Plain),
            ],
        );
        let reasons = self.reasons.iter().map(|(reason, n)| vec![plain(reason), plain(n)]);
        text.table(&["reason", ">packets"], reasons.collect());
        let s = &self.sessions;
        let mut sessions = vec![
            ("sessions active", s.active),
            ("sessions half-open", s.half_open),
            ("sessions created", s.created),
            ("sessions closed", s.closed),
            ("sessions expired", s.expired),
        ];
        let p = &self.pressure;
        sessions.extend([
            ("sessions evicted", p.sessions_evicted),
            ("closing evicted", p.closing_evicted),
            ("datagrams evicted", p.datagrams_evicted),
            ("half-open evicted", p.half_open_evicted),
            ("inserts refused", p.inserts_refused),
            ("source limited", p.source_limited),
            ("mid-stream misses", p.midstream_misses),
        ]);
        if verbose {
            sessions.push(("half-open per source", p.half_open_per_source.into()));
            sessions.push(("sessions adopted", p.adopted));
            sessions.extend([("sessions promoted", s.promoted), ("sessions rejudged", s.rejudged)]);
        }
        for (name, value) in sessions {
            text.field(name, value);
        }
        text.field("events submitted", self.events.submitted);
        text.toned_field("events lost", self.events.lost, lost_tone(self.events.lost));
        let maps = self.maps.iter().map(|map| {
            let entries = map.entries.map(|n| n.to_string()).unwrap_or_default();
            vec![plain(&map.name), plain(&entries), plain(&map.max_entries), plain(&map.bytes)]
        });
        text.table(&["map", ">entries", ">max", ">bytes"], maps.collect());
    }
}

pub(crate) fn lost_tone(lost: u64) -> Tone {
    if lost == 0 { Tone::Plain } else { Tone::Warn }
}

pub(crate) fn run(run: &mut Run<'_>, command: &StatsCommand) -> Result<Outcome, Stop> {
    let StatsCommand::Show = command;
    let instance = run.open(Access::Read)?;
    let context = run.context(&instance)?;
    run.output.report(&read(&instance, session::counts(&instance, &context)?)?)?;
    Ok(Outcome::Done)
}

/// Reads every counter, but for the sessions, which [`session::counts`] has walked through.
pub(crate) fn read(instance: &Instance, [sessions, closing, datagrams, half_open]: [u64; 4]) -> Result<StatsView> {
    let maps = instance.maps()?.into_iter().map(|map| MapView {
        name: map.name.to_string(),
        entries: map.entries,
        max_entries: map.max_entries,
        bytes: map.bytes,
    });
    Ok(StatsView::new(
        &instance.counters()?,
        &instance.event_stats()?,
        &instance.config()?,
        (sessions + closing + datagrams, half_open),
        maps.collect(),
    ))
}
