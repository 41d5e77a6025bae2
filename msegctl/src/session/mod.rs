//! `msegctl session`.

mod row;

use std::{collections::HashSet, ops::ControlFlow};

use mseg::{
    error::{Code, Error, Result},
    instance::{Access, Instance, Table},
    view::{Context, Filter, Record, SessionId, SessionView, is_expired, last_seen},
};
use mseg_ebpf::abi::session::{Session, SessionKey, SessionState};

pub(crate) use row::SessionRow;

use crate::{
    cli::{DeleteArgs, Selection, SessionCommand, Sessions, Sort},
    output::{Report, Text},
    run::{Outcome, Run},
    select::{Each, select},
    stop::Stop,
};

pub(crate) fn run(run: &mut Run<'_>, command: SessionCommand) -> Result<Outcome, Stop> {
    match command {
        SessionCommand::List(selection) => list(run, &selection),
        SessionCommand::Get { id } => get(run, id),
        SessionCommand::Count(selection) => count(run, &selection),
        SessionCommand::Delete(args) => delete(run, &args),
    }
}

fn list(run: &mut Run<'_>, selection: &Selection<Sessions>) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let context = run.context(&instance)?;
    let mut found = false;
    run.output.listing(Box::new(|each: Each<'_, SessionRow<'_>>| {
        selected(&instance, &context, selection, &mut |(key, session)| {
            found = true;
            each(SessionRow { session: SessionView::new(&context, &key, &session), now: context.now() })
        })
    }))?;
    Ok(Outcome::matched(found || selection.filter.is_empty()))
}

fn get(run: &mut Run<'_>, id: SessionId) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let context = run.context(&instance)?;
    let found = instance.session(&id.0)?.filter(|(_, session)| !is_expired(&context.clock, session));
    let Some((_, session)) = found else {
        return Err(Error::failed(format!("there is no session {id}")).into());
    };
    run.output.report(&SessionRow { session: SessionView::new(&context, &id.0, &session), now: context.now() })?;
    Ok(Outcome::Done)
}

/// How many sessions there are.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct SessionCount {
    /// Sessions that match, or all without a filter; expired ones are not counted.
    pub(crate) count: u64,
}

impl Report for SessionCount {
    const SCHEMA: &'static str = "mseg.session-count/1";

    fn describe(&self, text: &mut Text, _: bool) {
        text.line(self.count.to_string());
    }
}

fn count(run: &mut Run<'_>, selection: &Selection<Sessions>) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let context = run.context(&instance)?;
    let mut count = 0;
    selected(&instance, &context, selection, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    run.output.report(&SessionCount { count })?;
    Ok(Outcome::matched(count > 0 || selection.filter.is_empty()))
}

/// What was deleted.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct SessionsDeleted {
    /// Sessions that are gone.
    pub(crate) deleted: u64,
    /// Ids that were named but are no session.
    pub(crate) missing: Vec<SessionId>,
}

impl Report for SessionsDeleted {
    const SCHEMA: &'static str = "mseg.session-delete/1";

    fn describe(&self, text: &mut Text, _: bool) {
        let plural = if self.deleted == 1 { "" } else { "s" };
        text.line(format!("deleted {} session{plural}", self.deleted));
    }
}

fn delete(run: &mut Run<'_>, args: &DeleteArgs) -> Result<Outcome, Stop> {
    let filtered = !args.selection.filter.is_empty();
    match (args.ids.is_empty(), filtered, args.all) {
        (true, false, false) => {
            return Err(Error::new(Code::Usage, "it is not said which sessions to delete")
                .hint("give ids or filters, or --all to delete every session")
                .into());
        }
        (_, true, true) | (false, true, false) => {
            return Err(Error::new(Code::Usage, "filters cannot be combined with ids or --all").into());
        }
        _ => {}
    }
    let instance = run.open(Access::Write)?;
    let mut result = SessionsDeleted { deleted: 0, missing: Vec::new() };
    if args.ids.is_empty() {
        // Collected first: deleting under an iteration makes the kernel start over.
        let context = run.context(&instance)?;
        let mut keys = Vec::new();
        selected(&instance, &context, &args.selection, &mut |(key, _)| {
            keys.push(key);
            ControlFlow::Continue(())
        })?;
        for key in keys {
            result.deleted += u64::from(instance.delete_session(&key)?);
        }
    } else {
        for id in &args.ids {
            if instance.delete_session(&id.0)? {
                result.deleted += 1;
            } else {
                result.missing.push(*id);
            }
        }
    }
    let result = run.done(Ok(result))?;
    if let Some(id) = result.missing.first() {
        return Err(Error::failed(format!("there is no session {id}")).into());
    }
    Ok(Outcome::matched(result.deleted > 0 || !filtered))
}

