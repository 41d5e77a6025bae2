//! The instance as a program sees it that runs beside the attached ones.

use std::{collections::BTreeMap, sync::OnceLock};

use mseg_ebpf::abi::map;

use super::{Access, Instance, open_error};
use crate::{error::Result, kernel::map::Map};

impl Instance {
    /// This instance with `private` in the place of its own maps of these names. The others are opened for reading.
    pub(crate) fn with_maps(&self, private: Vec<Map>) -> Result<Self> {
        let mut own: BTreeMap<String, Map> = private.into_iter().map(|map| (map.name().to_owned(), map)).collect();
        let mut maps = BTreeMap::new();
        for name in map::ALL {
            let map = match own.remove(name) {
                Some(map) => map,
                None => Map::open(name, &self.paths.map(name), true).map_err(|e| open_error(&self.paths, name, &e))?,
            };
            maps.insert(name, map);
        }
        Ok(Self {
            options: self.options.clone(),
            paths: self.paths.clone(),
            access: Access::Read,
            meta: self.meta,
            maps,
            config: OnceLock::new(),
        })
    }
}
