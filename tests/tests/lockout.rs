//! Nobody locks himself out: with a real connection through an attached interface, and one that is not.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{fs::symlink, process::CommandExt},
    },
    process::{Output, Stdio},
};

use anyhow::{Result, anyhow, ensure};
use mseg_tests::{
    documents::{expect, number},
    interface::{self, End},
    lab::{self, CLIENT_V4, Lab, PROTECTED, SERVER_V4},
    on_both_hooks,
    traffic::tcp,
};
use nix::{
    errno::Errno,
    libc,
    pty::openpty,
    unistd::{getpgrp, setsid},
};
use serde_json::Value;

const OPEN: &str = "default in allow\nbuiltin failsafe off\n";
const CLOSED: &str = "default in deny\ndefault out allow\nbuiltin failsafe off\n";
const NO_SSH: &str = "default in allow\nbuiltin failsafe off\nrule no-ssh deny in tcp to any port 22\n";
const FAILSAFE: &str = "default in deny\ndefault out allow\n";

on_both_hooks! {
    change_that_cuts_off_the_caller_is_refused_and_names_the_rule,
    change_that_takes_what_the_connection_needs_is_refused,
    dry_run_warns_of_a_change_that_cuts_off_the_caller,
    variable_that_cannot_be_read_is_a_warning,
    forced_change_is_made,
    failsafe_keeps_the_caller_in,
    observing_warns_and_enforcing_is_refused,
    rule_that_cuts_off_the_caller_is_not_added,
    attach_that_cuts_off_the_caller_is_refused,
    connection_that_sshd_has_accepted_is_the_callers,
    log_in_of_somebody_may_be_that_of_a_terminal_which_descends_from_none,
    log_in_from_this_host_is_judged_by_the_one_it_came_by,
    session_that_was_picked_up_is_judged_as_it_is,
    open_connection_that_would_not_be_adopted_is_not_cut,
    enforcing_does_not_cut_a_connection_without_a_session,
    connection_through_nothing_attached_cannot_be_cut,
    listening_sockets_that_are_lost_are_warnings,
    caller_is_judged_by_the_interface_at_which_he_arrives,
    caller_who_leaves_by_nothing_attached_is_judged_where_he_arrives,
    caller_at_a_port_of_a_bridge_is_judged_by_the_port,
    neighbours_are_needed_wherever_they_pass,
}

