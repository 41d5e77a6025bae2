//! The standard laboratory: a client and a server host joined by a veth pair, with mseg on the server's end.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    bpf,
    bpffs::Mounts,
    capture::Capture,
    daemon::Daemon,
    frames,
    hook::{Attached, Hook},
    namespace::Namespace,
    offload::{self, Offload},
    privilege,
    process::{Place, Ran},
    programs::Programs,
    topology::Topology,
    wait::eventually,
};

/// The protected interface, in the server's namespace.
pub const PROTECTED: &str = "mseg0";
/// Its peer, in the client's namespace.
pub const PEER: &str = "client0";
/// The client's IPv4 address.
pub const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The server's IPv4 address.
pub const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
/// The client's IPv6 address.
pub const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// The server's IPv6 address.
pub const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
/// The client's Ethernet address.
pub const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The server's Ethernet address.
pub const SERVER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// The user that tests without privilege run as.
const NOBODY: u32 = 65_534;

/// Two hosts, a cable, and mseg's own file system.
#[derive(Debug)]
pub struct Lab {
    /// The host that asks.
    pub client: Namespace,
    /// The protected host.
    pub server: Namespace,
    /// bpffs, and the programs.
    pub mounts: Mounts,
    /// What lies between them, if it is not only a cable.
    pub between: Vec<Namespace>,
    hook: Hook,
    transcript: Mutex<String>,
}

impl Lab {
    /// Builds one; nothing is attached.
    ///
    /// # Errors
    /// When the programs do not build or the kernel refuses a part of it.
    pub fn new(hook: Hook) -> Result<Self> {
        Self::joined_by(hook, Topology::Cable)
    }

    /// Builds one with something else than a cable between the hosts; nothing is attached.
    ///
    /// # Errors
    /// When the programs do not build or the kernel refuses a part of it.
    pub fn joined_by(hook: Hook, topology: Topology) -> Result<Self> {
        let mounts = Mounts::new(Programs::get()?.all())?;
        let (client, server) = (Namespace::new()?, Namespace::new()?);
        let between = topology.join(&client, &server)?;
        Ok(Self { client, server, mounts, between, hook, transcript: Mutex::default() })
    }

    /// Runs one test in a new lab: afterwards everything is detached, and nothing may be left.
    ///
    /// # Errors
    /// What the test fails of, with every command it ran and its output.
    pub fn test(hook: Hook, body: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        Self::test_joined_by(hook, Topology::Cable, body)
    }

    /// Like [`Self::test`], with something else than a cable between the hosts.
    ///
    /// # Errors
    /// What the test fails of, with every command it ran and its output.
    pub fn test_joined_by(hook: Hook, topology: Topology, body: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        if hook == Hook::Tcx && !privilege::kernel_has_tcx() {
            privilege::not_applicable("this kernel has no TCX");
            return Ok(());
        }
        let lab = Self::joined_by(hook, topology)?;
        let tested = body(&lab).and_then(|()| lab.detach_all());
        tested.with_context(|| format!("after these commands:\n{}", lab.transcript()))
    }

