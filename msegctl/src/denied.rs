//! `msegctl denied`.

use std::fmt::{self, Display, Write};

use mseg::{
    error::Result,
    instance::Access,
    view::{DeniedView, FlowView, Record, Time},
};
use mseg_ebpf::abi::{denied::Denied, session::SessionKey};

use crate::{
    cli::{DeniedCommand, Sort},
    output::{Column, Row, Shown, ago},
    run::{Outcome, Run},
    select::{Each, select},
    stop::Stop,
};

/// A denial and the time it is looked at.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(crate) struct DeniedRow<'a> {
    pub(crate) denied: DeniedView<'a>,
    #[serde(skip)]
    pub(crate) now: Time,
}

impl DeniedRow<'_> {
    /// Writes what only an IP packet has; a hyphen for what was denied before its addresses were found.
    fn if_ip(&self, value: &dyn Display, out: &mut dyn Write) -> fmt::Result {
        let FlowView { client, server, .. } = &self.denied.flow;
        if client.address.is_unspecified() && server.address.is_unspecified() {
            return out.write_str("-");
        }
        write!(out, "{value}")
    }
}

impl Row for DeniedRow<'_> {
    const SCHEMA: &'static str = "mseg.denied-list/1";
    const KEY: &'static str = "denied";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new(Shown::Text, "protocol", |r, o| r.if_ip(&r.denied.flow.protocol, o)),
            Column::new(Shown::Text, "client", |r, o| r.if_ip(&r.denied.flow.client, o)),
            Column::new(Shown::Text, "server", |r, o| r.if_ip(&r.denied.flow.server, o)),
            Column::new(Shown::Plain, "protocol", |r, o| write!(o, "{}", r.denied.flow.protocol)),
            Column::new(Shown::Plain, "client_address", |r, o| write!(o, "{}", r.denied.flow.client.address)),
            Column::number(Shown::Plain, "client_port", |r, o| write!(o, "{}", r.denied.flow.client.port)),
            Column::new(Shown::Plain, "server_address", |r, o| write!(o, "{}", r.denied.flow.server.address)),
            Column::number(Shown::Plain, "server_port", |r, o| write!(o, "{}", r.denied.flow.server.port)),
            Column::new(Shown::Always, "direction", |r, o| write!(o, "{}", r.denied.flow.direction)),
            Column::new(Shown::Always, "interface", |r, o| o.write_str(&r.denied.flow.interface)),
            Column::new(Shown::Always, "reason", |r, o| o.write_str(r.denied.reason)),
            Column::new(Shown::Always, "rule", |r, o| o.write_str(&r.denied.flow.rule)),
            Column::number(Shown::Always, "packets", |r, o| write!(o, "{}", r.denied.denied.packets)),
            Column::number(Shown::Always, "bytes", |r, o| write!(o, "{}", r.denied.denied.bytes)),
            Column::number(Shown::Text, "first", |r, o| write!(o, "{}", ago(r.now, r.denied.first_seen))),
            Column::number(Shown::Text, "last", |r, o| write!(o, "{}", ago(r.now, r.denied.last_seen))),
            Column::new(Shown::Plain, "first_seen", |r, o| write!(o, "{}", r.denied.first_seen)),
            Column::new(Shown::Plain, "last_seen", |r, o| write!(o, "{}", r.denied.last_seen)),
            Column::number(Shown::Verbose, "generation", |r, o| write!(o, "{}", r.denied.flow.generation)),
            Column::number(Shown::Plain, "zone", |r, o| write!(o, "{}", r.denied.flow.zone)),
            Column::new(Shown::Verbose, "id", |r, o| write!(o, "{}", r.denied.flow.id)),
        ]
    }
}

pub(crate) fn run(run: &mut Run<'_>, command: &DeniedCommand) -> Result<Outcome, Stop> {
    let DeniedCommand::List(selection) = command;
    let instance = run.open(Access::Read)?;
    let context = run.context(&instance)?;
    let now = context.now();
    let rank = selection.sort.map(rank);
    let mut found = false;
    run.output.listing(Box::new(|each: Each<'_, DeniedRow<'_>>| {
        let source = |each: Each<'_, (SessionKey, Denied)>| {
            instance.for_each_denied(&mut |key, denied| {
                let wanted =
                    selection.filter.is_empty() || selection.filter.matches(&Record::denied(&context, key, denied));
                if wanted { each((*key, *denied)) } else { std::ops::ControlFlow::Continue(()) }
            })
        };
        select(selection.limit, rank.as_deref(), source, &mut |(key, denied)| {
            found = true;
            each(DeniedRow { denied: DeniedView::new(&context, &key, &denied), now })
        })
    }))?;
    Ok(Outcome::matched(found || selection.filter.is_empty()))
}

type Rank = Box<dyn Fn(&(SessionKey, Denied)) -> u64>;

fn rank(sort: Sort) -> Rank {
    match sort {
        Sort::Bytes => Box::new(|(_, d)| d.traffic.bytes),
        Sort::Packets => Box::new(|(_, d)| d.traffic.packets),
        Sort::Age => Box::new(|(_, d)| u64::MAX - d.first_ns),
        Sort::LastSeen => Box::new(|(_, d)| d.last_ns),
    }
}