/// Runs a program with `$SSH_CONNECTION` of this connection.
fn as_caller(lab: &Lab, connection: &TcpStream, program: &str, arguments: &[&str]) -> Result<Output> {
    let (client, server) = (connection.local_addr()?, connection.peer_addr()?);
    let variable = format!("{} {} {} {}", client.ip(), client.port(), server.ip(), server.port());
    Ok(lab.place().command(program, arguments).env("SSH_CONNECTION", variable).output()?)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails unless it ended with this exit code and complained of all of this.
fn ended(output: &Output, code: i32, of: &[&str]) -> Result<()> {
    let errors = errors(output);
    let complains = of.iter().all(|part| errors.contains(part));
    ensure!(output.status.code() == Some(code) && complains, "expected {code} and {of:?}, got {output:?}");
    Ok(())
}

fn generation(lab: &Lab) -> Result<u64> {
    number(&lab.json(&["policy", "show"])?, "/generation")
}

/// Listens at port 22 of the server and connects to it, over both families.
fn connections(lab: &Lab) -> Result<Vec<(TcpListener, tcp::Connection)>> {
    let connect = |address| {
        let listener = tcp::listen(&lab.server, address)?;
        let connection = tcp::connect(&lab.client, &listener)?;
        Ok((listener, connection))
    };
    lab::server(22).into_iter().map(connect).collect()
}

fn change_that_cuts_off_the_caller_is_refused_and_names_the_rule(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let before = generation(lab)?;
    for (_listener, mut connection) in connections(lab)? {
        for (policy, rule) in [(CLOSED, "default-in"), (NO_SSH, "no-ssh")] {
            let file = lab.policy(policy)?;
            let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", file])?;
            ended(&ran, 7, &[rule, "--force", "your own connection"])?;
            let ran = as_caller(lab, &connection.client, "msegctl", &["-j", "policy", "apply", file])?;
            let error: Value = serde_json::from_str(&errors(&ran))?;
            expect(&error, "/error/code", "lockout")?;
        }
        ensure!(generation(lab)? == before, "nothing was applied");
        connection.exchange(1000, 1000)?;
    }
    // Without a connection, as on a console, the same passes.
    lab.ctl(&["policy", "apply", lab.policy(CLOSED)?])?;
    Ok(())
}

fn change_that_takes_what_the_connection_needs_is_refused(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let before = generation(lab)?;
    let [v4, v6] = <[_; 2]>::try_from(connections(lab)?).map_err(|_| anyhow!("there are two families"))?;
    let no_nd = "default in deny\nbuiltin nd off\nrule tcp0 allow in tcp\n";
    let short = "timeout tcp-established 1s\n";
    for (connection, text, says) in [
        (&v4.1, "builtin arp off\n", "`builtin arp off`"),
        (&v6.1, no_nd, "neighbour discovery is denied by default-in"),
        (&v4.1, short, "`timeout tcp-established`"),
        (&v6.1, short, "`timeout tcp-established`"),
    ] {
        let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(text)?])?;
        ended(&ran, 7, &[says, "your own connection", "--force"])?;
    }
    ensure!(generation(lab)? == before, "nothing was applied");
    // Each does without what the other needs, and with what rules allow of it.
    let rules = format!("{no_nd}rule discovery allow both icmpv6\n");
    for (connection, text) in [(&v6.1, "builtin arp off\n"), (&v4.1, no_nd), (&v6.1, &rules)] {
        let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", "--dry-run", lab.policy(text)?])?;
        ended(&ran, 0, &[])?;
        ensure!(!errors(&ran).contains("your own connection"), "{}", errors(&ran));
    }
    // Where packets of no session are picked up, one that has expired goes on; so that may not end either.
    let attach = ["attach", PROTECTED, "--hook", lab.hook().name(), "--midstream"];
    lab.run("mseg-loader", &[&attach[..], &["pickup"]].concat())?.ok()?;
    let ran = as_caller(lab, &v4.1.client, "msegctl", &["policy", "apply", lab.policy(short)?])?;
    ended(&ran, 0, &[])?;
    let ran = as_caller(lab, &v4.1.client, "mseg-loader", &[&attach[..], &["strict"]].concat())?;
    ended(&ran, 7, &["`timeout tcp-established`", "--force"])
}

fn dry_run_warns_of_a_change_that_cuts_off_the_caller(lab: &Lab) -> Result<()> {
    lab.attach(&["--mode", "enforce", "--policy", lab.policy(OPEN)?])?;
    let (before, closed) = (generation(lab)?, lab.policy(CLOSED)?);
    for (_, connection) in &connections(lab)? {
        let output = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", "--dry-run", closed])?;
        ended(&output, 0, &["warning: this cuts off your own connection", "default"])?;
    }
    ensure!(generation(lab)? == before);
    Ok(())
}

fn variable_that_cannot_be_read_is_a_warning(lab: &Lab) -> Result<()> {
    lab.attach(&["--mode", "enforce", "--policy", lab.policy(OPEN)?])?;
    let apply = |variable: &str, policy| -> Result<Output> {
        let mut command = lab.place().command("msegctl", &["policy", "apply", policy]);
        Ok(command.env("SSH_CONNECTION", variable).output()?)
    };
    ended(&apply("192.0.2.1 x", lab.policy(FAILSAFE)?)?, 0, &["cannot read $SSH_CONNECTION (`192.0.2.1 x`)"])?;
    let of_no_tcp = apply("UNKNOWN 65535 UNKNOWN 65535", lab.policy(OPEN)?)?;
    ensure!(!errors(&of_no_tcp).contains("SSH_CONNECTION"), "{of_no_tcp:?}");
    Ok(())
}

fn forced_change_is_made(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let mut connections = connections(lab)?;
    let caller = &connections[0].1.client;
    let ran = as_caller(lab, caller, "msegctl", &["policy", "apply", lab.policy(NO_SSH)?, "--force"])?;
    ended(&ran, 0, &["warning: this cuts off your own connection", "no-ssh"])?;
    connections.iter_mut().try_for_each(|(_, connection)| connection.is_cut())
}

