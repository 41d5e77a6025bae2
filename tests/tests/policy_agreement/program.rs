//! The loaded programs: every packet in a test run, what it returns, and what it counts for each rule.

use std::{collections::HashMap, os::fd::OwnedFd, path::Path};

use anyhow::{Context, Result, anyhow, ensure};
use mseg::{
    compile::{RuleIds, Tables, compile},
    generation::apply,
    instance::{Access, Instance, Options},
    policy::{
        Action, Policy,
        arbitrary::INTERFACES,
        evaluate::{Decision, Packet, PacketDirection, evaluate},
    },
};
use mseg_ebpf::abi::rule::{BLOCK, RuleHits, hits_index};
use mseg_tests::{
    bpf::{self, TestContext},
    bpffs::BPFFS,
    hook::Hook,
    interface::{self, End},
    lab::{Lab, PROTECTED},
    privilege::kernel_has_tcx,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    coverage::Coverage,
    frame::frame,
    host::agrees,
    run::{Failure, Judge},
};

/// `TC_ACT_SHOT` and `TCX_NEXT`.
const SHOT: i32 = 2;
const NEXT: i32 = -1;

/// An instance that enforces, on interfaces that are down: nothing but the frames of the test is counted.
struct Program {
    instance: Instance,
    /// Inwards, outwards.
    programs: [OwnedFd; 2],
    half_open: OwnedFd,
    denied: OwnedFd,
    /// RULE_HITS by block, as far as it was needed.
    hits: HashMap<u32, OwnedFd>,
    interfaces: HashMap<&'static str, u32>,
    cpus: u32,
}

/// Makes an instance of this thread's own and gives it to `work`.
pub(crate) fn with_instance(work: &mut (dyn FnMut(&mut dyn Judge) -> Result<()> + Send)) -> Result<()> {
    let hook = if kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact };
    Lab::test(hook, |lab| {
        for (number, name) in (0u8..).zip(INTERFACES) {
            let peer = format!("peer{number}");
            let end = |namespace, name, side| End { namespace, name, mac: [2, 0, 0, 1, side, number], addresses: &[] };
            interface::join(end(&lab.server, name, 0), end(&lab.client, &peer, 1))?;
        }
        // One source sends all; how many sessions it may have is not the question.
        let options = ["--mode", "enforce", "--no-adopt", "--half-open-per-source", "0"];
        lab.attach(&options)?;
        let attach = [&["attach", "--hook", hook.name()][..], &INTERFACES, &options].concat();
        lab.run("mseg-loader", &attach)?.ok()?;
        lab.server.run(|| INTERFACES.into_iter().chain([PROTECTED]).try_for_each(interface::set_down))?;
        lab.mounts.run(|| lab.server.run(|| work(&mut Program::open()?)))
    })
}

impl Program {
    fn open() -> Result<Self> {
        let index = |name| Ok((name, interface::index(name)?));
        Ok(Self {
            instance: Instance::open(&Options::default(), Access::Write)?,
            programs: [open("progs/host_in")?, open("progs/host_out")?],
            half_open: open("maps/HALF_OPEN")?,
            denied: open("maps/DENIED")?,
            hits: HashMap::new(),
            interfaces: INTERFACES.into_iter().map(index).collect::<Result<_>>()?,
            cpus: u32::try_from(bpf::possible_cpus()?)?,
        })
    }

