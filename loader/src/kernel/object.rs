//! The BPF object built into this library: what it defines, and loading it.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::LazyLock,
};

use aya::{
    EbpfLoader, include_bytes_aligned,
    programs::{ProgramError, SchedClassifier},
};
use aya_obj::generated::{BPF_F_INNER_MAP, bpf_map_type, bpf_prog_type};
use mseg_ebpf::abi::{
    map,
    rule::{BLOCK, PLACEHOLDER},
};
use sha2::{Digest, Sha256};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    bpf::{self, MapInfo, NewMap, ObjectKind},
    cpu,
    map::Map,
};
use crate::error::{Code, Error, Result};

/// The compiled TC programs.
static BUILT: &[u8] = include_bytes_aligned!("../../../ebpf/prebuilt/mseg.o");

/// The TC programs for this machine: with counters for all its CPUs.
pub(super) fn object() -> Result<&'static [u8]> {
    // As words, since the parser of ELF wants them aligned.
    static OBJECT: LazyLock<Result<Vec<u64>, String>> = LazyLock::new(|| {
        let entries = cpu::possible().map_err(|e| e.to_string())?.checked_mul(BLOCK as usize);
        let entries = entries.and_then(|entries| u32::try_from(entries).ok()).ok_or("there are too many CPUs")?;
        let mut object = vec![0; BUILT.len().div_ceil(size_of::<u64>())];
        object.as_mut_bytes()[..BUILT.len()].copy_from_slice(BUILT);
        let words = <[u32]>::mut_from_bytes(object.as_mut_bytes()).map_err(|e| e.to_string())?;
        match &mut words.iter_mut().filter(|word| **word == PLACEHOLDER).collect::<Vec<_>>()[..] {
            [word] => **word = entries,
            places => return Err(format!("the size of {} stands in it {} times", map::RULE_HITS, places.len())),
        }
        Ok(object)
    });
    match &*OBJECT {
        Ok(object) => Ok(&object.as_bytes()[..BUILT.len()]),
        Err(error) => Err(Error::failed(format!("the built-in BPF object cannot be used: {error}"))),
    }
}

/// The programs of the object, which are also the names of their pins.
pub(crate) const PROGRAMS: [&str; 4] = ["host_in", "host_out", "workload_in", "workload_out"];

/// The first 20 bytes of the SHA-256 of the built-in object.
pub fn build_id() -> [u8; 20] {
    static ID: LazyLock<[u8; 20]> = LazyLock::new(|| {
        let digest = Sha256::digest(BUILT);
        let mut id = [0; 20];
        id.copy_from_slice(&digest[..20]);
        id
    });
    *ID
}

/// A map as the object defines it.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    /// The types of key and value in the object's BTF.
    types: Option<(u32, u32)>,
    inner: Option<Box<Self>>,
}

impl Definition {
    fn new(map: &aya_obj::Map) -> Self {
        // As aya creates them: a ring buffer has no values.
        let ring = map.map_type() == bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
        Self {
            kind: map.map_type(),
            key_size: map.key_size(),
            value_size: if ring { 0 } else { map.value_size() },
            max_entries: map.max_entries(),
            flags: map.map_flags(),
            types: match map {
                aya_obj::Map::Btf(map) => Some((map.def.btf_key_type_id, map.def.btf_value_type_id)),
                aya_obj::Map::Legacy(_) => None,
            },
            inner: map.inner().map(|inner| Box::new(Self::new(&inner))),
        }
    }

    /// Every difference from what is pinned, as `SESSIONS: value size 48, expected 64`. Without `strict`, sizes and
    /// flags that only matter when the program is loaded onto the map are left out.
    pub(crate) fn differences(&self, name: &str, pinned: &MapInfo, strict: bool) -> Vec<String> {
        [
            ("type", pinned.kind, self.kind, true),
            ("key size", pinned.key_size, self.key_size, true),
            ("value size", pinned.value_size, self.value_size, true),
            ("max entries", pinned.max_entries, self.max_entries, strict),
            ("flags", pinned.flags, self.flags, strict),
        ]
        .into_iter()
        .filter(|(_, is, expected, counts)| *counts && is != expected)
        .map(|(what, is, expected, _)| format!("{name}: {what} {is}, expected {expected}"))
        .collect()
    }
}

/// The object's maps by name.
pub(crate) fn definitions() -> Result<&'static BTreeMap<String, Definition>> {
    static DEFINITIONS: LazyLock<Result<BTreeMap<String, Definition>, String>> = LazyLock::new(|| {
        let object = aya_obj::Object::parse(object().map_err(|e| e.to_string())?).map_err(|e| chain(&e))?;
        Ok(object.maps.iter().map(|(name, map)| (name.clone(), Definition::new(map))).collect())
    });
    DEFINITIONS.as_ref().map_err(|e| Error::failed(format!("the built-in BPF object is damaged: {e}")))
}

