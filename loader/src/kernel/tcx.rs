//! TCX links (kernel 6.6 and later): one pinned link for each direction of an interface.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use aya_obj::generated::{BPF_F_BEFORE, bpf_attach_type, bpf_link_type};

use super::{
    bpf::{self, ObjectKind},
    object::Program,
};
use crate::error::{Error, Result};

/// Which of an interface's two hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Packets that arrive at the interface.
    Ingress,
    /// Packets that leave by the interface.
    Egress,
}

impl Side {
    const fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => bpf_attach_type::BPF_TCX_INGRESS as u32,
            Self::Egress => bpf_attach_type::BPF_TCX_EGRESS as u32,
        }
    }

    /// The name in pins and messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// Attaches `program` in front of all others and pins the link. Nothing is left when it fails.
pub(crate) fn attach(program: &Program, ifindex: u32, side: Side, pin: &Path) -> Result<()> {
    // "Before" without a relative is the first place. Dropping the link, should pinning fail, detaches it.
    let link = bpf::link_create(program.fd.as_fd(), ifindex, side.attach_type(), BPF_F_BEFORE)
        .map_err(|e| Error::system(format_args!("attach to {} of interface {ifindex} by TCX", side.name()), &e))?;
    bpf::object_pin(link.as_fd(), pin).map_err(|e| Error::file("pin the link", pin, &e))
}

/// A pinned link.
#[derive(Debug)]
pub(crate) struct Link {
    fd: OwnedFd,
    id: u32,
    /// The interface, 0 when it is gone. It may have moved to another network namespace, with the link.
    pub(crate) ifindex: u32,
}

impl Link {
    /// Opens a pinned link; `None` if there is no pin. A pin that is no TCX link is `InvalidData`.
    pub(crate) fn open(pin: &Path) -> io::Result<Option<Self>> {
        let fd = match bpf::object_get(pin, false) {
            Ok(fd) => fd,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let not_ours = || io::Error::new(io::ErrorKind::InvalidData, "it is not a TCX link");
        if bpf::object_kind(fd.as_fd())? != ObjectKind::Link {
            return Err(not_ours());
        }
        let info = bpf::link_info(fd.as_fd())?;
        if info.kind != bpf_link_type::BPF_LINK_TYPE_TCX as u32 {
            return Err(not_ours());
        }
        Ok(Some(Self { fd, id: info.id, ifindex: info.ifindex }))
    }

    /// Whether it is at the interface of this index in the caller's network namespace.
    pub(crate) fn is_here(&self, ifindex: u32, side: Side) -> io::Result<bool> {
        Ok(bpf::hook_links(ifindex, side.attach_type())?.contains(&self.id))
    }

    /// Detaches it now: removing the pin alone lets the kernel do it some time later.
    pub(crate) fn detach(&self) -> io::Result<()> {
        match bpf::link_detach(self.fd.as_fd()) {
            // The interface is gone, and the attachment with it.
            Err(e) if e.raw_os_error() == Some(libc::ENOLINK) => Ok(()),
            other => other,
        }
    }
}
