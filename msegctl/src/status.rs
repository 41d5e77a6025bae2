//! `msegctl status`.

use mseg::{
    attach::{self, Mode, hook_name, role_name},
    error::Result,
    generation::{Waiting, count_rules},
    instance::{Access, Instance, interface_name},
    view::{Context, EventsView, FillView, InterfaceView, PolicyStatus, StatusView, Time, WaitingView},
};
use mseg_ebpf::abi::{config, map, meta::Meta};

use crate::{
    mode,
    output::{Report, Text, Tone, ago},
    policy,
    run::{Outcome, Run},
    session, stats,
    stop::Stop,
};

/// The state of an instance and the time it is looked at.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(crate) struct StatusReport {
    pub(crate) status: StatusView,
    #[serde(skip)]
    pub(crate) now: Time,
}

impl Report for StatusReport {
    const SCHEMA: &'static str = "mseg.status/1";

    fn describe(&self, text: &mut Text, verbose: bool) {
        let status = &self.status;
        text.field("instance", format!("{} ({})", status.instance, status.path));
        text.toned_field("mode", status.mode.name(), mode::tone(status.mode));
        if let Some(waiting) = &status.waiting {
            text.toned_field("waiting", waiting, Tone::Warn);
        }
        match &status.policy {
            Some(p) => {
                let (applied, ago) = (p.applied, ago(self.now, p.applied));
                let what = format!("generation {}, {}", p.generation, policy::extent(p.rules, p.entries));
                text.field("policy", format!("{what}, applied {applied} ({ago} ago)"));
            }
            None => text.toned_field("policy", "none: everything that needs one is denied", Tone::Bad),
        }
        match status.grace_until {
            Some(until) => text.field("mid-stream", format!("{} until {until}", status.midstream)),
            None if verbose => text.field("mid-stream", status.midstream),
            None => {}
        }
        let tables = [
            ("sessions", &status.sessions),
            ("closing", &status.closing),
            ("datagrams", &status.datagrams),
            ("half-open", &status.half_open),
        ];
        for (name, fill) in tables {
            let FillView { active, entries, max_entries } = fill;
            let tone = if fill.percent() >= 90 { Tone::Warn } else { Tone::Plain };
            text.toned_field(name, format!("{active} active; {entries} of {max_entries} entries in use"), tone);
        }
        let p = &status.pressure;
        let evicted = p.sessions_evicted + p.closing_evicted + p.datagrams_evicted + p.half_open_evicted;
        if verbose || evicted + p.inserts_refused + p.source_limited + p.midstream_misses > 0 {
            let evicted = format!(
                "{} sessions, {} closing, {} datagrams and {} half-open evicted",
                p.sessions_evicted, p.closing_evicted, p.datagrams_evicted, p.half_open_evicted
            );
            let refused = format!("{} refused, {} over the limit of their source", p.inserts_refused, p.source_limited);
            let tone = if p.sessions_evicted + p.inserts_refused > 0 { Tone::Warn } else { Tone::Plain };
            let missed = format!("{} mid-stream misses", p.midstream_misses);
            text.toned_field("pressure", format!("{evicted}, {refused}, {missed}"), tone);
        }
        let EventsView { submitted, lost } = status.events;
        text.toned_field("events", format!("{submitted} submitted, {lost} lost"), stats::lost_tone(lost));
        if verbose {
            text.field("loader", &status.loader_version);
        }
        let rows = status.interfaces.iter().map(|i| {
            let (state, tone) = match i.attached {
                Some(true) => ("attached", Tone::Good),
                Some(false) => ("gone", Tone::Bad),
                None => ("in another network namespace", Tone::Warn),
            };
            let plain = |text: &dyn ToString| (text.to_string(), Tone::Plain);
            vec![
                plain(&i.name),
                plain(&i.ifindex),
                (state.into(), tone),
                plain(&i.role),
                plain(&i.hook),
                plain(&i.zone),
                plain(&ago(self.now, i.since)),
            ]
        });
        text.table(&["interface", ">index", "state", "role", "hook", ">zone", ">for"], rows.collect());
    }
}

pub(crate) fn run(run: &mut Run<'_>) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let context = run.context(&instance)?;
    let status = read(&instance, &context)?;
    run.output.report(&StatusReport { status, now: context.now() })?;
    Ok(Outcome::Done)
}

/// Reads the state of an instance.
pub(crate) fn read(instance: &Instance, context: &Context) -> Result<StatusView> {
    let options = instance.options();
    let loaded = attach::status(options)?;
    let config = loaded.config;
    let counts @ [sessions, closing, datagrams, half_open] = session::counts(instance, context)?;
    let stats = stats::read(instance, counts)?;
    let fill = |name: &str, active| {
        let map = stats.maps.iter().find(|map| map.name == name);
        FillView {
            active,
            entries: map.and_then(|map| map.entries).unwrap_or(0),
            max_entries: map.map_or(0, |map| map.max_entries),
        }
    };
    let in_grace = config.midstream == config::MIDSTREAM_GRACE && config.grace_until_ns > context.clock.monotonic_ns();
    Ok(StatusView {
        instance: options.name.clone(),
        path: options.directory().display().to_string(),
        loader_version: version(&loaded.meta),
        mode: Mode::from_value(config.mode),
        midstream: midstream_name(config.midstream),
        grace_until: in_grace.then(|| context.time(config.grace_until_ns)),
        waiting: Waiting::of(&config).map(|waiting| WaitingView::new(context, &waiting)),
        policy: policy(instance, config.generation)?,
        interfaces: loaded.interfaces.iter().map(|i| interface(context, i)).collect(),
        sessions: fill(map::SESSIONS, sessions),
        closing: fill(map::CLOSING, closing),
        datagrams: fill(map::DATAGRAMS, datagrams),
        half_open: fill(map::HALF_OPEN, half_open),
        pressure: stats.pressure,
        events: stats.events,
    })
}

fn policy(instance: &Instance, generation: u32) -> Result<Option<PolicyStatus>> {
    let Some(header) = instance.policy_header(generation)? else {
        return Ok(None);
    };
    Ok(Some(PolicyStatus {
        generation,
        applied: Time::of_unix_ns(header.applied_unix_ns),
        rules: count_rules(&instance.policy_text(generation)?.unwrap_or_default()),
        entries: header.verdicts,
    }))
}

fn interface(context: &Context, status: &attach::InterfaceStatus) -> InterfaceView {
    let interface = &status.interface;
    InterfaceView {
        name: interface_name(interface).into(),
        ifindex: status.ifindex,
        role: role_name(interface.role),
        hook: hook_name(interface.hook),
        zone: interface.zone,
        attached: status.alive,
        here: status.here,
        since: context.time(interface.attached_ns),
    }
}

fn midstream_name(midstream: u32) -> &'static str {
    match midstream {
        config::MIDSTREAM_GRACE => "grace",
        config::MIDSTREAM_PICKUP => "pickup",
        _ => "strict",
    }
}

fn version(meta: &Meta) -> String {
    String::from_utf8_lossy(&meta.loader_version).trim_end_matches('\0').into()
}
