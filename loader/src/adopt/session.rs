//! The entry of SESSIONS for a flow that is older than mseg.

use mseg_ebpf::{
    abi::{
        interface::{FLAG_INGRESS_ONLY, Interface, ROLE_HOST, ROLE_WORKLOAD},
        policy::timeout,
        rule,
        session::{
            ADOPTED, FLAG_CLIENT_IS_LOWER, FLAG_LIBERAL, FLAG_OUT, FLAG_PICKED_UP, OWN, PASSES_ON, Session, SessionKey,
        },
        time,
    },
    packet::{Packet, mapped},
    session::{key, progress},
};

use super::flow::{Flow, Towards};
use crate::{clock::Clock, view::Endpoint};

/// The key of a flow, and whether its client is the lower endpoint: made as the programs make it, from a packet of the
/// client.
pub(super) fn key_of(flow: &Flow, zone: u16) -> (SessionKey, bool) {
    let packet = Packet {
        source: words(flow.client),
        destination: words(flow.server),
        source_port: flow.client.port.to_be_bytes(),
        destination_port: flow.server.port.to_be_bytes(),
        protocol: flow.protocol,
        ..Packet::default()
    };
    key::of(&packet, zone)
}

fn words(end: Endpoint) -> [u64; 2] {
    match end.address {
        std::net::IpAddr::V4(v4) => mapped(v4.octets()),
        std::net::IpAddr::V6(v6) => zerocopy::transmute!(v6.octets()),
    }
}

/// A session that is taken over. No generation has the number 0, so its next packet, whoever sends it, has it judged by
/// the active policy.
pub(super) fn adopted_session(
    flow: &Flow,
    client_is_lower: bool,
    ifindex: u32,
    interface: &Interface,
    timeouts_s: &[u32; timeout::COUNT],
    clock: &Clock,
) -> Session {
    let mut flags = FLAG_PICKED_UP | FLAG_LIBERAL;
    if client_is_lower {
        flags |= FLAG_CLIENT_IS_LOWER;
    }
    let mut fins = flow.fins | if flow.guessed { 0 } else { ADOPTED };
    if flow.guessed && !flow.local && interface.role == ROLE_HOST {
        // No socket has it, so that it is forwarded.
        fins |= PASSES_ON;
    }
    if is_out(flow.towards, interface) {
        flags |= FLAG_OUT;
        if flow.local {
            fins |= OWN;
        }
    }
    let index = progress::timeout(flow.protocol, flow.state as u8, flow.tcp_state as u8);
    Session {
        created: clock.tick(),
        last_seen_tick: clock.tick(),
        timeout_ticks: time::seconds_to_ticks(timeouts_s.get(index).copied().unwrap_or_default()),
        rule: rule::NONE,
        generation: 0,
        ifindex,
        state: flow.state,
        tcp_state: flow.tcp_state,
        flags,
        fins,
        // Nothing counted, and no window known.
        ..Session::default()
    }
}

/// Whether the client's packets have the direction `out` at this interface: they arrive there if it is the one towards
/// the client, and on loopback, whose egress is not attached.
fn is_out(towards: Towards, interface: &Interface) -> bool {
    let arrives = towards == Towards::Client || interface.flags & FLAG_INGRESS_ONLY != 0;
    arrives == (interface.role == ROLE_WORKLOAD)
}

#[cfg(test)]
mod tests {
    use mseg_ebpf::{
        abi::{
            interface::{HOOK_TCX, NAME_LEN},
            session::{SessionState, TcpState},
        },
        packet::protocol,
    };

    use super::*;

    fn interface(role: u8, flags: u8) -> Interface {
        Interface {
            name: [0; NAME_LEN],
            netns: 0,
            attached_ns: 0,
            handle: 0,
            priority: 0,
            zone: 0,
            role,
            hook: HOOK_TCX,
            flags,
            reserved: [0; 5],
        }
    }

    #[test]
    fn direction_is_the_protected_sides_view() {
        let cases = [
            (Towards::Client, ROLE_HOST, 0, false),
            (Towards::Server, ROLE_HOST, 0, true),
            (Towards::Client, ROLE_WORKLOAD, 0, true),
            (Towards::Server, ROLE_WORKLOAD, 0, false),
            (Towards::Server, ROLE_HOST, FLAG_INGRESS_ONLY, false),
            (Towards::Client, ROLE_HOST, FLAG_INGRESS_ONLY, false),
        ];
        for (towards, role, flags, out) in cases {
            assert_eq!(is_out(towards, &interface(role, flags)), out, "{towards:?} {role} {flags}");
        }
    }

    #[test]
    fn an_adopted_session_is_of_no_generation_and_has_its_states_timeout() {
        let end = |address: [u8; 4], port| Endpoint { address: address.into(), port };
        let flow = Flow {
            protocol: protocol::TCP,
            client: end([192, 0, 2, 1], 4000),
            server: end([192, 0, 2, 2], 80),
            towards: Towards::Client,
            state: SessionState::Closing,
            tcp_state: TcpState::FinWait,
            fins: 1,
            bound: 0,
            local: true,
            guessed: false,
        };
        let mut timeouts = [0; timeout::COUNT];
        timeouts[timeout::TCP_FIN_WAIT] = 77;
        let (key, lower) = key_of(&flow, 5);
        assert_eq!((key.zone, key.lower_port, lower), (5, 4000u16.to_be_bytes(), true));
        assert_eq!(key.lower_address[10..], [0xff, 0xff, 192, 0, 2, 1]);
        let clock = Clock::at(3 << time::TICK_SHIFT, 0);
        let session = adopted_session(&flow, lower, 9, &interface(ROLE_HOST, 0), &timeouts, &clock);
        assert_eq!(session.timeout_ticks, time::seconds_to_ticks(77));
        assert_eq!((session.generation, session.ifindex, session.last_seen_tick), (0, 9, 3));
        assert_eq!(session.flags, FLAG_PICKED_UP | FLAG_LIBERAL | FLAG_CLIENT_IS_LOWER);
        let turned = Flow { client: flow.server, server: flow.client, ..flow };
        assert_eq!(key_of(&turned, 5), (key, false));
        let outward = |local| {
            let flow = Flow { towards: Towards::Server, local, ..flow };
            adopted_session(&flow, lower, 9, &interface(ROLE_HOST, 0), &timeouts, &clock).fins
        };
        assert_eq!((session.fins, outward(false), outward(true)), (1 | ADOPTED, 1 | ADOPTED, 1 | ADOPTED | OWN));
        let guess = |role| {
            let flow = Flow { guessed: true, local: false, ..flow };
            adopted_session(&flow, lower, 9, &interface(role, 0), &timeouts, &clock).fins
        };
        assert_eq!((guess(ROLE_HOST), guess(ROLE_WORKLOAD)), (1 | PASSES_ON, 1));
    }
}
