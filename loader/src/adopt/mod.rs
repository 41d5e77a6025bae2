//! Adoption: sessions for what was there before mseg, so that enforcing does not cut it.
//!
//! Sockets come from inet_diag, forwarded flows and NAT from nf_conntrack. Every flow that passes an attached interface
//! gets a session, unless it has one; the programs then judge it by the active policy on its next packet. So adoption
//! allows nothing: it says that a connection is open, and who opened it.

pub(crate) mod conntrack;
pub(crate) mod flow;
mod links;
mod neighbours;
mod protocols;
mod report;
mod session;
pub(crate) mod socket;
pub(crate) mod way;

use std::{cell::RefCell, collections::HashSet, io, ops::ControlFlow, rc::Rc};

use mseg_ebpf::{
    abi::{
        interface::{Interface, ROLE_WORKLOAD},
        policy::timeout,
        session::{
            FLAG_CLIENT_IS_LOWER, MAX_CLOSED, MAX_CLOSING, MAX_DATAGRAMS, PASSES_THROUGH, Session, SessionKey,
            SessionState,
        },
        time,
    },
    packet::protocol,
};

pub use self::report::{Reason, Report, Unplaced, Unread};
use self::{
    conntrack::Tracked,
    flow::{Flow, Found},
    socket::Sockets,
    way::{Way, Ways},
};
use crate::{
    clock::Clock,
    error::{Code, Error, Result},
    instance::{Instance, Table, interface_name},
    view::{self, Protocol},
};

/// As many sessions as SESSIONS keeps whatever happens: an LRU hash evicts before it is full.
const ROOM: u64 = 100_000;
/// The same of [`MAX_DATAGRAMS`].
const DATAGRAM_ROOM: u64 = MAX_DATAGRAMS as u64 / 8 * 7;
/// Of [`MAX_CLOSING`].
const CLOSING_ROOM: u64 = MAX_CLOSING as u64 / 8 * 7;
/// And of [`MAX_CLOSED`].
const CLOSED_ROOM: u64 = MAX_CLOSED as u64 / 8 * 7;

/// The keys of adopted sessions, shared with whoever may have to remove them.
pub(crate) type Keys = Rc<RefCell<Vec<SessionKey>>>;

/// An adoption, which may look several times.
pub(crate) struct Adoption<'a> {
    instance: &'a Instance,
    /// Whether it was asked for: then nothing may be left out because it cannot be read.
    required: bool,
    netns: u64,
    timeouts_s: [u32; timeout::COUNT],
    adopted: Keys,
    /// What has a session, ours or another.
    settled: HashSet<SessionKey>,
    room: u64,
    datagram_room: u64,
    closing_room: u64,
    closed_room: u64,
    report: Report,
}

impl<'a> Adoption<'a> {
    /// Prepares one. The policy that is to judge must be active.
    pub(crate) fn new(instance: &'a Instance, netns: u64, required: bool) -> Result<Self> {
        let generation = instance.config()?.generation;
        let header = instance
            .policy_header(generation)?
            .ok_or_else(|| Error::new(Code::Abi, format!("the pins of policy generation {generation} are missing")))?;
        let clock = Clock::now()?;
        // Expired sessions are the first that make room.
        let room = |table, all: u64| -> Result<u64> {
            let mut live = 0;
            instance.for_each_session(table, &mut |_, session| {
                live += u64::from(!view::is_expired(&clock, session));
                ControlFlow::Continue(())
            })?;
            Ok(all.saturating_sub(live))
        };
        Ok(Self {
            instance,
            required,
            netns,
            timeouts_s: header.timeouts_s,
            adopted: Keys::default(),
            settled: HashSet::new(),
            room: room(Table::Sessions, ROOM)?,
            datagram_room: room(Table::Datagrams, DATAGRAM_ROOM)?,
            closing_room: room(Table::Closing, CLOSING_ROOM)?,
            closed_room: room(Table::Closed, CLOSED_ROOM)?,
            report: Report::default(),
        })
    }

    /// What was adopted so far, and will be.
    pub(crate) fn keys(&self) -> Keys {
        Rc::clone(&self.adopted)
    }

    /// What was adopted, and what not as of the last look.
    pub(crate) fn finish(self) -> Report {
        self.report
    }

