//! No packet is judged by a mixture of two policies, however often they take turns. `MSEG_APPLIES` is how often; the
//! promise is made for 1,000. `MSEG_RULES` is how many rules the generations have whose release must stall nobody.

use std::{
    collections::BTreeMap,
    env, fs,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mseg::instance::{Access, Instance, Options, Table};
use mseg_ebpf::abi::{event::Event, rule};
use mseg_tests::{
    blast::Blaster,
    documents::expect,
    flows::{Family, Frames, Step},
    hook::Hook,
    lab::{Lab, PEER},
    privilege, require_root,
};
use zerocopy::TryFromBytes;

/// Port 1 is allowed by both policies and port 2 denied, each time by a rule that only one of them has. A mixture without
/// either rule denies port 1 by the default, or allows port 2 by `base`; one with both credits the wrong rule.
const POLICIES: [&str; 2] = [
    "default in deny\ndefault out allow\nrule base allow in udp to any port 2 priority 2000\n\
     rule even-allow allow in udp to any port 1\nrule even-deny deny in udp to any port 2\n",
    "default in deny\ndefault out allow\nrule base allow in udp to any port 2 priority 2000\n\
     rule odd-allow allow in udp to any port 1\nrule odd-deny deny in udp to any port 2\n",
];
const PATHS: [&str; 2] = ["/run/even.policy", "/run/odd.policy"];

/// Clients of each port. Every one makes a session, which each new generation judges again.
const CLIENTS: u32 = 4_000;

fn setting(name: &str, default: u32) -> Result<u32> {
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} needs a number")),
        Err(_) => Ok(default),
    }
}

fn in_a_lab(body: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    require_root!();
    Lab::test(if privilege::kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact }, body)
}

/// Datagrams of both families to both ports, a port after the other.
fn datagrams() -> Vec<Vec<u8>> {
    let ports = [1, 2].map(|port| Family::BOTH.map(|family| Frames::new(family, 10, port, Step::Ask)));
    let mut streams = ports.into_iter().flatten().collect::<Vec<_>>();
    (0..CLIENTS / 2).flat_map(|client| streams.iter_mut().map(|s| s.of(client).to_vec()).collect::<Vec<_>>()).collect()
}

/// What a generation's rules are called: policies take turns, beginning with generation 1.
fn expected(generation: u32, name: &str) -> bool {
    name.starts_with(if generation.is_multiple_of(2) { "even-" } else { "odd-" })
}

/// Whether everything that was judged was judged by one policy as a whole.
struct Judge<'a> {
    instance: &'a Instance,
    /// Both policies are always kept, so that a rule's number stays its own.
    names: BTreeMap<u32, String>,
    judged: u64,
}

impl<'a> Judge<'a> {
    fn new(instance: &'a Instance) -> Self {
        Self { instance, names: BTreeMap::new(), judged: 0 }
    }

    fn check(&mut self, generation: u32, rule: u32, what: &str) -> Result<()> {
        // 0: not judged yet.
        if generation == 0 {
            return Ok(());
        }
        if !self.names.contains_key(&rule) {
            self.names = self.instance.rule_names()?;
        }
        let name = self.names.get(&rule).with_context(|| format!("rule {rule} has no name"))?;
        self.judged += 1;
        ensure!(expected(generation, name), "a mixture: {what} of generation {generation} was decided by {name}");
        Ok(())
    }

    fn check_sessions(&mut self) -> Result<()> {
        let mut seen = BTreeMap::new();
        for table in Table::ALL {
            self.instance.for_each_session(table, &mut |_, session| {
                *seen.entry((session.generation, session.rule)).or_insert(0_u64) += 1;
                ControlFlow::Continue(())
            })?;
        }
        for ((generation, rule), count) in seen {
            self.check(generation, rule, "a session")?;
            self.judged += count - 1;
        }
        Ok(())
    }
}

#[test]
fn no_packet_is_judged_by_a_mixture_of_two_policies() -> Result<()> {
    let applies = setting("MSEG_APPLIES", 100)?;
    // The names of rules are read where the pins are.
    in_a_lab(|lab| lab.mounts.run(|| take_turns(lab, applies)))
}

