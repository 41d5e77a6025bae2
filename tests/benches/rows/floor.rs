//! The floor programs (ebpf/floor), loaded for a comparison.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use aya::{Ebpf, include_bytes_aligned, programs::SchedClassifier};
use mseg_tests::{
    bed::{Bed, OPEN_PORT, PASSED},
    bpf,
    flows::{Family, Frames, Step},
    interface,
};

static OBJECT: &[u8] = include_bytes_aligned!("../../../ebpf/prebuilt/floor.o");

/// The programs, on maps of their own.
pub(crate) struct Floor {
    /// Nothing.
    pub(crate) noop: OwnedFd,
    /// Reads the 5-tuple.
    pub(crate) parse: OwnedFd,
    /// And looks it up.
    pub(crate) look_up: OwnedFd,
    /// And counts.
    pub(crate) count: OwnedFd,
    /// Reads the 5-tuple and inserts it into a table like HALF_OPEN.
    pub(crate) insert: OwnedFd,
    /// Likewise, like SESSIONS.
    pub(crate) insert_large: OwnedFd,
    _maps: Ebpf,
}

impl Floor {
    pub(crate) fn load() -> Result<Self> {
        let mut object = Ebpf::load(OBJECT).context("cannot load the floor programs")?;
        let mut load = |name: &str| -> Result<OwnedFd> {
            let program: &mut SchedClassifier = object.program_mut(name).context("no such program")?.try_into()?;
            program.load().with_context(|| format!("cannot load the floor program {name}"))?;
            Ok(program.fd()?.as_fd().try_clone_to_owned()?)
        };
        Ok(Self {
            noop: load("noop")?,
            parse: load("parse")?,
            look_up: load("look_up")?,
            count: load("count")?,
            insert: load("insert")?,
            insert_large: load("insert_large")?,
            _maps: object,
        })
    }

    /// Attaches the no-op both ways to an interface in this thread's network namespace, for as long as the links live.
    pub(crate) fn attach(&self, name: &str) -> Result<[OwnedFd; 2]> {
        let index = interface::index(name)?;
        let attach = |hook| bpf::attach_tcx(&self.noop, index, hook).context("cannot attach the no-op");
        Ok([attach(bpf::TCX_INGRESS)?, attach(bpf::TCX_EGRESS)?])
    }

    /// Puts the flows of these clients, as they send, into the table that `look_up` and `count` use.
    pub(crate) fn fill(&self, bed: &Bed<'_>, family: Family, network: u8, clients: std::ops::Range<u32>) -> Result<()> {
        let mut frames = Frames::new(family, network, OPEN_PORT, Step::Data);
        bed.for_each(clients, |client| {
            let returned = bed.run(&self.insert_large, frames.of(client), 1)?.returned;
            ensure!(returned == PASSED, "the floor has no room for client {client}");
            Ok(())
        })
    }
}
