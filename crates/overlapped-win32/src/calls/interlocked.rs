//! The `Interlocked` functions, for programs that take their address; the headers use the
//! compiler's.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI16, AtomicI32, AtomicI64, AtomicPtr, Ordering::SeqCst};

use crate::abi::LONG;

macro_rules! interlocked {
    ($atomic:ty, $value:ty: $increment:ident $decrement:ident $exchange:ident $add:ident
     $compare:ident $and:ident $or:ident $xor:ident) => {
        /// Adds one; the value after.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $increment(target: *mut $value) -> $value {
            // SAFETY: the program's variable, which is aligned.
            unsafe { <$atomic>::from_ptr(target) }
                .fetch_add(1, SeqCst)
                .wrapping_add(1)
        }

        /// Takes one; the value after.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $decrement(target: *mut $value) -> $value {
            // SAFETY: the program's variable, which is aligned.
            unsafe { <$atomic>::from_ptr(target) }
                .fetch_sub(1, SeqCst)
                .wrapping_sub(1)
        }

        /// Puts a value there; the value before.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $exchange(target: *mut $value, value: $value) -> $value {
            // SAFETY: the program's variable, which is aligned.
            unsafe { <$atomic>::from_ptr(target) }.swap(value, SeqCst)
        }

        /// Adds; the value before.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $add(target: *mut $value, value: $value) -> $value {
            // SAFETY: the program's variable, which is aligned.
            unsafe { <$atomic>::from_ptr(target) }.fetch_add(value, SeqCst)
        }

        /// Puts a value there if it is the expected one; the value before.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $compare(
            target: *mut $value,
            value: $value,
            expected: $value,
        ) -> $value {
            // SAFETY: the program's variable, which is aligned.
            let target = unsafe { <$atomic>::from_ptr(target) };
            let (Ok(before) | Err(before)) =
                target.compare_exchange(expected, value, SeqCst, SeqCst);
            before
        }

        /// Leaves the bits that are in both; the value before.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $and(target: *mut $value, value: $value) -> $value {
            // SAFETY: the program's variable, which is aligned.
            unsafe { <$atomic>::from_ptr(target) }.fetch_and(value, SeqCst)
        }

        /// Sets bits; the value before.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $or(target: *mut $value, value: $value) -> $value {
            // SAFETY: the program's variable, which is aligned.
            unsafe { <$atomic>::from_ptr(target) }.fetch_or(value, SeqCst)
        }

        /// Turns bits over; the value before.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $xor(target: *mut $value, value: $value) -> $value {
            // SAFETY: the program's variable, which is aligned.
            unsafe { <$atomic>::from_ptr(target) }.fetch_xor(value, SeqCst)
        }
    };
}

interlocked!(AtomicI16, i16: InterlockedIncrement16 InterlockedDecrement16 InterlockedExchange16
    InterlockedExchangeAdd16 InterlockedCompareExchange16 InterlockedAnd16 InterlockedOr16
    InterlockedXor16);
interlocked!(AtomicI32, LONG: InterlockedIncrement InterlockedDecrement InterlockedExchange
    InterlockedExchangeAdd InterlockedCompareExchange InterlockedAnd InterlockedOr InterlockedXor);
interlocked!(AtomicI64, i64: InterlockedIncrement64 InterlockedDecrement64 InterlockedExchange64
    InterlockedExchangeAdd64 InterlockedCompareExchange64 InterlockedAnd64 InterlockedOr64
    InterlockedXor64);

/// Puts a pointer there; the one before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InterlockedExchangePointer(
    target: *mut *mut c_void,
    value: *mut c_void,
) -> *mut c_void {
    // SAFETY: the program's variable, which is aligned.
    unsafe { AtomicPtr::from_ptr(target) }.swap(value, SeqCst)
}

/// Puts a pointer there if it is the expected one; the one before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InterlockedCompareExchangePointer(
    target: *mut *mut c_void,
    value: *mut c_void,
    expected: *mut c_void,
) -> *mut c_void {
    // SAFETY: the program's variable, which is aligned.
    let target = unsafe { AtomicPtr::from_ptr(target) };
    let (Ok(before) | Err(before)) = target.compare_exchange(expected, value, SeqCst, SeqCst);
    before
}
