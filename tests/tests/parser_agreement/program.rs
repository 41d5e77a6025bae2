//! The loaded program under a policy that denies: so every frame leaves a reason and a key, and no frame changes what
//! becomes of the next.

use std::{io, os::fd::OwnedFd, path::Path};

use anyhow::{Context, Result, ensure};
use mseg_ebpf::{
    abi::{
        denied::Denied,
        reason::Reason,
        session::SessionKey,
        stats::{Counter, VERDICT_ALLOWED, VERDICT_DENIED, VERDICTS, index},
    },
    packet::{Fragment, Kind, Packet, protocol, transport},
    session::key,
};
use mseg_tests::{
    bpf::{self, TestContext},
    bpffs::BPFFS,
    lab::{Lab, PEER, PROTECTED},
};
use zerocopy::{FromBytes, IntoBytes, TryFromBytes};

use crate::generate::Sample;

/// Everything is denied but what the built-in rules let pass that make no session.
const POLICY: &str = "default in deny
default out deny
builtin dhcp off
builtin failsafe off
";

/// `TC_ACT_SHOT` and `TCX_NEXT`.
const SHOT: i32 = 2;
const NEXT: i32 = -1;

/// The program for what the interface receives, and what it leaves behind.
pub(crate) struct Program {
    program: OwnedFd,
    stats: OwnedFd,
    denied: OwnedFd,
    cpus: usize,
}

/// What the program should do with a frame, by what the host's parser read.
pub(crate) fn expected(outcome: Result<Kind, Reason>, packet: &Packet) -> (u32, Reason) {
    let reason = match outcome {
        Err(reason) => reason,
        Ok(Kind::Other) => Reason::NotIp,
        Ok(Kind::Arp | Kind::LinkControl) => Reason::Builtin,
        Ok(Kind::Ip) if packet.fragment == Fragment::Later => Reason::Fragment,
        Ok(Kind::Ip) if packet.is_neighbour_discovery() || packet.is_listener_discovery() => Reason::Builtin,
        Ok(Kind::Ip) if packet.is_icmp_error() => Reason::IcmpErrorUnrelated,
        Ok(Kind::Ip) if packet.echo == transport::ECHO_REPLY => Reason::IcmpUnsolicited,
        Ok(Kind::Ip) if packet.protocol == protocol::TCP && packet.tcp_flags & 0x12 != 0x02 => Reason::TcpMidstream,
        Ok(Kind::Ip) => Reason::DefaultDeny,
    };
    (if reason.allows() { VERDICT_ALLOWED } else { VERDICT_DENIED }, reason)
}

impl Program {
    /// Attaches in a lab where nothing else is sent.
    pub(crate) fn attach(lab: &Lab) -> Result<Self> {
        // No neighbour or listener discovery of the kernel's own.
        lab.server.set(&format!("net/ipv6/conf/{PROTECTED}/disable_ipv6"), "1")?;
        lab.client.set(&format!("net/ipv6/conf/{PEER}/disable_ipv6"), "1")?;
        lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce", "--midstream", "strict"])?;
        let pins = lab.mounts.pins()?;
        let open = |end: &str| -> Result<OwnedFd> {
            let path = pins.iter().find(|pin| pin.ends_with(end)).with_context(|| format!("no {end} in {pins:#?}"))?;
            lab.mounts.run(|| bpf::open_pin(Path::new(path))).with_context(|| format!("cannot open {path}"))
        };
        ensure!(pins.iter().all(|pin| pin.starts_with(BPFFS)));
        Ok(Self {
            program: open("/progs/host_in")?,
            stats: open("/maps/STATS")?,
            denied: open("/maps/DENIED")?,
            cpus: bpf::possible_cpus()?,
        })
    }

    /// Runs it on a frame, which must do what the host's parser makes expect. `false` if the kernel does not take it, which
    /// ends within the header that its type names.
    pub(crate) fn agrees(&self, sample: &Sample, outcome: Result<Kind, Reason>, packet: &Packet) -> Result<bool> {
        let (verdict, reason) = expected(outcome, packet);
        let (key, _) = key::of(packet, 0);
        let counted = self.counter(verdict, reason)?;
        let denied = self.denials(&key)?;
        let size = u32::from(sample.gso);
        let context = TestContext { gso_size: size * 1000, gso_segs: size, ..TestContext::default() };
        let ran = match bpf::test_run(&self.program, &sample.frame, context, 1) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(false),
            ran => ran?,
        };
        let action = if verdict == VERDICT_DENIED { SHOT } else { NEXT };
        ensure!(ran.returned == action, "it returns {} and not {action}, for {reason:?}", ran.returned);
        let after = self.counter(verdict, reason)?;
        ensure!(after.packets == counted.packets + 1, "it is not counted under {reason:?}: {:?}", self.all()?);
        ensure!(after.bytes == counted.bytes + sample.frame.len() as u64, "of another length: {after:?}");
        if verdict == VERDICT_DENIED {
            let after = self.denials(&key)?.with_context(|| format!("no denial of {key:?}"))?;
            ensure!(after.reason == reason, "denied as {:?}", after.reason);
            let before = denied.map_or(0, |denied| denied.traffic.packets);
            ensure!(after.traffic.packets == before + 1, "the denial is not counted under {key:?}: {after:?}");
        }
        Ok(true)
    }

    /// Packets by reason, of any verdict.
    pub(crate) fn all(&self) -> Result<Vec<(Reason, u64)>> {
        let mut all = Vec::new();
        for &reason in Reason::ALL {
            let mut packets = 0;
            for verdict in 0..VERDICTS {
                packets += self.counter(verdict, reason)?.packets;
            }
            all.push((reason, packets));
        }
        Ok(all)
    }

    /// One counter, of all CPUs.
    pub(crate) fn counter(&self, verdict: u32, reason: Reason) -> Result<Counter> {
        let size = size_of::<Counter>();
        let values = bpf::look_up(&self.stats, index(verdict, reason), size * self.cpus)?;
        let mut sum = Counter::default();
        for value in values.chunks_exact(size) {
            let counter = Counter::read_from_bytes(value).ok().context("an odd counter")?;
            sum.packets += counter.packets;
            sum.bytes += counter.bytes;
        }
        Ok(sum)
    }

    fn denials(&self, key: &SessionKey) -> Result<Option<Denied>> {
        let found = bpf::find(&self.denied, key.as_bytes(), size_of::<Denied>())?;
        found.map(|value| Denied::try_read_from_bytes(&value).ok().context("an odd denial")).transpose()
    }
}