    /// What the packets of a rule were counted as.
    fn hits(&mut self, id: u32) -> Result<(u64, u64)> {
        let map = match self.hits.entry(id / BLOCK) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let pin = format!("hits/{}", vacant.key());
                vacant.insert(open(&pin)?)
            }
        };
        (0..self.cpus).try_fold((0, 0), |(sessions, packets), cpu| {
            let copy = bpf::look_up(map, hits_index(cpu, id), size_of::<RuleHits>())?;
            let hits = RuleHits::read_from_bytes(&copy).ok().context("odd hits")?;
            Ok((sessions + hits.sessions, packets + hits.packets))
        })
    }

    /// Runs one packet. `expected` are the hits of each rule until now. `false` if the rules do not decide it.
    fn run(&mut self, policy: &Policy, packet: &Packet, ids: &RuleIds, expected: &mut [(u64, u64)]) -> Result<bool> {
        let Some(frame) = frame(packet, policy) else {
            return Ok(false);
        };
        let Decision { action, cause, audited, .. } = evaluate(policy, packet);
        let context = TestContext {
            ifindex: *self.interfaces.get(&*packet.interface).context("an unknown interface")?,
            ..TestContext::default()
        };
        let program = &self.programs[usize::from(packet.direction == PacketDirection::Out)];
        let returned = bpf::test_run(program, &frame.bytes, context, 1).context("the kernel refuses it")?.returned;
        // The next packet of this flow is to be asked about again.
        let forgotten = match action {
            Action::Allow => bpf::delete(&self.half_open, frame.key.as_bytes())?,
            Action::Deny => bpf::delete(&self.denied, frame.key.as_bytes())?,
        };
        let wanted = if action == Action::Allow { NEXT } else { SHOT };
        ensure!(returned == wanted, "the program returns {returned}, and not {wanted} for {}", cause.name());
        // Echoes have sessions, other ICMP has none.
        ensure!(forgotten || action == Action::Allow && matches!(packet.protocol, 1 | 58), "there is no trace of it");
        let names = audited.iter().map(|rule| &*rule.name).chain([cause.name()]);
        for name in names {
            let id = ids.get(name).with_context(|| format!("{name} has no id"))?;
            let expected = &mut expected[id as usize];
            *expected = (expected.0 + 1, expected.1 + 1);
            let counted = self.hits(id)?;
            ensure!(counted == *expected, "rule {name} has the hits {counted:?} and not {expected:?}");
        }
        Ok(true)
    }

    /// Applies a policy. The tables that the kernel then has, and the names of their rules; `None` if it does not fit.
    fn apply(&self, policy: &Policy) -> Result<Option<(Tables, RuleIds)>> {
        let mut locked = self.instance.lock()?;
        let applied = match apply(&mut locked, policy, None) {
            Ok(applied) => applied,
            Err(error) if error.message.contains("that fit") => return Ok(None),
            Err(error) => return Err(anyhow!("{error}")),
        };
        let tables = self.instance.tables(applied.generation)?.context("the generation is not kept")?;
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
        let ids = RuleIds::from_names(tables.rules.iter().map(|rule| (rule.id, name(&rule.name))));
        Ok(Some((tables, ids)))
    }

    fn all_hits(&self) -> Result<Vec<(u64, u64)>> {
        Ok(self.instance.rule_hits()?.iter().map(|hits| (hits.sessions, hits.packets)).collect())
    }
}

impl Judge for Program {
    fn judge(&mut self, policy: &Policy, packets: &[Packet], coverage: &mut Coverage) -> Result<(), Failure> {
        let Some((tables, mut ids)) = self.apply(policy)? else {
            coverage.refused += 1;
            return Ok(());
        };
        let compiled = compile(policy, &mut ids).map_err(|error| anyhow!("{error}"))?;
        if !compiled.tables.says_the_same(&tables) {
            return Err(anyhow!("the kernel has other tables than the compiler makes").into());
        }
        agrees(policy, &tables, &ids, packets, coverage)?;
        let mut expected = self.all_hits()?;
        for packet in packets {
            let judged = self.run(policy, packet, &ids, &mut expected);
            let judged = judged.map_err(|error| Failure { packet: Some(packet.clone()), error })?;
            coverage.judged += u64::from(judged);
        }
        // No other rule was credited with any of them.
        if self.all_hits()? != expected {
            return Err(anyhow!("rules were credited that decided nothing").into());
        }
        Ok(())
    }
}

fn open(pin: &str) -> Result<OwnedFd> {
    let path = Path::new(BPFFS).join("mseg/default").join(pin);
    bpf::open_pin(&path).with_context(|| format!("cannot open {}", path.display()))
}
