//! Private network namespaces that nothing but a file descriptor keeps alive.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic, thread,
};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};

use crate::interface;

/// A network namespace. It ends with the last descriptor, socket and process in it.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
}

impl Namespace {
    /// A new one, with the loopback interface up, no duplicate address detection, no router solicitations, and ICMP
    /// datagram sockets allowed.
    ///
    /// # Errors
    /// When the kernel refuses it (it needs `CAP_SYS_ADMIN`).
    pub fn new() -> Result<Self> {
        let fd = on_thread(|| -> Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            interface::set_up("lo")?;
            quiet();
            own_fd()
        })?;
        Ok(Self { fd })
    }

    /// The one this thread is in.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn current() -> Result<Self> {
        Ok(Self { fd: own_fd()? })
    }

    /// Runs `work` inside, on a thread of its own. Sockets made inside stay inside, wherever they are used later.
    ///
    /// # Panics
    /// When `work` panics, or when the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_thread(|| {
            setns(&self.fd, CloneFlags::CLONE_NEWNET).expect("a network namespace we made can be entered");
            work()
        })
    }

    /// Writes one of its settings, such as `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// When there is no such setting, or it refuses the value.
    pub fn set(&self, setting: &str, value: &str) -> Result<()> {
        self.run(|| write_setting(setting, value)).with_context(|| format!("cannot set {setting} to {value}"))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn own_fd() -> Result<OwnedFd> {
    let path = "/proc/thread-self/ns/net";
    Ok(File::open(path).with_context(|| format!("cannot open {path}"))?.into())
}

/// Silences what a new interface would send unasked. A kernel without IPv6 has none of these.
fn quiet() {
    let _ = write_setting("net/ipv4/ping_group_range", "0 0");
    for (name, value) in
        [("accept_dad", "0"), ("dad_transmits", "0"), ("accept_ra", "0"), ("router_solicitations", "0")]
    {
        let _ = write_setting(&format!("net/ipv6/conf/default/{name}"), value);
    }
}

/// /proc/sys/net shows the namespace of the thread that looks.
fn write_setting(setting: &str, value: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/sys/{setting}"), value)
}

/// Runs `work` on a thread of its own and passes its panic on: the thread's namespaces end with it.
pub(crate) fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let name = thread::current().name().unwrap_or("lab").to_owned();
        let started = thread::Builder::new().name(name).spawn_scoped(scope, work).expect("a thread can be started");
        started.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}
