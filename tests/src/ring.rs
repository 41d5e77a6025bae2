//! A reader of the event ring that only makes room.

use std::{
    num::NonZeroUsize,
    os::fd::OwnedFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result};
use nix::{
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    unistd::{SysconfVar, sysconf},
};

/// The two positions of a ring buffer: how far it is read, and how far it is written.
#[derive(Debug)]
pub struct Ring {
    consumer: NonNull<libc::c_void>,
    producer: NonNull<libc::c_void>,
    page: NonZeroUsize,
}

// SAFETY: the mappings belong to the process, and the positions in them are only accessed atomically.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// Of a ring buffer that is open for writing. Nobody else may read it.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn new(map: &OwnedFd) -> Result<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?.context("no page size")?;
        let page = NonZeroUsize::new(usize::try_from(page)?).context("no page size")?;
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours.
        let map_page = |protection, offset| unsafe { mmap(None, page, protection, MapFlags::MAP_SHARED, map, offset) };
        let consumer = map_page(ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, 0).context("cannot map the ring")?;
        let producer = map_page(ProtFlags::PROT_READ, page.get().try_into()?).context("cannot map the ring")?;
        Ok(Self { consumer, producer, page })
    }

    /// Throws away every event that was written so far.
    pub fn discard(&self) {
        // SAFETY: each page begins with its position, and everybody accesses it atomically.
        let [consumer, producer] =
            [self.consumer, self.producer].map(|at| unsafe { AtomicU64::from_ptr(at.as_ptr().cast()) });
        consumer.store(producer.load(Ordering::Acquire), Ordering::Release);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for mapping in [self.consumer, self.producer] {
            // SAFETY: `new` made this mapping with this length and no pointer into it outlives `self`. There is nothing
            // to do about a failure.
            let _ = unsafe { munmap(mapping, self.page.get()) };
        }
    }
}