fn failsafe_keeps_the_caller_in(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    for (_listener, mut connection) in connections(lab)? {
        let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(FAILSAFE)?])?;
        ended(&ran, 0, &[])?;
        connection.exchange(1000, 1000)?;
    }
    Ok(())
}

fn observing_warns_and_enforcing_is_refused(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?])?;
    for (_listener, mut connection) in connections(lab)? {
        let file = lab.policy(CLOSED)?;
        let ran = as_caller(lab, &connection.client, "msegctl", &["-j", "policy", "apply", file])?;
        ended(&ran, 0, &["\"warning\"", "to enforce this would cut off", "default-in"])?;
        let ran = as_caller(lab, &connection.client, "msegctl", &["mode", "set", "enforce"])?;
        ended(&ran, 7, &["default-in"])?;
        expect(&lab.json(&["mode", "show"])?, "/mode", "observe")?;
        ended(&as_caller(lab, &connection.client, "msegctl", &["mode", "set", "observe"])?, 0, &[])?;
        connection.exchange(1000, 1000)?;
    }
    Ok(())
}

fn rule_that_cuts_off_the_caller_is_not_added(lab: &Lab) -> Result<()> {
    let mine = format!("{CLOSED}rule mine allow in tcp to any port 22\n");
    lab.attach(&["--policy", lab.policy(&mine)?, "--mode", "enforce"])?;
    for (_listener, mut connection) in connections(lab)? {
        let caller = &connection.client;
        let add = ["rule", "add", "mistake", "deny", "in", "tcp", "priority", "1"];
        ended(&as_caller(lab, caller, "msegctl", &add)?, 7, &["mistake (rule-deny)"])?;
        ended(&as_caller(lab, caller, "msegctl", &["rule", "delete", "mine"])?, 7, &["default-in"])?;
        ended(
            &as_caller(lab, caller, "msegctl", &["rule", "add", "fine", "allow", "in", "tcp", "priority", "9"])?,
            0,
            &[],
        )?;
        ended(&as_caller(lab, caller, "msegctl", &["rule", "delete", "fine"])?, 0, &[])?;
        connection.exchange(1000, 1000)?;
    }
    Ok(())
}

fn attach_that_cuts_off_the_caller_is_refused(lab: &Lab) -> Result<()> {
    for (_listener, mut connection) in connections(lab)? {
        let hook = lab.hook().name();
        let attach = ["attach", PROTECTED, "--hook", hook, "--mode", "enforce", "--policy", lab.policy(CLOSED)?];
        ended(&as_caller(lab, &connection.client, "mseg-loader", &attach)?, 7, &["default-in", "--force"])?;
        lab.is_clean()?;
        connection.exchange(1000, 1000)?;
        // While observing it is a warning.
        let observe = ["attach", PROTECTED, "--hook", hook, "--policy", lab.policy(CLOSED)?];
        ended(&as_caller(lab, &connection.client, "mseg-loader", &observe)?, 0, &["would cut off"])?;
        ended(&as_caller(lab, &connection.client, "mseg-loader", &attach)?, 7, &["default-in"])?;
        let forced = [&attach[..], &["--force"]].concat();
        ended(&as_caller(lab, &connection.client, "mseg-loader", &forced)?, 0, &["cuts off"])?;
        connection.is_cut()?;
        lab.detach_all()?;
    }
    Ok(())
}

fn connection_that_sshd_has_accepted_is_the_callers(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let apply = format!("msegctl policy apply {}; exit $?", lab.policy(CLOSED)?);
    let listener = tcp::listen(&lab.server, lab::server(22)[0])?;
    for (name, code) in [("sshd", 7), ("sshd-session", 7), ("agent", 0)] {
        let connection = tcp::connect(&lab.client, &listener)?;
        let shell = format!("/run/{name}");
        lab.mounts.run(|| symlink("/bin/sh", &shell))?;
        let mut command = lab.place().command(&shell, &["-c", &apply]);
        command.env("PATH", mseg_tests::bpffs::PROGRAMS).stdin(Stdio::from(OwnedFd::from(connection.server)));
        ended(&command.output()?, code, if code == 7 { &["default-in"] } else { &[] })?;
    }
    Ok(())
}

