//! What enforce mode denies and allows, proven with packets both ways.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use mseg_tests::{
    documents::{expect, number},
    event,
    lab::{self, CLIENT_V4, CLIENT_V6, Lab, SERVER_V4, SERVER_V6},
    on_both_hooks,
    traffic::{icmp::Pinger, tcp, udp},
    wait::eventually,
};

const WEB: &str = "default in deny\ndefault out allow\nrule web allow in tcp from any to any port 80\n";

on_both_hooks! {
    allowed_port_answers_and_the_next_does_not,
    deleting_the_rule_cuts_an_open_connection,
    observe_drops_nothing_and_says_what_it_would,
    mode_changes_at_once_and_back,
    replies_pass_whatever_the_other_direction_allows,
    order_is_priority_then_deny_before_allow,
    addresses_and_prefixes_are_matched_to_the_bit,
    new_policy_judges_live_sessions_again,
    builtins_keep_the_network_alive_until_they_are_off,
}

fn allowed_port_answers_and_the_next_does_not(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    for (open, closed) in lab::server(80).into_iter().zip(lab::server(81)) {
        let before = lab.stats()?;
        let listeners = [tcp::listen(&lab.server, open)?, tcp::listen(&lab.server, closed)?];
        let mut connection = tcp::connect(&lab.client, &listeners[0])?;
        connection.exchange(50_000, 50_000)?;
        let session = lab.session("tcp", connection.client.local_addr()?.port())?;
        expect(&session, "/rule", "web")?;
        tcp::is_denied(&lab.client, closed)?;
        let after = lab.stats()?;
        let denied = |stats| number(stats, "/packets/denied");
        ensure!(denied(&after)? > denied(&before)?, "the denials are counted");
        ensure!(number(&after, "/reasons/default-deny")? > 0, "their reason is counted: {after:#}");
        let address = closed.ip().to_string();
        daemon.event("of the denial", |event| {
            event::is_denial_of_port(event, 81)
                && event["reason"] == "default-deny"
                && event["server"]["address"] == address.as_str()
        })?;
    }
    ensure!(lab.sessions(&["--port", "81"])?.is_empty(), "a denied packet makes no session");
    ensure!(number(&lab.rule("web")?, "/hits/sessions")? == 2, "the rule's sessions are counted");
    Ok(())
}

fn deleting_the_rule_cuts_an_open_connection(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let mut connections = Vec::new();
    for address in lab::server(80) {
        let listener = tcp::listen(&lab.server, address)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        connection.exchange(1000, 1000)?;
        connections.push(connection);
    }
    lab.ctl(&["rule", "delete", "web"])?;
    for connection in &mut connections {
        connection.is_cut()?;
    }
    lab.ctl(&["rule", "add", "web", "allow", "in", "tcp", "from", "any", "to", "any", "port", "80"])?;
    // TCP sends again what was sent in vain.
    connections.iter_mut().try_for_each(|connection| connection.exchange_late(1, 1000))
}

fn observe_drops_nothing_and_says_what_it_would(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy("default in deny\ndefault out allow\n")?])?;
    expect(&lab.json(&["mode", "show"])?, "/mode", "observe")?;
    for address in lab::server(81) {
        let listener = tcp::listen(&lab.server, address)?;
        tcp::connect(&lab.client, &listener)?.exchange(1000, 1000)?;
        udp::Pair::open(&lab.client, &lab.server, address)?.ask(10, 10)?;
        Pinger::new(&lab.client, address.ip())?.ping(10)?;
    }
    let stats = lab.stats()?;
    expect(&stats, "/packets/denied", 0)?;
    ensure!(number(&stats, "/packets/observed")? > 0, "what it would deny is counted: {stats:#}");
    Ok(())
}

fn mode_changes_at_once_and_back(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy("default in deny\n")?])?;
    let listeners = [tcp::listen(&lab.server, lab::server(80)[0])?, tcp::listen(&lab.server, lab::server(80)[1])?];
    for _ in 0..2 {
        lab.ctl(&["mode", "set", "enforce"])?;
        expect(&lab.json(&["mode", "show"])?, "/mode", "enforce")?;
        for address in lab::server(80) {
            tcp::is_denied(&lab.client, address)?;
        }
        lab.ctl(&["mode", "set", "observe"])?;
        for listener in &listeners {
            tcp::connect(&lab.client, listener)?.exchange(10, 10)?;
        }
    }
    Ok(())
}

fn replies_pass_whatever_the_other_direction_allows(lab: &Lab) -> Result<()> {
    let policy = "default in deny\ndefault out deny\n\
        rule dns allow out udp to any port 53\nrule ping allow in icmp type echo-request\n\
        rule ping6 allow in icmpv6 type echo-request\n";
    lab.attach(&["--policy", lab.policy(policy)?, "--mode", "enforce"])?;
    for address in [CLIENT_V4, CLIENT_V6] {
        udp::Pair::open(&lab.server, &lab.client, SocketAddr::new(address, 53))?.ask(30, 300)?;
        udp::Pair::open(&lab.server, &lab.client, SocketAddr::new(address, 54))?.is_denied()?;
        Pinger::new(&lab.server, address)?.is_denied()?;
    }
    for address in [SERVER_V4, SERVER_V6] {
        Pinger::new(&lab.client, address)?.ping(100)?;
        udp::Pair::open(&lab.client, &lab.server, SocketAddr::new(address, 53))?.is_denied()?;
    }
    Ok(())
}

