//! Changes that wait to be confirmed, former generations, and policies told from the kernel's maps.

use std::{fs, thread, time::Duration};

use anyhow::{Result, ensure};
use mseg_tests::{
    bpf,
    bpffs::BPFFS,
    documents::{expect, list, number},
    lab::{self, Lab, PROTECTED},
    on_both_hooks,
    traffic::udp,
    wait::eventually,
};
use serde_json::Value;

const ONE: &str = "default in deny\nrule one allow in udp to any port 5001\n";
const TWO: &str = "default in deny\nrule two allow in udp to any port 5002\ntimeout udp-new 20s\n";

on_both_hooks! {
    policy_that_nobody_confirms_falls_back_without_any_process,
    mode_that_nobody_confirms_falls_back_without_any_process,
    confirmed_change_stays,
    confirmation_that_comes_too_late_is_refused,
    rollback_that_comes_too_late_goes_no_further_back,
    nothing_else_is_changed_while_a_change_waits,
    rollback_undoes_what_waits_at_once,
    rollback_goes_to_the_generation_before_and_back,
    rollback_goes_to_the_generation_before_however_many_were_tried,
    what_waits_is_shown_with_the_time_left,
    apply_says_what_it_changes,
    sessions_to_be_judged_again_are_counted,
    difference_is_a_patch_and_an_exit_code,
    maps_that_do_not_hold_the_text_are_noticed,
    daemon_reports_what_falls_back,
}

/// A client and server on each of the two ports.
fn pairs(lab: &Lab) -> Result<[udp::Pair; 2]> {
    let pair = |port| udp::Pair::open(&lab.client, &lab.server, lab::server(port)[0]);
    Ok([pair(5001)?, pair(5002)?])
}

/// Attaches with [`ONE`] in enforce mode.
fn enforce_one(lab: &Lab) -> Result<[udp::Pair; 2]> {
    lab.attach(&["--policy", lab.policy(ONE)?, "--mode", "enforce"])?;
    let pairs = pairs(lab)?;
    judged_by_one(&pairs)?;
    Ok(pairs)
}

fn judged_by_one([one, two]: &[udp::Pair; 2]) -> Result<()> {
    one.ask(10, 10)?;
    two.is_denied()
}

fn judged_by_two([one, two]: &[udp::Pair; 2]) -> Result<()> {
    two.ask(10, 10)?;
    one.is_denied()
}

/// Waits until nothing waits any more, without a process that could have anything to do with it.
fn wait_for_the_deadline(lab: &Lab) -> Result<()> {
    let left = number(&lab.json(&["mode", "show"])?, "/waiting/left_s")?;
    thread::sleep(Duration::from_millis(left * 1000 + 100));
    Ok(())
}

fn policy_that_nobody_confirms_falls_back_without_any_process(lab: &Lab) -> Result<()> {
    let pairs = enforce_one(lab)?;
    lab.ctl(&["policy", "apply", lab.policy(TWO)?, "--confirm", "5s"])?;
    judged_by_two(&pairs)?;
    wait_for_the_deadline(lab)?;
    judged_by_one(&pairs)?;
    expect(&lab.json(&["status"])?, "/policy/generation", 1)?;
    expect(&lab.json(&["status"])?, "/waiting", Value::Null)?;
    // The next writer makes what is stored say so, too; the number of what fell back is not used again.
    lab.ctl(&["policy", "apply", lab.policy(TWO)?])?;
    judged_by_two(&pairs)?;
    expect(&lab.json(&["status"])?, "/policy/generation", 3)
}

fn mode_that_nobody_confirms_falls_back_without_any_process(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(ONE)?])?;
    let pairs = pairs(lab)?;
    pairs.iter().try_for_each(|pair| pair.ask(10, 10))?;
    lab.ctl(&["mode", "set", "enforce", "--confirm", "4s"])?;
    judged_by_one(&pairs)?;
    wait_for_the_deadline(lab)?;
    pairs.iter().try_for_each(|pair| pair.ask(10, 10))?;
    expect(&lab.json(&["mode", "show"])?, "/mode", "observe")?;
    lab.ctl(&["mode", "set", "enforce"])?;
    judged_by_one(&pairs)
}

