//! The two ways to attach, and what the kernel itself says is attached.

use anyhow::Result;

use crate::{
    bpf, interface,
    namespace::Namespace,
    netlink::{Message, u32_at},
};

const TCMSG: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_ID: u16 = 11;
const CLSACT_INGRESS: u32 = 0xffff_fff2;
const CLSACT_EGRESS: u32 = 0xffff_fff3;

/// How programs are attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Links at the TCX hooks, kernel 6.6 and later.
    Tcx,
    /// Filters of a clsact qdisc.
    Clsact,
}

impl Hook {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// What is attached to an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Ids of the programs at TCX ingress, then egress.
    pub tcx: [Vec<u32>; 2],
    /// Ids of the programs of clsact filters on ingress, then egress.
    pub clsact: [Vec<u32>; 2],
    /// Kinds of the qdiscs, as `clsact`; without the one each interface has.
    pub qdiscs: Vec<String>,
}

impl Attached {
    /// Looks, in the kernel itself.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn to(namespace: &Namespace, name: &str) -> Result<Self> {
        namespace.run(|| {
            let index = interface::index(name)?;
            Ok(Self {
                tcx: [bpf::tcx_programs(index, bpf::TCX_INGRESS)?, bpf::tcx_programs(index, bpf::TCX_EGRESS)?],
                clsact: [filters(index, CLSACT_INGRESS)?, filters(index, CLSACT_EGRESS)?],
                qdiscs: qdiscs(index)?,
            })
        })
    }

    /// Every program.
    pub fn programs(&self) -> Vec<u32> {
        self.tcx.iter().chain(&self.clsact).flatten().copied().collect()
    }
}

/// Adds an empty clsact qdisc, as another tool would.
///
/// # Errors
/// When there is one already.
pub fn add_clsact(name: &str) -> Result<()> {
    const CLSACT: u32 = 0xffff_fff1;
    let header = tcmsg(interface::index(name)?, 0xffff_0000, CLSACT);
    Message::new(libc::RTM_NEWQDISC, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &header).with(TCA_KIND, b"clsact\0").apply()
}

fn qdiscs(index: u32) -> Result<Vec<String>> {
    let every = Message::new(libc::RTM_GETQDISC, 0, &tcmsg(index, 0, 0)).dump()?;
    let ours = every.iter().filter(|qdisc| qdisc.fixed(TCMSG).and_then(|fixed| u32_at(fixed, 4)) == Some(index));
    let kinds = ours.filter_map(|qdisc| text(qdisc.attribute(TCMSG, TCA_KIND)?));
    Ok(kinds.filter(|kind| kind != "noqueue").collect())
}

fn filters(index: u32, parent: u32) -> Result<Vec<u32>> {
    // Without a clsact qdisc the kernel has no such parent.
    let Ok(every) = Message::new(libc::RTM_GETTFILTER, 0, &tcmsg(index, 0, parent)).dump() else {
        return Ok(Vec::new());
    };
    Ok(every.iter().filter_map(program_id).collect())
}

/// The filter's program id lies in its nested options.
fn program_id(filter: &Message) -> Option<u32> {
    let options = filter.attribute(TCMSG, TCA_OPTIONS)?;
    u32_at(Message::new(0, 0, options).attribute(0, TCA_BPF_ID)?, 0)
}

fn tcmsg(index: u32, handle: u32, parent: u32) -> [u8; TCMSG] {
    let mut header = [0; TCMSG];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&handle.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.to_ne_bytes());
    header
}

fn text(bytes: &[u8]) -> Option<String> {
    Some(std::ffi::CStr::from_bytes_until_nul(bytes).ok()?.to_str().ok()?.to_owned())
}