fn log_in_of_somebody_may_be_that_of_a_terminal_which_descends_from_none(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let listener = tcp::listen(&lab.server, lab::server(22)[0])?;
    let connection = tcp::connect(&lab.client, &listener)?;
    lab.mounts.run(|| symlink("/bin/sh", "/run/sshd"))?;
    let mut sshd = lab.place().command("/run/sshd", &["-c", "read line"]);
    let mut sshd = sshd.stdin(Stdio::from(OwnedFd::from(connection.server))).spawn()?;
    let apply = ["policy", "apply", lab.policy(CLOSED)?];
    let on_terminal = || -> Result<Output> {
        let terminal = openpty(None, None)?;
        let mut command = lab.place().command("msegctl", &apply);
        // The leader of a group can lead no session.
        command.stdin(Stdio::from(terminal.slave)).process_group(getpgrp().as_raw());
        // SAFETY: both are system calls, and touch no memory.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0)).map(drop).map_err(Into::into)
            });
        }
        Ok(command.output()?)
    };
    ended(&on_terminal()?, 7, &["your own connection", "default-in"])?;
    drop(connection.client);
    sshd.wait()?;
    ended(&on_terminal()?, 0, &[])?;
    Ok(())
}

fn session_that_was_picked_up_is_judged_as_it_is(lab: &Lab) -> Result<()> {
    let mut connections = connections(lab)?;
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce", "--no-adopt"])?;
    for (_, connection) in &mut connections {
        // The first packet seen is the server's, which is taken for the client from now on.
        connection.exchange_to_client(1000)?;
        let session = lab.sessions(&["--direction", "out", "--sport", "22"])?;
        ensure!(!session.is_empty(), "picked up from the server's side");
        let apply = |policy| as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(policy)?]);
        let both = "default in deny\ndefault out deny\nbuiltin failsafe off\n";
        ended(&apply(both)?, 7, &["default-in", "`in tcp from"])?;
        // The policy lets pass only who really opened it: that is how the programs take it then.
        let ran = apply("default in allow\ndefault out deny\n")?;
        ended(&ran, 0, &[])?;
        ensure!(ran.stderr.is_empty(), "nothing is cut: {ran:?}");
        connection.exchange_to_client(1000)?;
        connection.exchange(1000, 1000)?;
        ensure!(!lab.sessions(&["--direction", "in", "--dport", "22"])?.is_empty(), "turned around");
        lab.ctl(&["policy", "apply", lab.policy(OPEN)?])?;
    }
    Ok(())
}

fn log_in_from_this_host_is_judged_by_the_one_it_came_by(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let listener = tcp::listen(&lab.server, lab::server(22)[0])?;
    let outer = tcp::connect(&lab.client, &listener)?;
    let (client, server) = (outer.client.local_addr()?, outer.client.peer_addr()?);
    let variable = format!("{} {} {} {}", client.ip(), client.port(), server.ip(), server.port());
    let apply = ["policy", "apply", lab.policy(CLOSED)?];
    for address in lab::server(22).into_iter().chain(["127.0.0.1:22".parse()?]) {
        let again = tcp::listen(&lab.server, SocketAddr::new(address.ip(), 2222))?;
        let inner = tcp::connect(&lab.server, &again)?;
        let said = inner.client.try_clone()?;
        let mut ssh = lab.place().command("/bin/sh", &["-c", "read line"]);
        let ssh = ssh.env("SSH_CONNECTION", &variable).stdin(Stdio::from(OwnedFd::from(inner.client)));
        let mut ssh = ssh.spawn()?;
        let by = format!("in tcp from {} port {} to {} port 22", client.ip(), client.port(), server.ip());
        ended(&as_caller(lab, &said, "msegctl", &apply)?, 7, &[&by, "default-in"])?;
        drop(inner.server);
        ssh.wait()?;
    }
    // What is no terminal's and descends from no log-in carries somebody from elsewhere.
    let again = tcp::listen(&lab.server, "127.0.0.1:2223".parse()?)?;
    let inner = tcp::connect(&lab.server, &again)?;
    let ran = as_caller(lab, &inner.client, "msegctl", &["policy", "apply", "--dry-run", apply[2]])?;
    ended(&ran, 0, &["is not certain: it passes lockout"])
}