    /// Where the programs run: on the protected host, as root.
    pub fn place(&self) -> Place<'_> {
        Place { network: &self.server, mounts: &self.mounts, user: None }
    }

    /// The way this lab attaches.
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// Runs one of the programs, and remembers it for the transcript.
    ///
    /// # Errors
    /// When it cannot be started, or hangs. Not when it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran> {
        self.run_in(self.place(), program, arguments)
    }

    /// Like [`Self::run`], without any privilege.
    ///
    /// # Errors
    /// When it cannot be started, or hangs. Not when it fails.
    pub fn run_as_nobody(&self, program: &str, arguments: &[&str]) -> Result<Ran> {
        self.run_in(Place { user: Some(NOBODY), ..self.place() }, program, arguments)
    }

    /// Like [`Self::run`], somewhere else.
    ///
    /// # Errors
    /// When it cannot be started, or hangs. Not when it fails.
    pub fn run_in(&self, place: Place<'_>, program: &str, arguments: &[&str]) -> Result<Ran> {
        let ran = place.run(program, arguments)?;
        let _ = write!(self.transcript.lock().unwrap_or_else(PoisonError::into_inner), "{ran}");
        Ok(ran)
    }

    /// Attaches to the protected interface, and checks that the kernel says so too.
    ///
    /// # Errors
    /// When it fails.
    pub fn attach(&self, options: &[&str]) -> Result<()> {
        let arguments = [&["attach", PROTECTED, "--hook", self.hook.name()], options].concat();
        self.run("mseg-loader", &arguments)?.ok()?;
        self.is_attached()
    }

    /// Fails unless one program is at either hook.
    ///
    /// # Errors
    /// When there is none, or more.
    pub fn is_attached(&self) -> Result<()> {
        let attached = self.attached()?;
        let (ours, other) = match self.hook {
            Hook::Tcx => (&attached.tcx, &attached.clsact),
            Hook::Clsact => (&attached.clsact, &attached.tcx),
        };
        ensure!(ours.iter().all(|programs| programs.len() == 1), "not attached once each way: {attached:?}");
        ensure!(other.iter().all(Vec::is_empty), "attached to the other hook too: {attached:?}");
        Ok(())
    }

    /// What the kernel says is attached.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn attached(&self) -> Result<Attached> {
        Attached::to(&self.server, PROTECTED)
    }

    /// Runs msegctl, which must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn ctl(&self, arguments: &[&str]) -> Result<Ran> {
        self.run("msegctl", arguments)?.ok()
    }

    /// Runs msegctl with `-j`, which must succeed and print one JSON document.
    ///
    /// # Errors
    /// When it does not.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.ctl(&[&["-j"], arguments].concat())?.json()
    }

    /// Starts msegd, its events on standard output.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn daemon(&self, arguments: &[&str]) -> Result<Daemon> {
        Daemon::start(self.place(), "msegd", arguments)
    }

    /// Sends a TCP packet that opens a session to the server's port 81 from each of these ports, past the client's stack.
    ///
    /// # Errors
    /// When one cannot be sent.
    pub fn syns(&self, from: Vec<u16>) -> Result<()> {
        let (IpAddr::V4(client), IpAddr::V4(server)) = (CLIENT_V4, SERVER_V4) else { unreachable!("they are IPv4") };
        let frame = |port| {
            let packet = frames::ipv4(client, server, 6, &frames::tcp(port, 81, 0x02));
            frames::ethernet(SERVER_MAC, CLIENT_MAC, 0x0800, &packet)
        };
        frames::send_frames(&self.client, PEER, &from.into_iter().map(frame).collect::<Vec<_>>())
    }

    /// Writes a policy file that the programs can read, and returns its path there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn policy(&self, text: &str) -> Result<&'static str> {
        const PATH: &str = "/run/test.policy";
        self.mounts.run(|| std::fs::write(PATH, text)).context("cannot write the policy")?;
        Ok(PATH)
    }

    /// Turns segmentation offload off, so that every packet crosses the cable by itself.
    ///
    /// # Errors
    /// When an interface refuses.
    pub fn without_offloads(&self) -> Result<()> {
        for (namespace, name) in [(&self.server, PROTECTED), (&self.client, PEER)] {
            for what in [Offload::Tso, Offload::Gso, Offload::Gro] {
                offload::set(namespace, name, what, false)?;
            }
        }
        Ok(())
    }

    /// Begins to count what crosses the cable, at the client's end: sent is to the server.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn capture(&self) -> Result<Capture> {
        Capture::start(&self.client, PEER)
    }

    /// Detaches everything; then nothing may be left: no pin, link, filter, qdisc or program.
    ///
    /// # Errors
    /// What is left.
    pub fn detach_all(&self) -> Result<()> {
        let programs = self.attached()?.programs();
        if !self.mounts.pins()?.is_empty() {
            self.run("mseg-loader", &["detach", "--all"])?.ok()?;
        }
        self.is_clean()?;
        eventually(|| {
            let living: Vec<_> = programs.iter().filter(|&&id| bpf::program_lives(id)).collect();
            ensure!(living.is_empty(), "programs are still loaded: {living:?}");
            Ok(())
        })
    }

    /// Fails if anything is pinned or attached.
    ///
    /// # Errors
    /// What is.
    pub fn is_clean(&self) -> Result<()> {
        let pins = self.mounts.pins()?;
        ensure!(pins.is_empty(), "pins are left: {pins:#?}");
        let attached = self.attached()?;
        ensure!(attached == Attached::default(), "attached is still: {attached:?}");
        Ok(())
    }

    /// Every command so far, with its output.
    pub fn transcript(&self) -> String {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The server's address with a port, in either family.
pub fn server(port: u16) -> [SocketAddr; 2] {
    [SERVER_V4, SERVER_V6].map(|address| SocketAddr::new(address, port))
}

/// Makes a test for each hook out of each function: `name::tcx` and `name::clsact`.
#[macro_export]
macro_rules! on_both_hooks {
    ($($name:ident),+ $(,)?) => {
        $crate::on_both_hooks_over! { Cable: $($name),+ }
    };
}

/// Like [`on_both_hooks!`], with a named [`Topology`] between the hosts.
#[macro_export]
macro_rules! on_both_hooks_over {
    ($topology:ident: $($name:ident),+ $(,)?) => {
        $(mod $name {
            use $crate::{hook::Hook, lab::Lab, topology::Topology};

            #[test]
            fn tcx() -> anyhow::Result<()> {
                $crate::require_root!();
                Lab::test_joined_by(Hook::Tcx, Topology::$topology, super::$name)
            }

            #[test]
            fn clsact() -> anyhow::Result<()> {
                $crate::require_root!();
                Lab::test_joined_by(Hook::Clsact, Topology::$topology, super::$name)
            }
        })+
    };
}