fn confirmed_change_stays(lab: &Lab) -> Result<()> {
    let pairs = enforce_one(lab)?;
    lab.ctl(&["policy", "apply", lab.policy(TWO)?, "--confirm", "1m"])?;
    let confirmed = lab.json(&["policy", "confirm"])?;
    expect(&confirmed, "/change", "policy")?;
    expect(&confirmed, "/generation", 2)?;
    expect(&lab.json(&["mode", "show"])?, "/waiting", Value::Null)?;
    lab.ctl(&["mode", "set", "observe", "--confirm", "2s"])?;
    expect(&lab.json(&["mode", "confirm"])?, "/change", "mode")?;
    thread::sleep(Duration::from_millis(2200));
    expect(&lab.json(&["mode", "show"])?, "/mode", "observe")?;
    lab.ctl(&["mode", "set", "enforce"])?;
    judged_by_two(&pairs)?;
    lab.run("msegctl", &["policy", "confirm"])?.exits(1)?.complains(&["nothing waits"])?;
    // What was active before is known through all of that.
    expect(&lab.json(&["policy", "rollback"])?, "/generation", 1)?;
    judged_by_one(&pairs)
}

fn confirmation_that_comes_too_late_is_refused(lab: &Lab) -> Result<()> {
    let pairs = enforce_one(lab)?;
    lab.ctl(&["policy", "apply", lab.policy(TWO)?, "--confirm", "1s"])?;
    wait_for_the_deadline(lab)?;
    for _ in 0..2 {
        let late = lab.run("msegctl", &["policy", "confirm"])?.exits(1)?;
        late.complains(&["policy generation 2 was not confirmed", "policy generation 1 holds again"])?;
    }
    lab.ctl(&["mode", "set", "observe"])?;
    lab.run("msegctl", &["policy", "confirm"])?.exits(1)?.complains(&["nothing waits"])?;
    lab.ctl(&["mode", "set", "enforce"])?;
    judged_by_one(&pairs)
}

fn rollback_that_comes_too_late_goes_no_further_back(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(TWO)?, "--mode", "enforce"])?;
    lab.ctl(&["policy", "apply", lab.policy(ONE)?])?;
    let pairs = pairs(lab)?;
    let late = |undone: &str, holds: &str| -> Result<()> {
        wait_for_the_deadline(lab)?;
        // However often it is asked for.
        for _ in 0..2 {
            let late = lab.run("msegctl", &["policy", "rollback"])?.exits(1)?;
            late.complains(&[undone, "was not confirmed by", holds, "nothing was changed", "policy rollback 1`"])?;
            expect(&lab.json(&["status"])?, "/policy/generation", 2)?;
        }
        judged_by_one(&pairs)
    };
    lab.ctl(&["policy", "apply", lab.policy("default in deny\n")?, "--confirm", "1s"])?;
    late("policy generation 3", "policy generation 2 holds again")?;
    lab.ctl(&["mode", "set", "observe", "--confirm", "1s"])?;
    late("mode observe", "mode enforce holds again")?;
    // Whoever names a generation means it; and after another change, nothing is late any more.
    expect(&lab.json(&["policy", "rollback", "1"])?, "/generation", 1)?;
    judged_by_two(&pairs)?;
    expect(&lab.json(&["policy", "rollback"])?, "/generation", 2)?;
    judged_by_one(&pairs)
}