fn order_is_priority_then_deny_before_allow(lab: &Lab) -> Result<()> {
    let policy = "default in deny\ndefault out allow\n\
        rule all-ports  allow in tcp to any port 1000-2000\n\
        rule not-1500   deny  in tcp to any port 1500\n\
        rule but-1501   deny  in tcp to any port 1501\n\
        rule first-1501 allow in tcp to any port 1501 priority 10\n\
        rule late       deny  in tcp to any port 1600 priority 2000\n";
    lab.attach(&["--policy", lab.policy(policy)?, "--mode", "enforce"])?;
    for (port, passes) in [(1000, true), (2000, true), (2001, false), (1500, false), (1501, true), (1600, true)] {
        for address in lab::server(port) {
            let listener = tcp::listen(&lab.server, address)?;
            match passes {
                true => tcp::connect(&lab.client, &listener)?.exchange(1, 1)?,
                false => tcp::is_denied(&lab.client, address)?,
            }
        }
    }
    for (rule, sessions) in [("all-ports", 6), ("first-1501", 2), ("but-1501", 0), ("late", 0)] {
        expect(&lab.rule(rule)?, "/hits/sessions", sessions)?;
    }
    ensure!(number(&lab.rule("not-1500")?, "/hits/packets")? >= 2, "denied packets are credited to their rule");
    Ok(())
}

fn addresses_and_prefixes_are_matched_to_the_bit(lab: &Lab) -> Result<()> {
    let policy = "default in deny\ndefault out allow\n\
        rule host4   allow in udp from 192.0.2.1 to 192.0.2.2 port 1\n\
        rule other4  allow in udp from 192.0.2.3 to any port 2\n\
        rule near4   allow in udp from 192.0.2.0/31 to any port 3\n\
        rule far4    allow in udp from 192.0.2.2/31 to any port 4\n\
        rule host6   allow in udp from 2001:db8::1 to 2001:db8::2 port 1\n\
        rule other6  allow in udp from 2001:db8::3 to any port 2\n\
        rule near6   allow in udp from 2001:db8::/127 to any port 3\n\
        rule far6    allow in udp from 2001:db8::2/127 to any port 4\n";
    lab.attach(&["--policy", lab.policy(policy)?, "--mode", "enforce"])?;
    for (port, passes) in [(1, true), (2, false), (3, true), (4, false)] {
        for address in lab::server(port) {
            let pair = udp::Pair::open(&lab.client, &lab.server, address)?;
            if passes { pair.ask(1, 1)? } else { pair.is_denied()? }
        }
    }
    Ok(())
}

fn new_policy_judges_live_sessions_again(lab: &Lab) -> Result<()> {
    lab.attach(&["--mode", "enforce"])?;
    let pairs = [
        udp::Pair::open(&lab.client, &lab.server, lab::server(5000)[0])?,
        udp::Pair::open(&lab.client, &lab.server, lab::server(5000)[1])?,
    ];
    pairs.iter().try_for_each(|pair| pair.ask(10, 10))?;
    lab.ctl(&["policy", "apply", lab.policy("default in deny\n")?])?;
    pairs.iter().try_for_each(udp::Pair::is_denied)?;
    lab.ctl(&["policy", "apply", lab.policy("default in deny\nrule five allow in udp to any port 5000\n")?])?;
    pairs.iter().try_for_each(|pair| pair.ask(10, 10))?;
    expect(&lab.session("udp", pairs[0].client.local_addr()?.port())?, "/rule", "five")
}

fn builtins_keep_the_network_alive_until_they_are_off(lab: &Lab) -> Result<()> {
    let open = "default in deny\ndefault out deny\nrule all allow both any from any to any\n";
    lab.attach(&["--policy", lab.policy(&format!("{open}builtin arp off\nbuiltin nd off\n"))?, "--mode", "enforce"])?;
    Pinger::new(&lab.client, SERVER_V4)?.is_denied()?;
    lab.ctl(&["policy", "apply", lab.policy(open)?])?;
    // What waited for an address that nobody told is dropped with its entry; the next request asks anew.
    eventually(|| Pinger::new(&lab.client, SERVER_V4)?.ping_once())?;
    eventually(|| Pinger::new(&lab.client, SERVER_V6)?.ping_once())?;
    ensure!(number(&lab.rule("arp")?, "/hits/packets")? > 0, "built-in rules count too");
    expect(&lab.rule("arp")?, "/builtin", true)
}
