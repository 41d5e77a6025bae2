//! One open map: typed, checked, and with an error that names the map.

use std::{
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic::resume_unwind,
    path::Path,
    thread,
};

use aya_obj::generated::bpf_map_type;
use zerocopy::{FromBytes, Immutable, IntoBytes, TryFromBytes};

use super::bpf::{self, BatchEnd, MapInfo, NewMap, ObjectKind};
use super::cpu;
use crate::error::{Code, Error, Result};

/// Create or replace.
pub(crate) const ANY: u64 = 0;
/// Create; it must not exist.
pub(crate) const NO_EXIST: u64 = 1;
/// Replace; it must exist.
pub(crate) const EXIST: u64 = 2;

/// Bytes of keys and values read or written at a time, so that a table of any size is walked in bounded memory.
const BATCH_BYTES: usize = 512 * 1024;

/// What is called with the bytes of each key and value.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// Puts inner maps into slots of arrays of maps, all at once: the kernel lets each wait until every CPU has gone on, and
/// waits together take no longer than one.
pub(crate) fn put_maps(slots: &[(&Map, u32, &Map)]) -> Result<()> {
    thread::scope(|scope| {
        let put = |(outer, slot, inner): &(&Map, u32, &Map)| outer.put_map(*slot, inner);
        let waits: Vec<_> = slots.iter().map(|slot| scope.spawn(move || put(slot))).collect();
        waits.into_iter().try_for_each(|wait| wait.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// An open map.
#[derive(Debug)]
pub(crate) struct Map {
    name: String,
    fd: OwnedFd,
    info: MapInfo,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Map {
    /// Opens a pin. The error is the system's, so that a caller can tell an absent pin from a forbidden one; a pin that
    /// is no map is `InvalidData`.
    pub(crate) fn open(name: &str, path: &Path, read_only: bool) -> io::Result<Self> {
        let fd = bpf::object_get(path, read_only)?;
        if bpf::object_kind(fd.as_fd())? != ObjectKind::Map {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a map"));
        }
        Self::from_fd(name, fd)
    }

    /// Creates a map.
    pub(crate) fn create(name: &str, new: &NewMap<'_>) -> Result<Self> {
        bpf::map_create(name, new)
            .and_then(|fd| Self::from_fd(name, fd))
            .map_err(|e| Error::system(format_args!("create map {name}"), &e))
    }

    /// Takes over a map that is open.
    pub(crate) fn from_fd(name: &str, fd: OwnedFd) -> io::Result<Self> {
        let info = bpf::map_info(fd.as_fd())?;
        Ok(Self { name: name.to_owned(), fd, info })
    }

    /// Its name under `maps/`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Type and sizes, as the kernel has them.
    pub(crate) fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes of kernel memory.
    pub(crate) fn memory(&self) -> Result<u64> {
        bpf::map_memory(&self.fd).map_err(|e| self.error("measure", &e))
    }

    fn error(&self, what: &str, error: &io::Error) -> Error {
        Error::system(format_args!("{what} map {}", self.name), error)
    }

    fn per_cpu(&self) -> bool {
        [bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32, bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH as u32]
            .contains(&self.info.kind)
    }

    fn hash(&self) -> bool {
        [bpf_map_type::BPF_MAP_TYPE_HASH as u32, bpf_map_type::BPF_MAP_TYPE_LRU_HASH as u32].contains(&self.info.kind)
    }

    /// Bytes that a look-up writes: per-CPU maps give every possible CPU's copy, each rounded up to eight bytes.
    fn value_bytes(&self) -> Result<usize> {
        let size = self.info.value_size as usize;
        Ok(if self.per_cpu() { size.next_multiple_of(8) * cpu::possible()? } else { size })
    }

    /// Refuses a type whose size is not the map's: the kernel would write past it, or leave a part unwritten.
    fn check<K, V>(&self) -> Result<()> {
        let (key, value) = (size_of::<K>(), size_of::<V>());
        if (key, value) == (self.info.key_size as usize, self.info.value_size as usize) {
            return Ok(());
        }
        Err(Error::new(
            Code::Abi,
            format!(
                "map {}: key {} and value {} bytes, expected {key} and {value}",
                self.name, self.info.key_size, self.info.value_size
            ),
        ))
    }

    fn damaged(&self) -> Error {
        Error::new(Code::Abi, format!("map {} holds a value that this version cannot read", self.name))
    }

    /// Looks up raw bytes; `false` if there is no such entry.
    fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        match bpf::map_lookup(self.fd.as_fd(), key, value) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(self.error("read", &e)),
        }
    }

    /// Looks up one entry.
    pub(crate) fn get<K, V>(&self, key: &K) -> Result<Option<V>>
    where
        K: IntoBytes + Immutable,
        V: TryFromBytes + IntoBytes,
    {
        self.check::<K, V>()?;
        let mut value = vec![0; self.value_bytes()?];
        if !self.lookup(key.as_bytes(), &mut value)? {
            return Ok(None);
        }
        V::try_read_from_bytes(&value).map(Some).map_err(|_| self.damaged())
    }

    /// Every CPU's copy of one entry.
    pub(crate) fn get_per_cpu<K, V>(&self, key: &K) -> Result<Vec<V>>
    where
        K: IntoBytes + Immutable,
        V: FromBytes,
    {
        self.check::<K, V>()?;
        let mut value = vec![0; self.value_bytes()?];
        if !self.lookup(key.as_bytes(), &mut value)? {
            return Ok(Vec::new());
        }
        self.copies(&value)
    }

    fn copies<V: FromBytes>(&self, bytes: &[u8]) -> Result<Vec<V>> {
        bytes
            .chunks_exact(size_of::<V>().next_multiple_of(8))
            .map(|copy| V::read_from_prefix(copy).map(|(value, _)| value).map_err(|_| self.damaged()))
            .collect()
    }

    /// Writes one entry; `flags` is [`ANY`], [`NO_EXIST`] or [`EXIST`].
    pub(crate) fn put<K, V>(&self, key: &K, value: &V, flags: u64) -> Result<()>
    where
        K: IntoBytes + Immutable,
        V: IntoBytes + Immutable,
    {
        self.check::<K, V>()?;
        self.put_bytes(key.as_bytes(), value.as_bytes(), flags)
    }

    /// Creates one entry; `false` if there was one already.
    pub(crate) fn put_new<K, V>(&self, key: &K, value: &V) -> Result<bool>
    where
        K: IntoBytes + Immutable,
        V: IntoBytes + Immutable,
    {
        self.check::<K, V>()?;
        match bpf::map_update(self.fd.as_fd(), key.as_bytes(), value.as_bytes(), NO_EXIST) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(self.error("write", &e)),
        }
    }

    /// Puts `inner` into a slot of an array of maps, and waits until no program uses what was there.
    pub(crate) fn put_map(&self, slot: u32, inner: &Self) -> Result<()> {
        use std::os::fd::AsRawFd;
        self.put(&slot, &inner.fd.as_raw_fd(), ANY)
    }

    /// Writes many entries, each created or replaced.
    pub(crate) fn put_all<'a, K, V>(&self, entries: impl IntoIterator<Item = (K, &'a V)>) -> Result<()>
    where
        K: IntoBytes + Immutable,
        V: IntoBytes + Immutable + 'a,
    {
        self.check::<K, V>()?;
        self.write_batches(entries.into_iter().map(|(key, value)| (key, value.as_bytes())))
    }

    fn write_batches<'a, K: IntoBytes + Immutable>(
        &self,
        mut entries: impl Iterator<Item = (K, &'a [u8])>,
    ) -> Result<()> {
        let (key, value) = (size_of::<K>(), self.value_bytes()?);
        if key != self.info.key_size as usize {
            return Err(self.damaged());
        }
        let capacity = (BATCH_BYTES / (key + value)).max(1);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        loop {
            keys.clear();
            values.clear();
            let mut count = 0;
            for (key, bytes) in entries.by_ref().take(capacity) {
                if bytes.len() != value {
                    return Err(self.damaged());
                }
                keys.extend_from_slice(key.as_bytes());
                values.extend_from_slice(bytes);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            bpf::map_update_batch(self.fd.as_fd(), &keys, &values, count).map_err(|e| self.write_error(&e))?;
        }
    }

    fn put_bytes(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        if key.len() != self.info.key_size as usize || value.len() != self.value_bytes()? {
            return Err(self.damaged());
        }
        bpf::map_update(self.fd.as_fd(), key, value, flags).map_err(|e| self.write_error(&e))
    }

    fn write_error(&self, error: &io::Error) -> Error {
        if error.raw_os_error() == Some(libc::E2BIG) {
            return Error::failed(format!("map {} is full ({} entries)", self.name, self.info.max_entries));
        }
        self.error("write", error)
    }

    /// Removes one entry; `false` if there was none.
    pub(crate) fn delete<K: IntoBytes + Immutable>(&self, key: &K) -> Result<bool> {
        if size_of::<K>() != self.info.key_size as usize {
            return Err(self.damaged());
        }
        match bpf::map_delete(self.fd.as_fd(), key.as_bytes()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(self.error("delete from", &e)),
        }
    }

    /// Forbids every later write from user space.
    pub(crate) fn freeze(&self) -> Result<()> {
        bpf::map_freeze(self.fd.as_fd()).map_err(|e| self.error("freeze", &e))
    }

    /// Pins it.
    pub(crate) fn pin(&self, path: &Path) -> Result<()> {
        bpf::object_pin(self.fd.as_fd(), path).map_err(|e| Error::file("pin", path, &e))
    }

    /// Walks a hash or an array once, in the kernel's order. A batch takes whole buckets, so each key is seen at most
    /// once however the table changes meanwhile.
    pub(crate) fn for_each<K, V>(&self, visit: &mut dyn FnMut(K, V) -> ControlFlow<()>) -> Result<()>
    where
        K: FromBytes,
        V: TryFromBytes,
    {
        self.check::<K, V>()?;
        self.batches(&mut |key, value| {
            let key = K::read_from_bytes(key).map_err(|_| self.damaged())?;
            let value = V::try_read_from_bytes(value).map_err(|_| self.damaged())?;
            Ok(visit(key, value))
        })
    }

    /// Walks a per-CPU array once: the index and every CPU's copy.
    pub(crate) fn for_each_per_cpu<V: FromBytes>(&self, visit: &mut dyn FnMut(u32, Vec<V>)) -> Result<()> {
        self.check::<u32, V>()?;
        self.batches(&mut |key, value| {
            let index = u32::read_from_bytes(key).map_err(|_| self.damaged())?;
            visit(index, self.copies(value)?);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The number of entries of a hash; other maps have no such number.
    pub(crate) fn count(&self) -> Result<Option<u64>> {
        if !self.hash() {
            return Ok(None);
        }
        let mut count = 0;
        self.batches(&mut |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Some(count))
    }

    fn batches(&self, visit: &mut Visit<'_>) -> Result<()> {
        let (key, value) = (self.info.key_size as usize, self.value_bytes()?);
        let whole = self.info.max_entries.max(1) as usize;
        let mut capacity = (BATCH_BYTES / (key + value)).clamp(1, whole);
        let mut keys = vec![0; capacity * key];
        let mut values = vec![0; capacity * value];
        let mut position = None;
        loop {
            let (count, end) = bpf::map_lookup_batch(
                self.fd.as_fd(),
                &mut position,
                &mut keys,
                &mut values,
                // No map of ours has more than u32::MAX entries.
                capacity as u32,
            )
            .map_err(|e| self.error("read", &e))?;
            if end == BatchEnd::TooSmall {
                if capacity >= whole {
                    return Err(self.damaged());
                }
                capacity = (capacity * 2).min(whole);
                keys.resize(capacity * key, 0);
                values.resize(capacity * value, 0);
                continue;
            }
            for (key, value) in keys.chunks_exact(key).zip(values.chunks_exact(value)).take(count as usize) {
                if visit(key, value)?.is_break() {
                    return Ok(());
                }
            }
            if end == BatchEnd::Last {
                return Ok(());
            }
        }
    }
}
