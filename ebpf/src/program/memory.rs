//! Access to map memory that other CPUs and user space touch at the same time, and enums out of numbers.

use core::{
    intrinsics::{AtomicOrdering, atomic_xadd, atomic_xchg},
    mem::MaybeUninit,
};

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

/// A copy on this function's stack: before kernel 6.3 the verifier takes no key or value for a map through the pointer
/// argument of a global function (`map_key_value_types` in kernel/bpf/verifier.c lacks PTR_TO_MEM).
#[inline(always)]
pub(crate) fn on_stack<T: Copy>(value: &T) -> T {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    let mut copy = MaybeUninit::<T>::uninit();
    let (from, to) = (core::ptr::from_ref(value).cast::<u64>(), copy.as_mut_ptr().cast::<u64>());
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: both have that many words. Volatile, or the compiler would use the original instead.
        unsafe { to.add(word).write(from.add(word).read_volatile()) };
    }
    // SAFETY: every word of it was written.
    unsafe { copy.assume_init() }
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
