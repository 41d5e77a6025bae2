//! Access to map memory that other CPUs and user space touch at the same time, and enums out of numbers.

use core::intrinsics::{AtomicOrdering, atomic_xadd, atomic_xchg};

use mseg_ebpf::abi::reason::{self, Reason};

/// One load that the compiler neither splits, repeats nor moves.
///
/// # Safety
/// `pointer` is aligned and points into a live map value.
#[inline(always)]
pub(crate) unsafe fn load<T: Copy>(pointer: *const T) -> T {
    // SAFETY: the caller's promise.
    unsafe { pointer.read_volatile() }
}

/// One store, likewise.
///
/// # Safety
/// `pointer` is aligned and points into a live map value.
#[inline(always)]
pub(crate) unsafe fn store<T: Copy>(pointer: *mut T, value: T) {
    // SAFETY: the caller's promise.
    unsafe { pointer.write_volatile(value) };
}

/// Adds atomically.
///
/// # Safety
/// `pointer` is aligned and points into a live map value.
#[inline(always)]
pub(crate) unsafe fn add(pointer: *mut u64, value: u64) {
    // SAFETY: the caller's promise.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(pointer, value) };
}

/// Adds one atomically.
///
/// # Safety
/// `pointer` is aligned and points into a live map value.
#[inline(always)]
pub(crate) unsafe fn increment(pointer: *mut u32) {
    // SAFETY: the caller's promise.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(pointer, 1) };
}

/// Takes the number and leaves zero, atomically.
///
/// # Safety
/// `pointer` is aligned and points into a live map value.
#[inline(always)]
pub(crate) unsafe fn take(pointer: *mut u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(pointer, 0) }
}

/// A reason that went through a number.
#[inline(always)]
pub(crate) fn reason(number: u8) -> Reason {
    if number as u32 >= reason::LIMIT {
        return Reason::Unset;
    }
    // SAFETY: only numbers of reasons are passed between functions here.
    unsafe { core::mem::transmute::<u8, Reason>(number) }
}
