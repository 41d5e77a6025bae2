//! The filter on a test bed: attached by the real programs in enforce mode, then given frames one by one
//! (`BPF_PROG_TEST_RUN`), so that its tables can be filled and its time taken without a network in between.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};

use crate::{
    bpf::{self, TestContext, TestOutcome},
    bpffs::BPFFS,
    documents::number,
    flows::{Family, Frames, Step},
    interface,
    lab::{Lab, PROTECTED},
    ring::Ring,
};

/// A policy such as a small server has: sets, ranges, both families, and a default that denies.
pub const POLICY: &str = "\
default in deny
default out allow
define office = { 10.1.0.0/16, 192.0.2.0/24, 2001:db8:1::/48 }
define admins = { 10.1.7.0/28, 2001:db8:1:7::/64 }
rule ssh        allow in  tcp from admins to any port 22
rule db         allow in  tcp from office to any port 5432 log
rule metrics    allow in  tcp from admins to any port 9100,9090
rule dns        allow in  udp from office to any port 53
rule no-telnet  deny  out tcp to any port 23 priority 10
rule no-smtp    deny  out tcp to any port 25 priority 10
rule ping       allow in  icmp type echo-request
rule ping6      allow in  icmpv6 type echo-request
rule web        allow in  tcp from any to any port 80,443,8000-8999
rule echo       allow in  udp from any to any port 7000
";

/// A port that [`POLICY`] allows from anywhere.
pub const OPEN_PORT: u16 = 443;
/// A UDP port that it allows from anywhere.
pub const ECHO_PORT: u16 = 7000;
/// A TCP port that it denies.
pub const CLOSED_PORT: u16 = 3389;
/// `TC_ACT_UNSPEC`: the frame went on.
pub const PASSED: i32 = -1;
/// `TC_ACT_SHOT`: it was dropped.
pub const DROPPED: i32 = 2;

/// Frames between two times that the ring is emptied: it holds more than one event for each.
const FRAMES_A_RING: u32 = 512;

/// An attached filter.
#[derive(Debug)]
pub struct Bed<'a> {
    lab: &'a Lab,
    /// The program of the ingress hook.
    pub ingress: OwnedFd,
    /// The program of the egress hook.
    pub egress: OwnedFd,
    context: TestContext,
    ring: Ring,
}

impl<'a> Bed<'a> {
    /// Attaches, with [`POLICY`].
    ///
    /// # Errors
    /// When that fails.
    pub fn new(lab: &'a Lab) -> Result<Self> {
        // Strict, so that a packet of a lost session is dropped, and not taken for the first of another.
        // As good as any number of flows may be half-open, and they are counted: T7 sends 50,000 of one source that nobody answers.
        let unlimited = ["--half-open-per-source", "4000000000"];
        let enforce = ["--mode", "enforce", "--midstream", "strict", "--policy", lab.policy(POLICY)?];
        lab.attach(&[&enforce[..], &unlimited].concat())?;
        let open = |path: &str| {
            let path = format!("{BPFFS}/mseg/default/{path}");
            lab.mounts.run(|| bpf::open_pin(path.as_ref())).with_context(|| format!("cannot open {path}"))
        };
        Ok(Self {
            ingress: open("progs/host_in")?,
            egress: open("progs/host_out")?,
            context: TestContext { ifindex: lab.server.run(|| interface::index(PROTECTED))?, ..TestContext::default() },
            ring: Ring::new(&open("maps/EVENTS")?)?,
            lab,
        })
    }

    /// The laboratory it stands in.
    pub fn lab(&self) -> &'a Lab {
        self.lab
    }

    /// Runs a program on a frame at the protected interface. The thread must be in the server's network namespace.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn run(&self, program: &OwnedFd, frame: &[u8], repeat: u32) -> Result<TestOutcome> {
        bpf::test_run(program, frame, self.context, repeat).context("cannot run the program on a frame")
    }

    /// Runs `each` for every number, and makes room in the event ring now and then, as msegd would.
    ///
    /// # Errors
    /// The first of `each`.
    pub fn for_each(
        &self,
        clients: impl IntoIterator<Item = u32>,
        mut each: impl FnMut(u32) -> Result<()>,
    ) -> Result<()> {
        for (turn, client) in (0_u32..).zip(clients) {
            if turn.is_multiple_of(FRAMES_A_RING / 2) {
                self.ring.discard();
            }
            each(client)?;
        }
        self.ring.discard();
        Ok(())
    }

    /// Opens a connection from each client by a full handshake, which must pass. As [`Self::run`].
    ///
    /// # Errors
    /// When a frame is dropped.
    pub fn establish(&self, family: Family, network: u8, clients: impl IntoIterator<Item = u32>) -> Result<()> {
        let mut handshake = [(Step::Syn, &self.ingress), (Step::SynAck, &self.egress), (Step::Ack, &self.ingress)]
            .map(|(step, program)| (Frames::new(family, network, OPEN_PORT, step), step, program));
        self.for_each(clients, |client| {
            for (frames, step, program) in &mut handshake {
                let returned = self.run(program, frames.of(client), 1)?.returned;
                ensure!(returned == PASSED, "{step:?} of client {client} over {}: {returned}", family.name());
            }
            Ok(())
        })
    }

    /// How many sessions were created since the attach.
    ///
    /// # Errors
    /// When msegctl fails.
    pub fn created(&self) -> Result<u64> {
        number(&self.lab.stats()?, "/sessions/created")
    }

    /// How many packets had a reason so far.
    ///
    /// # Errors
    /// When msegctl fails.
    pub fn reason(&self, name: &str) -> Result<u64> {
        Ok(self.lab.stats()?.pointer(&format!("/reasons/{name}")).and_then(serde_json::Value::as_u64).unwrap_or(0))
    }
}
