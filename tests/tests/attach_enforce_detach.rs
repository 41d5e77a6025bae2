//! The whole of it in one go: short enough for a kernel that runs in an emulator (tests/kernels.sh).

use anyhow::{Result, ensure};
use mseg_tests::{
    documents::{expect, number},
    lab::{self, Lab},
    on_both_hooks,
    traffic::{icmp::Pinger, tcp, udp},
};

on_both_hooks! {
    attach_observe_enforce_change_detach,
}

fn attach_observe_enforce_change_detach(lab: &Lab) -> Result<()> {
    lab.attach(&[])?;
    for address in lab::server(81) {
        let listener = tcp::listen(&lab.server, address)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        connection.exchange(100_000, 100_000)?;
        let session = lab.session("tcp", connection.client.local_addr()?.port())?;
        expect(&session, "/state", "established")?;
        expect(&session, "/server/port", 81)?;
        ensure!(number(&session, "/to_server/bytes")? > 100_000, "{session:#}");
        ensure!(number(&session, "/to_client/bytes")? > 100_000, "{session:#}");
        Pinger::new(&lab.client, address.ip())?.ping(56)?;
        udp::Pair::open(&lab.client, &lab.server, address)?.ask(10, 10)?;
    }

    let policy = "default in deny\ndefault out allow\nrule web allow in tcp from any to any port 80\n";
    lab.ctl(&["policy", "apply", lab.policy(policy)?])?;
    lab.ctl(&["mode", "set", "enforce"])?;
    let mut open = Vec::new();
    for address in lab::server(80) {
        let listener = tcp::listen(&lab.server, address)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        connection.exchange(10_000, 10_000)?;
        open.push(connection);
        Pinger::new(&lab.client, address.ip())?.is_denied()?;
        udp::Pair::open(&lab.client, &lab.server, address)?.is_denied()?;
    }
    for address in lab::server(81) {
        tcp::is_denied(&lab.client, address)?;
    }
    let stats = lab.stats()?;
    ensure!(number(&stats, "/reasons/default-deny")? > 0, "{stats:#}");

    lab.ctl(&["rule", "delete", "web"])?;
    open.iter_mut().try_for_each(tcp::Connection::is_cut)?;
    lab.ctl(&["mode", "set", "observe"])?;
    open.iter_mut().try_for_each(|connection| connection.exchange_late(1, 1000))?;
    lab.detach_all()?;
    open.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))
}
