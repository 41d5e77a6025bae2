//! A program of the object loaded once more, beside the one that judges packets: it runs on the same policy, and writes
//! to maps of its own. Nothing is pinned or attached, so that nothing is left of it however this process ends.

use std::{os::fd::AsFd, path::Path};

use aya::{
    Ebpf, EbpfLoader, TestRunOptions,
    maps::Map as AyaMap,
    programs::{ProgramError, SchedClassifier, TestRun},
};
use mseg_ebpf::abi::map;

use super::{
    map::Map,
    object::{load_error, object},
};
use crate::error::{Error, Result};

/// A map of its own, and how many entries it has, if not as many as the object says.
pub(crate) type Private = (&'static str, Option<u32>);

/// A program with its maps.
pub(crate) struct Second {
    object: Ebpf,
    program: String,
}

impl Second {
    /// Loads the program onto the maps that are pinned in `maps`, but for those in `private`, which begin empty. The
    /// caller has seen that the others are there, and keeps them there by the instance's lock: what is missing would be
    /// made and pinned.
    pub(crate) fn load(maps: &Path, private: &[Private], program: &str) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        for name in map::ALL {
            match private.iter().find(|(own, _)| *own == name) {
                None => drop(loader.map_pin_path(name, maps.join(name))),
                Some((_, Some(entries))) => drop(loader.map_max_entries(name, *entries)),
                Some((_, None)) => {}
            }
        }
        let mut object = loader.load(object()?).map_err(|e| load_error("load the BPF object", &e))?;
        let classifier: &mut SchedClassifier = object
            .program_mut(program)
            .ok_or_else(|| Error::failed(format!("the built-in BPF object has no program {program}")))?
            .try_into()
            .map_err(|e: ProgramError| load_error("load the BPF object", &e))?;
        classifier.load().map_err(|e| load_error(&format!("load the program {program}"), &e))?;
        Ok(Self { object, program: program.to_owned() })
    }

    /// The maps of its own.
    pub(crate) fn maps(&self, private: &[Private]) -> Result<Vec<Map>> {
        private.iter().map(|(name, _)| self.map(name)).collect()
    }

    fn map(&self, name: &str) -> Result<Map> {
        let data = match self.object.map(name) {
            Some(
                AyaMap::Array(data)
                | AyaMap::ArrayOfMaps(data)
                | AyaMap::HashMap(data)
                | AyaMap::LruHashMap(data)
                | AyaMap::PerCpuArray(data)
                | AyaMap::RingBuf(data),
            ) => data,
            _ => return Err(Error::failed(format!("the map {name} is of a kind that cannot be the program's own"))),
        };
        let fd = data.fd().as_fd().try_clone_to_owned();
        fd.and_then(|fd| Map::from_fd(name, fd)).map_err(|e| Error::system(format_args!("open map {name}"), &e))
    }

    /// Runs the program once on a frame that comes by the loopback interface of this thread's network namespace, whose
    /// index is 1 in each; what it returns.
    pub(crate) fn run(&self, frame: &[u8]) -> Result<i32> {
        let failed = |e: ProgramError| load_error(&format!("run the program {}", self.program), &e);
        let program: &SchedClassifier = self
            .object
            .program(&self.program)
            .ok_or_else(|| Error::failed(format!("the built-in BPF object has no program {}", self.program)))?
            .try_into()
            .map_err(failed)?;
        let ran = program.test_run(TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() }).map_err(failed)?;
        Ok(ran.return_value.cast_signed())
    }
}
