//! A large transfer by iperf3 under default deny, with and without what makes its packets large.
//!
//! `MSEG_VOLUME` says how much: a number of bytes, as iperf3 takes it (`1G`); 64M by default.

use std::{
    env, fs,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use mseg_tests::{
    documents::{expect, number},
    hook::Hook,
    interface,
    lab::{Lab, PEER, PROTECTED, SERVER_V4, SERVER_V6},
    middlebox::tap,
    namespace::Namespace,
    offload::{self, Offload},
    process, require_root, require_tool,
    wait::eventually,
};
use nix::sys::socket::{MsgFlags, recv};
use serde_json::Value;

const PORT: u16 = 5201;
const POLICY: &str = "default in deny\ndefault out deny\nrule iperf allow in tcp to any port 5201\n";

/// How long a transfer may take: on a busy machine without offloads.
const LONG: Duration = Duration::from_secs(120);

/// The longest frame of the cable.
const FRAME: u64 = 1514;

#[test]
fn large_packets_pass_and_are_counted() -> Result<()> {
    with_offloads(Hook::Tcx, &[(Offload::Tso, true), (Offload::Gso, true), (Offload::Gro, false)], |average| {
        ensure!(average > 2 * FRAME, "{average} bytes a packet: they were not large");
        Ok(())
    })
}

#[test]
fn joined_packets_pass_and_are_counted() -> Result<()> {
    with_offloads(Hook::Tcx, &[(Offload::Tso, false), (Offload::Gso, false), (Offload::Gro, true)], fits)
}

#[test]
fn packets_of_the_wires_size_pass_and_are_counted() -> Result<()> {
    with_offloads(Hook::Tcx, &[(Offload::Tso, false), (Offload::Gso, false), (Offload::Gro, false)], fits)
}

#[test]
fn large_packets_pass_clsact_too() -> Result<()> {
    with_offloads(Hook::Clsact, &[(Offload::Tso, true), (Offload::Gso, true), (Offload::Gro, true)], |_| Ok(()))
}

fn fits(average: u64) -> Result<()> {
    ensure!(average <= FRAME, "{average} bytes a packet: too large for the wire");
    Ok(())
}

/// Transfers over both families with these offloads, and checks how large the packets were that the client sent.
fn with_offloads(hook: Hook, offloads: &[(Offload, bool)], size: impl Fn(u64) -> Result<()>) -> Result<()> {
    require_root!();
    require_tool!("iperf3");
    let joins = offloads.contains(&(Offload::Gro, true));
    Lab::test(hook, |lab| {
        for (namespace, name) in [(&lab.client, PEER), (&lab.server, PROTECTED)] {
            offloads.iter().try_for_each(|&(what, on)| offload::set(namespace, name, what, on))?;
        }
        lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
        for address in [SERVER_V4, SERVER_V6] {
            let largest = Largest::watch(lab)?;
            let before = lab.client.run(|| interface::counters(PEER))?;
            transfer(lab, address)?;
            let largest = largest.end()?;
            ensure!(!joins || largest > FRAME, "nothing that arrived was joined: {largest} bytes at most");
            let after = lab.client.run(|| interface::counters(PEER))?;
            let packets = (after.tx_packets - before.tx_packets).max(1);
            size((after.tx_bytes - before.tx_bytes) / packets)?;
        }
        lab.ctl(&["rule", "delete", "iperf"])?;
        mseg_tests::traffic::tcp::is_denied(&lab.client, SocketAddr::new(SERVER_V4, PORT))
    })
}

/// One run of iperf3: its control connection and the one with the data are sessions, and nothing of them is denied.
fn transfer(lab: &Lab, address: IpAddr) -> Result<()> {
    let volume = env::var("MSEG_VOLUME").unwrap_or_else(|_| "64M".to_owned());
    let _server = Running::start(&lab.server, &["--server", "--one-off", "--port", &PORT.to_string()])?;
    eventually(|| {
        let listening = lab.server.run(|| fs::read_to_string("/proc/thread-self/net/tcp6"))?;
        // Local port and state LISTEN, in hexadecimal.
        ensure!(listening.lines().any(|line| line.contains(&format!(":{PORT:04X} ")) && line.contains(" 0A ")));
        Ok(())
    })?;
    let (address, port) = (address.to_string(), PORT.to_string());
    let arguments = ["--client", &address, "--port", &port, "--bytes", &volume, "--json"];
    let output = Running::start(&lab.client, &arguments)?.finish()?;
    let report: Value = serde_json::from_slice(&output.stdout).context("iperf3 prints no JSON")?;
    ensure!(output.status.success(), "iperf3 failed: {report:#}");
    let received = number(&report, "/end/sum_received/bytes")?;
    ensure!(received > 0, "nothing was received: {report:#}");

    let mut data = 0;
    let connected = report["start"]["connected"].as_array().context("iperf3 connected to nothing")?;
    for connection in connected {
        let client = SocketAddr::new(
            connection["local_host"].as_str().context("no client")?.parse()?,
            u16::try_from(number(connection, "/local_port")?)?,
        );
        let server = SocketAddr::new(address.parse()?, PORT);
        let session = lab.unhindered("tcp", client, server, [received, 0])?;
        expect(&session, "/rule", "iperf")?;
        data += number(&session, "/to_server/bytes")?;
    }
    ensure!(data >= received, "{received} bytes were received, {data} counted");
    let sessions = lab.sessions(&["--proto", "tcp", "--dst", &address])?;
    ensure!(sessions.len() == 2, "control and data: {sessions:#?}");
    expect(&lab.stats()?, "/packets/denied", 0)
}

/// The largest frame that the server's interface receives, as the programs see it: after the stack has joined packets.
struct Largest {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Largest {
    fn watch(lab: &Lab) -> Result<Self> {
        let socket = tap(&lab.server, PROTECTED)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut largest = 0;
            // One that is too large for the wire is enough; to see more only takes time from the transfer.
            while largest <= FRAME && !stopped.load(Ordering::Relaxed) {
                match recv(socket.as_raw_fd(), &mut [0; 64], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
                    Ok(length) => largest = largest.max(u64::try_from(length)?),
                    Err(nix::Error::EAGAIN) => thread::sleep(Duration::from_millis(1)),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(largest)
        });
        Ok(Self { stop, thread })
    }

    fn end(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the watcher panicked"))?
    }
}

/// iperf3, which ends with this at the latest.
struct Running(Option<Child>);

impl Running {
    fn start(namespace: &Namespace, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new("iperf3");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // What a thread starts is in the thread's namespace.
        Ok(Self(Some(namespace.run(|| command.spawn()).context("cannot start iperf3")?)))
    }

    fn finish(mut self) -> Result<Output> {
        let mut child = self.0.take().context("it ends once")?;
        process::wait(&mut child, LONG).context("waiting for iperf3")?;
        Ok(child.wait_with_output()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