/// Loads the object onto the maps pinned in `maps`, creating and pinning those that are not there, and pins its
/// programs in `programs`. The caller has checked what is there. Pins that were made stay when this fails.
pub(crate) fn load(maps: &Path, programs: &Path) -> Result<()> {
    let failed = |what: &str, e: &(dyn std::error::Error + 'static)| load_error(what, e);
    let mut loader = EbpfLoader::new();
    for name in map::ALL {
        loader.map_pin_path(name, maps.join(name));
    }
    let mut object = loader.load(object()?).map_err(|e| failed("load the BPF object", &e))?;
    for name in PROGRAMS {
        let program: &mut SchedClassifier = object
            .program_mut(name)
            .ok_or_else(|| Error::failed(format!("the built-in BPF object has no program {name}")))?
            .try_into()
            .map_err(|e: ProgramError| failed("load the BPF object", &e))?;
        program.load().map_err(|e| failed(&format!("load the program {name}"), &e))?;
        program.pin(programs.join(name)).map_err(|e| failed(&format!("pin the program {name}"), &e))?;
    }
    Ok(())
}

/// Lines of the verifier's log that are worth reading: the reason stands at its end.
const LOG_LINES: usize = 12;

pub(super) fn load_error(what: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    if let Some(ProgramError::LoadError { io_error, verifier_log }) = error.downcast_ref::<ProgramError>() {
        let log = verifier_log.to_string();
        tracing::debug!("the verifier's log:\n{log}");
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        if !lines.is_empty() {
            let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ");
            return Error::failed(format!("cannot {what}: the kernel's verifier refused it: {io_error}\n  {tail}"));
        }
    }
    // Without a log EPERM means what it says.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(system) = inner.downcast_ref::<std::io::Error>() {
            let denied = system.kind() == std::io::ErrorKind::PermissionDenied;
            let code = if denied { Code::Permission } else { Code::Failed };
            return Error::new(code, format!("cannot {what}: {}", chain(error)));
        }
        cause = inner.source();
    }
    Error::failed(format!("cannot {what}: {}", chain(error)))
}

/// Makes inner maps for the maps of maps.
pub(crate) struct InnerMaps {
    /// Only for those who look at the maps with bpftool: without it they are as good.
    btf: Option<OwnedFd>,
}

impl InnerMaps {
    pub(crate) fn new() -> Self {
        let load = || {
            let mut object = aya_obj::Object::parse(object().ok()?).ok()?;
            let btf = object.fixup_and_sanitize_btf(aya::features().btf()?).ok()??;
            bpf::btf_load(&btf.to_bytes()).inspect_err(|e| tracing::debug!("cannot load the BTF: {e}")).ok()
        };
        Self { btf: load() }
    }

    /// An empty inner map for `outer`. `entries` are how many it shall have where they may differ: in arrays with
    /// `BPF_F_INNER_MAP` (`array_map_meta_equal` in kernel/bpf/arraymap.c); elsewhere the object says.
    pub(crate) fn create(&self, outer: &str, entries: usize) -> Result<Map> {
        let inner = definitions()?
            .get(outer)
            .and_then(|definition| definition.inner.as_deref())
            .ok_or_else(|| Error::failed(format!("the built-in BPF object has no inner map for {outer}")))?;
        let btf = self.btf.as_ref().zip(inner.types).map(|(fd, (key, value))| (fd.as_fd(), key, value));
        let Definition { kind, key_size, value_size, mut max_entries, flags, .. } = *inner;
        if flags & BPF_F_INNER_MAP != 0 {
            max_entries = u32::try_from(entries.max(1)).map_err(|_| Error::failed("too many entries for a map"))?;
        }
        Map::create(outer, &NewMap { kind, key_size, value_size, max_entries, flags, btf })
    }
}

/// A pinned program, open.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) fd: OwnedFd,
}

impl Program {
    /// Opens a pinned program. The error is the system's; a pin that is no TC program is `InvalidData`.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let fd = bpf::object_get(path, false)?;
        let not_ours = || std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not a TC program");
        if bpf::object_kind(fd.as_fd())? != ObjectKind::Program {
            return Err(not_ours());
        }
        let info = bpf::program_info(fd.as_fd())?;
        if info.kind != bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS as u32 {
            return Err(not_ours());
        }
        Ok(Self { fd })
    }
}

/// An error of aya with its causes, each once: its Display leaves out the error number, or repeats the cause.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_defines_every_map_of_the_abi() {
        let definitions = definitions().expect("the object parses");
        for name in map::ALL {
            assert!(definitions.contains_key(name), "{name} is not in the object");
        }
    }

    #[test]
    fn every_difference_of_a_pinned_map_is_listed() {
        let expected =
            Definition { kind: 9, key_size: 40, value_size: 64, max_entries: 1024, flags: 0, types: None, inner: None };
        let pinned = MapInfo { kind: 1, key_size: 40, value_size: 48, max_entries: 512, ..MapInfo::default() };
        assert_eq!(
            expected.differences("SESSIONS", &pinned, true),
            [
                "SESSIONS: type 1, expected 9",
                "SESSIONS: value size 48, expected 64",
                "SESSIONS: max entries 512, expected 1024"
            ]
        );
        assert_eq!(expected.differences("SESSIONS", &pinned, false).len(), 2);
    }
}
