//! The tour: attach, watch, enforce, change, break, detach.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    documents::{expect, number},
    event,
    hook::Hook,
    lab::{self, Lab, PROTECTED, SERVER_V4, SERVER_V6},
    privilege,
    traffic::{
        icmp::Pinger,
        tcp::{self, Connection},
        udp,
    },
};

use crate::narrator::Narrator;

const POLICY: &str = "\
default in deny
default out allow

rule web   allow in tcp from any to any port 80
rule ping  allow in icmp type echo-request
rule ping6 allow in icmpv6 type echo-request
";

/// Walks through it all.
pub(crate) fn run(narrator: &mut Narrator) -> Result<()> {
    let hook = if privilege::kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact };
    let lab = Lab::new(hook)?;
    narrator.begin();
    let mut tour = Tour { lab: &lab, narrator };
    tour.attach()?;
    tour.watch()?;
    tour.enforce()?;
    tour.change()?;
    tour.detach()?;
    narrator.finish()
}

struct Tour<'a> {
    lab: &'a Lab,
    narrator: &'a mut Narrator,
}

impl Tour<'_> {
    fn attach(&mut self) -> Result<()> {
        self.narrator.chapter("Attach to a live interface")?;
        self.narrator.say(&format!(
            "Two hosts were just made: network namespaces joined by a cable. The client has 192.0.2.1 and 2001:db8::1;\n\
             the server has 192.0.2.2 and 2001:db8::2 on {PROTECTED}. All commands run on the server."
        ))?;
        self.show("mseg-loader", &["attach", PROTECTED])?;
        self.narrator.claim("the kernel says that both directions are attached", self.lab.is_attached())?;
        self.show("msegctl", &["status"])?;
        Ok(())
    }

    fn watch(&mut self) -> Result<()> {
        self.narrator.chapter("Observe: it judges and counts, but drops nothing")?;
        self.narrator.say("The client pings, and talks TCP and UDP to port 7, over IPv4 and IPv6:")?;
        for (address, family) in lab::server(7).into_iter().zip(["IPv4", "IPv6"]) {
            let mut pinger = Pinger::new(&self.lab.client, address.ip())?;
            self.narrator.claim(&format!("ping {} is answered ({family})", address.ip()), pinger.ping(56))?;
            let mut connection = self.connect(address.ip(), 7)?;
            let exchanged = connection.exchange(100_000, 300_000);
            self.narrator.claim(&format!("TCP carries 100 kB there and 300 kB back ({family})"), exchanged)?;
            connection.finish_client()?;
            connection.finish_server()?;
            let asked = udp::Pair::open(&self.lab.client, &self.lab.server, address)?.ask(100, 200);
            self.narrator.claim(&format!("UDP is asked and answers ({family})"), asked)?;
        }
        self.show("msegctl", &["session", "list", "--port", "7"])?;
        self.show("msegctl", &["session", "list", "--proto", "icmp,icmpv6"])?;
        for (protocol, expected) in [("tcp", 2), ("udp", 2), ("icmp", 1), ("icmpv6", 1)] {
            let sessions = self.lab.sessions(&["--proto", protocol])?;
            let echo = sessions.iter().filter(|session| session["direction"] == "in");
            ensure!(echo.count() == expected, "not {expected} sessions of {protocol}: {sessions:#?}");
        }
        let first = self.lab.sessions(&["--proto", "tcp", "--dst", "192.0.2.2"])?.pop().context("a session")?;
        let counted = number(&first, "/to_server/bytes")? > 100_000 && number(&first, "/to_client/bytes")? > 300_000;
        let counted = if counted { expect(&first, "/state", "closed") } else { Err(anyhow::anyhow!("{first:#}")) };
        self.narrator.claim("each conversation is one session: both directions counted, and its end seen", counted)
    }

    fn enforce(&mut self) -> Result<()> {
        self.narrator.chapter("Write a policy, and enforce it")?;
        let file = self.lab.policy(POLICY)?;
        self.narrator.prompt(&format!("cat {file}"))?;
        self.narrator.say(POLICY.trim_end())?;
        self.show("msegctl", &["policy", "check", file])?;
        self.show("msegctl", &["policy", "apply", file])?;
        self.show("msegctl", &["mode", "set", "enforce"])?;
        self.narrator.background("msegd", &[])?;
        let daemon = self.lab.daemon(&[])?;
        self.narrator.say("The client tries again; what is denied gets no answer:")?;
        for (address, family) in [(SERVER_V4, "IPv4"), (SERVER_V6, "IPv6")] {
            let passed = self.connect(address, 80).and_then(|mut connection| connection.exchange(1000, 1000));
            self.narrator.claim(&format!("TCP to port 80 is answered ({family})"), passed)?;
            let denied = self.is_denied(address, 81);
            self.narrator.claim(&format!("TCP to port 81 is denied ({family})"), denied)?;
            let denied = udp::Pair::open(&self.lab.client, &self.lab.server, (address, 7).into())?.is_denied();
            self.narrator.claim(&format!("UDP to port 7 is denied ({family})"), denied)?;
            let pinged = Pinger::new(&self.lab.client, address)?.ping(56);
            self.narrator.claim(&format!("ping is answered ({family})"), pinged)?;
        }
        let event = daemon.event("of the denial", |event| event::is_denial_of_port(event, 81))?;
        self.narrator.say("\nmsegd has printed:")?;
        self.narrator.say(&event.to_string())?;
        self.narrator.claim("it says why", expect(&event, "/reason", "default-deny"))?;
        self.show("msegctl", &["rule", "list"])?;
        let web = self.lab.rule("web")?;
        self.narrator.claim("the rule counts its two sessions", expect(&web, "/hits/sessions", 2))?;

        self.narrator.chapter("Nothing has to stay running")?;
        self.narrator.prompt(&format!("kill -9 {} # msegd", daemon.pid()))?;
        daemon.kill()?;
        for (address, family) in [(SERVER_V4, "IPv4"), (SERVER_V6, "IPv6")] {
            let passed = self.connect(address, 80).and_then(|mut connection| connection.exchange(1000, 1000));
            self.narrator.claim(&format!("port 80 still answers ({family})"), passed)?;
            let denied = self.is_denied(address, 81);
            self.narrator.claim(&format!("port 81 is still denied ({family})"), denied)?;
        }
        Ok(())
    }

    fn change(&mut self) -> Result<()> {
        self.narrator.chapter("Change the policy under an open connection")?;
        let mut connection = self.connect(SERVER_V4, 80)?;
        self.narrator.claim("a connection to port 80 is open", connection.exchange(1000, 1000))?;
        self.show("msegctl", &["rule", "delete", "web"])?;
        self.narrator.claim("its very next packet is denied", connection.is_cut())?;
        self.show("msegctl", &["rule", "add", "web", "allow", "in", "tcp", "from", "any", "to", "any", "port", "80"])?;
        // One byte was sent in vain; TCP sends it again.
        self.narrator.claim("it goes on, and what was lost is sent again", connection.exchange_late(1, 1000))?;
        self.show("msegctl", &["stats", "show"])?;
        let stats = self.lab.stats()?;
        let denied = if number(&stats, "/packets/denied")? > 0 { Ok(()) } else { Err(anyhow::anyhow!("{stats:#}")) };
        self.narrator.claim("every denial is counted under its reason", denied)
    }

    fn detach(&mut self) -> Result<()> {
        self.narrator.chapter("Leave nothing behind")?;
        self.show("mseg-loader", &["detach", "--all"])?;
        self.narrator.claim("no pin, link, filter or qdisc is left", self.lab.is_clean())?;
        let passed = self.connect(SERVER_V4, 81).and_then(|mut connection| connection.exchange(10, 10));
        self.narrator.claim("port 81 answers again", passed)
    }

    /// Runs a command and shows it.
    fn show(&self, program: &str, arguments: &[&str]) -> Result<()> {
        self.narrator.ran(self.lab.run(program, arguments)?)?;
        Ok(())
    }

    fn connect(&self, address: IpAddr, port: u16) -> Result<Connection> {
        let listener = tcp::listen(&self.lab.server, (address, port).into())?;
        tcp::connect(&self.lab.client, &listener)
    }

    fn is_denied(&self, address: IpAddr, port: u16) -> Result<()> {
        let _listener = tcp::listen(&self.lab.server, (address, port).into())?;
        tcp::is_denied(&self.lab.client, (address, port).into())
    }
}