fn nothing_else_is_changed_while_a_change_waits(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(ONE)?])?;
    let paths = ["/run/two.policy", "/run/three.policy"];
    lab.mounts.run(|| -> Result<()> {
        fs::write(paths[0], TWO)?;
        Ok(fs::write(paths[1], "default in deny\n")?)
    })?;
    let others = [
        &["policy", "apply", paths[1]][..],
        &["policy", "apply", paths[1], "--dry-run"],
        &["rule", "add", "three", "allow", "in", "tcp"],
        &["rule", "delete", "two"],
        &["mode", "set", "enforce"],
        &["mode", "set", "enforce", "--confirm", "10s"],
    ];
    lab.ctl(&["policy", "apply", paths[0], "--confirm", "10m"])?;
    for other in others {
        let refused = lab.run("msegctl", other)?.exits(1)?;
        refused.complains(&["policy generation 2 waits to be confirmed until", "policy confirm", "policy rollback"])?;
    }
    let hook = lab.hook().name();
    let attach = ["attach", PROTECTED, "--hook", hook];
    for other in [["--mode", "enforce"], ["--policy", paths[1]]] {
        let refused = lab.run("mseg-loader", &[&attach[..], &other].concat())?.exits(1)?;
        refused.complains(&["policy generation 2 waits"])?;
    }
    // What changes nothing is no other change.
    lab.ctl(&["policy", "apply", paths[0]])?;
    lab.ctl(&["mode", "set", "observe"])?;
    lab.run("mseg-loader", &[&attach[..], &["--mode", "observe", "--policy", paths[0]]].concat())?.ok()?;
    expect(&lab.json(&["mode", "show"])?, "/waiting/generation", 2)?;
    lab.run("msegctl", &["policy", "rollback", "2"])?.exits(1)?.complains(&["waits to be confirmed"])?;
    lab.ctl(&["policy", "confirm"])?;
    // A mode that waits is in the way of a policy, likewise.
    lab.ctl(&["mode", "set", "enforce", "--confirm", "10m"])?;
    lab.run("msegctl", &["policy", "apply", paths[1]])?.exits(1)?.complains(&["mode enforce waits to be confirmed"])?;
    lab.ctl(&["policy", "confirm"])?;
    lab.ctl(&["policy", "apply", paths[1]])?;
    Ok(())
}

fn rollback_undoes_what_waits_at_once(lab: &Lab) -> Result<()> {
    let pairs = enforce_one(lab)?;
    lab.ctl(&["policy", "apply", lab.policy(TWO)?, "--confirm", "10m"])?;
    judged_by_two(&pairs)?;
    let undone = lab.json(&["policy", "rollback"])?;
    expect(&undone, "/undone", "policy")?;
    expect(&undone, "/generation", 1)?;
    expect(&undone, "/changes/rules/added/names/0", "one")?;
    judged_by_one(&pairs)?;
    lab.ctl(&["mode", "set", "observe", "--confirm", "10m"])?;
    pairs[1].ask(10, 10)?;
    let undone = lab.json(&["policy", "rollback"])?;
    expect(&undone, "/undone", "mode")?;
    expect(&undone, "/mode", "enforce")?;
    expect(&undone, "/changed", false)?;
    judged_by_one(&pairs)?;
    expect(&lab.json(&["mode", "show"])?, "/waiting", Value::Null)
}

fn rollback_goes_to_the_generation_before_and_back(lab: &Lab) -> Result<()> {
    lab.attach(&["--mode", "enforce"])?;
    lab.run("msegctl", &["policy", "rollback"])?.exits(1)?.complains(&["no generation was active before"])?;
    lab.ctl(&["policy", "apply", lab.policy(ONE)?])?;
    lab.ctl(&["policy", "apply", lab.policy(TWO)?])?;
    let pairs = pairs(lab)?;
    judged_by_two(&pairs)?;
    expect(&lab.json(&["policy", "rollback"])?, "/generation", 2)?;
    judged_by_one(&pairs)?;
    expect(&lab.json(&["policy", "rollback"])?, "/generation", 3)?;
    judged_by_two(&pairs)?;
    // To a generation by its number, for a time: all that is kept are told apart.
    lab.ctl(&["policy", "rollback", "2", "--confirm", "10m"])?;
    judged_by_one(&pairs)?;
    let states = || -> Result<Vec<(u64, String)>> {
        let history = list(&lab.json(&["policy", "history"])?, "mseg.policy-history/1", "generations")?;
        let state = |row: &Value| Ok((number(row, "/generation")?, row["state"].as_str().unwrap_or("").to_owned()));
        history.iter().map(state).collect()
    };
    let expected = |states: [&str; 3]| -> Vec<_> { [3, 2, 1].into_iter().zip(states.map(String::from)).collect() };
    ensure!(states()? == expected(["fallback", "unconfirmed", "kept"]), "{:?}", states()?);
    lab.ctl(&["policy", "confirm"])?;
    ensure!(states()? == expected(["previous", "active", "kept"]), "{:?}", states()?);
    for row in list(&lab.json(&["policy", "history"])?, "mseg.policy-history/1", "generations")? {
        ensure!(number(&row, "/bytes")? > 1000, "{row:#}");
        expect(&row, "/rules", u64::from(number(&row, "/generation")? > 1))?;
    }
    lab.run("msegctl", &["policy", "rollback", "99"])?.exits(1)?.complains(&["99 is not kept", "policy history"])?;
    judged_by_one(&pairs)
}

