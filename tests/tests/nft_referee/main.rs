//! nftables with conntrack as a referee: the same rules and the same frames, through a gateway each.
//!
//! What is sent follows from a seed; `MSEG_REFEREE_CONVERSATIONS` says how much, `MSEG_REFEREE_SEED` what.

mod differences;
mod gateway;
mod generate;
mod rare;
mod rules;
mod sctp;
mod segment;
mod shape;
mod tcp;
mod tcp_differences;
mod track;
mod view;

use std::{collections::BTreeMap, env, fmt::Write, fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use mseg_tests::{hook::Hook, lab::Lab, middlebox::Random, require_root, require_tool, topology::Topology};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use differences::{CLASSES, Difference};
use gateway::{Gateway, Outcome};

/// What may pass; the same as [`RULESET`].
const POLICY: &str = "default in deny
default out deny
builtin nd off
builtin mld off
builtin dhcp off
builtin failsafe off
rule barrier allow both udp from any port 9 to any port 9
rule dns     allow in udp to any port 53
rule time    allow out udp to any port 123
rule ping    allow in icmp type echo-request
rule ping6   allow both icmpv6 type echo-request
rule clock   allow both icmp type timestamp-request
rule sctp    allow in sctp to any port 53
rule gre     allow in 47
rule web     allow in tcp to any port 80
rule fetch   allow out tcp to any port 443
";

/// Differences that a failure shows.
const SHOWN: usize = 12;

/// Conversations through one pair of gateways.
const ROUND: usize = 3000;

/// The same as [`POLICY`].
const RULESET: &str = r#"table inet referee {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state invalid drop
        ct state established,related accept
        udp sport 9 udp dport 9 accept
        iifname "mseg0" udp dport 53 accept
        iifname "to-server" udp dport 123 accept
        iifname "mseg0" icmp type echo-request accept
        icmpv6 type echo-request accept
        icmp type timestamp-request accept
        iifname "mseg0" sctp dport 53 accept
        iifname "mseg0" meta l4proto 47 accept
        iifname "mseg0" tcp dport 80 accept
        iifname "to-server" tcp dport 443 accept
    }
}
"#;

fn setting(name: &str, default: u64) -> Result<u64> {
    Ok(env::var(name).ok().map(|value| value.parse()).transpose()?.unwrap_or(default))
}

/// The names of the section of man/mseg.7 that explains the differences.
#[test]
fn every_difference_is_explained_in_the_manual() -> Result<()> {
    const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/mseg.7");
    let manual = fs::read_to_string(MANUAL)?;
    let section = manual.split(".Sh ").find(|section| section.starts_with("DIFFERENCES FROM NFTABLES"));
    let section = section.context("man/mseg.7 has no section about the differences")?;
    let explained: Vec<_> = section.lines().filter_map(|line| line.strip_prefix(".It Sy ")).collect();
    let known: Vec<_> = CLASSES.iter().map(|(name, _)| *name).collect();
    ensure!(explained == known, "the manual explains {explained:?}, the test knows {known:?}");
    Ok(())
}

#[test]
fn verdicts_differ_from_those_of_nftables_only_as_documented() -> Result<()> {
    require_root!();
    require_tool!("nft");
    // On one CPU frames do not overtake each other.
    let mut cpus = CpuSet::new();
    cpus.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpus)?;
    let conversations = usize::try_from(setting("MSEG_REFEREE_CONVERSATIONS", 6000)?)?;
    let seed = setting("MSEG_REFEREE_SEED", 0x6d73_6567)?;
    let mut random = Random(seed << 1 | 1);
    let mut tally = Tally::default();
    let mut left = conversations;
    while left > 0 {
        let now = left.min(ROUND);
        round(now, &mut random, &mut tally)?;
        left -= now;
    }
    tally.judge(conversations, seed)
}

/// So many conversations through two new gateways: few enough that no table of either is ever full.
fn round(conversations: usize, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let other = Lab::joined_by(Hook::Tcx, Topology::Gateway)?;
    let mut nft = Gateway::new(&other)?;
    nft.load_nft(RULESET)?;
    Lab::test_joined_by(Hook::Tcx, Topology::Gateway, |lab| {
        let options = ["--mode", "enforce", "--midstream", "strict"];
        lab.attach(&[&["--policy", lab.policy(POLICY)?], &options[..]].concat())?;
        let mut mseg = Gateway::new(lab)?;
        // To the programs' clock, a session of the moment of attaching may be older.
        thread::sleep(Duration::from_millis(50));
        for number in 0..conversations {
            let units = generate::conversation(number, random);
            let mut passed = Vec::new();
            for (at, unit) in units.iter().enumerate() {
                let [by_nft, by_mseg] = [nft.send(unit)?, mseg.send(unit)?];
                tally.meet(&Difference { before: &units[..at], passed: &passed, unit, nft: by_nft, mseg: by_mseg });
                passed.push(by_nft != Outcome::Nothing);
                if by_nft != by_mseg {
                    // From here on the two know of different sessions.
                    break;
                }
            }
        }
        Ok(())
    })
}

/// What was seen so far.
#[derive(Default)]
struct Tally {
    alike: BTreeMap<&'static str, usize>,
    listed: BTreeMap<&'static str, usize>,
    unlisted: Vec<String>,
}

impl Tally {
    fn meet(&mut self, difference: &Difference<'_>) {
        if difference.nft == difference.mseg {
            let outcome = match difference.nft {
                Outcome::Nothing => "denied by both",
                Outcome::Part => "passed in part by both",
                Outcome::Whole => "passed by both",
            };
            *self.alike.entry(outcome).or_default() += 1;
            return;
        }
        match difference.class() {
            Some(name) => *self.listed.entry(name).or_default() += 1,
            None => self.unlisted.push(describe(difference)),
        }
    }

    fn judge(&self, conversations: usize, seed: u64) -> Result<()> {
        eprintln!("{conversations} conversations, seed {seed}: {:?}, differences {:?}", self.alike, self.listed);
        let count = self.unlisted.len();
        let first: String = self.unlisted.iter().take(SHOWN).map(String::as_str).collect();
        ensure!(
            count == 0,
            "{count} differences that man/mseg.7 does not name (seed {seed}), the first of them:\n{first}"
        );
        let missing = CLASSES.iter().find(|(name, _)| conversations >= ROUND && !self.listed.contains_key(name));
        ensure!(missing.is_none(), "a difference of this name was not seen: {:?}", missing.map(|(name, _)| name));
        let both = ["denied by both", "passed by both"];
        ensure!(both.iter().all(|outcome| self.alike.contains_key(outcome)), "nothing was compared");
        Ok(())
    }
}

/// Everything that somebody needs to send it again.
fn describe(difference: &Difference<'_>) -> String {
    let mut text = format!("* nft {:?}, mseg {:?}\n", difference.nft, difference.mseg);
    let passed = difference.passed.iter().map(|&passed| if passed { "passes" } else { "denied" }).chain(["differs"]);
    for (unit, passed) in difference.before.iter().chain([difference.unit]).zip(passed) {
        let way = if unit.to_far { "in " } else { "out" };
        let _ = writeln!(text, "  {way} {passed} {}", unit.what);
        for packet in unit.packets.iter().take(6) {
            let bytes = packet.iter().take(120).map(|byte| format!("{byte:02x}")).collect::<String>();
            let _ = writeln!(text, "      {} bytes {bytes}", packet.len());
        }
    }
    if let Some(header) = difference.header() {
        let track = difference.track();
        let _ = writeln!(text, "  {:?}, {:?}", track.place(difference.unit.to_far, &header), track);
    }
    text
}