fn take_turns(lab: &Lab, applies: u32) -> Result<()> {
    PATHS.iter().zip(POLICIES).try_for_each(|(path, text)| fs::write(path, text))?;
    lab.attach(&["--policy", PATHS[1], "--mode", "enforce", "--half-open-per-source", "0"])?;
    let instance = Instance::open(&Options::default(), Access::Read)?;
    let mut ring = instance.events()?;
    let mut blaster = Blaster::new(&lab.client, PEER, datagrams())?;
    let over = AtomicBool::new(false);
    let start = Instant::now();
    let (sent, events) = thread::scope(|scope| -> Result<(u64, u64)> {
        let traffic = scope.spawn(|| -> Result<u64> {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                blaster.send(256)?;
                sent += 256;
            }
            Ok(sent)
        });
        let reader = scope.spawn(|| -> Result<u64> {
            let mut judge = Judge::new(&instance);
            while !over.load(Ordering::Relaxed) {
                while let Some(record) = ring.next()? {
                    let end = record.end;
                    let Ok(event) = Event::try_read_from_bytes(record.bytes) else { bail!("not an event") };
                    // The host's own packets are none of the policies' business.
                    if event.session.rule >= rule::FIRST {
                        judge.check(event.session.generation, event.session.rule, "an event")?;
                    }
                    ring.release(end);
                }
                thread::sleep(Duration::from_millis(1));
            }
            Ok(judge.judged)
        });
        let mut judge = Judge::new(&instance);
        let applied = (0..applies).try_for_each(|turn| -> Result<()> {
            let applied = lab.json(&["policy", "apply", PATHS[turn as usize % 2]])?;
            expect(&applied, "/generation", turn + 2)?;
            if turn % 10 == 0 { judge.check_sessions() } else { Ok(()) }
        });
        over.store(true, Ordering::Relaxed);
        let sent = traffic.join().expect("the traffic does not panic")?;
        let events = reader.join().expect("the reader does not panic")?;
        applied.map(|()| (sent, events + judge.judged))
    })?;
    let took = start.elapsed();
    let (names, hits) = (instance.rule_names()?, instance.rule_hits()?);
    let packets = |wanted: &str| -> Result<u64> {
        let named = names.iter().find(|(_, name)| *name == wanted).with_context(|| format!("no rule {wanted}"))?;
        Ok(hits[*named.0 as usize].packets)
    };
    let [base, default] = [packets("base")?, packets("default-in")?];
    ensure!(base == 0 && default == 0, "a mixture: {base} packets by base, {default} by the default");
    for name in ["even-allow", "even-deny", "odd-allow", "odd-deny"] {
        ensure!(packets(name)? > 0, "{name} has decided nothing");
    }
    ensure!(events > 0, "nothing was looked at");
    let reasons = &lab.stats()?["reasons"];
    ensure!(reasons["no-policy"].is_null(), "packets that no policy has judged: {reasons}");
    println!("{applies} applies in {took:?} under {sent} packets: {events} decisions looked at, no mixture");
    Ok(())
}

/// The longest time for which a thread that only sleeps a millisecond did not come to its turn.
fn worst_delay(over: &AtomicBool) -> Duration {
    let mut worst = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let before = Instant::now();
        thread::sleep(Duration::from_millis(1));
        worst = worst.max(before.elapsed());
    }
    worst
}

/// A policy of so many rules, each with a network of its own.
fn large(rules: u32, port: u16) -> String {
    let network = |i: u32| format!("10.{}.{}.{}/30", i >> 14 & 255, i >> 6 & 255, (i & 63) << 2);
    let rule = |i| format!("rule r{i} allow in tcp from {} to any port {port}\n", network(i));
    "default in deny\ndefault out allow\n".to_owned() + &(0..rules).map(rule).collect::<String>()
}

/// What a machine that is busy with other things may take; to free maps of any size at one go takes longer.
const STALL: Duration = Duration::from_secs(1);

#[test]
fn released_generations_stall_nobody() -> Result<()> {
    let rules = setting("MSEG_RULES", 500)?;
    in_a_lab(|lab| {
        let paths = ["/run/large.policy", "/run/larger.policy"];
        lab.mounts.run(|| -> Result<()> {
            fs::write(paths[0], large(rules, 80))?;
            Ok(fs::write(paths[1], large(rules, 81))?)
        })?;
        lab.attach(&[])?;
        let over = AtomicBool::new(false);
        let cpus = thread::available_parallelism()?.get();
        let (applied, worst) = thread::scope(|scope| {
            let beats: Vec<_> = (0..cpus).map(|_| scope.spawn(|| worst_delay(&over))).collect();
            // Four are kept, so each from the fifth on releases one.
            let applied =
                (0..10).try_for_each(|turn| -> Result<()> { lab.ctl(&["policy", "apply", paths[turn % 2]]).map(drop) });
            // The kernel frees maps after the call that let go of them.
            thread::sleep(Duration::from_millis(500));
            over.store(true, Ordering::Relaxed);
            (applied, beats.into_iter().filter_map(|beat| beat.join().ok()).max())
        });
        applied?;
        let worst = worst.context("no thread has run")?;
        println!("{rules} rules: the longest delay while generations were released is {worst:?}");
        ensure!(worst < STALL, "a thread had to wait {worst:?}");
        Ok(())
    })
}
