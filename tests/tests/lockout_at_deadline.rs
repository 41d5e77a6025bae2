//! What is judged is what becomes active, at whatever moment the deadline of a change that waits passes.

use std::fs;

use anyhow::{Context, Result, ensure};
use mseg_ebpf::abi::config::Config;
use mseg_tests::{
    bpf,
    bpffs::BPFFS,
    documents::expect,
    hook::Hook,
    lab::{CLIENT_V4, Lab, PROTECTED, SERVER_V4},
    privilege,
    process::typed,
    require_root,
    stepper::Stepper,
};
use zerocopy::{FromBytes, IntoBytes};

const OPEN: &str = "/run/open.policy";
const OTHER: &str = "/run/other.policy";
const NO_SSH: &str = "/run/no-ssh.policy";
const MINE: &str = "/run/mine.policy";

/// That [`caller`] is let in.
const LET_IN: &str = "/run/let-in";

const POLICIES: [(&str, &str); 4] = [
    (OPEN, ""),
    (OTHER, "rule other deny in udp\n"),
    (NO_SSH, "rule no-ssh deny in tcp to any port 22\n"),
    (MINE, "rule mine allow in tcp to any port 22\nrule no-ssh deny in tcp to any port 22 priority 2000\n"),
];

/// Of the moments that differ, every so many is tried: all would take minutes. A call is two, its entry and its return.
const STRIDE: usize = 15;

/// A lab with the policies, in which nothing is attached yet.
fn in_a_lab(body: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    require_root!();
    let hook = if privilege::kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact };
    Lab::test(hook, |lab| {
        lab.mounts.run(|| {
            let text = |rules| format!("default in allow\nbuiltin failsafe off\n{rules}");
            fs::write(LET_IN, format!("expect allow in tcp from {CLIENT_V4} to {SERVER_V4} port 22\n"))?;
            POLICIES.iter().try_for_each(|(path, rules)| fs::write(path, text(rules)))
        })?;
        body(lab)
    })
}

/// `$SSH_CONNECTION` of somebody who came in through the protected interface.
fn caller() -> String {
    format!("{CLIENT_V4} 40000 {SERVER_V4} 22")
}

/// Fails if packets of [`caller`] are dropped.
fn is_let_in(lab: &Lab) -> Result<()> {
    let observes = lab.json(&["mode", "show"])?["mode"] == "observe";
    ensure!(observes || lab.run("msegctl", &["policy", "test", LET_IN])?.status.success(), "the caller is locked out");
    Ok(())
}

/// CONFIG, written behind the programs' backs.
struct Switches(std::os::fd::OwnedFd);

impl Switches {
    fn new(lab: &Lab) -> Result<Self> {
        Ok(Self(lab.mounts.run(|| bpf::open_pin(format!("{BPFFS}/mseg/default/maps/CONFIG").as_ref()))?))
    }

    fn read(&self) -> Result<Config> {
        let bytes = bpf::look_up(&self.0, 0, size_of::<Config>())?;
        Config::read_from_bytes(&bytes).ok().context("CONFIG has another size")
    }

    fn write(&self, config: &Config) -> Result<()> {
        Ok(bpf::update(&self.0, 0, config.as_bytes())?)
    }

    /// As if it were that late: the first nanosecond is long over.
    fn let_the_deadline_pass(&self) -> Result<()> {
        let config = self.read()?;
        self.write(&Config { deadline_ns: config.deadline_ns.min(1), ..config })
    }
}

/// Runs a command of the caller's again and again after the same steps, each of which is one of msegctl, the last one made
/// with `--confirm`; at each run its deadline passes a little later. He must never be locked out.
fn never_locks_out(steps: &[&[&str]], program: &str, arguments: &[&str]) -> Result<()> {
    in_a_lab(|lab| {
        lab.attach(&[])?;
        let switches = Switches::new(lab)?;
        let mut codes = Vec::new();
        let mut waits = None;
        for moment in (1..).step_by(STRIDE) {
            match waits {
                Some(config) => switches.write(&config)?,
                None => {
                    steps.iter().try_for_each(|step| lab.ctl(step).map(drop))?;
                    waits = Some(switches.read()?);
                }
            }
            let mut command = lab.place().command(program, arguments);
            command.env("SSH_CONNECTION", caller());
            let mut stepper = Stepper::trace(command, typed(program, arguments))?;
            let mut reached = true;
            for _ in 0..moment {
                // Whatever it sees and changes of the instance, it does by this call.
                reached = reached && stepper.step_to(libc::SYS_bpf)?;
            }
            switches.let_the_deadline_pass()?;
            let code = stepper.finish()?;
            is_let_in(lab).with_context(|| format!("at stop {moment} in bpf(2), with exit code {code}"))?;
            codes.push(code);
            if !reached {
                break;
            }
            if code == 0 {
                waits = None;
            }
        }
        println!("{}: exit codes {codes:?}", typed(program, arguments));
        ensure!(codes.len() > 5, "it was over before it began");
        Ok(())
    })
}