/// The selected sessions of both tables.
fn selected(
    instance: &Instance,
    context: &Context,
    selection: &Selection<Sessions>,
    each: Each<'_, (SessionKey, Session)>,
) -> Result<()> {
    let rank = selection.sort.map(|sort| rank(sort, context));
    let source = |each: Each<'_, (SessionKey, Session)>| live(instance, context, &selection.filter, each);
    select(selection.limit, rank.as_deref(), source, each)
}

type Rank<'a> = Box<dyn Fn(&(SessionKey, Session)) -> u64 + 'a>;

fn rank(sort: Sort, context: &Context) -> Rank<'_> {
    match sort {
        Sort::Bytes => Box::new(|(_, s)| s.to_server.bytes.saturating_add(s.to_client.bytes)),
        Sort::Packets => Box::new(|(_, s)| s.to_server.packets.saturating_add(s.to_client.packets)),
        Sort::Age => Box::new(|(_, s)| u64::MAX - u64::from(s.created)),
        Sort::LastSeen => Box::new(|(_, s)| last_seen(&context.clock, s).rank()),
    }
}

/// The matching sessions of all tables that are not expired, each once.
fn live(instance: &Instance, context: &Context, filter: &Filter, each: Each<'_, (SessionKey, Session)>) -> Result<()> {
    // A session may be promoted while this reads. With HALF_OPEN before SESSIONS it is not missed, only met twice; what was
    // not wanted there (expired, of another state) may be in SESSIONS.
    let mut met = HashSet::new();
    let mut ended = false;
    for table in Table::ALL {
        if ended {
            break;
        }
        instance.for_each_session(table, &mut |key, session| {
            let wanted = !is_expired(&context.clock, session)
                && (filter.is_empty() || filter.matches(&Record::session(context, key, session)));
            let small = matches!(table, Table::HalfOpen | Table::Closing | Table::Closed);
            if !wanted || (!small && met.contains(key)) {
                return ControlFlow::Continue(());
            }
            // Beside one that goes on, a new connection is only attempted, and one that has closed is over.
            if small && matches!(instance.session(key), Ok(Some((found, _))) if found != table) {
                return ControlFlow::Continue(());
            }
            if small {
                met.insert(*key);
            }
            let flow = each((*key, *session));
            ended = flow.is_break();
            flow
        })?;
    }
    Ok(())
}

/// Sessions that a change of policy concerns.
#[derive(Clone, Copy, Debug, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Rejudged {
    /// Sessions that are neither expired nor closed.
    pub(crate) live: u64,
    /// Those of them that were judged in another generation, and are judged again by their next packet.
    pub(crate) to_rejudge: u64,
}

impl Rejudged {
    /// Of those that a generation concerns; none has been judged in one that is yet to come.
    pub(crate) fn count(instance: &Instance, context: &Context, generation: Option<u32>) -> Result<Self> {
        let mut counted = Self { live: 0, to_rejudge: 0 };
        live(instance, context, &Filter::default(), &mut |(_, session)| {
            // What is over has nothing to lose.
            if session.state == SessionState::Closed {
                return ControlFlow::Continue(());
            }
            counted.live += 1;
            counted.to_rejudge += u64::from(Some(session.generation) != generation);
            ControlFlow::Continue(())
        })?;
        Ok(counted)
    }

    /// For people.
    pub(crate) fn describe(self, text: &mut Text) {
        let Self { live, to_rejudge } = self;
        text.line(format!("sessions to be judged again by their next packet: {to_rejudge} of {live}"));
    }
}

/// How many sessions are in SESSIONS, CLOSING, DATAGRAMS and HALF_OPEN; expired ones are not counted.
pub(crate) fn counts(instance: &Instance, context: &Context) -> Result<[u64; 4]> {
    let count = |table| -> Result<u64> {
        let mut count = 0;
        instance.for_each_session(table, &mut |_, session| {
            count += u64::from(!is_expired(&context.clock, session));
            ControlFlow::Continue(())
        })?;
        Ok(count)
    };
    let tables = [Table::Sessions, Table::Closing, Table::Datagrams, Table::HalfOpen];
    let mut counts = [0; 4];
    for (n, table) in counts.iter_mut().zip(tables) {
        *n = count(table)?;
    }
    Ok(counts)
}