    /// Adopts what passes these interfaces, of which those of this network namespace count.
    pub(crate) fn look(&mut self, interfaces: &[(u32, Interface)]) -> Result<()> {
        self.report.unplaced.clear();
        self.report.unread.clear();
        let mut here = Vec::new();
        for (ifindex, interface) in interfaces {
            let elsewhere = |what: String, why: &str| Unread { what, why: why.to_owned() };
            let name = interface_name(interface);
            if interface.netns == self.netns {
                here.push((*ifindex, *interface));
            } else {
                self.report.unread.push(elsewhere(name.to_owned(), "it is in another network namespace"));
            }
            if interface.role == ROLE_WORKLOAD {
                let what = format!("the workload behind {name}");
                self.report.unread.push(elsewhere(what, "its sockets are in another network namespace"));
            }
        }
        let looked = Clock::now()?;
        let tracked = conntrack::read().or_else(|e| self.unreadable("conntrack", &e).map(|()| Vec::new()))?;
        let (sockets, failed) = socket::read();
        for (what, error) in failed {
            self.unreadable(what, &error)?;
        }
        self.report.unread.extend(protocols::unread());
        self.report.unread.extend(unconnected(&sockets, &tracked));
        self.report.unread.extend(forwarded(&tracked));

        let mut candidates: Vec<Vec<Found>> =
            flow::of_sockets(&sockets, &tracked).into_iter().map(|found| vec![found]).collect();
        tracing::debug!("{sockets:?}");
        candidates.extend(tracked.iter().map(|tracked: &Tracked| flow::of_tracked(tracked).to_vec()));
        // Should there be too little room, those that have the most to lose come first.
        candidates.sort_by_key(|sides| sides.iter().map(urgency).min());
        let mut ways = Ways::new(&here).map_err(|e| Error::system("read addresses and links", &e))?;
        let clock = Clock::now()?;
        let mut unplaced = Vec::new();
        candidates.iter().try_for_each(|sides| {
            unplaced.extend(self.settle(sides, &mut ways, &looked, &clock)?);
            Ok::<_, Error>(())
        })?;
        // A socket and conntrack may tell of the same; and what one of them cannot place the other may.
        let mut seen = HashSet::new();
        unplaced.retain(|(key, _)| seen.insert(*key) && !self.settled.contains(key));
        self.report.unplaced = unplaced.into_iter().map(|(_, unplaced)| unplaced).collect();
        Ok(())
    }

    /// Notes what cannot be read, or fails of it.
    fn unreadable(&mut self, what: &str, error: &io::Error) -> Result<()> {
        if self.required {
            return Err(Error::system(format_args!("read {what}, to adopt them"), error)
                .hint("without --adopt, or with --no-adopt, what cannot be read is left out"));
        }
        tracing::warn!("cannot read {what}, so that those connections are not adopted: {error}");
        self.report.unread.push(Unread { what: what.to_owned(), why: error.to_string() });
        Ok(())
    }

    /// Places what one socket or entry tells of; returns why if it has no session afterwards.
    fn settle(
        &mut self,
        sides: &[Found],
        ways: &mut Ways<'_>,
        looked: &Clock,
        clock: &Clock,
    ) -> Result<Option<(SessionKey, Unplaced)>> {
        let mut problem = None;
        let mut placed = false;
        let mut of_sides = Vec::with_capacity(sides.len());
        for found in sides {
            let (Found::Flow(flow) | Found::Idle(flow)) = found;
            of_sides.push(ways.of(flow).map_err(|e| Error::system("ask for a route", &e))?);
        }
        // Neither end is here.
        let forwarded = of_sides.len() > 1 && of_sides.iter().all(Option::is_some);
        for (found, way) in sides.iter().zip(of_sides) {
            let (Found::Flow(flow) | Found::Idle(flow)) = found;
            let outcome = match way {
                None => continue,
                Some(Way::Elsewhere(0)) => Err((Reason::NoRoute, 0)),
                Some(Way::Elsewhere(ifindex)) => Err((Reason::NotAttached, ifindex)),
                Some(Way::SomePort(bridge)) => Err((Reason::WorkloadPort, bridge)),
                Some(Way::Attached(ifindex, interface)) => self
                    .place(found, forwarded, (ifindex, &interface), looked, clock)?
                    .map_err(|reason| (reason, ifindex)),
            };
            match outcome {
                Ok(()) => placed = true,
                Err((reason, ifindex)) => {
                    let interface = (ifindex != 0).then(|| ways.name(ifindex));
                    let unplaced = Unplaced {
                        reason,
                        protocol: Protocol(flow.protocol),
                        client: flow.client,
                        server: flow.server,
                        interface,
                    };
                    let (key, _) = session::key_of(flow, 0);
                    // Of two, the side that concerns mseg.
                    if problem.as_ref().is_none_or(|(_, other): &(_, Unplaced)| other.reason > reason) {
                        problem = Some((key, unplaced));
                    }
                }
            }
        }
        // With one side placed, the other passes mseg nowhere, unless there was no room for it.
        Ok(problem.filter(|(_, unplaced)| !placed || unplaced.reason == Reason::TableFull))
    }

