//! `msegctl rule`.

mod row;

use std::collections::BTreeSet;

use mseg::{
    error::{Error, Result},
    generation,
    instance::{Access, Instance},
    policy,
    view::RuleView,
};

pub(crate) use row::RuleRow;

use crate::{
    cli::RuleCommand,
    lockout::{self, Change},
    output::{Format, Output},
    policy::Applied,
    run::{Outcome, Run},
    select::Each,
    stop::Stop,
};

pub(crate) fn run(run: &mut Run<'_>, command: &RuleCommand) -> Result<Outcome, Stop> {
    match command {
        RuleCommand::List => list(run),
        RuleCommand::Get { name } => get(run, name),
        RuleCommand::Add { rule, force } => add(run, &rule.join(" "), *force),
        RuleCommand::Delete { names, force } => delete(run, names, *force),
    }
}

fn list(run: &mut Run<'_>) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let policy = generation::current(&instance)?;
    let rows = rows(run, &instance, &policy)?;
    if run.output.format == Format::Text {
        // Rules refer to sets, so without these the text could not be applied.
        let text = policy.to_string();
        let settings = text.lines().filter(|line| line.starts_with("timeout ") || line.starts_with("define "));
        run.output.lines(settings)?;
    }
    write_rows(&mut run.output, rows)?;
    Ok(Outcome::Done)
}

/// In text a rule has a line for each of its lines.
pub(crate) fn write_rows(output: &mut Output<'_>, rows: Vec<RuleRow>) -> Result<(), Stop> {
    let text = output.format == Format::Text;
    output.listing(Box::new(move |each: Each<'_, RuleRow>| {
        let _ =
            rows.into_iter().try_for_each(|row| if text { row.lines().try_for_each(&mut *each) } else { each(row) });
        Ok(())
    }))
}

fn get(run: &mut Run<'_>, name: &str) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Read)?;
    let rows = rows(run, &instance, &generation::current(&instance)?)?;
    let row = rows
        .into_iter()
        .find(|row| row.rule.name == name)
        .ok_or_else(|| Error::failed(format!("there is no rule {name}")).hint("`msegctl rule list` shows all rules"))?;
    run.output.report(&row)?;
    Ok(Outcome::Done)
}

fn rows(run: &Run<'_>, instance: &Instance, policy: &policy::Policy) -> Result<Vec<RuleRow>> {
    let context = run.context(instance)?;
    let now = context.now();
    let views = RuleView::all(&context, policy, &instance.rule_hits()?);
    Ok(views.into_iter().map(|rule| RuleRow { rule, now, continues: false }).collect())
}

fn add(run: &mut Run<'_>, text: &str, force: bool) -> Result<Outcome, Stop> {
    let rule = policy::parse_rule(text).map_err(Error::from)?;
    edit(run, force, |policy| policy.add_rule(rule))
}

fn delete(run: &mut Run<'_>, names: &[String], force: bool) -> Result<Outcome, Stop> {
    // Named twice, it is deleted once.
    let names: BTreeSet<&String> = names.iter().collect();
    edit(run, force, |policy| names.into_iter().try_for_each(|name| policy.remove_rule(name).map(drop)))
}

/// Changes the active policy: all of it is applied or nothing.
fn edit(
    run: &mut Run<'_>,
    force: bool,
    change: impl FnOnce(&mut policy::Policy) -> Result<()>,
) -> Result<Outcome, Stop> {
    let instance = run.open(Access::Write)?;
    instance.require_pins()?;
    // From reading to writing, so that no other writer's change is lost.
    let mut locked = instance.lock()?;
    let mut policy = generation::policy(&instance, locked.config().generation)?;
    change(&mut policy)?;
    lockout::check(run, &locked, &Change { policy: Some(&policy), force, ..Change::default() })?;
    let applied = generation::apply(&mut locked, &policy, None)?;
    run.done(Applied::new(run, &instance, &policy, applied, false))?;
    Ok(Outcome::Done)
}
