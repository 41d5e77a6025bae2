//! The loaded programs, a frame at a time, and everything that moved.

use std::{ops::ControlFlow, os::fd::OwnedFd, path::Path, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use mseg::{
    clock::monotonic_ns,
    instance::{Access, Instance, Options, Table},
    view::{State, TcpState},
};
use mseg_ebpf::{
    abi::{
        map,
        reason::{LIMIT, Reason},
        session::{Session as Entry, SessionKey},
        stats::Counter,
        time::{TICK_SHIFT, tick},
    },
    packet::{Packet, parse},
    session::key,
};
use zerocopy::IntoBytes;

use super::expectation::verdict_name;
use crate::{
    bpf::{self, TestContext},
    bpffs::BPFFS,
    interface::{self, End},
    lab::{Lab, PROTECTED},
    packet::{Direction, Frame},
};

/// An attached instance whose interface is down, so that nothing but the frames of the cases is counted.
#[derive(Debug)]
pub struct Bench {
    instance: Instance,
    programs: [OwnedFd; 2],
    config: OwnedFd,
    tables: Vec<(Table, OwnedFd)>,
    ifindex: u32,
    /// Another interface, to which nothing is attached.
    beyond: u32,
    zone: u16,
}

/// The name of [`Bench::beyond`].
const BEYOND: &str = "beyond0";

/// What one frame did.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `VERDICT_*` and the name of the reason of the one counter that moved.
    pub verdict: u32,
    /// The reason's name.
    pub reason: &'static str,
}

impl Bench {
    /// Attaches to the lab's interface with these options of `mseg-loader attach`, after detaching what is there.
    ///
    /// # Errors
    /// When it cannot.
    pub fn attach(lab: &Lab, options: &[&str]) -> Result<Self> {
        lab.detach_all()?;
        lab.attach(options)?;
        lab.server.run(|| interface::set_down(PROTECTED))?;
        if lab.server.run(|| interface::index(BEYOND)).is_err() {
            let end = |namespace, name, mac| End { namespace, name, mac, addresses: &[] };
            let (one, other) = ([2, 0, 0, 0, 9, 1], [2, 0, 0, 0, 9, 2]);
            interface::join(end(&lab.server, BEYOND, one), end(&lab.client, "beyond1", other))?;
        }
        let beyond = lab.server.run(|| interface::index(BEYOND))?;
        let instance = lab.mounts.run(|| Instance::open(&Options::default(), Access::Write))?;
        let ifindex = lab.server.run(|| interface::index(PROTECTED))?;
        let (_, record) = instance
            .interfaces()?
            .into_iter()
            .find(|(index, _)| *index == ifindex)
            .context("the interface is not recorded")?;
        let role = if record.zone == 0 { "host" } else { "workload" };
        let directory = Path::new(BPFFS).join("mseg/default");
        let open = |path: String| {
            lab.mounts.run(|| bpf::open_pin(&directory.join(&path))).with_context(|| format!("cannot open {path}"))
        };
        let programs = [open(format!("progs/{role}_in"))?, open(format!("progs/{role}_out"))?];
        let config = open(format!("maps/{}", map::CONFIG))?;
        let tables = Table::ALL.into_iter().map(|table| Ok((table, open(format!("maps/{}", table.name()))?)));
        let tables = tables.collect::<Result<_>>()?;
        // Within the tick of the attach nothing is held to its window.
        thread::sleep(2 * Duration::from_nanos(1 << TICK_SHIFT));
        Ok(Self { instance, programs, config, tables, ifindex, beyond, zone: record.zone })
    }

    /// The instance.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Runs a frame through the program of its direction; in the network namespace of the lab's server.
    ///
    /// # Errors
    /// When the kernel refuses it, or when not exactly one counter moved, by the frame's packets and bytes on the wire.
    pub fn run(&self, frame: &Frame, direction: Direction) -> Result<Seen> {
        let before = self.instance.counters()?;
        let returned = self.run_uncounted(frame, direction)?;
        let after = self.instance.counters()?;
        let seen = moved(&before, &after, frame)?;
        let expected = if verdict_name(seen.verdict) == "shot" { 2 } else { -1 };
        ensure!(
            returned == expected,
            "{} was counted, but the program returned {returned}",
            verdict_name(seen.verdict)
        );
        Ok(seen)
    }