    /// Makes a session, unless there is one or must be none.
    fn place(
        &mut self,
        found: &Found,
        forwarded: bool,
        (ifindex, interface): (u32, &Interface),
        looked: &Clock,
        clock: &Clock,
    ) -> Result<std::result::Result<(), Reason>> {
        let (Found::Flow(flow) | Found::Idle(flow)) = found;
        let (key, client_is_lower) = session::key_of(flow, interface.zone);
        if self.settled.contains(&key) {
            return Ok(Ok(()));
        }
        if ![protocol::TCP, protocol::UDP, protocol::SCTP].contains(&flow.protocol) {
            return Ok(Err(Reason::Protocol));
        }
        // Looked up first: an update of an existing key of a full LRU hash evicts others.
        match self.instance.session(&key)? {
            Some((_, session))
                if !view::is_expired(clock, &session) && !is_outdated(&session, flow, client_is_lower, looked) =>
            {
                self.report.known += 1;
                self.settled.insert(key);
                return Ok(Ok(()));
            }
            Some(_) if matches!(found, Found::Flow(_)) => {
                self.instance.delete_session(&key)?;
            }
            _ => {}
        }
        if matches!(found, Found::Idle(_)) {
            return Ok(Err(Reason::State));
        }
        let mut session = session::adopted_session(flow, client_is_lower, ifindex, interface, &self.timeouts_s, clock);
        let (room, without) = match Table::of_session(key.protocol, &session) {
            Table::Closed => (&mut self.closed_room, Reason::State),
            Table::Closing => (&mut self.closing_room, Reason::TableFull),
            Table::Datagrams => (&mut self.datagram_room, Reason::TableFull),
            Table::Sessions | Table::HalfOpen => (&mut self.room, Reason::TableFull),
        };
        if *room == 0 {
            return Ok(Err(without));
        }
        // With one interface for both sides, the server's packets arrive where the client's do.
        session.fins |= if forwarded { PASSES_THROUGH } else { 0 };
        if self.instance.adopt_session(&key, &session)? {
            self.adopted.borrow_mut().push(key);
            *room -= 1;
            *self.report.adopted.entry(flow.protocol).or_default() += 1;
        } else {
            // A packet was faster.
            self.report.known += 1;
        }
        self.settled.insert(key);
        Ok(Ok(()))
    }
}

fn urgency(found: &Found) -> u8 {
    match found {
        Found::Idle(_) => u8::MAX,
        Found::Flow(flow) => match flow.state {
            SessionState::Established => 0,
            SessionState::New => 1,
            SessionState::Closing => 2,
            _ => 3,
        },
    }
}

/// Whether a session is of an earlier connection between the same ends, or of this one before its handshake was over: the
/// rest went on unseen. What was seen since `looked`, when the kernel was asked, knows better; but not of a connection that
/// was picked up who opened it.
fn is_outdated(session: &Session, flow: &Flow, client_is_lower: bool, looked: &Clock) -> bool {
    use SessionState::{Closed, Closing, Established, New};
    let differs = match (flow.state, session.state) {
        (Established, state) => state != Established,
        (Closing, state) => matches!(state, New | Closed),
        _ => false,
    };
    let before = time::ticks_since(looked.tick(), session.last_seen_tick) > 0;
    let turned = session.is_guessed() && (session.flags & FLAG_CLIENT_IS_LOWER != 0) != client_is_lower;
    flow.protocol == protocol::TCP && (differs && before || turned && !flow.guessed)
}

/// Why flows are not known that no connected socket tells of.
const UNTRACKED: &str = "only nf_conntrack would know them, and it tracks none";

/// Of UDP sockets that are not connected only conntrack knows the peers.
fn unconnected(sockets: &Sockets, tracked: &[Tracked]) -> Option<Unread> {
    let ports = sockets.unconnected();
    if ports.is_empty() || tracked.iter().any(|tracked| tracked.protocol == protocol::UDP) {
        return None;
    }
    const NAMED: usize = 8;
    let mut names: Vec<_> = ports.iter().take(NAMED).map(u16::to_string).collect();
    if ports.len() > NAMED {
        names.push(format!("{} more", ports.len() - NAMED));
    }
    Some(Unread {
        what: format!("the peers of UDP sockets that are not connected (ports {})", names.join(", ")),
        why: UNTRACKED.to_owned(),
    })
}

/// Of what this host forwards, too.
fn forwarded(tracked: &[Tracked]) -> Option<Unread> {
    const SWITCHES: [&str; 2] = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];
    let is_on = |switch: &&str| std::fs::read_to_string(switch).is_ok_and(|text| text.trim() != "0");
    (tracked.is_empty() && SWITCHES.iter().any(is_on))
        .then(|| Unread { what: "connections that this host forwards".to_owned(), why: UNTRACKED.to_owned() })
}