fn rollback_goes_to_the_generation_before_however_many_were_tried(lab: &Lab) -> Result<()> {
    let pairs = enforce_one(lab)?;
    lab.ctl(&["policy", "apply", lab.policy(TWO)?])?;
    for trial in 0..5 {
        let tried = format!("{ONE}rule tried{trial} allow in udp to any port 9\n");
        lab.ctl(&["policy", "apply", lab.policy(&tried)?, "--confirm", "10m"])?;
        lab.ctl(&["policy", "rollback"])?;
        judged_by_two(&pairs)?;
    }
    expect(&lab.json(&["policy", "rollback"])?, "/generation", 1)?;
    judged_by_one(&pairs)
}

fn what_waits_is_shown_with_the_time_left(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(ONE)?])?;
    lab.ctl(&["policy", "apply", lab.policy(TWO)?, "--confirm", "10m"])?;
    for command in [&["status"][..], &["mode", "show"], &["policy", "history"]] {
        let document = lab.json(command)?;
        let left = number(&document, "/waiting/left_s")?;
        ensure!((500..=600).contains(&left), "{document:#}");
        expect(&document, "/waiting/change", "policy")?;
        expect(&document, "/waiting/fallback_generation", 1)?;
        ensure!(document["waiting"]["undone_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{document:#}");
        let text = lab.ctl(command)?.stdout;
        ensure!(text.contains("policy generation 2 waits to be confirmed until"), "{text}");
    }
    Ok(())
}

fn apply_says_what_it_changes(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(ONE)?])?;
    let two = lab.policy(TWO)?;
    let exit_code = ["policy", "apply", two, "--exit-code"];
    lab.run("msegctl", &[&exit_code[..], &["--dry-run"]].concat())?.exits(1)?;
    let preview = lab.json(&["policy", "apply", two, "--dry-run"])?;
    expect(&preview, "/dry_run", true)?;
    expect(&preview, "/generation", 1)?;
    ensure!(lab.ctl(&["policy", "show"])?.stdout.contains("rule one"), "nothing was applied");
    let applied = lab.run("msegctl", &[&["-j"], &exit_code[..]].concat())?.exits(1)?.json()?;
    expect(&applied, "/generation", 2)?;
    for document in [&preview, &applied] {
        expect(document, "/changed", true)?;
        expect(document, "/changes/rules/added/names", serde_json::json!(["two"]))?;
        expect(document, "/changes/rules/removed/names", serde_json::json!(["one"]))?;
        expect(document, "/changes/settings/names", serde_json::json!(["timeout udp-new"]))?;
    }
    // The same policy makes no generation, and nothing to confirm.
    let again = lab.run("msegctl", &[&["-j"], &exit_code[..], &["--confirm", "10m"]].concat())?.ok()?.json()?;
    expect(&again, "/changed", false)?;
    expect(&again, "/generation", 2)?;
    expect(&again, "/waiting", Value::Null)?;
    lab.ctl(&["policy", "apply", lab.policy(ONE)?])?;
    Ok(())
}

fn sessions_to_be_judged_again_are_counted(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let pair = udp::Pair::open(&lab.client, &lab.server, lab::server(5001)[0])?;
    pair.ask(1, 1)?;
    let live = number(&lab.json(&["session", "count"])?, "/count")?;
    let applied = lab.json(&["policy", "apply", lab.policy(ONE)?])?;
    ensure!(number(&applied, "/sessions/to_rejudge")? >= live.min(1), "{applied:#}");
    pair.ask(1, 1)?;
    let two = lab.policy("default in deny\nrule one allow in udp to any port 5001\nrule two deny in tcp\n")?;
    let dry = lab.json(&["policy", "apply", two, "--dry-run"])?;
    ensure!(dry["sessions"]["to_rejudge"] == dry["sessions"]["live"], "{dry:#}");
    // The one that was judged in the active generation is not among those that are judged again.
    let again = lab.json(&["policy", "apply", lab.policy(ONE)?])?;
    let [live, rest] = ["live", "to_rejudge"].map(|key| number(&again["sessions"], &format!("/{key}")));
    ensure!(live? > rest?, "{again:#}");
    Ok(())
}