    /// Runs a frame, and says what the program returned.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn run_uncounted(&self, frame: &Frame, direction: Direction) -> Result<i32> {
        let program = match direction {
            Direction::In => &self.programs[0],
            Direction::Out | Direction::Through | Direction::Return | Direction::Beyond => &self.programs[1],
        };
        let (gso_segs, gso_size) = (frame.segments, frame.segment_size);
        let (ifindex, ingress_ifindex) = match direction {
            Direction::In | Direction::Out => (self.ifindex, 0),
            Direction::Through => (self.ifindex, self.beyond),
            Direction::Return => (self.ifindex, self.ifindex),
            Direction::Beyond => (self.beyond, self.ifindex),
        };
        let context = TestContext { ifindex, ingress_ifindex, gso_segs, gso_size, ..TestContext::default() };
        Ok(bpf::test_run(program, &frame.bytes, context, 1).context("the kernel refuses the frame")?.returned)
    }

    /// The state of the session that a frame belongs to.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn session(&self, frame: &Frame) -> Result<Option<(Option<State>, Option<TcpState>)>> {
        let mut packet = Packet::default();
        // What a malformed frame belongs to is told by what could be read of it.
        let _ = parse::<[u8]>(&frame.bytes, &mut packet);
        let (key, _) = key::of(&packet, self.zone);
        let found = self.instance.session(&key)?;
        Ok(found.map(|(_, session)| (State::of(session.state), TcpState::of(session.tcp_state))))
    }

    /// Every session of both tables.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn sessions(&self) -> Result<Vec<SessionKey>> {
        let mut keys = Vec::new();
        let mut keep = |key: &SessionKey, _: &Entry| {
            keys.push(*key);
            ControlFlow::Continue(())
        };
        Table::ALL.into_iter().try_for_each(|table| self.instance.for_each_session(table, &mut keep))?;
        Ok(keys)
    }

    /// Makes every session look as if it had last been seen so long ago.
    ///
    /// # Errors
    /// When a map cannot be changed.
    pub fn idle(&self, time: Duration) -> Result<()> {
        let ticks = u32::try_from(time.as_nanos() >> TICK_SHIFT).context("ticks repeat before that")?;
        let seen = tick(monotonic_ns()?).wrapping_sub(ticks);
        for (table, map) in &self.tables {
            let mut found = Vec::new();
            self.instance.for_each_session(*table, &mut |key, session| {
                found.push((*key, Entry { last_seen_tick: seen, ..*session }));
                ControlFlow::Continue(())
            })?;
            for (key, session) in found {
                bpf::put(map, key.as_bytes(), session.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Forgets every session.
    ///
    /// # Errors
    /// When a map cannot be changed.
    pub fn reset(&self) -> Result<()> {
        self.sessions()?.iter().try_for_each(|key| self.instance.delete_session(key).map(drop))?;
        Ok(())
    }

    /// Makes a generation active, which may have no policy.
    ///
    /// # Errors
    /// When a map cannot be changed.
    pub fn set_generation(&self, generation: u32) -> Result<()> {
        let mut config = bpf::look_up(&self.config, 0, size_of::<mseg_ebpf::abi::config::Config>())?;
        config[..4].copy_from_slice(&generation.to_ne_bytes());
        Ok(bpf::update(&self.config, 0, &config)?)
    }

    /// Packets by the name of the rule that was credited with them; in the mounts of the lab, where the pins are.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn rule_packets(&self) -> Result<Vec<(String, u64)>> {
        let hits = self.instance.rule_hits()?;
        let names = self.instance.rule_names()?;
        let packets = |id: u32| hits.get(id as usize).map_or(0, |hits| hits.packets);
        Ok(names.into_iter().map(|(id, name)| (name, packets(id))).collect())
    }
}

/// The one counter that moved.
fn moved(before: &[Counter], after: &[Counter], frame: &Frame) -> Result<Seen> {
    let differences = before.iter().zip(after).enumerate().filter(|(_, (before, after))| before != after);
    let mut seen: Vec<(Seen, u64, u64)> = Vec::new();
    for (index, (before, after)) in differences {
        let index = u32::try_from(index)?;
        let (verdict, number) = (index / LIMIT, index % LIMIT);
        let reason = Reason::ALL.iter().find(|reason| **reason as u32 == number).map_or("(no reason)", |r| r.name());
        seen.push((Seen { verdict, reason }, after.packets - before.packets, after.bytes - before.bytes));
    }
    let [(one, packets, bytes)] = seen.as_slice() else {
        anyhow::bail!("not exactly one counter moved: {seen:?}");
    };
    let wire = (frame.wire_packets(), frame.wire_bytes());
    ensure!(
        (*packets, *bytes) == wire,
        "{} {} was counted as {packets} packets with {bytes} bytes, but it is {} with {}",
        verdict_name(one.verdict),
        one.reason,
        wire.0,
        wire.1
    );
    Ok(one.clone())
}
