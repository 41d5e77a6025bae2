//! What is loaded and attached.

use mseg_ebpf::abi::{config::Config, interface::Interface, meta::Meta};

use super::{hook, target};
use crate::{
    error::Result,
    instance::{Access, Instance, Options},
};

/// What is loaded under an instance.
#[derive(Clone, Debug)]
pub struct Status {
    /// Which instance.
    pub instance: Options,
    /// Who made it.
    pub meta: Meta,
    /// Its switches.
    pub config: Config,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceStatus>,
}

/// One interface of [`Status`].
#[derive(Clone, Debug)]
pub struct InterfaceStatus {
    /// Its index.
    pub ifindex: u32,
    /// Its record.
    pub interface: Interface,
    /// Whether it is attached still: not so after it was removed. `None`: attached by clsact in another network
    /// namespace, from where alone that can be told.
    pub alive: Option<bool>,
    /// Whether it lives in this network namespace.
    pub here: bool,
}

/// Reads the state of an instance.
///
/// # Errors
/// Those of [`Instance::open`].
pub fn status(options: &Options) -> Result<Status> {
    let instance = Instance::open(options, Access::Read)?;
    let netns = target::netns()?;
    let interfaces = instance
        .interfaces()?
        .into_iter()
        .map(|(ifindex, interface)| {
            let alive = hook::alive(instance.paths(), &options.name, ifindex, &interface, netns)?;
            Ok(InterfaceStatus { ifindex, interface, alive, here: interface.netns == netns })
        })
        .collect::<Result<_>>()?;
    Ok(Status { instance: options.clone(), meta: instance.meta(), config: instance.config()?, interfaces })
}
