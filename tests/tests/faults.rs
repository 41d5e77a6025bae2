//! Wrong input, and programs killed at any instant: a clear error, the right exit code, and nothing half done.

use std::{
    fs,
    os::{fd::AsRawFd, unix::fs::chown},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use mseg_tests::{
    bpf,
    bpffs::BPFFS,
    documents::{expect, number},
    event,
    hook::Attached,
    lab::{self, Lab, PROTECTED, SERVER_V4},
    on_both_hooks,
    traffic::{icmp::Pinger, tcp, udp},
    wait::eventually,
};
use nix::mount::{MsFlags, mount};

const WEB: &str = "default in deny\ndefault out allow\nrule web allow in tcp to any port 80\n";
const BROKEN: &str = "default in deny\nrule web allow in tcp to any port 80\nrule bad allow in tcp to any prot 81\n";

on_both_hooks! {
    unknown_interface_is_refused,
    user_without_privilege_is_refused,
    bpffs_is_mounted_where_it_is_missing,
    directory_that_is_no_bpffs_is_refused,
    read_only_bpffs_is_named_and_nothing_changes,
    change_that_cannot_be_told_says_that_it_holds,
    foreign_pin_directory_is_refused,
    foreign_file_in_the_pin_directory_is_refused,
    foreign_map_under_one_of_our_names_is_refused,
    detach_all_beside_a_foreign_file_does_nothing,
    pinned_map_of_another_layout_is_refused,
    broken_policy_is_shown_and_changes_nothing,
    table_in_the_wrong_place_is_found_and_replaced,
    killed_daemon_changes_nothing,
    killed_msegctl_changes_nothing_or_everything,
    killed_loader_can_be_repeated,
    daemon_accounts_for_every_event,
}

fn unknown_interface_is_refused(lab: &Lab) -> Result<()> {
    let hook = lab.hook().name();
    lab.run("mseg-loader", &["attach", "nosuch0", "--hook", hook])?.exits(1)?.complains(&["nosuch0"])?;
    lab.is_clean()?;
    // A right one before a wrong one is not kept either.
    lab.run("mseg-loader", &["attach", PROTECTED, "nosuch0", "--hook", hook])?.exits(1)?.complains(&["nosuch0"])?;
    lab.is_clean()?;
    lab.attach(&[])?;
    lab.run("mseg-loader", &["attach", "nosuch0", "--hook", hook])?.exits(1)?;
    lab.is_attached()
}

fn user_without_privilege_is_refused(lab: &Lab) -> Result<()> {
    let hook = lab.hook().name();
    lab.run_as_nobody("mseg-loader", &["attach", PROTECTED, "--hook", hook])?.exits(4)?;
    lab.is_clean()?;
    lab.attach(&[])?;
    for command in [["mode", "show"], ["session", "list"], ["rule", "list"], ["mode", "set"]] {
        let more = if command[1] == "set" { &["enforce"][..] } else { &[] };
        let ran = lab.run_as_nobody("msegctl", &[&["-j"], &command[..], more].concat())?.exits(4)?;
        expect(&ran.json_error()?, "/code", "permission")?;
        ensure!(ran.stdout.is_empty(), "data beside an error:\n{ran}");
    }
    lab.run_as_nobody("mseg-loader", &["detach", "--all"])?.exits(4)?;
    lab.run_as_nobody("msegd", &[])?.exits(4)?;
    expect(&lab.json(&["mode", "show"])?, "/mode", "observe")?;
    lab.is_attached()
}

fn bpffs_is_mounted_where_it_is_missing(lab: &Lab) -> Result<()> {
    lab.mounts.unmount_bpffs()?;
    lab.run("msegctl", &["status"])?.exits(3)?;
    ensure!(!lab.mounts.is_bpffs("/sys/fs/bpf"), "a reader mounts nothing");
    lab.attach(&[])?;
    ensure!(lab.mounts.is_bpffs("/sys/fs/bpf"), "the loader mounts it");
    lab.ctl(&["status"])?;
    Ok(())
}

fn directory_that_is_no_bpffs_is_refused(lab: &Lab) -> Result<()> {
    lab.mounts.run(|| fs::create_dir("/run/plain"))?;
    fs_refused(lab, "/run/nosuch")?;
    fs_refused(lab, "/run/programs/mseg-loader")
}

fn read_only_bpffs_is_named_and_nothing_changes(lab: &Lab) -> Result<()> {
    let remount = |read_only| {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | read_only;
        lab.mounts.run(|| mount::<str, str, str, str>(None, BPFFS, None, flags, None))
    };
    let complaint = ["nothing can be pinned under /sys/fs/bpf", "ead-only", "hint: mount -o remount,rw /sys/fs/bpf"];
    let attach = ["attach", PROTECTED, "--hook", lab.hook().name()];
    remount(MsFlags::MS_RDONLY)?;
    lab.run("mseg-loader", &attach)?.exits(1)?.complains(&complaint)?;
    remount(MsFlags::empty())?;
    lab.is_clean()?;
    lab.attach(&["--policy", lab.policy(WEB)?])?;
    let before = lab.ctl(&["policy", "show"])?.stdout;
    remount(MsFlags::MS_RDONLY)?;
    for change in [&["policy", "apply", lab.policy("default in deny\n")?, "--force"][..], &["rule", "delete", "web"]] {
        lab.run("msegctl", change)?.exits(1)?.complains(&complaint)?;
    }
    ensure!(lab.ctl(&["policy", "show"])?.stdout == before, "the policy is unchanged");
    // The way out needs no pin.
    lab.ctl(&["mode", "set", "enforce"])?;
    lab.ctl(&["mode", "set", "observe"])?;
    remount(MsFlags::empty())?;
    // Not only this mount, but the file system: then maps cannot be opened for writing either.
    let remount = |flags| lab.mounts.run(|| mount::<str, str, str, str>(None, BPFFS, None, flags, None));
    remount(MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY)?;
    lab.run("msegctl", &["mode", "set", "enforce"])?.exits(1)?.complains(&complaint[1..])?;
    remount(MsFlags::MS_REMOUNT)?;
    lab.ctl(&["rule", "delete", "web"])?;
    lab.is_attached()
}

fn change_that_cannot_be_told_says_that_it_holds(lab: &Lab) -> Result<()> {
    let into_full = |line: &str| lab.run("/bin/sh", &["-c", &format!("/run/programs/{line} > /dev/full")])?.exits(1);
    let says = |status: &str| ["the change was made and holds", "No space left", "hint", status].map(str::to_owned);
    let complains = |line: &str, status: &str| into_full(line)?.complains(&says(status).each_ref().map(|part| &**part));
    let hook = lab.hook().name();
    complains(&format!("mseg-loader attach {PROTECTED} --hook {hook}"), "mseg-loader status")?;
    lab.is_attached()?;
    let policy = lab.policy(WEB)?;
    complains(&format!("msegctl policy apply --force {policy}"), "msegctl status")?;
    ensure!(lab.ctl(&["policy", "show"])?.stdout.contains("rule web"), "the policy is active");
    complains("msegctl mode set enforce --force", "msegctl status")?;
    expect(&lab.json(&["mode", "show"])?, "/mode", "enforce")?;
    complains("msegctl rule delete web --force", "msegctl status")?;
    ensure!(!lab.ctl(&["policy", "show"])?.stdout.contains("rule web"), "the rule is gone");
    complains("msegctl policy rollback --force --confirm 1h", "msegctl status")?;
    complains("msegctl policy confirm", "msegctl status")?;
    ensure!(lab.ctl(&["policy", "show"])?.stdout.contains("rule web"), "it is back for good");
    complains("msegctl session delete --all", "msegctl status")?;
    // Nothing is changed by those that only look.
    for line in [&*format!("msegctl policy apply --dry-run {policy}"), &format!("msegctl policy check {policy}")] {
        ensure!(!into_full(line)?.stderr.contains("holds"), "{line} changes nothing");
    }
    Ok(())
}

fn foreign_pin_directory_is_refused(lab: &Lab) -> Result<()> {
    lab.mounts.run(|| -> Result<()> {
        fs::create_dir("/sys/fs/bpf/mseg")?;
        Ok(chown("/sys/fs/bpf/mseg", Some(1000), Some(1000))?)
    })?;
    let hook = lab.hook().name();
    let ran = lab.run("mseg-loader", &["attach", PROTECTED, "--hook", hook])?;
    ensure!(ran.status.code().is_some_and(|code| code != 0), "{ran}");
    let ran = ran.complains(&["/sys/fs/bpf/mseg"])?;
    ensure!(ran.stderr.contains("1000"), "says who owns it: {ran}");
    ensure!(lab.attached()? == Attached::default());
    ensure!(lab.mounts.pins()? == ["/sys/fs/bpf/mseg/"], "{:?}", lab.mounts.pins()?);
    Ok(lab.mounts.run(|| fs::remove_dir("/sys/fs/bpf/mseg"))?)
}

fn foreign_file_in_the_pin_directory_is_refused(lab: &Lab) -> Result<()> {
    let maps = "/sys/fs/bpf/mseg/default/maps";
    let foreign = format!("{maps}/FOREIGN");
    lab.mounts.run(|| -> Result<()> {
        fs::create_dir_all(maps)?;
        Ok(bpf::pin(&bpf::make_map(bpf::HASH, 4, 8, 16)?, foreign.as_ref())?)
    })?;
    let hook = lab.hook().name();
    let ran = lab.run("mseg-loader", &["attach", PROTECTED, "--hook", hook])?.complains(&["FOREIGN"])?;
    ensure!(ran.status.code().is_some_and(|code| code != 0), "{ran}");
    ensure!(lab.attached()? == Attached::default());
    ensure!(lab.mounts.pins()?.iter().filter(|pin| !pin.ends_with('/')).eq([&foreign]), "nothing else is pinned");
    Ok(lab.mounts.run(|| fs::remove_dir_all("/sys/fs/bpf/mseg"))?)
}

fn foreign_map_under_one_of_our_names_is_refused(lab: &Lab) -> Result<()> {
    let maps = "/sys/fs/bpf/mseg/default/maps";
    let foreign = format!("{maps}/SESSIONS");
    lab.mounts.run(|| -> Result<()> {
        fs::create_dir_all(maps)?;
        Ok(bpf::pin(&bpf::make_map(bpf::HASH, 4, 4, 1)?, foreign.as_ref())?)
    })?;
    lab.run("mseg-loader", &["attach", PROTECTED, "--hook", lab.hook().name()])?.exits(6)?.complains(&["SESSIONS"])?;
    ensure!(lab.attached()? == Attached::default());
    ensure!(lab.mounts.pins()?.iter().filter(|pin| !pin.ends_with('/')).eq([&foreign]), "it is still there, alone");
    Ok(lab.mounts.run(|| fs::remove_dir_all("/sys/fs/bpf/mseg"))?)
}

fn detach_all_beside_a_foreign_file_does_nothing(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let foreign = "/sys/fs/bpf/mseg/default/maps/FOREIGN";
    lab.mounts.run(|| Ok::<_, anyhow::Error>(bpf::pin(&bpf::make_map(bpf::HASH, 4, 8, 16)?, foreign.as_ref())?))?;
    lab.run("mseg-loader", &["detach", "--all"])?.exits(1)?.complains(&["FOREIGN"])?;
    lab.is_attached()?;
    lab.ctl(&["status"])?;
    lab.mounts.run(|| fs::remove_file(foreign))?;
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    lab.is_clean()
}

fn pinned_map_of_another_layout_is_refused(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    let sessions = "/sys/fs/bpf/mseg/default/maps/SESSIONS";
    lab.mounts.run(|| -> Result<()> {
        fs::remove_file(sessions)?;
        Ok(bpf::pin(&bpf::make_map(bpf::HASH, 8, 16, 99)?, sessions.as_ref())?)
    })?;
    lab.run("msegctl", &["session", "list"])?.exits(6)?.complains(&["SESSIONS"])?;
    let ran = lab.run("mseg-loader", &["attach", PROTECTED, "--hook", lab.hook().name()])?.exits(6)?;
    ran.complains(&["SESSIONS", "40", "80", "104448"])?;
    lab.is_attached()?;
    // Detaching must stay possible: it is the way out.
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    lab.is_clean()
}

fn broken_policy_is_shown_and_changes_nothing(lab: &Lab) -> Result<()> {
    let shown = ["/run/test.policy", "3", "prot", "^", "expected"];
    let (broken, hook) = (lab.policy(BROKEN)?, lab.hook().name());
    let attach = ["attach", PROTECTED, "--hook", hook, "--policy", broken];
    lab.run("mseg-loader", &attach)?.exits(5)?.complains(&shown)?;
    lab.is_clean()?;
    lab.run("msegctl", &["policy", "check", broken])?.exits(5)?.complains(&shown)?;
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let before = lab.ctl(&["policy", "show"])?.stdout;
    lab.run("msegctl", &["policy", "apply", lab.policy(BROKEN)?])?.exits(5)?.complains(&shown)?;
    let error = lab.run("msegctl", &["-j", "policy", "apply", broken])?.exits(5)?.json_error()?;
    expect(&error, "/code", "invalid-policy")?;
    lab.run("msegctl", &["rule", "add", "bad", "allow", "in", "tcp", "to", "any", "prot", "81"])?.exits(5)?;
    lab.run("msegctl", &["rule", "delete", "nosuch"])?.exits(1)?.complains(&["nosuch"])?;
    lab.run("msegctl", &["rule", "add", "web", "allow", "in", "tcp"])?;
    ensure!(lab.ctl(&["policy", "show"])?.stdout == before, "the policy is unchanged");
    tcp::is_denied(&lab.client, lab::server(81)[0])
}

fn table_in_the_wrong_place_is_found_and_replaced(lab: &Lab) -> Result<()> {
    let deny = WEB.replace("allow in tcp", "deny in tcp");
    lab.attach(&["--policy", lab.policy(&deny)?, "--mode", "enforce"])?;
    let web = lab.policy(WEB)?;
    lab.ctl(&["policy", "apply", web])?;
    let listener = tcp::listen(&lab.server, lab::server(80)[0])?;
    tcp::connect(&lab.client, &listener)?.exchange(10, 10)?;
    lab.mounts.run(|| -> Result<()> {
        let directory = std::path::Path::new(BPFFS).join("mseg/default");
        let table = bpf::open_pin(&directory.join("policy/1/VERDICTS"))?;
        let tables = bpf::open_pin(&directory.join("maps/VERDICTS"))?;
        Ok(bpf::update(&tables, 2, &table.as_raw_fd().to_ne_bytes())?)
    })?;
    tcp::is_denied(&lab.client, lab::server(80)[0])?;
    let found = ["generation 2 is not where the programs look for it", "policy apply"];
    for reads in [["policy", "show"], ["rule", "list"]] {
        lab.run("msegctl", &reads)?.exits(6)?.complains(&found)?;
    }
    let doctor = lab.run("msegctl", &["doctor"])?;
    ensure!(!doctor.status.success() && doctor.stdout.contains(found[0]), "{doctor}");
    lab.ctl(&["policy", "apply", web])?;
    tcp::connect(&lab.client, &listener)?.exchange(10, 10)?;
    lab.ctl(&["policy", "show"]).map(drop)
}

fn killed_daemon_changes_nothing(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let listener = tcp::listen(&lab.server, lab::server(80)[0])?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    for _ in 0..3 {
        let daemon = lab.daemon(&[])?;
        tcp::connect(&lab.client, &listener)?.exchange(10, 10)?;
        daemon.event("of a session", |event| event::is(event, event::OPENED))?;
        daemon.kill()?;
        connection.exchange(10_000, 10_000)?;
        tcp::is_denied(&lab.client, lab::server(81)[0])?;
    }
    lab.is_attached()
}

fn killed_msegctl_changes_nothing_or_everything(lab: &Lab) -> Result<()> {
    let paths = ["/run/one.policy", "/run/two.policy"];
    lab.mounts.run(|| -> Result<()> {
        for (path, port) in paths.iter().zip([5001, 5002]) {
            fs::write(path, format!("default in deny\nrule five allow in udp to any port 5000,{port}\n"))?;
        }
        Ok(())
    })?;
    lab.attach(&["--policy", paths[0], "--mode", "enforce"])?;
    let pair = udp::Pair::open(&lab.client, &lab.server, lab::server(5000)[0])?;
    for attempt in 0..40_u64 {
        let path = paths[usize::from(attempt % 2 == 0)];
        let mut child = lab.place().command("msegctl", &["policy", "apply", path]).spawn()?;
        thread::sleep(Duration::from_micros(attempt * 250));
        child.kill()?;
        child.wait()?;
        pair.ask(10, 10)?;
        let text = lab.ctl(&["policy", "show"])?.stdout;
        ensure!(text.contains("5001") != text.contains("5002"), "half a policy: {text}");
    }
    lab.ctl(&["policy", "apply", paths[0]])?;
    ensure!(lab.ctl(&["policy", "show"])?.stdout.contains("5001"));
    pair.ask(10, 10)
}

fn killed_loader_can_be_repeated(lab: &Lab) -> Result<()> {
    let attach = ["attach", PROTECTED, "--hook", lab.hook().name()];
    for attempt in 0..12_u64 {
        let mut child = lab.place().command("mseg-loader", &attach).spawn()?;
        thread::sleep(Duration::from_millis(attempt * 4));
        child.kill()?;
        child.wait()?;
        Pinger::new(&lab.client, SERVER_V4)?.ping(8)?;
        lab.attach(&[])?;
        Pinger::new(&lab.client, SERVER_V4)?.ping(8)?;
        let mut child = lab.place().command("mseg-loader", &["detach", "--all"]).spawn()?;
        thread::sleep(Duration::from_millis(attempt));
        child.kill()?;
        child.wait()?;
        lab.run("mseg-loader", &["detach", "--all"])?;
        lab.is_clean()?;
    }
    Ok(())
}

fn daemon_accounts_for_every_event(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    let listener = tcp::listen(&lab.server, lab::server(80)[0])?;
    for _ in 0..20 {
        tcp::connect(&lab.client, &listener)?.reset()?;
    }
    eventually(|| {
        let opened = daemon.events()?.iter().filter(|event| event::is(event, event::OPENED)).count();
        ensure!(opened >= 20, "{opened} sessions opened");
        let closed = daemon.events()?.iter().filter(|event| event::is(event, event::CLOSED)).count();
        ensure!(closed >= 20, "{closed} sessions closed");
        Ok(())
    })?;
    let (status, lines) = daemon.terminate()?;
    ensure!(status.success(), "SIGTERM is a clean end: {status}");
    let stats = lab.stats()?;
    let submitted = number(&stats, "/events/submitted")?;
    expect(&stats, "/events/lost", 0)?;
    let events: serde_json::Result<Vec<serde_json::Value>> =
        lines.iter().map(|line| serde_json::from_str(line)).collect();
    let written = u64::try_from(events?.iter().filter(|event| event::is_from_kernel(event)).count())?;
    ensure!(written == submitted, "{submitted} submitted, {written} written");
    Ok(())
}

fn fs_refused(lab: &Lab, directory: &str) -> Result<()> {
    let arguments = ["attach", PROTECTED, "--hook", lab.hook().name(), "--bpffs", directory];
    let ran = lab.run("mseg-loader", &arguments)?.complains(&[directory])?;
    ensure!(ran.status.code().is_some_and(|code| [1, 2].contains(&code)), "{ran}");
    lab.is_clean()
}
