//! Rules with `audit`: tried on a host that enforces, with their own counters and events, and without any effect.

use anyhow::{Result, ensure};
use mseg_tests::{
    documents::{expect, number},
    lab::{self, Lab},
    on_both_hooks,
    traffic::{tcp, udp::Pair},
};

on_both_hooks! {
    denial_that_is_tried_is_counted_and_reported_and_denies_nothing,
    permission_that_is_tried_is_counted_and_reported_and_lets_nothing_pass,
    live_session_is_counted_under_a_rule_that_is_tried_later,
    rule_is_in_force_once_it_is_no_longer_tried,
}

const WEB: &str = "default in deny\ndefault out allow\nrule web allow in tcp from any to any port 80\n\
                   rule dns allow in udp to any port 53\n";

fn denial_that_is_tried_is_counted_and_reported_and_denies_nothing(lab: &Lab) -> Result<()> {
    let policy =
        format!("{WEB}rule tried deny in tcp from any to any port 80 audit\nrule too deny in tcp priority 5 audit\n");
    lab.attach(&["--policy", lab.policy(&policy)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    for open in lab::server(80) {
        let listener = tcp::listen(&lab.server, open)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        connection.exchange(50_000, 50_000)?;
        let port = connection.client.local_addr()?.port();
        expect(&lab.session("tcp", port)?, "/rule", "web")?;
        for rule in ["too", "tried"] {
            let event = daemon.event("of the rule that is tried", |event| {
                event["event"] == "audited" && event["rule"] == rule && event["client"]["port"] == port
            })?;
            expect(&event, "/action", "deny")?;
            expect(&event, "/direction", "in")?;
            expect(&event, "/server/port", 80)?;
        }
    }
    // Each session once, with the packet that opened it; what decides has the rest.
    for rule in ["tried", "too"] {
        let rule = lab.rule(rule)?;
        ensure!(number(&rule, "/hits/sessions")? == 2 && number(&rule, "/hits/packets")? == 2, "{rule:#}");
        expect(&rule, "/audit", true)?;
    }
    ensure!(number(&lab.rule("web")?, "/hits/packets")? > 10, "the rule that decides has the packets");
    ensure!(number(&lab.stats()?, "/packets/denied")? == 0, "nothing is denied");
    Ok(())
}

fn permission_that_is_tried_is_counted_and_reported_and_lets_nothing_pass(lab: &Lab) -> Result<()> {
    let policy = format!("{WEB}rule tried allow in tcp from any to any port 81 audit\nrule later allow in udp audit\n");
    lab.attach(&["--policy", lab.policy(&policy)?, "--mode", "enforce"])?;
    let daemon = lab.daemon(&[])?;
    for closed in lab::server(81) {
        let _listener = tcp::listen(&lab.server, closed)?;
        tcp::is_denied(&lab.client, closed)?;
        let address = closed.ip().to_string();
        let event = daemon.event("of the rule that is tried", |event| {
            event["event"] == "audited" && event["rule"] == "tried" && event["server"]["address"] == address.as_str()
        })?;
        expect(&event, "/action", "allow")?;
    }
    ensure!(number(&lab.rule("tried")?, "/hits/sessions")? >= 2, "it is counted");
    ensure!(number(&lab.stats()?, "/reasons/default-deny")? >= 2, "what comes after it decides");
    // What comes before it decides, too: then it is not asked.
    let dns = Pair::open(&lab.client, &lab.server, lab::server(53)[0])?;
    dns.ask(100, 100)?;
    ensure!(number(&lab.rule("later")?, "/hits/sessions")? == 0, "a rule after the one that decides is not asked");
    Ok(())
}

fn live_session_is_counted_under_a_rule_that_is_tried_later(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(WEB)?, "--mode", "enforce"])?;
    let listener = tcp::listen(&lab.server, lab::server(80)[0])?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    connection.exchange(1000, 1000)?;
    lab.ctl(&["rule", "add", "tried", "deny", "in", "tcp", "priority", "1", "audit", "--force"])?;
    connection.exchange(1000, 1000)?;
    let judged = number(&lab.rule("tried")?, "/hits/sessions")?;
    // Packets of both sides may find at the same moment that it is to be judged again.
    ensure!((1..=2).contains(&judged), "the session was judged again, once: {judged}");
    expect(&lab.session("tcp", connection.client.local_addr()?.port())?, "/rule", "web")
}

fn rule_is_in_force_once_it_is_no_longer_tried(lab: &Lab) -> Result<()> {
    let tried = format!("{WEB}rule no deny in tcp from any to any port 80 priority 5 audit\n");
    lab.attach(&["--policy", lab.policy(&tried)?, "--mode", "enforce"])?;
    let open = lab::server(80)[1];
    let listener = tcp::listen(&lab.server, open)?;
    let mut connection = tcp::connect(&lab.client, &listener)?;
    connection.exchange(1000, 1000)?;
    let policy = lab.policy(&tried.replace(" audit", ""))?;
    lab.ctl(&["policy", "apply", policy])?;
    connection.is_cut()?;
    tcp::is_denied(&lab.client, open)?;
    let rule = lab.rule("no")?;
    expect(&rule, "/audit", false)?;
    // The counters follow the name.
    ensure!(number(&rule, "/hits/sessions")? >= 2, "{rule:#}");
    Ok(())
}
