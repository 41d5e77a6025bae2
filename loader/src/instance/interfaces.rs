//! INTERFACES: what is attached.

use std::ops::ControlFlow;

use mseg_ebpf::abi::{
    config::{MARKS_ARRIVED, MARKS_COUNTED, MARKS_NONE},
    interface::{HOOK_TCX, Interface, NAME_LEN, ROLE_HOST, ROLE_WORKLOAD},
    map,
};

use super::Instance;
use crate::{
    error::Result,
    kernel::map::{EXIST, NO_EXIST},
};

/// The name an interface had at attach.
pub fn interface_name(interface: &Interface) -> &str {
    text(&interface.name)
}

/// The text in a field padded with zeros; what is not UTF-8 ends it.
pub(super) fn text(field: &[u8]) -> &str {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    match std::str::from_utf8(&field[..end]) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&field[..e.valid_up_to()]).unwrap_or_default(),
    }
}

/// A name as INTERFACES stores it. The kernel's names are at most 15 bytes long.
pub(crate) fn name_field(name: &str) -> [u8; NAME_LEN] {
    let mut field = [0; NAME_LEN];
    for (to, from) in field.iter_mut().zip(name.bytes().take(NAME_LEN - 1)) {
        *to = from;
    }
    field
}

/// An interface that is not attached, as it would be in this role. A workload's gets a zone that no other has.
pub(crate) fn planned(name: &str, role: u8) -> Interface {
    Interface {
        name: name_field(name),
        netns: 0,
        attached_ns: 0,
        handle: 0,
        priority: 0,
        zone: if role == ROLE_WORKLOAD { u16::MAX - 1 } else { 0 },
        role,
        hook: HOOK_TCX,
        flags: 0,
        reserved: [0; 5],
    }
}

impl Instance {
    /// What is attached, by rising interface index.
    pub fn interfaces(&self) -> Result<Vec<(u32, Interface)>> {
        let mut found = Vec::new();
        self.map(map::INTERFACES)?.for_each(&mut |ifindex: u32, interface: Interface| {
            found.push((ifindex, interface));
            ControlFlow::Continue(())
        })?;
        found.sort_by_key(|(ifindex, _)| *ifindex);
        Ok(found)
    }

    pub(crate) fn add_interface(&self, ifindex: u32, interface: &Interface) -> Result<()> {
        self.map(map::INTERFACES)?.put(&ifindex, interface, NO_EXIST)?;
        self.mark()
    }

    pub(crate) fn replace_interface(&self, ifindex: u32, interface: &Interface) -> Result<()> {
        self.map(map::INTERFACES)?.put(&ifindex, interface, EXIST)
    }

    pub(crate) fn remove_interface(&self, ifindex: u32) -> Result<bool> {
        let removed = self.map(map::INTERFACES)?.delete(&ifindex)?;
        self.mark()?;
        Ok(removed)
    }

    /// A packet may pass two host interfaces, a bridge and its port say, but only one of a workload's.
    fn mark(&self) -> Result<()> {
        let hosts = self.interfaces()?.iter().filter(|(_, interface)| interface.role == ROLE_HOST).count();
        self.set_marks(match hosts {
            0 => MARKS_NONE,
            1 => MARKS_ARRIVED,
            _ => MARKS_COUNTED,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_field() {
        assert_eq!(text(&name_field("veth0")), "veth0");
        assert_eq!(text(&name_field("exactly15bytes!")), "exactly15bytes!");
        assert_eq!(text(b"\xffbad"), "");
    }
}
