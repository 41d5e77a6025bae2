//! `msegctl explain` and `policy test`: what is said of a made-up packet is what real ones then get, and asking changes
//! nothing.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use mseg::{
    explain::{self, Explanation},
    policy::parse_packet,
    view::Verdict,
};
use mseg_ebpf::abi::stats::VERDICT_ALLOWED;
use mseg_tests::{
    documents::{expect, list, number},
    hook::Hook,
    interface::{self, End},
    lab::{self, Lab, PROTECTED, SERVER_V4},
    namespace::Namespace,
    on_both_hooks,
    packet::{self, Direction},
    privilege::kernel_has_tcx,
    require_root,
    traffic::{tcp, udp},
    verdicts::Bench,
};

const POLICY: &str = "\
default in deny
default out allow
timeout tcp-syn-sent 1h
timeout udp-new 1h
define near = { 192.0.2.0/24, 2001:db8::/64 }
rule web    allow in  tcp from any to any port 80,443
rule look   deny  in  tcp from any to any port 80,81 priority 5 audit
rule unseen deny  in  tcp from any to any port 80 priority 4000 audit
rule no-web deny  in  tcp from near to any port 443 priority 10
rule dns    allow both udp from any to any port 53
rule no-out deny  out tcp from any to any port 23
rule ping   allow in  icmp type echo-request
rule ping6  allow in  icmpv6 type echo-request
rule stamp  allow in  icmp type timestamp-request
rule here   allow in  tcp from any to any port 9000 iface mseg0
rule there  allow in  tcp from any to any port 9001 iface other0
rule gre    allow in  47
rule late   allow in  tcp from any to any port 8080 priority 5000
rule later  deny  in  tcp from any to any port 8080 priority 6000
";

/// A packet in the language of the tables, and in that of policies; `#` is a port of its own, `c` and `s` stand for the
/// addresses.
const PACKETS: &[(&str, &str)] = &[
    ("ip c>s tcp #>80 S", "in tcp from c port # to s port 80"),
    ("ip c>s tcp #>443 S", "in tcp from c port # to s port 443"),
    ("ip c>s tcp #>22 S", "in tcp from c port # to s port 22"),
    ("ip c>s tcp #>23 S", "in tcp from c port # to s port 23"),
    ("ip c>s tcp #>9000 S", "in tcp from c port # to s port 9000"),
    ("ip c>s tcp #>9001 S", "in tcp from c port # to s port 9001"),
    ("ip c>s tcp #>8080 S", "in tcp from c port # to s port 8080"),
    ("ip c>s udp #>53", "in udp from c port # to s port 53"),
    ("ip c>s udp #>54", "in udp from c port # to s port 54"),
    ("ip c>s sctp #>80", "in sctp from c port # to s port 80"),
    ("ip s>c tcp #>23 S", "out tcp from s port # to c port 23"),
    ("ip s>c tcp #>80 S", "out tcp from s port # to c port 80"),
    ("ip s>c udp #>53", "out udp from s port # to c port 53"),
    ("ip s>c udp 68>67", "out udp from s port 68 to c port 67"),
    ("ip c>s gre", "in 47 from c to s"),
    ("ip c>s esp", "in 50 from c to s"),
    ("ip c6>s6 tcp #>80 S", "in tcp from c6 port # to s6 port 80"),
    ("ip c6>s6 tcp #>443 S", "in tcp from c6 port # to s6 port 443"),
    ("ip c6>s6 tcp #>81 S", "in tcp from c6 port # to s6 port 81"),
    ("ip c6>s6 udp #>53", "in udp from c6 port # to s6 port 53"),
    ("ip s6>c6 tcp #>23 S", "out tcp from s6 port # to c6 port 23"),
    ("ip s6>c6 udp 546>547", "out udp from s6 port 546 to c6 port 547"),
    ("ip c>s icmp 8 id 7", "in icmp from c to s type echo-request"),
    ("ip c>s icmp 0 id 77", "in icmp from c to s type echo-reply"),
    ("ip c>s icmp 13", "in icmp from c to s type timestamp-request"),
    ("ip c>s icmp 15", "in icmp from c to s type info-request"),
    ("ip s>c icmp 8 id 9", "out icmp from s to c type echo-request"),
    ("ip c6>s6 icmp6 128 id 7", "in icmpv6 from c6 to s6 type echo-request"),
    ("ip c6>s6 icmp6 129 id 77", "in icmpv6 from c6 to s6 type echo-reply"),
    ("ip c6>s6 ttl 255 icmp6 135 data 16", "in icmpv6 from c6 to s6 type nd-neighbor-solicit"),
    ("ip fe80::1>s6 ttl 1 icmp6 131 data 16", "in icmpv6 from fe80::1 to s6 type mld-listener-report"),
];

