//! The reading end of EVENTS. A ring has one consumer position: a second reader would steal records, so only msegd
//! opens it.
//!
//! aya's reader gives a record's space back as soon as it goes on to the next one. Here records are read ahead and
//! released later, so that one write can take many of them and none is gone before it is written.

use std::{
    ffi::c_void,
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence},
};

use nix::{
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    unistd::{SysconfVar, sysconf},
};

use crate::{
    error::{Code, Error, Result},
    instance::Lock,
};

/// A record's header: the length with these bits, and four bytes of the kernel's own.
const HEADER_BYTES: usize = 8;
/// In the length: the record is still being written.
const BUSY: u32 = 1 << 31;
/// In the length: the record was given up.
const DISCARDED: u32 = 1 << 30;

/// The reading end of a ring buffer. While it lives, nobody else gets one of the same instance.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    /// Where the data starts in `producer`; the kernel's page size.
    data: usize,
    /// Bytes of data, a power of two. The kernel maps them twice in a row, so that no record is ever in two pieces.
    bytes: usize,
    /// Position of the next record to look at. Between the published position and this one is what was read ahead.
    next: usize,
    _lock: Lock,
}

/// One record, which stays in the ring until it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the program wrote.
    pub bytes: &'a [u8],
    /// The position behind it: bytes, with all headers, that went through the ring since it was made.
    pub end: u64,
}

impl Ring {
    /// Takes over the descriptor of a ring buffer map of `bytes`, open for reading and writing.
    pub(crate) fn new(fd: OwnedFd, bytes: usize, lock: Lock) -> Result<Self> {
        let failed = |e: nix::Error| Error::system("map the ring EVENTS into memory", &e.into());
        let page = sysconf(SysconfVar::PAGE_SIZE).map_err(failed)?.and_then(|page| usize::try_from(page).ok());
        let page = page.ok_or_else(|| Error::failed("the kernel does not say its page size"))?;
        if !bytes.is_power_of_two() || !bytes.is_multiple_of(page) {
            return Err(Error::new(Code::Abi, format!("map EVENTS has {bytes} bytes, which no ring can have")));
        }
        let consumer = Mapping::new(&fd, 0, page, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).map_err(failed)?;
        let producer = Mapping::new(&fd, page, page + 2 * bytes, ProtFlags::PROT_READ).map_err(failed)?;
        let next = consumer.position().load(Ordering::Acquire);
        Ok(Self { fd, consumer, producer, data: page, bytes, next, _lock: lock })
    }

    /// The oldest record that was not looked at yet, or nothing: then release what is done with, and wait until
    /// [`Ring::as_fd`] is readable.
    ///
    /// # Errors
    /// [`Code::Abi`] if what is in the ring cannot be records.
    #[expect(clippy::should_implement_trait, reason = "the record borrows the ring, as no Iterator's item can")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        loop {
            let available = self.producer.position().load(Ordering::Acquire).wrapping_sub(self.next);
            if available == 0 {
                return Ok(None);
            }
            let at = self.data + (self.next & (self.bytes - 1));
            // The kernel clears BUSY by an exchange after the last byte of the record.
            let header = self.producer.u32(at).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return Ok(None);
            }
            let length = (header & !(BUSY | DISCARDED)) as usize;
            let whole = (HEADER_BYTES + length).next_multiple_of(HEADER_BYTES);
            if whole > available || available > self.bytes {
                return Err(Error::new(Code::Abi, "map EVENTS holds no records")
                    .hint("another program writes to the ring, or reads it"));
            }
            self.next = self.next.wrapping_add(whole);
            if header & DISCARDED == 0 {
                let bytes = self.producer.bytes(at + HEADER_BYTES, length);
                return Ok(Some(Record { bytes, end: self.next as u64 }));
            }
        }
    }

    /// Gives the space of all records up to `end` ([`Record::end`]) back to the kernel: they are done with.
    pub fn release(&mut self, end: u64) {
        self.consumer.position().store(end as usize, Ordering::Release);
        // The kernel wakes a reader that has caught up with the record it finishes. Without the fence both sides could
        // miss each other's step.
        fence(Ordering::SeqCst);
    }

    /// Where the next record will end up: [`Record::end`] of all that are in the ring now is at most this.
    pub fn end(&self) -> u64 {
        self.producer.position().load(Ordering::Acquire) as u64
    }

    /// The end of the last record that [`Ring::next`] gave.
    pub fn looked_at(&self) -> u64 {
        self.next as u64
    }

    /// Bytes in the ring that are not released, with all headers.
    pub fn unreleased(&self) -> u64 {
        let released = self.consumer.position().load(Ordering::Relaxed);
        self.producer.position().load(Ordering::Acquire).wrapping_sub(released) as u64
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A shared mapping of a part of the ring, which begins with one side's position.
#[derive(Debug)]
struct Mapping {
    start: NonNull<c_void>,
    length: NonZeroUsize,
}

// SAFETY: the mapping belongs to the process, not to a thread; positions and headers are only accessed atomically, and
// records do not change between BUSY being cleared and their release.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: &OwnedFd, offset: usize, length: usize, protection: ProtFlags) -> nix::Result<Self> {
        let length = NonZeroUsize::new(length).ok_or(nix::Error::EINVAL)?;
        let offset = offset.try_into().map_err(|_| nix::Error::EINVAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, fd, offset) }?;
        Ok(Self { start, length })
    }

    fn at<T>(&self, offset: usize, bytes: usize) -> *mut T {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.length.get());
        assert!(inside && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: the offset was just checked to lie within the mapping.
        unsafe { self.start.byte_add(offset) }.as_ptr().cast()
    }

    /// The position at the start: an `unsigned long`.
    fn position(&self) -> &AtomicUsize {
        // SAFETY: inside the mapping, aligned, and everybody accesses it atomically. Nothing is stored through the
        // mapping that may only be read: `release` alone stores, to the consumer's.
        unsafe { AtomicUsize::from_ptr(self.at(0, size_of::<AtomicUsize>())) }
    }

    /// A header.
    fn u32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as above; only loaded from.
        unsafe { AtomicU32::from_ptr(self.at(offset, size_of::<AtomicU32>())) }
    }

    /// A record that is not BUSY and not released.
    fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        // SAFETY: inside the mapping. The kernel does not write to a finished record before it is released, for which
        // `Ring` must be borrowed mutably, so before the slice is gone.
        unsafe { std::slice::from_raw_parts(self.at(offset, length), length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` made this mapping with this length, and no pointer into it outlives `self`. There is nothing
        // to do about a failure.
        let _ = unsafe { munmap(self.start, self.length.get()) };
    }
}
