//! CONFIG as shared memory, so that one field changes in one store and no packet sees half of it.

use std::{
    num::NonZeroUsize,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use mseg_ebpf::abi::config::Config;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::map::Map;
use crate::error::{Code, Error, Result};

/// A writable mapping of CONFIG.
#[derive(Debug)]
pub(crate) struct ConfigMapping {
    start: NonNull<libc::c_void>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and its fields are only accessed atomically.
unsafe impl Send for ConfigMapping {}
// SAFETY: as above.
unsafe impl Sync for ConfigMapping {}

/// What is mapped; the kernel rounds it up to a page.
const LENGTH: NonZeroUsize = NonZeroUsize::new(size_of::<Config>()).expect("it has fields");

impl ConfigMapping {
    /// Maps CONFIG, which must be open for writing.
    pub(crate) fn new(map: &Map) -> Result<Self> {
        if map.info().value_size as usize != size_of::<Config>() {
            return Err(Error::new(Code::Abi, "map CONFIG has another size"));
        }
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours.
        let start =
            unsafe { mmap(None, LENGTH, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, map, 0) }
                .map_err(|e| Error::system("map CONFIG into memory", &e.into()))?;
        Ok(Self { start })
    }

    fn field<T>(&self, offset: usize) -> *mut T {
        assert!(offset + size_of::<T>() <= LENGTH.get() && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: the offset was just checked to lie within the mapping.
        unsafe { self.start.byte_add(offset) }.as_ptr().cast()
    }

    /// Stores the `u32` field at `offset` (from `offset_of!`), after every earlier write.
    pub(crate) fn store_u32(&self, offset: usize, value: u32) {
        // SAFETY: the field is inside the live mapping and aligned, and everybody accesses it atomically.
        unsafe { AtomicU32::from_ptr(self.field(offset)) }.store(value, Ordering::SeqCst);
    }

    /// Stores the `u64` field at `offset`.
    pub(crate) fn store_u64(&self, offset: usize, value: u64) {
        // SAFETY: as in `store_u32`.
        unsafe { AtomicU64::from_ptr(self.field(offset)) }.store(value, Ordering::SeqCst);
    }

    /// Adds to the `u64` field at `offset`.
    pub(crate) fn add_u64(&self, offset: usize, value: u64) {
        // SAFETY: as in `store_u32`.
        unsafe { AtomicU64::from_ptr(self.field(offset)) }.fetch_add(value, Ordering::SeqCst);
    }
}

impl Drop for ConfigMapping {
    fn drop(&mut self) {
        // SAFETY: `new` made this mapping with this length and no pointer into it outlives `self`. There is nothing to
        // do about a failure.
        let _ = unsafe { munmap(self.start, LENGTH.get()) };
    }
}
