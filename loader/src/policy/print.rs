//! Canonical text: what is printed parses to the same.

use std::fmt::{self, Display, Formatter};

use mseg_ebpf::abi::policy::timeout;

use super::{
    address::{Address, Addresses},
    model::{
        Action, Builtins, DEFAULT_PRIORITY, Define, Direction, Endpoint, Policy, PortRange, Rule, Selector, Timeouts,
    },
    statement::Statement,
    value::Member,
    words,
};

fn separated<T: Display>(f: &mut Formatter<'_>, list: &[T], separator: &str) -> fmt::Result {
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl Display for Direction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Both => "both",
        })
    }
}

impl Display for PortRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Display for Addresses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::List(list) => separated(f, list, ","),
        }
    }
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addresses)?;
        if !self.ports.is_empty() {
            f.write_str(" port ")?;
            separated(f, &self.ports, ",")?;
        }
        Ok(())
    }
}

/// From the direction on.
impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.direction, self.protocol.name())?;
        if !(self.from.is_any() && self.to.is_any()) {
            write!(f, " from {} to {}", self.from, self.to)?;
        }
        if let Some(icmp) = self.icmp {
            match words::icmp_type_name(self.protocol, icmp.number) {
                Some(name) => write!(f, " type {name}")?,
                None => write!(f, " type {}", icmp.number)?,
            }
            if let Some(code) = icmp.code {
                write!(f, " code {code}")?;
            }
        }
        if let Some(interface) = &self.interface {
            write!(f, " iface {interface}")?;
        }
        Ok(())
    }
}

/// One line without its end, with the leading `rule`.
impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} {} {}", self.name, self.action, self.selector)?;
        if self.priority != DEFAULT_PRIORITY {
            write!(f, " priority {}", self.priority)?;
        }
        if self.log {
            f.write_str(" log")?;
        }
        if self.audit {
            f.write_str(" audit")?;
        }
        Ok(())
    }
}

fn define<T: Display>(f: &mut Formatter<'_>, name: &str, members: &[T]) -> fmt::Result {
    write!(f, "define {name} = {{ ")?;
    separated(f, members, ", ")?;
    f.write_str(" }")
}

/// One line without its end.
impl Display for Define {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        define::<Address>(f, &self.name, &self.members)
    }
}

impl Display for Member {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address, _) => write!(f, "{address}"),
            Self::File(path, _) => write!(f, "file {}", Quoted(path)),
        }
    }
}

/// A path in quotes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\\', r"\\").replace('"', "\\\""))
    }
}

/// One line without its end, as it is written: files stay named, switches stay though they say the default.
impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default { inbound, action } => default(f, *inbound, *action),
            Self::Define { name, members } => define(f, name, members),
            Self::Rule { rule, .. } => write!(f, "{rule}"),
            Self::Builtin { name, on } => builtin(f, name, *on),
            Self::Failsafe { selector, .. } => failsafe(f, selector),
            Self::Timeout { index, seconds } => timeout(f, *index, *seconds),
            Self::Include { path, .. } => write!(f, "include {}", Quoted(path)),
        }
    }
}

fn default(f: &mut Formatter<'_>, inbound: bool, action: Action) -> fmt::Result {
    write!(f, "default {} {action}", if inbound { "in" } else { "out" })
}

fn builtin(f: &mut Formatter<'_>, name: &str, on: bool) -> fmt::Result {
    write!(f, "builtin {name} {}", if on { "on" } else { "off" })
}

fn failsafe(f: &mut Formatter<'_>, selector: &Selector) -> fmt::Result {
    write!(f, "failsafe {selector}")
}

fn timeout(f: &mut Formatter<'_>, index: usize, seconds: u32) -> fmt::Result {
    write!(f, "timeout {} {}", timeout::NAMES[index], duration(seconds))
}

/// Seconds with the largest unit that needs no fraction.
fn duration(seconds: u32) -> String {
    for (unit, length) in words::DURATION_UNITS.iter().rev() {
        if seconds.is_multiple_of(*length) && seconds > 0 {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

/// Both defaults, what differs from the built-in settings, then sets and rules.
impl Display for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (inbound, action) in [(true, self.defaults.inbound), (false, self.defaults.outbound)] {
            default(f, inbound, action)?;
            f.write_str("\n")?;
        }
        for (name, on) in Builtins::NAMES.iter().zip(self.builtins.states()).filter(|(_, on)| !on) {
            builtin(f, name, on)?;
            f.write_str("\n")?;
        }
        if self.failsafe != Self::default_failsafe() {
            for selector in &self.failsafe {
                failsafe(f, selector)?;
                f.write_str("\n")?;
            }
        }
        for (index, seconds) in self.timeouts.0.iter().enumerate() {
            if *seconds != Timeouts::default().0[index] {
                timeout(f, index, *seconds)?;
                f.write_str("\n")?;
            }
        }
        for define in &self.defines {
            writeln!(f, "{define}")?;
        }
        for rule in &self.rules {
            writeln!(f, "{rule}")?;
        }
        Ok(())
    }
}
