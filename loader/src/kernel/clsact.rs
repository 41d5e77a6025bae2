//! Filters on the clsact qdisc, for kernels before 6.6. Our filter has its own handle and a name that tells whose it
//! is, so that it is never mistaken for another tool's.

use std::{io, os::fd::AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption},
};

use super::{
    netlink::{Answer, request},
    object::Program,
    tcx::Side,
};
use crate::error::{Error, Result};

/// The priority of our filters: the first to run.
pub(crate) const PRIORITY: u16 = 1;

/// The lowest of our handles: "mseg" in ASCII. Each further instance on the same interface takes the next one.
const FIRST_HANDLE: u32 = u32::from_be_bytes(*b"mseg");
/// How many instances can share an interface.
const HANDLES: u32 = 64;

/// A filter on a clsact qdisc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) kind: String,
    pub(crate) priority: u16,
    pub(crate) protocol: u16,
    pub(crate) handle: u32,
    /// The name of a BPF filter.
    pub(crate) name: Option<String>,
    /// The program of a BPF filter.
    pub(crate) program_id: Option<u32>,
}

const ALL_PROTOCOLS: u16 = libc::ETH_P_ALL as u16;

const fn parent(side: Side) -> TcHandle {
    TcHandle {
        major: TcHandle::CLSACT.major,
        minor: match side {
            Side::Ingress => TcHandle::MIN_INGRESS,
            Side::Egress => TcHandle::MIN_EGRESS,
        },
    }
}

fn message(ifindex: u32, parent: TcHandle, handle: u32, info: u32) -> TcMessage {
    let header = TcHeader {
        // Interface indexes are positive ints in the kernel.
        index: ifindex.cast_signed(),
        handle: handle.into(),
        parent,
        info,
        ..TcHeader::default()
    };
    TcMessage::from_parts(header, Vec::new())
}

fn filter_info(priority: u16) -> u32 {
    u32::from(priority) << 16 | u32::from(ALL_PROTOCOLS.to_be())
}

/// Whether the interface has a clsact (or ingress) qdisc. `None` is every interface: their indexes.
pub(crate) fn interfaces_with_qdisc() -> io::Result<Vec<u32>> {
    let dump = RouteNetlinkMessage::GetQueueDiscipline(message(0, TcHandle::UNSPEC, 0, 0));
    Ok(request(dump, NLM_F_DUMP)?
        .into_iter()
        .filter_map(|answer| match answer {
            Answer::Message(RouteNetlinkMessage::NewQueueDiscipline(qdisc)) => Some(qdisc),
            _ => None,
        })
        .filter(|qdisc| qdisc.attributes.iter().any(|a| matches!(a, TcAttribute::Kind(kind) if kind == "clsact")))
        .map(|qdisc| qdisc.header.index.cast_unsigned())
        .collect())
}

/// Adds the clsact qdisc; `false` if it is there already.
pub(crate) fn add_qdisc(ifindex: u32) -> Result<bool> {
    if interfaces_with_qdisc().map_err(|e| Error::system("list the queueing disciplines", &e))?.contains(&ifindex) {
        return Ok(false);
    }
    let mut qdisc = message(ifindex, TcHandle::CLSACT, u32::from(TcHandle::CLSACT) & 0xffff_0000, 0);
    qdisc.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    match request(RouteNetlinkMessage::NewQueueDiscipline(qdisc), NLM_F_CREATE | NLM_F_EXCL) {
        Ok(_) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(e) => Err(Error::system(format_args!("add the clsact qdisc to interface {ifindex}"), &e)),
    }
}

/// Removes the clsact qdisc if no filter is on it; `false` if one is.
pub(crate) fn remove_empty_qdisc(ifindex: u32) -> Result<bool> {
    for side in [Side::Ingress, Side::Egress] {
        if !filters(ifindex, side)?.is_empty() {
            return Ok(false);
        }
    }
    let qdisc = message(ifindex, TcHandle::CLSACT, u32::from(TcHandle::CLSACT) & 0xffff_0000, 0);
    match request(RouteNetlinkMessage::DelQueueDiscipline(qdisc), 0) {
        Ok(_) => Ok(true),
        Err(e) if gone(&e) => Ok(true),
        Err(e) => Err(Error::system(format_args!("remove the clsact qdisc from interface {ifindex}"), &e)),
    }
}

/// The answers of the kernel when the interface, the qdisc or the filter does not exist (any more).
fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT | libc::EINVAL))
}

