//! The reading end of EVENTS. A ring has one consumer position: a second reader would steal records, so only msegd
//! opens it.

use std::{
    ops::Deref,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use aya::maps::{MapData, RingBuf, ring_buf::RingBufItem};

use crate::error::{Error, Result};

/// The reading end of a ring buffer.
pub struct Ring {
    inner: RingBuf<MapData>,
}

/// One record, still in the ring. The space is given back when this is dropped, so drop it after the record is safe.
pub struct Record<'a>(RingBufItem<'a>);

impl Ring {
    /// Takes over the descriptor of a ring buffer map that is open for reading and writing.
    pub(crate) fn new(fd: OwnedFd) -> Result<Self> {
        let failed = |e: aya::maps::MapError| Error::failed(format!("cannot open the ring EVENTS: {}", chain(&e)));
        let data = MapData::from_fd(fd).map_err(failed)?;
        let inner = RingBuf::try_from(aya::maps::Map::RingBuf(data)).map_err(failed)?;
        Ok(Self { inner })
    }

    /// The oldest record, or nothing: then wait until [`Ring::as_fd`] is readable.
    #[expect(clippy::should_implement_trait, reason = "the record borrows the ring, as no Iterator's item can")]
    pub fn next(&mut self) -> Option<Record<'_>> {
        self.inner.next().map(Record)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl Record<'_> {
    /// Leaves the record in the ring: the next call of [`Ring::next`] gives it again.
    pub fn keep(self) {
        std::mem::forget(self.0);
    }
}

impl Deref for Record<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// An error of aya with its causes, each once: its Display leaves out the error number, or repeats the cause.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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
