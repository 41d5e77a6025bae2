//! 100,000 established and idle sessions survive any flood. `MSEG_FLOOD` is how many packets each flood has; the
//! promise is made for ten million.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use mseg_tests::{
    bed::Bed,
    documents::{expect, number},
    flood::{self, Shape},
    frames,
    hook::Hook,
    interface,
    lab::{CLIENT_V4, Lab, PEER, PROTECTED},
    network,
    packets::{self, Segment},
    privilege, require_root,
    topology::NEAR,
    traffic::tcp,
    wait::eventually,
};

const ESTABLISHED: u32 = 100_000;
/// Handshakes that one stranger makes up.
const MADE_UP: u16 = 20_000;
/// More than the session tables hold, so that a flood which could push sessions out would.
const PACKETS: u32 = 150_000;

fn hook() -> Hook {
    if privilege::kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact }
}

/// One flood after the other over the same sessions.
fn survive(shapes: &[Shape]) -> Result<()> {
    require_root!();
    let hook = hook();
    let packets = match env::var("MSEG_FLOOD") {
        Ok(text) => text.parse().context("MSEG_FLOOD needs a number of packets")?,
        Err(_) => PACKETS,
    };
    Lab::test(hook, |lab| {
        lab.server.run(|| {
            let bed = Bed::new(lab)?;
            flood::connect(&bed, ESTABLISHED)?;
            expect(&lab.stats()?, "/sessions/active", ESTABLISHED)?;
            let mut from = 0;
            for &shape in shapes {
                from = flood::send(&bed, shape, from, packets)?;
                let lost = flood::lost(&bed, ESTABLISHED)?;
                let sessions = &lab.stats()?["sessions"];
                ensure!(lost == 0, "{shape:?}: {lost} of {ESTABLISHED} are lost after {packets} packets: {sessions:#}");
            }
            Ok(())
        })
    })
}

#[test]
fn established_sessions_survive_syns_that_nobody_answers() -> Result<()> {
    survive(&[Shape::Syn])
}

#[test]
fn established_sessions_survive_syns_and_more_of_the_same_clients() -> Result<()> {
    survive(&[Shape::SynAndMore])
}

#[test]
fn established_sessions_survive_connections_that_are_over() -> Result<()> {
    survive(&[Shape::Closed, Shape::Reset])
}

#[test]
fn established_sessions_survive_connections_that_are_never_quite_over() -> Result<()> {
    survive(&[Shape::HalfClosed, Shape::LastAck])
}

#[test]
fn established_sessions_survive_datagrams_that_nobody_answers() -> Result<()> {
    survive(&[Shape::Datagram])
}

#[test]
fn established_sessions_survive_syns_that_the_host_answers() -> Result<()> {
    survive(&[Shape::SynAnswered])
}

#[test]
fn established_sessions_survive_datagrams_that_the_host_answers() -> Result<()> {
    survive(&[Shape::DatagramAnswered, Shape::DatagramsAnswered])
}

#[test]
fn established_sessions_survive_denied_packets() -> Result<()> {
    survive(&[Shape::Denied])
}

#[test]
fn handshakes_that_one_side_of_a_gateway_makes_up_are_no_connections() -> Result<()> {
    require_root!();
    Lab::test(hook(), |lab| {
        let far = network::far(lab)?;
        network::route(lab, &far)?;
        // The far host knows no way to those in whose name the stranger speaks, so that it does not answer them.
        let (near, prefix) = NEAR[0];
        lab.server.run(|| interface::add_network_route(near, prefix, PROTECTED, Some(CLIENT_V4)))?;
        for interface in ["all", PROTECTED] {
            lab.server.set(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
            lab.server.set(&format!("net/ipv4/conf/{interface}/send_redirects"), "0")?;
        }
        let policy = lab.policy("default in deny\ndefault out deny\nrule web allow both tcp to any port 80\n")?;
        let enforce = ["--hook", lab.hook().name(), "--mode", "enforce", "--midstream", "strict", "--policy", policy];
        lab.run("mseg-loader", &[&["attach", PROTECTED, network::FAR_INTERFACE], &enforce[..]].concat())?.ok()?;

        let server = SocketAddr::new(network::FAR[0], 80);
        let listener = tcp::listen(&far, server)?;
        let mut connections = (0..50).map(|_| tcp::connect(&lab.client, &listener)).collect::<Result<Vec<_>>>()?;
        connections.iter_mut().try_for_each(|connection| connection.exchange(1000, 1000))?;
        let before = lab.stats()?;
        expect(&before, "/sessions/promoted", 50)?;

        frames::send_frames(&lab.client, PEER, &made_up_handshakes(server))?;
        let flooded = eventually(|| {
            let stats = lab.stats()?;
            let seen = number(&stats, "/packets/seen")? - number(&before, "/packets/seen")?;
            // Not all: a queue may overflow.
            ensure!(seen >= 2 * u64::from(MADE_UP), "only {seen} packets of {MADE_UP} handshakes were seen: {stats:#}");
            Ok(stats)
        })?;
        expect(&flooded, "/sessions/promoted", 50)?;
        for (at, connection) in connections.iter_mut().enumerate() {
            connection.exchange(1000, 1000).with_context(|| format!("connection {at} is lost"))?;
        }
        expect(&lab.stats()?, "/sessions/promoted", 50)
    })
}

/// A stranger's frames, who plays both the clients and the server.
fn made_up_handshakes(server: SocketAddr) -> Vec<Vec<u8>> {
    let handshake = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, high, low)), 40_000);
        let segment = |sequence, acknowledgement, flags| Segment { sequence, acknowledgement, flags, window: 65_535 };
        let (syn, syn_ack, ack) = (segment(1000, 0, 0x02), segment(5000, 1001, 0x12), segment(1001, 5001, 0x10));
        [(client, server, syn), (server, client, syn_ack), (client, server, ack)].map(|(from, to, segment)| {
            let bytes = packets::tcp(from, to, segment, &[]);
            packets::to_server(&packets::ip(from.ip(), to.ip(), packets::protocol::TCP, &bytes))
        })
    };
    (1..=MADE_UP).flat_map(handshake).collect()
}