/// The filters of one side; none when there is no interface or no qdisc.
pub(crate) fn filters(ifindex: u32, side: Side) -> Result<Vec<Filter>> {
    let dump = RouteNetlinkMessage::GetTrafficFilter(message(ifindex, parent(side), 0, 0));
    let answers = match request(dump, NLM_F_DUMP) {
        Ok(answers) => answers,
        Err(e) if gone(&e) => Vec::new(),
        Err(e) => {
            return Err(Error::system(format_args!("list the filters of interface {ifindex}"), &e));
        }
    };
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            Answer::Message(RouteNetlinkMessage::NewTrafficFilter(filter)) => Filter::new(&filter),
            // It is somebody's, and so keeps the qdisc.
            Answer::Unreadable => Some(Filter::unknown()),
            Answer::Message(_) => None,
        })
        .collect())
}

impl Filter {
    fn unknown() -> Self {
        Self { kind: "unknown".to_owned(), priority: 0, protocol: 0, handle: 0, name: None, program_id: None }
    }

    /// A dump has a line for each priority, too, which has no handle: it is no filter.
    fn new(filter: &TcMessage) -> Option<Self> {
        let handle = u32::from(filter.header.handle);
        if handle == 0 {
            return None;
        }
        let mut this = Self {
            priority: (filter.header.info >> 16) as u16,
            protocol: u16::from_be(filter.header.info as u16),
            handle,
            ..Self::unknown()
        };
        for attribute in &filter.attributes {
            match attribute {
                TcAttribute::Kind(kind) => this.kind.clone_from(kind),
                TcAttribute::Options(options) => {
                    for option in options {
                        match option {
                            TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => this.name = Some(name.clone()),
                            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => this.program_id = Some(*id),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(this)
    }
}

/// A handle that none of `taken` has.
fn free_handle(taken: &[Filter]) -> Option<u32> {
    (FIRST_HANDLE..FIRST_HANDLE + HANDLES).find(|handle| taken.iter().all(|f| f.handle != *handle))
}

/// A handle that is free on both sides of the interface; refuses an interface where another tool's filter runs first.
pub(crate) fn choose_handle(ifindex: u32, interface: &str) -> Result<u32> {
    let mut taken = filters(ifindex, Side::Ingress)?;
    taken.extend(filters(ifindex, Side::Egress)?);
    if let Some(other) =
        taken.iter().find(|f| f.priority == PRIORITY && (f.kind != "bpf" || f.protocol != ALL_PROTOCOLS))
    {
        return Err(Error::failed(format!(
            "{interface}: a {} filter of another program holds priority {PRIORITY}, where mseg must be the first",
            other.kind
        ))
        .hint(format!("see `tc filter show dev {interface} ingress`, and move it to a higher priority number")));
    }
    free_handle(&taken).ok_or_else(|| Error::failed(format!("{interface}: {HANDLES} instances are attached already")))
}

/// Adds our filter.
pub(crate) fn attach(program: &Program, ifindex: u32, side: Side, handle: u32, name: &str) -> Result<()> {
    let mut filter = message(ifindex, parent(side), handle, filter_info(PRIORITY));
    filter.attributes.push(TcAttribute::Kind("bpf".to_owned()));
    filter.attributes.push(TcAttribute::Options(vec![
        // An open descriptor is not negative.
        TcOption::Bpf(TcFilterBpfOption::ProgFd(program.fd.as_raw_fd().cast_unsigned())),
        TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
        TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
    ]));
    request(RouteNetlinkMessage::NewTrafficFilter(filter), NLM_F_CREATE | NLM_F_EXCL)
        .map(|_| ())
        .map_err(|e| Error::system(format_args!("attach to {} of interface {ifindex} by clsact", side.name()), &e))
}

/// Removes the filter of that handle; it may be gone already.
pub(crate) fn detach(ifindex: u32, side: Side, priority: u16, handle: u32) -> Result<()> {
    let filter = message(ifindex, parent(side), handle, filter_info(priority));
    match request(RouteNetlinkMessage::DelTrafficFilter(filter), 0) {
        Ok(_) => Ok(()),
        Err(e) if gone(&e) => Ok(()),
        Err(e) => Err(Error::system(format_args!("remove the {} filter of interface {ifindex}", side.name()), &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_that_is_taken_is_not_chosen() {
        let taken = Filter { handle: FIRST_HANDLE, ..Filter::unknown() };
        assert_eq!(free_handle(&[]), Some(FIRST_HANDLE));
        assert_eq!(free_handle(&[taken]), Some(FIRST_HANDLE + 1));
    }
}
