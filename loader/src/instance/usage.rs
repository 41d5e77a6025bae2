//! How full the maps are.

use mseg_ebpf::abi::map;

use super::Instance;
use crate::error::Result;

/// One map's use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapUsage {
    /// Name under `maps/`.
    pub name: String,
    /// Entries in use; `None` for arrays and rings, which have no such number.
    pub entries: Option<u64>,
    /// Entries at most (ring: bytes).
    pub max_entries: u32,
    /// Bytes of kernel memory, with the inner maps of kept policy generations.
    pub bytes: u64,
}

impl Instance {
    /// The use of every map, in the order they are pinned.
    pub fn maps(&self) -> Result<Vec<MapUsage>> {
        map::ALL
            .into_iter()
            .map(|name| {
                let map = self.map(name)?;
                Ok(MapUsage {
                    name: name.to_owned(),
                    entries: map.count()?,
                    max_entries: map.info().max_entries,
                    bytes: map.memory()? + self.inner_memory(name)?,
                })
            })
            .collect()
    }
}
