//! What the instance must be like.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use mseg::{
    attach::Mode,
    error::{Code, Error, Result},
    generation,
    instance::{Access, Instance, Options},
    view::{Context, FillView, StatusView},
};

use super::{Check, is_usage};
use crate::status;

/// A table this full, in percent, is about to evict sessions that are still in use.
const FULL_PERCENT: u64 = 90;

pub(super) fn checks(options: &Options) -> Result<Vec<Check>> {
    let instance = match Instance::open(options, Access::Read) {
        Ok(instance) => instance,
        Err(error) if is_usage(&error) => return Err(error),
        Err(error) if error.code == Code::NotLoaded => {
            return Ok(vec![Check::warn("loaded", error.message, "mseg-loader attach INTERFACE")]);
        }
        Err(error) => return Ok(vec![Check::error("loaded", error)]),
    };
    let read = Context::of(&instance).and_then(|context| status::read(&instance, &context));
    let status = match read {
        Ok(status) => status,
        Err(error) => return Ok(vec![Check::error("loaded", error)]),
    };
    let mut checks = vec![
        Check::ok("loaded", format!("instance {}, by mseg-loader {}", status.instance, status.loader_version)),
        pins(Path::new(&status.path)).unwrap_or_else(|error| Check::error("pins", error)),
        mode(status.mode),
        policy(&instance, &status).unwrap_or_else(|error| Check::error("policy", error)),
    ];
    checks.extend(interfaces(&status));
    checks.push(table("sessions", &status.sessions));
    checks.push(table("half-open", &status.half_open));
    checks.push(events(&status));
    Ok(checks)
}

/// Every pin belongs to root, and no other user may open it: who can open a program may attach it elsewhere.
fn pins(path: &Path) -> Result<Check> {
    let mut open = Vec::new();
    walk(path, &mut open)?;
    Ok(match open.first() {
        None => Check::ok("pins", format!("{} belongs to root alone", path.display())),
        Some(first) => Check::warn(
            "pins",
            format!("{} of the files under {} may be opened by others, such as {first}", open.len(), path.display()),
            format!("intended for msegd's group? otherwise: chmod -R u=rwX,go= {}", path.display()),
        ),
    })
}

/// What was read; `None` if a writer has just removed it.
fn if_there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn walk(path: &Path, open: &mut Vec<String>) -> Result<()> {
    let failed = |e| Error::file("read", path, &e);
    let Some(metadata) = if_there(fs::symlink_metadata(path)).map_err(failed)? else { return Ok(()) };
    if metadata.uid() != 0 || metadata.mode() & 0o077 != 0 {
        open.push(path.display().to_string());
    }
    if metadata.is_dir() {
        for entry in if_there(fs::read_dir(path)).map_err(failed)?.into_iter().flatten() {
            walk(&entry.map_err(failed)?.path(), open)?;
        }
    }
    Ok(())
}

fn mode(mode: Mode) -> Check {
    match mode {
        Mode::Enforce => Check::ok("mode", "enforce: what is denied is dropped"),
        Mode::Observe => Check::ok("mode", "observe: nothing is dropped"),
    }
}

/// What packets are judged by is what the text of the active policy compiles to.
fn policy(instance: &Instance, status: &StatusView) -> Result<Check> {
    const HINT: &str = "apply a policy file again: msegctl policy apply FILE";
    let Some(active) = &status.policy else {
        return Ok(Check::fail("policy", "no policy is active: everything that needs one is denied", HINT));
    };
    let proven = generation::read(instance, active.generation)?;
    // What may hold in a minute is to be sound, too.
    let fallback = status.waiting.as_ref().map_or(0, |waiting| waiting.fallback_generation);
    if fallback != 0 {
        generation::read(instance, fallback)?;
    }
    let (generation, rules) = (active.generation, proven.policy.rules.len());
    Ok(Check::ok(
        "policy",
        format!("generation {generation}: the tables in force are what its {rules} rules compile to"),
    ))
}

fn interfaces(status: &StatusView) -> Vec<Check> {
    if status.interfaces.is_empty() {
        let hint = "mseg-loader attach INTERFACE";
        return vec![Check::warn("interface", "nothing is attached: no packet is seen", hint)];
    }
    let check = |interface: &mseg::view::InterfaceView| {
        let name = &interface.name;
        match interface.attached {
            Some(true) => Check::ok("interface", format!("{name} is attached by {}", interface.hook)),
            Some(false) => Check::fail(
                "interface",
                format!("{name} is not attached here any more"),
                format!(
                    "mseg-loader attach {name}; if it is gone or in another network namespace, mseg-loader detach {name} first"
                ),
            ),
            None => Check::warn(
                "interface",
                format!("{name} lives in another network namespace, from where alone clsact can be looked at"),
                "run doctor there, by nsenter --net=/run/netns/NAME",
            ),
        }
    };
    status.interfaces.iter().map(check).collect()
}

fn table(name: &'static str, fill: &FillView) -> Check {
    let percent = fill.percent();
    let found =
        format!("{} of {} entries in use ({percent} %), {} active", fill.entries, fill.max_entries, fill.active);
    if percent < FULL_PERCENT {
        return Check::ok(name, found);
    }
    let hint = if fill.active * 2 < fill.entries {
        "most have expired, and go first when the table needs room"
    } else {
        "when it is full, the session that was idle longest is forgotten"
    };
    Check::warn(name, found, hint)
}

fn events(status: &StatusView) -> Check {
    let mseg::view::EventsView { submitted, lost } = status.events;
    let found = format!("{submitted} submitted, {lost} lost");
    if lost == 0 {
        return Check::ok("events", found);
    }
    Check::warn("events", found, "the ring was full when they came: is msegd running?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn a_table_is_full_at_nine_tenths() {
        let fill = |entries, active| FillView { active, entries, max_entries: 1000 };
        assert_eq!(table("sessions", &fill(899, 899)).status, Grade::Ok);
        assert_eq!(table("sessions", &fill(900, 900)).status, Grade::Warn);
        assert!(table("sessions", &fill(900, 10)).hint.unwrap().contains("go first"));
    }

    #[test]
    fn files_that_others_may_open_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("SESSIONS");
        fs::write(&file, "").unwrap();
        let mode = |mode| fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        let mut open = Vec::new();
        walk(dir.path(), &mut open).unwrap();
        assert!(open.contains(&file.display().to_string()));
    }
}