const CONFIRM: [&str; 2] = ["--confirm", "10m"];
const ENFORCE: &[&str] = &["mode", "set", "enforce"];
const OBSERVE: &[&str] = &["mode", "set", "observe"];

fn apply(path: &str) -> [&str; 3] {
    ["policy", "apply", path]
}

/// [`OPEN`] or another policy, enforced; for a time it is only observed.
fn observing_for_a_time<'a>(policy: &'a [&'a str]) -> [Vec<&'a str>; 4] {
    [OBSERVE.to_vec(), policy.to_vec(), ENFORCE.to_vec(), [OBSERVE, &CONFIRM].concat()]
}

#[test]
fn policy_that_is_applied_when_the_mode_falls_back_locks_nobody_out() -> Result<()> {
    let (open, attach) = (apply(OPEN), ["attach", PROTECTED, "--policy", NO_SSH]);
    let steps = observing_for_a_time(&open);
    let steps: Vec<&[&str]> = steps.iter().map(Vec::as_slice).collect();
    never_locks_out(&steps, "msegctl", &apply(NO_SSH))?;
    never_locks_out(&steps, "mseg-loader", &attach)
}

#[test]
fn rule_that_is_changed_when_the_mode_falls_back_locks_nobody_out() -> Result<()> {
    let mine = apply(MINE);
    let steps = observing_for_a_time(&mine);
    let steps: Vec<&[&str]> = steps.iter().map(Vec::as_slice).collect();
    never_locks_out(&steps, "msegctl", &["rule", "add", "mistake", "deny", "in", "tcp", "priority", "1"])?;
    never_locks_out(&steps, "msegctl", &["rule", "delete", "mine"])
}

#[test]
fn rollback_when_the_policy_falls_back_locks_nobody_out() -> Result<()> {
    let [no_ssh, open, other] = [NO_SSH, OPEN, OTHER].map(apply);
    let other = [&other[..], &CONFIRM].concat();
    never_locks_out(&[OBSERVE, &no_ssh, &open, ENFORCE, &other], "msegctl", &["policy", "rollback"])
}

#[test]
fn mode_that_is_set_when_the_policy_falls_back_locks_nobody_out() -> Result<()> {
    let [no_ssh, open] = [NO_SSH, OPEN].map(apply);
    let open = [&open[..], &CONFIRM].concat();
    let steps = [OBSERVE, &no_ssh, &open];
    never_locks_out(&steps, "msegctl", ENFORCE)?;
    never_locks_out(&steps, "mseg-loader", &["attach", PROTECTED, "--mode", "enforce"])
}

#[test]
fn attach_is_judged_by_what_holds_again_if_nobody_confirms_what_waits() -> Result<()> {
    in_a_lab(|lab| {
        lab.attach(&["--policy", OPEN])?;
        lab.run("mseg-loader", &["detach", PROTECTED])?.ok()?;
        for step in [&apply(NO_SSH)[..], ENFORCE, &[OBSERVE, &CONFIRM].concat()] {
            lab.ctl(step)?;
        }
        let attach = ["attach", PROTECTED, "--hook", lab.hook().name(), "--no-adopt"];
        let as_caller = |arguments: &[&str]| -> Result<_> {
            Ok(lab.place().command("mseg-loader", arguments).env("SSH_CONNECTION", caller()).output()?)
        };
        let refused = as_caller(&attach)?;
        let errors = String::from_utf8_lossy(&refused.stderr);
        let says = ["when mode enforce holds again, this would cut off your own connection", "no-ssh", "--force"];
        ensure!(refused.status.code() == Some(7) && says.iter().all(|part| errors.contains(part)), "{refused:?}");
        expect(&lab.json(&["status"])?, "/interfaces", serde_json::json!([]))?;
        let forced = as_caller(&[&attach[..], &["--force"]].concat())?;
        let errors = String::from_utf8_lossy(&forced.stderr);
        ensure!(
            forced.status.success() && errors.contains("when mode enforce holds again, this cuts off"),
            "{forced:?}"
        );
        lab.is_attached()
    })
}
