//! What mseg-loader prints: one serialisable struct for each document, as text or JSON.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use mseg_ebpf::abi::{interface::Interface, meta::Meta};
use serde::Serialize;

use super::adoption::AdoptionDocument;
use crate::{
    attach::{Attached, Detached, Mode, Status, hook_name, role_name},
    clock::Clock,
    error::{Error, Result},
    escape::{document, escaped_lines},
    instance::{Options, interface_name},
    policy::Diagnostic,
};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    Pretty,
}

/// Standard output.
pub(super) struct Output {
    format: Format,
    quiet: bool,
}

#[derive(Serialize)]
struct AttachDocument<'a> {
    schema: &'static str,
    instance: &'a str,
    created: bool,
    mode: &'static str,
    generation: u32,
    policy_changed: bool,
    interfaces: Vec<AttachedDocument<'a>>,
    /// Null if nothing was to be adopted.
    adoption: Option<AdoptionDocument<'a>>,
}

#[derive(Serialize)]
struct AttachedDocument<'a> {
    #[serde(flatten)]
    interface: InterfaceDocument<'a>,
    already_attached: bool,
}

#[derive(Serialize)]
struct DetachDocument<'a> {
    schema: &'static str,
    instance: &'a str,
    removed: bool,
    interfaces: Vec<InterfaceDocument<'a>>,
}

#[derive(Serialize)]
struct StatusDocument<'a> {
    schema: &'static str,
    instance: &'a str,
    bpffs: String,
    mode: &'static str,
    generation: u32,
    build_id: String,
    abi_version: u32,
    loader_version: String,
    created: String,
    interfaces: Vec<StatusInterfaceDocument<'a>>,
}

#[derive(Serialize)]
struct StatusInterfaceDocument<'a> {
    #[serde(flatten)]
    interface: InterfaceDocument<'a>,
    /// Null if only a process in its network namespace can tell.
    alive: Option<bool>,
    netns: u64,
    same_netns: bool,
    attached: String,
}

#[derive(Serialize)]
struct InterfaceDocument<'a> {
    name: &'a str,
    ifindex: u32,
    role: &'static str,
    hook: &'static str,
    zone: u16,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'static str,
    message: &'a str,
    hint: Option<&'a str>,
    diagnostics: &'a [Diagnostic],
}

impl<'a> InterfaceDocument<'a> {
    fn new(ifindex: u32, interface: &'a Interface) -> Self {
        Self {
            name: interface_name(interface),
            ifindex,
            role: role_name(interface.role),
            hook: hook_name(interface.hook),
            zone: interface.zone,
        }
    }

    fn text(&self) -> String {
        let zone = if self.zone == 0 { String::new() } else { format!(", zone {}", self.zone) };
        format!("{}, {}{zone}", self.hook, self.role)
    }
}

impl Output {
    pub(super) fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    pub(super) fn attached(&self, instance: &Options, done: &Attached) -> Result<()> {
        let document = AttachDocument {
            schema: "mseg.loader-attach/1",
            instance: &instance.name,
            created: done.created,
            mode: done.mode.name(),
            generation: done.generation,
            policy_changed: done.policy_changed,
            interfaces: done
                .interfaces
                .iter()
                .map(|i| AttachedDocument {
                    interface: InterfaceDocument::new(i.ifindex, &i.interface),
                    already_attached: i.already,
                })
                .collect(),
            adoption: done.adoption.as_ref().map(AdoptionDocument::new),
        };
        self.print(&document, |d| {
            let mut text = String::new();
            for i in &d.interfaces {
                let what = if i.already_attached { "already attached" } else { "attached" };
                let _ = writeln!(text, "{}: {what} ({})", i.interface.name, i.interface.text());
            }
            let made = if d.created { "made, " } else { "" };
            let policy = if d.policy_changed { " (new)" } else { "" };
            let _ = writeln!(
                text,
                "instance {}: {made}mode {}, policy generation {}{policy}",
                d.instance, d.mode, d.generation
            );
            text + &d.adoption.as_ref().map(AdoptionDocument::text).unwrap_or_default()
        })
    }

