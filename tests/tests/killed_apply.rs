//! Whatever happens to who applies a policy, the old or the new one is in force, complete, and nothing is leaked.
//! `MSEG_KILLS` is how often an apply is killed at a random moment; the promise is made for 500. From then on, it is also
//! killed at every one of its system calls, otherwise at some of them.

use std::{env, fs, thread, time::Instant};

use anyhow::{Context, Result, ensure};
use mseg::{
    generation,
    instance::{Access, Instance, Options},
};
use mseg_ebpf::abi::config::Config;
use mseg_tests::{
    bpf,
    bpffs::BPFFS,
    hook::Hook,
    lab::{self, Lab},
    privilege, require_root,
    stepper::Stepper,
    traffic::udp,
    wait::eventually,
};
use zerocopy::FromBytes;

const PATHS: [&str; 2] = ["/run/one.policy", "/run/two.policy"];
const PORTS: [u16; 2] = [5001, 5002];

/// Blocks of text of both policies, which no other test's policies have: so their maps are known among all.
const BLOCKS: u32 = 7;
/// Bytes of a block.
const BLOCK: usize = 4096;

/// A policy for one of the ports, of [`BLOCKS`] blocks.
fn policy(port: u16) -> String {
    let mut text = format!("default in deny\ndefault out allow\nrule only allow in udp to any port {port}\n");
    let mut number = 0;
    while text.len() <= (BLOCKS as usize - 1) * BLOCK {
        text += &format!("define set{number} = {{ 10.{}.{}.0/24 }}\n", number / 256, number % 256);
        number += 1;
    }
    mseg::policy::parse("test", &text).expect("the policy is one").to_string()
}

/// A lab with one of two policies in force.
struct Bench<'a> {
    lab: &'a Lab,
    instance: Instance,
    texts: [String; 2],
    pairs: [udp::Pair; 2],
}

impl<'a> Bench<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let texts = PORTS.map(policy);
        lab.mounts.run(|| PATHS.iter().zip(&texts).try_for_each(|(path, text)| fs::write(path, text)))?;
        lab.attach(&["--policy", PATHS[0], "--mode", "enforce"])?;
        let pair = |port| udp::Pair::open(&lab.client, &lab.server, lab::server(port)[0]);
        let pairs = [pair(PORTS[0])?, pair(PORTS[1])?];
        let instance = lab.mounts.run(|| Instance::open(&Options::default(), Access::Write))?;
        Ok(Self { lab, instance, texts, pairs })
    }

    /// Which of the two policies a generation is: its maps hold what its text says, and that is one of the two.
    fn policy_of(&self, generation: u32) -> Result<usize> {
        let proven = self.lab.mounts.run(|| generation::read(&self.instance, generation))?;
        self.texts.iter().position(|text| *text == proven.text).context("neither of the two policies is in force")
    }

    fn in_force(&self) -> Result<usize> {
        self.policy_of(self.instance.config()?.generation)
    }

    /// What would be in force at the end of time, if nobody did anything any more.
    fn in_force_at_last(&self) -> Result<usize> {
        let config = self.lab.mounts.run(|| bpf::open_pin(format!("{BPFFS}/mseg/default/maps/CONFIG").as_ref()))?;
        let stored = bpf::look_up(&config, 0, size_of::<Config>())?;
        let stored = Config::read_from_bytes(&stored).ok().context("CONFIG has another size")?;
        self.policy_of(stored.in_force(u64::MAX).generation)
    }

    /// Fails unless packets are judged by this policy.
    fn judges_by(&self, policy: usize) -> Result<()> {
        self.pairs[policy].ask(10, 10)?;
        let before = self.denied()?;
        self.pairs[1 - policy].client.send(b"?")?;
        eventually(|| {
            ensure!(self.denied()? > before, "port {} is not denied", PORTS[1 - policy]);
            Ok(())
        })
    }

    fn denied(&self) -> Result<u64> {
        use mseg_ebpf::abi::{reason::Reason, stats};
        let counters = self.instance.counters()?;
        Ok(counters[stats::index(stats::VERDICT_DENIED, Reason::DefaultDeny) as usize].packets)
    }

    /// Another policy is applied as if nothing had happened, and no map is left of those that were killed.
    fn nothing_is_leaked(&self) -> Result<()> {
        for path in [PATHS[0], PATHS[1], PATHS[0]] {
            self.lab.ctl(&["policy", "apply", path])?;
        }
        self.judges_by(0)?;
        let pins = self.lab.mounts.pins()?;
        let kept = pins.iter().filter(|pin| pin.contains("/policy/") && pin.ends_with("/POLICY_TEXT")).count();
        let directories = pins.iter().filter(|pin| pin.contains("/policy/") && pin.ends_with('/')).count() - 1;
        ensure!(kept == directories && kept <= 4, "pins are left: {pins:#?}");
        eventually(|| {
            let maps = bpf::count_maps("POLICY_TEXT", BLOCKS)?;
            ensure!(maps == kept, "{maps} maps hold the text of {kept} generations");
            Ok(())
        })
    }
}