fn open_connection_that_would_not_be_adopted_is_not_cut(lab: &Lab) -> Result<()> {
    let policy = lab.policy(OPEN)?;
    let strict = ["attach", PROTECTED, "--policy", policy, "--mode", "enforce", "--midstream", "strict", "--no-adopt"];
    for (_, connection) in &mut connections(lab)? {
        let ran = as_caller(lab, &connection.client, "mseg-loader", &strict)?;
        ended(&ran, 7, &["tcp-midstream", "nothing was changed; leave out --no-adopt"])?;
        let ran = as_caller(lab, &connection.client, "mseg-loader", &strict[..strict.len() - 1])?;
        ended(&ran, 0, &[])?;
        connection.exchange(1000, 1000)?;
        lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
        let ran = as_caller(lab, &connection.client, "mseg-loader", &[&strict[..], &["--force"]].concat())?;
        ended(&ran, 0, &["WARN this cuts off your own connection"])?;
        lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    }
    Ok(())
}

fn enforcing_does_not_cut_a_connection_without_a_session(lab: &Lab) -> Result<()> {
    let enforce = ["mode", "set", "enforce"];
    let mut connections = connections(lab)?;
    for (options, denies) in [
        (&["--midstream", "strict"][..], true),
        (&["--grace", "0"], true),
        (&["--midstream", "pickup"], false),
        (&["--grace", "60"], false),
    ] {
        for (_, connection) in &mut connections {
            let by = |program, arguments: &[&str]| as_caller(lab, &connection.client, program, arguments);
            // Without a word said since, it is known to nobody.
            lab.attach(&[&["--policy", lab.policy(OPEN)?, "--no-adopt"], options].concat())?;
            if denies {
                let hint = "`mseg-loader attach mseg0` gives it a session";
                ended(&by("msegctl", &enforce)?, 7, &["has no session (tcp-midstream)", hint])?;
                let attach = ["attach", PROTECTED, "--hook", lab.hook().name(), "--mode", "enforce", "--no-adopt"];
                ended(&by("mseg-loader", &attach)?, 7, &["would not be adopted (tcp-midstream)"])?;
                expect(&lab.json(&["mode", "show"])?, "/mode", "observe")?;
                ended(&by("mseg-loader", &["attach", PROTECTED, "--hook", lab.hook().name()])?, 0, &[])?;
            }
            let ran = by("msegctl", &enforce)?;
            ended(&ran, 0, &[])?;
            ensure!(ran.stderr.is_empty(), "{ran:?}");
            connection.exchange(1000, 1000)?;
            lab.detach_all()?;
        }
    }
    lab.attach(&["--policy", lab.policy(OPEN)?, "--no-adopt", "--midstream", "strict"])?;
    let connection = &mut connections[0].1;
    let ran = as_caller(lab, &connection.client, "msegctl", &[&enforce[..], &["--force"]].concat())?;
    ended(&ran, 0, &["warning: this cuts off your own connection", "has no session (tcp-midstream)"])?;
    connection.is_cut()
}

fn connection_through_nothing_attached_cannot_be_cut(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let listener = tcp::listen(&lab.server, SocketAddr::from(([127, 0, 0, 1], 22)))?;
    let mut connection = tcp::connect(&lab.server, &listener)?;
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(CLOSED)?])?;
    ended(&ran, 0, &[])?;
    ensure!(!errors(&ran).contains("cut"), "{ran:?}");
    connection.exchange(1000, 1000)
}

fn listening_sockets_that_are_lost_are_warnings(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let (_ssh, connection) = connections(lab)?.remove(0);
    let listen = |port: u16| tcp::listen(&lab.server, SocketAddr::from(([0, 0, 0, 0], port)));
    let _web = listen(8080)?;
    let _inside = tcp::listen(&lab.server, SocketAddr::from(([127, 0, 0, 1], 8081)))?;
    let policy = format!("{FAILSAFE}rule web allow in tcp to any port 8080\n");
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(&policy)?])?;
    ended(&ran, 0, &[])?;
    ensure!(ran.stderr.is_empty(), "nothing is lost: {ran:?}");
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(FAILSAFE)?])?;
    ended(&ran, 0, &["warning: ", "port 8080", "default-in (default-deny)"])?;
    ensure!(!errors(&ran).contains("8081"), "loopback is not attached: {ran:?}");
    lab.ctl(&["policy", "apply", lab.policy(OPEN)?])?;
    let _many = (9000..9020).map(listen).collect::<Result<Vec<TcpListener>>>()?;
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(FAILSAFE)?])?;
    ended(&ran, 0, &["and 11 more"])?;
    ensure!(errors(&ran).lines().count() == 11, "{ran:?}");
    Ok(())
}