    pub(super) fn detached(&self, instance: &Options, done: &Detached) -> Result<()> {
        let document = DetachDocument {
            schema: "mseg.loader-detach/1",
            instance: &instance.name,
            removed: done.removed,
            interfaces: done.interfaces.iter().map(|(ifindex, i)| InterfaceDocument::new(*ifindex, i)).collect(),
        };
        self.print(&document, |d| {
            let mut text = String::new();
            for i in &d.interfaces {
                let _ = writeln!(text, "{}: detached", i.name);
            }
            if d.removed {
                let _ = writeln!(text, "instance {}: removed", d.instance);
            }
            text
        })
    }

    pub(super) fn status(&self, status: &Status) -> Result<()> {
        let clock = Clock::now()?;
        let Meta { abi_version, build_id, loader_version, created_ns, .. } = status.meta;
        let document = StatusDocument {
            schema: "mseg.loader-status/1",
            instance: &status.instance.name,
            bpffs: status.instance.bpffs.display().to_string(),
            mode: Mode::from_value(status.config.mode).name(),
            generation: status.config.generation,
            build_id: hex(&build_id),
            abi_version,
            loader_version: String::from_utf8_lossy(&loader_version).trim_end_matches('\0').to_owned(),
            created: clock.rfc3339(created_ns),
            interfaces: status
                .interfaces
                .iter()
                .map(|i| StatusInterfaceDocument {
                    interface: InterfaceDocument::new(i.ifindex, &i.interface),
                    alive: i.alive,
                    netns: i.interface.netns,
                    same_netns: i.here,
                    attached: clock.rfc3339(i.interface.attached_ns),
                })
                .collect(),
        };
        self.print(&document, |d| {
            let mut text = String::new();
            let _ = writeln!(text, "instance    {}", d.instance);
            let _ = writeln!(text, "mode        {}", d.mode);
            let _ = writeln!(text, "generation  {}", d.generation);
            let _ = writeln!(text, "build       {}", d.build_id);
            let _ =
                writeln!(text, "made        {} by mseg-loader {} (ABI {})", d.created, d.loader_version, d.abi_version);
            if d.interfaces.is_empty() {
                let _ = writeln!(text, "interfaces  none");
            }
            for (n, i) in d.interfaces.iter().enumerate() {
                let head = if n == 0 { "interfaces" } else { "" };
                let state = match i.alive {
                    Some(true) => "",
                    Some(false) => ", gone",
                    None => ", cannot be checked from this network namespace",
                };
                let elsewhere = if i.same_netns { "" } else { ", in another network namespace" };
                let elsewhere = if i.alive.is_none() { "" } else { elsewhere };
                let _ = writeln!(
                    text,
                    "{head:<11} {} (index {}; {}{state}{elsewhere})",
                    i.interface.name,
                    i.interface.ifindex,
                    i.interface.text()
                );
            }
            text
        })
    }

    fn print<T: Serialize>(&self, document: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        if self.quiet && self.format == Format::Text {
            return Ok(());
        }
        let text = match self.format {
            Format::Text => escaped_lines(&text(document)).into_bytes(),
            Format::Json => json(false, document)?,
            Format::Pretty => json(true, document)?,
        };
        let mut out = io::stdout().lock();
        match out.write_all(&text).and_then(|()| out.flush()) {
            // Whoever read it has seen enough.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(e) => Err(Error::system("write to standard output", &e)),
            Ok(()) => Ok(()),
        }
    }
}

/// Prints an error to standard error.
pub(super) fn report(error: &Error, format: Format) {
    let text = match format {
        Format::Text => {
            let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            escaped_lines(&format!("error: {}{hint}", error.message)).into_bytes()
        }
        Format::Json | Format::Pretty => {
            let document = ErrorDocument {
                error: ErrorBody {
                    code: error.code.name(),
                    message: &error.message,
                    hint: error.hint.as_deref(),
                    diagnostics: &error.diagnostics,
                },
            };
            // Strings always serialise.
            json(false, &document).unwrap_or_default()
        }
    };
    // There is nowhere left to complain.
    let _ = io::stderr().lock().write_all(&text);
}

fn json(pretty: bool, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    document(&mut out, pretty, value).map_err(|e| Error::failed(e.to_string()))?;
    Ok(out)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