/// The text with the addresses of the lab for their short names.
fn written_out(text: &str, port: u16) -> String {
    let word = |word: &str| match word {
        "c" => lab::CLIENT_V4.to_string(),
        "s" => SERVER_V4.to_string(),
        "c6" => lab::CLIENT_V6.to_string(),
        "s6" => lab::SERVER_V6.to_string(),
        "#" => port.to_string(),
        other => other.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn ask(lab: &Lab, bench: &Bench, text: &str) -> Result<Explanation> {
    let packet = parse_packet(text).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    lab.mounts.run(|| explain::by_program(bench.instance(), &packet, None)).with_context(|| text.to_owned())
}

/// A lab of this kernel's own hook: what is explained does not depend on it.
fn with_lab(body: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    require_root!();
    Lab::test(if kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact }, body)
}

/// Explains every packet, and then sends it.
fn agrees(options: &[&str]) -> Result<()> {
    with_lab(|lab| {
        let policy = lab.policy(POLICY)?;
        let bench = Bench::attach(lab, &[&["--policy", policy], options].concat())?;
        for ((line, text), port) in PACKETS.iter().zip(20_000..) {
            let direction = if text.starts_with("in") { Direction::In } else { Direction::Out };
            let frame = packet::parse(&line.replace('#', &port.to_string()), direction)?;
            let said = ask(lab, &bench, &written_out(text, port))?;
            let before = lab.mounts.run(|| bench.rule_packets())?;
            let seen = lab.server.run(|| bench.run(&frame, direction)).with_context(|| (*line).to_owned())?;
            let after = lab.mounts.run(|| bench.rule_packets())?;
            let counted = before.iter().zip(&after).filter(|(before, after)| before.1 != after.1);
            let audited: Vec<&str> = said.audited.iter().map(|rule| &*rule.name).collect();
            let (audits, credited): (Vec<&str>, Vec<&str>) =
                counted.map(|(_, (name, _))| &**name).partition(|name| ["look", "unseen"].contains(name));
            ensure!(audits == audited && credited.len() <= 1, "{line}: {audits:?} {credited:?}, {audited:?} was said");
            let rule = credited.first().copied().unwrap_or("none");
            let passed = seen.verdict == VERDICT_ALLOWED;
            ensure!(
                (said.verdict == Verdict::Allow, said.reason, &*said.rule) == (passed, seen.reason, rule),
                "{line}: {} by {} ({}) was said, but it is {seen:?} by {rule}",
                said.verdict,
                said.rule,
                said.reason
            );
            ensure!(said.session.is_none(), "{line}: {:?}", said.session);
        }
        Ok(())
    })
}

#[test]
fn explanation_agrees_with_what_packets_get_when_enforcing() -> Result<()> {
    agrees(&["--mode", "enforce", "--midstream", "strict"])
}

#[test]
fn explanation_agrees_with_what_packets_get_when_observing() -> Result<()> {
    agrees(&["--mode", "observe"])
}

#[test]
fn explanation_agrees_with_what_packets_of_a_workload_get() -> Result<()> {
    agrees(&["--mode", "enforce", "--role", "workload"])
}

/// How often [`explaining_changes_nothing`] asks; `MSEG_EXPLAINS` says otherwise.
const ASKED: usize = 40;

#[test]
fn explaining_changes_nothing() -> Result<()> {
    with_lab(|lab| {
        let bench = Bench::attach(lab, &["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
        for line in ["ip c>s tcp 1000>80 S", "ip c>s tcp 1000>81 S", "ip c6>s6 udp 1000>53"] {
            lab.server.run(|| bench.run(&packet::parse(line, Direction::In)?, Direction::In))?;
        }
        let commands = [&["stats", "show"][..], &["session", "list"], &["denied", "list"], &["rule", "list"]];
        let state = || -> Result<_> {
            let mut documents = commands.iter().map(|command| lab.json(command)).collect::<Result<Vec<_>>>()?;
            // Time goes on.
            for session in documents[1]["sessions"].as_array_mut().into_iter().flatten() {
                session["expires_in_s"].take();
                session["last_seen"].take();
                session["created"].take();
            }
            for denied in documents[2]["denied"].as_array_mut().into_iter().flatten() {
                denied["first_seen"].take();
                denied["last_seen"].take();
            }
            for rule in documents[3]["rules"].as_array_mut().into_iter().flatten() {
                rule["last_hit"].take();
            }
            let config = lab.mounts.run(|| bench.instance().config())?;
            Ok((documents, config, lab.mounts.pins()?, lab.attached()?))
        };
        let before = state()?;
        ensure!(number(&before.0[0], "/events/submitted")? > 0, "there is something to change: {:#}", before.0[0]);
        let asked = std::env::var("MSEG_EXPLAINS").ok().and_then(|text| text.parse().ok()).unwrap_or(ASKED);
        for ((_, text), number) in PACKETS.iter().cycle().zip(0..asked) {
            ask(lab, &bench, &written_out(text, 1000 + u16::try_from(number % 50_000)?))?;
        }
        let after = state()?;
        for (before, after) in before.0.iter().zip(&after.0) {
            ensure!(before == after, "before:\n{before}\nafter:\n{after}");
        }
        ensure!(before == after, "configuration, pins or programs differ:\n{before:?}\n{after:?}");
        Ok(())
    })
}

#[test]
fn killed_explanation_leaves_nothing() -> Result<()> {
    with_lab(|lab| {
        lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
        let (pins, attached) = (lab.mounts.pins()?, lab.attached()?);
        let packet = ["explain", "in", "tcp", "from", "192.0.2.1", "to", "192.0.2.2", "port", "80"];
        for delay_ms in (0..200).step_by(10) {
            let mut child = lab.place().command("msegctl", &packet).spawn()?;
            thread::sleep(Duration::from_millis(delay_ms));
            child.kill()?;
            child.wait()?;
        }
        ensure!((lab.mounts.pins()?, lab.attached()?) == (pins, attached), "something is left, or gone");
        expect(&lab.json(&packet)?, "/rule", "web")
    })
}

on_both_hooks! {
    explains_while_traffic_flows_and_policies_change,
    session_that_is_live_is_said,
    what_cannot_be_explained_is_refused,
    what_leaves_by_loopback_is_neither_judged_nor_explained,
    assertions_about_the_active_policy_are_tested,
}

fn explains_while_traffic_flows_and_policies_change(lab: &Lab) -> Result<()> {
    const ADD: [&str; 11] = ["rule", "add", "more", "deny", "in", "tcp", "from", "any", "to", "any", "-q"];
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    let pair = udp::Pair::open(&lab.client, &lab.server, lab::server(53)[0])?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let traffic = scope.spawn(|| -> Result<u64> {
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                pair.ask(100, 100)?;
                asked += 1;
            }
            Ok(asked)
        });
        let explained = (0..3).try_for_each(|_| -> Result<()> {
            for (change, rule) in [(&ADD[..], "more"), (&["rule", "delete", "more", "-q"], "web")] {
                lab.ctl(change)?;
                let said = lab.json(&["explain", "in", "tcp", "from", "192.0.2.1", "to", "192.0.2.2", "port", "80"])?;
                expect(&said, "/rule", rule)?;
                expect(&said, "/decided_by", "program")?;
                let generation = number(&lab.json(&["policy", "show"])?, "/generation")?;
                ensure!(number(&said, "/generation")? == generation, "{said:#}");
            }
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        let asked = traffic.join().map_err(|_| anyhow::anyhow!("the traffic panicked"))??;
        ensure!(asked > 10, "traffic flowed: {asked}");
        explained
    })
}

fn session_that_is_live_is_said(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    for address in lab::server(80) {
        let listener = tcp::listen(&lab.server, address)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        connection.exchange(1000, 1000)?;
        let client = connection.client.local_addr()?;
        let text = format!(
            "explain in tcp from {} port {} to {} port 80 iface {PROTECTED}",
            client.ip(),
            client.port(),
            address.ip()
        );
        let said = lab.json(&text.split(' ').collect::<Vec<_>>())?;
        expect(&said, "/session/rule", "web")?;
        expect(&said, "/session/verdict", "allow")?;
        let session = lab.session("tcp", client.port())?;
        ensure!(said["session"]["id"] == session["id"], "{said:#} {session:#}");
        let steps = list(&said, "mseg.explain/1", "steps")?;
        ensure!(steps.iter().any(|step| step["result"].as_str().is_some_and(|text| text.contains("is live"))));
        connection.exchange(1000, 1000)?;
    }
    Ok(())
}

fn what_cannot_be_explained_is_refused(lab: &Lab) -> Result<()> {
    let explain = |rest: &[&str]| {
        let packet = ["explain", "in", "tcp", "from", "192.0.2.1", "to", "192.0.2.2", "port", "80"];
        lab.run("msegctl", &[&packet, rest].concat())
    };
    explain(&[])?.exits(3)?.complains(&["mseg-loader attach"])?;
    lab.attach(&[])?;
    explain(&["--iface", "nowhere0"])?.exits(2)?.complains(&["nowhere0", PROTECTED, "--role"])?;
    explain(&["--iface", "nowhere0", "--role", "workload"])?.ok()?;
    explain(&["iface", "a", "--iface", "b"])?.exits(2)?;
    explain(&["--role", "host", "--policy", "x"])?.exits(2)?;
    lab.run("msegctl", &["explain", "in", "tcp", "from", "any", "to", "::1", "port", "x"])?.exits(2)?;
    lab.run_as_nobody("msegctl", &["explain", "in", "47", "from", "192.0.2.1", "to", "192.0.2.2"])?.exits(4)?;
    let other = Namespace::new()?;
    let end = |namespace, name, mac| End { namespace, name, mac, addresses: &[] };
    interface::join(end(&lab.server, "mseg1", [2, 0, 0, 0, 0, 3]), end(&other, "far", [2, 0, 0, 0, 0, 4]))?;
    lab.run("mseg-loader", &["attach", "mseg1", "--hook", lab.hook().name()])?.ok()?;
    explain(&[])?.exits(2)?.complains(&["--iface", "mseg1", PROTECTED])?;
    explain(&["iface", "mseg1"])?.ok()?;
    Ok(())
}

fn what_leaves_by_loopback_is_neither_judged_nor_explained(lab: &Lab) -> Result<()> {
    let policy = "default in allow\ndefault out deny\nrule never deny out tcp from any to any port 2300 iface lo\n";
    lab.ctl(&["policy", "check", lab.policy(policy)?])?.complains(&["warning: rule never matches nothing"])?;
    lab.run("mseg-loader", &["attach", "lo", "--mode", "enforce", "--hook", lab.hook().name()])?.ok()?;
    lab.ctl(&["policy", "apply", lab.policy(policy)?])?.complains(&["warning: rule never matches nothing"])?;
    let listener = tcp::listen(&lab.server, ([127, 0, 0, 1], 2300).into())?;
    tcp::connect(&lab.server, &listener)?.exchange(1000, 1000)?;
    let packet = ["tcp", "from", "127.0.0.1", "to", "127.0.0.1", "port", "2300", "iface", "lo"];
    let explain =
        |direction, rest: &[&str]| lab.run("msegctl", &[&["-j", "explain", direction], &packet[..], rest].concat());
    for rest in [&[][..], &["--policy", lab.policy(policy)?]] {
        explain("out", rest)?.exits(2)?.complains(&["judged once, in direction in", "`in ... iface lo`"])?;
        expect(&explain("in", rest)?.ok()?.json()?, "/verdict", "allow")?;
    }
    lab.run("mseg-loader", &["detach", "--all"])?.ok()?;
    Ok(())
}

fn assertions_about_the_active_policy_are_tested(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?])?;
    let file = |text: &str| lab.policy(text);
    let holds = "expect allow in tcp from 10.0.0.1 to 10.0.0.2 port 443 by web\n\
                 expect deny in tcp from 192.0.2.1 to 10.0.0.2 port 443 by no-web # near\n\
                 expect deny in udp from ::1 to ::2 port 54\n";
    let tested = lab.json(&["policy", "test", file(holds)?])?;
    expect(&tested, "/schema", "mseg.policy-test/1")?;
    ensure!(number(&tested, "/passed")? == 3 && number(&tested, "/failed")? == 0, "{tested:#}");
    let fails =
        format!("{holds}expect allow in 51 from {SERVER_V4} to 10.0.0.2\nexpect deny in 47 from ::1 to ::2 by x\n");
    let ran = lab.run("msegctl", &["policy", "test", file(&fails)?])?.exits(1)?;
    ensure!(ran.stdout.contains("test.policy:4") && ran.stdout.contains("test.policy:5"), "{ran}");
    ensure!(ran.stdout.contains("deny by default-in") && ran.stdout.contains("allow by gre"), "{ran}");
    lab.run("msegctl", &["policy", "test", file("expect maybe in 47\nexpext\n")?])?
        .exits(5)?
        .complains(&["3 errors", ":1:8", ":1:19", ":2:1"])?;
    let one = file("expect allow in 47 from ::1 to ::2\n")?;
    lab.run_as_nobody("msegctl", &["policy", "test", one, "--policy", "/dev/null"])?.ok()?;
    lab.run("msegctl", &["policy", "test", file("# nothing\n")?])?.exits(5)?.complains(&["holds no assertion"])?;
    Ok(())
}