/// A second interface of the server, and its peer at the client.
const SECOND: &str = "mseg1";
const SECOND_PEER: &str = "client1";
const SECOND_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x12];

/// Lets only those in who come by one interface, to port 22.
fn only_by(interface: &str) -> String {
    format!("{CLOSED}rule ssh allow in tcp from any to any port 22 iface {interface}\n")
}

/// Joins the hosts by a second cable.
fn second_cable(lab: &Lab) -> Result<()> {
    interface::join(
        End { namespace: &lab.server, name: SECOND, mac: SECOND_MAC, addresses: &[] },
        End { namespace: &lab.client, name: SECOND_PEER, mac: [2, 0, 0, 0, 0, 0x11], addresses: &[] },
    )
}

fn attach_second(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let attach = ["attach", SECOND, "--hook", lab.hook().name()];
    lab.run("mseg-loader", &[&attach, arguments].concat())?.ok().map(drop)
}

/// A connection to port 22 that comes by the second cable and is answered by the first.
fn asymmetric(lab: &Lab) -> Result<(TcpListener, tcp::Connection)> {
    for interface in ["all", SECOND] {
        lab.server.set(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
        lab.client.set(&format!("net/ipv4/conf/{}/rp_filter", interface.replace(SECOND, lab::PEER)), "0")?;
    }
    lab.client.run(|| {
        interface::add_route(SERVER_V4, SECOND_PEER, None)?;
        interface::add_neighbour(SECOND_PEER, SERVER_V4, SECOND_MAC)
    })?;
    let listener = tcp::listen(&lab.server, lab::server(22)[0])?;
    let connection = tcp::connect_from(&lab.client, SocketAddr::new(CLIENT_V4, 40_000), &listener)?;
    Ok((listener, connection))
}

fn caller_is_judged_by_the_interface_at_which_he_arrives(lab: &Lab) -> Result<()> {
    second_cable(lab)?;
    lab.attach(&["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    attach_second(lab, &[])?;
    let (_listener, mut connection) = asymmetric(lab)?;
    connection.exchange(1000, 1000)?;
    expect(&lab.sessions(&["--sport", "40000"])?[0], "/interface", SECOND)?;
    let by = |arguments: &[&str]| as_caller(lab, &connection.client, "msegctl", arguments);
    ended(&by(&["policy", "apply", lab.policy(&only_by(PROTECTED))?])?, 7, &["iface mseg1` is denied by default-in"])?;
    let add = ["rule", "add", "no", "deny", "in", "tcp", "from", "any", "to", "any", "iface", SECOND, "priority", "1"];
    ended(&by(&add)?, 7, &["iface mseg1` is denied by no"])?;
    lab.ctl(&["mode", "set", "observe"])?;
    ended(&by(&["policy", "apply", lab.policy(&only_by(PROTECTED))?])?, 0, &["would cut off"])?;
    ended(&by(&["mode", "set", "enforce"])?, 7, &["iface mseg1` is denied by default-in"])?;
    // An attach of what is attached already is a change like any other.
    let attach = ["attach", PROTECTED, "--hook", lab.hook().name(), "--mode", "enforce"];
    ended(&as_caller(lab, &connection.client, "mseg-loader", &attach)?, 7, &["iface mseg1` is denied by default-in"])?;
    // What listens is reached by the interface at which he arrives, too.
    let _web = tcp::listen(&lab.server, SocketAddr::from(([0, 0, 0, 0], 8080)))?;
    let kept = format!("{}rule web allow in tcp to any port 8080 iface mseg1\n", only_by(SECOND));
    let ran = by(&["policy", "apply", lab.policy(&kept)?])?;
    ended(&ran, 0, &[])?;
    ensure!(ran.stderr.is_empty(), "nothing is cut or lost: {ran:?}");
    let ran = by(&["mode", "set", "enforce"])?;
    ended(&ran, 0, &[])?;
    ensure!(ran.stderr.is_empty(), "nothing is cut or lost: {ran:?}");
    connection.exchange(1000, 1000)?;
    lab.ctl(&["policy", "apply", lab.policy(&only_by(PROTECTED))?])?;
    connection.is_cut()
}

fn caller_who_leaves_by_nothing_attached_is_judged_where_he_arrives(lab: &Lab) -> Result<()> {
    second_cable(lab)?;
    attach_second(lab, &["--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let (_listener, mut connection) = asymmetric(lab)?;
    connection.exchange(1000, 1000)?;
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(&only_by(PROTECTED))?])?;
    ended(&ran, 7, &["iface mseg1` is denied by default-in"])?;
    // Who sends on what arrives asks for this host.
    let unanswered = format!("{}builtin arp off\n", only_by(SECOND));
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(&unanswered)?])?;
    ended(&ran, 7, &["`builtin arp off` denies ARP"])?;
    // Answers are not seen, so it idles as one that is not answered.
    let short = format!("{}timeout tcp-syn-sent 5s\n", only_by(SECOND));
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(&short)?])?;
    ended(&ran, 7, &["may not idle for longer than 5 s, by `timeout tcp-syn-sent`"])?;
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(&only_by(SECOND))?])?;
    ended(&ran, 0, &[])?;
    connection.exchange(1000, 1000)
}