fn difference_is_a_patch_and_an_exit_code(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(ONE)?])?;
    let two = lab.policy(TWO)?;
    let ran = lab.run("msegctl", &["policy", "diff", two])?.exits(1)?;
    for line in
        ["--- generation 1", "+++ /run/test.policy", "-rule one allow", "+rule two allow", "+timeout udp-new 20s"]
    {
        ensure!(ran.stdout.lines().any(|printed| printed.starts_with(line)), "no {line:?}:\n{ran}");
    }
    let colored = lab.run("msegctl", &["policy", "diff", two, "--color", "always"])?.exits(1)?;
    ensure!(colored.stdout.contains("\x1b[31m-rule one") && colored.stdout.contains("\x1b[32m+rule two"), "{colored}");
    lab.ctl(&["policy", "apply", two])?;
    ensure!(lab.ctl(&["policy", "diff", two])?.stdout.is_empty());
    ensure!(lab.ctl(&["policy", "diff", "2"])?.stdout.is_empty());
    let [there, back] =
        [["1", "2"], ["2", "1"]].map(|[old, new]| lab.run("msegctl", &["-j", "policy", "diff", old, new]));
    let (there, back) = (there?.exits(1)?.json()?, back?.exits(1)?.json()?);
    expect(&there, "/same", false)?;
    expect(&there, "/changes/rules/added/names/0", "two")?;
    expect(&back, "/changes/rules/added/names/0", "one")?;
    lab.run("msegctl", &["policy", "diff", "7"])?.exits(1)?.complains(&["7 is not kept"])?;
    lab.run("msegctl", &["policy", "diff", "/nonexistent"])?.exits(1)?.complains(&["/nonexistent"])?;
    ensure!(lab.ctl(&["policy", "show", "--generation", "1"])?.stdout.contains("rule one"));
    Ok(())
}

fn maps_that_do_not_hold_the_text_are_noticed(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(ONE)?])?;
    lab.ctl(&["policy", "apply", lab.policy(TWO)?])?;
    lab.ctl(&["doctor"])?;
    // The text of one generation beside the rules of another.
    let pin = |generation, map| format!("{BPFFS}/mseg/default/policy/{generation}/{map}");
    lab.mounts.run(|| -> Result<()> {
        let foreign = bpf::open_pin(pin(1, "POLICY_TEXT").as_ref())?;
        fs::remove_file(pin(2, "POLICY_TEXT"))?;
        Ok(bpf::pin(&foreign, pin(2, "POLICY_TEXT").as_ref())?)
    })?;
    lab.run("msegctl", &["policy", "show"])?.exits(6)?;
    lab.run("msegctl", &["policy", "diff", "1"])?.exits(6)?;
    lab.run("msegctl", &["doctor"])?.exits(1)?;
    // That keeps nobody from applying another.
    ensure!(lab.ctl(&["policy", "show", "--generation", "1"])?.stdout.contains("rule one"));
    lab.ctl(&["policy", "apply", lab.policy("default in deny\n")?])?;
    lab.ctl(&["policy", "show"])?;
    Ok(())
}

fn daemon_reports_what_falls_back(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(ONE)?])?;
    let daemon = lab.daemon(&[])?;
    daemon.event("of the start", |event| event["event"] == "started")?;
    let told = |expected: &[Value]| {
        eventually(|| {
            let changes = |event: &Value| match event["event"].as_str() {
                Some("policy-changed") => Some(event["generation"].clone()),
                Some("mode-changed") => Some(event["mode"].clone()),
                _ => None,
            };
            let told: Vec<Value> = daemon.events()?.iter().filter_map(changes).collect();
            ensure!(told == expected, "{expected:?} expected: {told:?}");
            Ok(())
        })
    };
    lab.ctl(&["policy", "apply", lab.policy(TWO)?, "--confirm", "3s"])?;
    told(&[2.into()])?;
    told(&[2.into(), 1.into()])?;
    lab.ctl(&["mode", "set", "enforce", "--confirm", "3s"])?;
    told(&[2.into(), 1.into(), "enforce".into()])?;
    told(&[2.into(), 1.into(), "enforce".into(), "observe".into()])?;
    // One store, and no pin that comes or goes.
    thread::sleep(Duration::from_millis(1500));
    lab.ctl(&["policy", "rollback", "2"])?;
    told(&[2.into(), 1.into(), "enforce".into(), "observe".into(), 2.into()])
}
