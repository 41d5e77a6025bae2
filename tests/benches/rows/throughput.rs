//! T7: small datagrams through a real veth pair, from one thread to one socket.
//!
//! Each way to filter has a pair of hosts of its own, and all take turns. A virtual cable has no speed: what is measured
//! is how much of one processor a packet costs from the sender's call to the receiver's socket, filter included.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mseg_ebpf::abi::session::MAX_DATAGRAMS;
use mseg_tests::{
    bed::{Bed, ECHO_PORT},
    blast::{self, Blaster},
    frames,
    hook::Hook,
    interface,
    lab::{CLIENT_MAC, Lab, PEER, PROTECTED, SERVER_MAC, SERVER_V4},
    privilege, run_time,
};
use serde_json::Value;

use crate::{
    floor::Floor,
    measure::Plan,
    nftables,
    report::{Goal, Report},
};

/// Not the client's own address: what it receives there it drops without an answer.
const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const FIRST_PORT: u16 = 1_024;
/// Flows that are opened at once; few, so that no limit on half-open ones is met.
const OPENED_AT_ONCE: usize = 32;

pub(crate) fn rows(plan: &Plan, report: &mut Report) -> Result<()> {
    let labs = [(); 4].map(|()| Lab::new(Hook::Tcx));
    let [bare, noop, mseg, nft] = labs;
    let (bare, noop, mseg, nft) = (bare?, noop?, mseg?, nft?);
    let floor = Floor::load()?;
    let _links = noop.server.run(|| floor.attach(PROTECTED))?;
    let bed = Bed::new(&mseg)?;
    let mut ways = vec![("no filter", &bare), ("no-op program", &noop), ("mseg", &mseg)];
    if privilege::has_tool("nft") {
        nftables::apply(&nft, nftables::RULES)?;
        ways.push(("nftables", &nft));
    }
    let one = Goal::at_least(90.0, 95.0);
    let many = Goal::at_least(70.0, 80.0);
    for (flows, goal) in [(1, one), (8_000, many), (50_000, many)] {
        let mut paths = ways.iter().map(|(_, lab)| Path::new(lab, flows)).collect::<Result<Vec<_>>>()?;
        for path in &mut paths {
            path.open_flows(flows)?;
        }
        let before = bed.reason("session")?;
        let mut rates = vec![vec![]; paths.len()];
        for _ in 0..plan.rounds {
            for (path, rates) in paths.iter_mut().zip(&mut rates) {
                rates.push(path.run(plan.blast)?);
            }
        }
        let judged = bed.reason("session")? - before;
        // More flows than DATAGRAMS keeps: most packets are judged as the first of theirs.
        let kept = usize::from(flows) <= MAX_DATAGRAMS;
        ensure!(!kept || judged > plan.blast as u64, "the datagrams belonged to no session: {:#}", mseg.stats()?);
        if ways.len() > 3 {
            let tracked = nftables::tracked(&nft)?;
            ensure!(tracked >= u64::from(flows), "conntrack knows {tracked} of {flows} flows");
        }
        for (at, (name, _)) in ways.iter().enumerate().skip(1) {
            let share = median(rates[at].iter().zip(&rates[0]).map(|(rate, bare)| rate / bare * 100.0));
            let what = format!("veth, {flows} flow{}: {name} / no filter", if flows == 1 { "" } else { "s" });
            let goal = (*name == "mseg").then_some(goal);
            let of = |rates: &[f64]| Value::from(median(rates.iter().copied()).round());
            report.row(
                "T7",
                &what,
                share,
                "%",
                goal,
                &[("packets_per_s", of(&rates[at])), ("no_filter", of(&rates[0]))],
            );
        }
    }
    drop(bed);
    mseg.detach_all()
}

/// The same round by round meets the same noise; a best of all rounds need not.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A sender, a socket, and the cable between them.
struct Path<'a> {
    lab: &'a Lab,
    sender: Blaster,
    receiver: UdpSocket,
}

impl<'a> Path<'a> {
    fn new(lab: &'a Lab, flows: u16) -> Result<Self> {
        lab.server.run(|| interface::add_neighbour(PROTECTED, SOURCE.into(), CLIENT_MAC))?;
        let std::net::IpAddr::V4(server) = SERVER_V4 else { unreachable!("it is IPv4") };
        let frame = |flow| {
            let datagram = frames::udp(FIRST_PORT + flow, ECHO_PORT, &[0; 18]);
            frames::ethernet(SERVER_MAC, CLIENT_MAC, 0x0800, &frames::ipv4(SOURCE, server, 17, &datagram))
        };
        let receiver = lab.server.run(|| UdpSocket::bind(SocketAddr::new(SERVER_V4, ECHO_PORT)))?;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self { lab, sender: Blaster::new(&lab.client, PEER, (0..flows).map(frame).collect())?, receiver })
    }

    /// Each flow is heard, answered, and heard again.
    fn open_flows(&mut self, flows: u16) -> Result<()> {
        let mut opened = 0;
        let mut byte = [0; 1];
        while opened < usize::from(flows) {
            let batch = OPENED_AT_ONCE.min(usize::from(flows) - opened);
            self.sender.send(batch)?;
            for _ in 0..batch {
                let (_, from) = self.receiver.recv_from(&mut byte).context("a flow does not get through")?;
                self.receiver.send_to(&byte, from).context("a flow cannot be answered")?;
            }
            self.sender.rewind(opened);
            self.sender.send(batch)?;
            for _ in 0..batch {
                self.receiver.recv_from(&mut byte).context("a flow does not get through again")?;
            }
            opened += batch;
        }
        Ok(())
    }

    /// Packets a second that reach the socket, of so many sent.
    fn run(&mut self, packets: usize) -> Result<f64> {
        let (received, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (lab, receiver, sender) = (self.lab, &self.receiver, &mut self.sender);
        let overflowed = || lab.server.run(overflowed);
        let before = overflowed()?;
        let took = thread::scope(|scope| -> Result<Duration> {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    match blast::drain(receiver) {
                        Ok(0) | Err(_) => thread::yield_now(),
                        Ok(some) => drop(received.fetch_add(some as u64, Ordering::Relaxed)),
                    }
                }
            });
            // On a thread of its own, so that its precedence ends with it.
            let sending = scope.spawn(|| -> Result<Duration> {
                run_time::steady();
                let started = Instant::now();
                sender.send(packets)?;
                Ok(started.elapsed())
            });
            let sent = sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"));
            stop.store(true, Ordering::Relaxed);
            sent?
        })?;
        // What came after the receiver stopped.
        let mut late = 0;
        while let some @ 1.. = blast::drain(receiver)? {
            late += some as u64;
        }
        let reached = received.load(Ordering::Relaxed) + late + overflowed()? - before;
        ensure!(reached * 10 > packets as u64 * 9, "{reached} of {packets} datagrams reached the socket");
        Ok(reached as f64 / took.as_secs_f64())
    }
}

/// Datagrams that reached a socket of this thread's network namespace with a full queue.
fn overflowed() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().context("no counters")?, lines.next().context("no counters")?);
    let at = names.split(' ').position(|name| name == "RcvbufErrors").context("no such counter")?;
    Ok(values.split(' ').nth(at).context("no such counter")?.parse()?)
}