const BRIDGE: &str = "bridge0";

/// A connection from `there` to port 22 of `here`, the address of a bridge whose port is the second cable. Both are attached.
fn by_bridge(lab: &Lab, [here, there]: [&str; 2], prefix: u8) -> Result<(TcpListener, tcp::Connection)> {
    let (here, there) = (here.parse()?, there.parse()?);
    second_cable(lab)?;
    lab.server.run(|| {
        interface::add_bridge(BRIDGE, &[SECOND])?;
        interface::add_address(BRIDGE, here, prefix)
    })?;
    lab.client.run(|| interface::add_address(SECOND_PEER, there, prefix))?;
    attach_second(lab, &[BRIDGE, "--policy", lab.policy(OPEN)?, "--mode", "enforce"])?;
    let listener = tcp::listen(&lab.server, SocketAddr::new(here, 22))?;
    let connection = tcp::connect(&lab.client, &listener)?;
    Ok((listener, connection))
}

fn caller_at_a_port_of_a_bridge_is_judged_by_the_port(lab: &Lab) -> Result<()> {
    let (_listener, mut connection) = by_bridge(lab, ["198.51.100.2", "198.51.100.1"], 24)?;
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(&only_by(BRIDGE))?])?;
    ended(&ran, 7, &["iface mseg1` is denied by default-in"])?;
    let ran = as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(&only_by(SECOND))?])?;
    ended(&ran, 0, &[])?;
    connection.exchange(1000, 1000)
}

fn neighbours_are_needed_wherever_they_pass(lab: &Lab) -> Result<()> {
    let (listener, mut connection) = by_bridge(lab, ["2001:db8:9::2", "2001:db8:9::1"], 64)?;
    let by = |interfaces: &[&str]| {
        let mut policy = format!("{CLOSED}builtin nd off\nrule tcp0 allow in tcp\n");
        for (n, interface) in interfaces.iter().enumerate() {
            policy += &format!("rule nd{n} allow in icmpv6 iface {interface}\n");
        }
        as_caller(lab, &connection.client, "msegctl", &["policy", "apply", lab.policy(&policy)?])
    };
    for interfaces in [&[][..], &[BRIDGE], &[SECOND]] {
        ended(&by(interfaces)?, 7, &["neighbour discovery is denied by default-in"])?;
    }
    ended(&by(&[BRIDGE, SECOND])?, 0, &[])?;
    connection.exchange(1000, 1000)?;
    // Of this one nobody knows yet.
    let third = "2001:db8:9::3".parse()?;
    lab.client.run(|| interface::add_address(SECOND_PEER, third, 64))?;
    tcp::connect_from(&lab.client, SocketAddr::new(third, 40_000), &listener)?.exchange(1000, 1000)
}