fn in_a_lab(body: impl FnOnce(&Bench<'_>) -> Result<()>) -> Result<()> {
    require_root!();
    let hook = if privilege::kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact };
    Lab::test(hook, |lab| body(&Bench::new(lab)?))
}

/// How often an apply is killed at a random moment.
fn kills() -> Result<u32> {
    match env::var("MSEG_KILLS") {
        Ok(text) => text.parse().context("MSEG_KILLS needs a number"),
        Err(_) => Ok(50),
    }
}

/// Both tests count the same maps.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn killed_at_any_system_call_apply_leaves_the_old_policy_or_the_new_and_at_the_deadline_the_old() -> Result<()> {
    let _guard = ONE_AT_A_TIME.lock();
    in_a_lab(|bench| {
        let [mut old, mut new] = [0, 0];
        // A call is two steps: its entry and its return, after which the next one's entry finds everything as it was.
        let stride = if kills()? < 500 { 34 } else { 2 };
        // One run each, until one runs to its end.
        for kill_at in (1..).step_by(stride) {
            let apply = ["policy", "apply", PATHS[1], "--confirm", "1h"];
            let mut stepper = Stepper::start(bench.lab.place(), "msegctl", &apply)?;
            // Before it has the lock it changes nothing.
            while stepper.step()?.context("it ended without the lock")? != libc::SYS_flock {}
            let mut ended = false;
            for _ in 0..kill_at {
                ended = stepper.step()?.is_none();
                if ended {
                    break;
                }
            }
            if ended {
                // Not even the whole of it is for ever.
                ensure!(bench.in_force()? == 1 && bench.in_force_at_last()? == 0, "the last run applies");
                break;
            }
            stepper.kill()?;
            let in_force = bench.in_force().with_context(|| format!("killed at step {kill_at}"))?;
            *(if in_force == 0 { &mut old } else { &mut new }) += 1;
            if in_force == 1 {
                ensure!(bench.in_force_at_last()? == 0, "killed at step {kill_at}: the new one for ever");
            }
            if in_force == 1 || old % 10 == 0 {
                bench.judges_by(in_force)?;
            }
            bench.lab.mounts.run(|| -> Result<()> {
                let mut locked = bench.instance.lock()?;
                Ok(generation::rollback(&mut locked, Some(bench.fallback()?), None).map(drop)?)
            })?;
        }
        println!("killed at {} steps: the old policy was in force after {old}, the new one after {new}", old + new);
        ensure!(old > 0 && new > 0, "every step was before, or after");
        bench.lab.ctl(&["policy", "rollback"])?;
        bench.nothing_is_leaked()
    })
}

impl Bench<'_> {
    /// The generation to go back to: the one that waits has a fallback, all others are it.
    fn fallback(&self) -> Result<u32> {
        let config = self.instance.config()?;
        Ok(generation::Waiting::of(&config).map_or(config.generation, |waiting| waiting.fallback_generation))
    }
}

#[test]
fn killed_at_random_moments_apply_leaves_one_policy_or_the_other() -> Result<()> {
    let _guard = ONE_AT_A_TIME.lock();
    let kills = kills()?;
    in_a_lab(|bench| {
        let start = Instant::now();
        bench.lab.ctl(&["policy", "apply", PATHS[1]])?;
        let whole = start.elapsed();
        // The same moments in each run, as far as a moment can be the same.
        let mut random = 1_u64;
        let (mut former, mut changed) = (bench.in_force()?, 0);
        for kill in 0..kills {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let moment = whole.mul_f64((random >> 33) as f64 / f64::from(1_u32 << 31) * 2.0);
            let target = usize::from(former == 0);
            let mut child = bench.lab.place().command("msegctl", &["policy", "apply", PATHS[target]]).spawn()?;
            thread::sleep(moment);
            child.kill()?;
            child.wait()?;
            let in_force = bench.in_force().with_context(|| format!("killed the {kill}th time, after {moment:?}"))?;
            if kill % 10 == 0 {
                bench.judges_by(in_force)?;
            }
            changed += u32::from(in_force != former);
            former = in_force;
        }
        println!(
            "killed {kills} times within {whole:?}: {changed} had changed the policy, {} had not",
            kills - changed
        );
        bench.nothing_is_leaked()
    })
}
