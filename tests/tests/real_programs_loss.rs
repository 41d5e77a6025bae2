//! TCP over a way that loses, doubles, delays and reorders packets: whatever the stacks make of it, no packet of theirs
//! is denied, and all data arrives.

use std::time::Duration;

use anyhow::{Context, Result};
use mseg_tests::{
    lab::{self, Lab},
    middlebox::{Middlebox, Roughness},
    on_both_hooks_over,
    traffic::tcp,
    wait::eventually,
};

const POLICY: &str = "default in deny\ndefault out deny\nrule web allow in tcp to any port 80\n";

on_both_hooks_over! { Middlebox:
    transfer_over_a_rough_way_is_never_hindered,
    short_connections_over_a_rough_way_are_never_hindered,
}

fn transfer_over_a_rough_way_is_never_hindered(lab: &Lab) -> Result<()> {
    const DATA: usize = 1_500_000;
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    for (seed, address) in (0x5eed..).zip(lab::server(80)) {
        let roughness = Roughness { lost: 10, doubled: 20, late: 50, delay: Duration::from_millis(4) };
        let middlebox = Middlebox::start(lab, roughness, seed)?;
        let listener = tcp::listen(&lab.server, address)?;
        let mut connection = tcp::connect(&lab.client, &listener)?;
        let client = connection.client.local_addr()?;
        connection.exchange(DATA, DATA).and_then(|()| connection.finish_client()).with_context(|| seed.to_string())?;
        connection.exchange_to_client(1000).and_then(|()| connection.finish_server())?;
        lab.unhindered("tcp", client, address, [DATA as u64, DATA as u64 + 1000])?;
        middlebox.stop()?;
    }
    Ok(())
}

fn short_connections_over_a_rough_way_are_never_hindered(lab: &Lab) -> Result<()> {
    lab.attach(&["--policy", lab.policy(POLICY)?, "--mode", "enforce"])?;
    let roughness = Roughness { lost: 20, doubled: 100, late: 100, delay: Duration::from_millis(30) };
    let middlebox = Middlebox::start(lab, roughness, 0xc0de)?;
    for address in lab::server(80) {
        let listener = tcp::listen(&lab.server, address)?;
        for turn in 0..12 {
            let mut connection = tcp::connect(&lab.client, &listener)?;
            let client = connection.client.local_addr()?;
            connection.exchange(3000, 5000)?;
            // A doubled SYN that came after the end would open a session, as it should, which has no data.
            eventually(|| middlebox.has_sent_all())?;
            // The ends in both orders, and one that is cut off.
            match turn % 3 {
                0 => connection.finish_client().and_then(|()| connection.finish_server())?,
                1 => connection.finish_server().and_then(|()| connection.finish_client())?,
                _ => drop(connection),
            }
            eventually(|| lab.unhindered("tcp", client, address, [3000, 5000]))?;
        }
    }
    middlebox.stop()?;
    lab.never_locked()
}
