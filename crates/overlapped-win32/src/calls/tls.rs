//! Thread-local storage by number.
//!
//! A thread keeps its values with the generation that the slot had then, so that a slot that was
//! freed and given out again is empty everywhere.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use crate::abi::{BOOL, DWORD, FALSE, TRUE};
use crate::error::{self, Error};

/// As many as Windows has: 64, and 1024 that came later.
const SLOTS: usize = 64 + 1024;
const TLS_OUT_OF_INDEXES: DWORD = DWORD::MAX;

type Callback = unsafe extern "C-unwind" fn(*mut c_void);

/// Slots of one sort.
struct Slots {
    /// Odd while a slot is given out.
    generations: [AtomicU32; SLOTS],
    allocation: Mutex<()>,
}

/// What a thread has in them.
type Values = RefCell<Vec<(u32, *mut c_void)>>;

impl Slots {
    const fn new() -> Self {
        Slots {
            generations: [const { AtomicU32::new(0) }; SLOTS],
            allocation: Mutex::new(()),
        }
    }

    fn allocate(&self) -> Result<usize, Error> {
        let _guard = self
            .allocation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_free = |generation: &AtomicU32| generation.load(SeqCst).is_multiple_of(2);
        let slot = self.generations.iter().position(is_free);
        let slot = slot.ok_or(Error::NO_MORE_ITEMS)?;
        self.generations[slot].fetch_add(1, SeqCst);
        Ok(slot)
    }

    fn free(&self, slot: usize) -> Result<(), Error> {
        let _guard = self
            .allocation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.generation(slot)?;
        self.generations[slot].fetch_add(1, SeqCst);
        Ok(())
    }

    /// A slot's generation, if it is given out.
    fn generation(&self, slot: usize) -> Result<u32, Error> {
        let generation = self.generations.get(slot).map(|slot| slot.load(SeqCst));
        generation
            .filter(|generation| generation % 2 == 1)
            .ok_or(Error::INVALID_PARAMETER)
    }

    fn get(&self, slot: usize, values: &Values) -> Result<*mut c_void, Error> {
        let generation = self.generation(slot)?;
        Ok(match values.borrow().get(slot) {
            Some(&(when, value)) if when == generation => value,
            _ => null_mut(),
        })
    }

    fn set(&self, slot: usize, values: &Values, value: *mut c_void) -> Result<(), Error> {
        let generation = self.generation(slot)?;
        let mut values = values.borrow_mut();
        if values.len() <= slot {
            values.resize(slot + 1, (0, null_mut()));
        }
        values[slot] = (generation, value);
        Ok(())
    }
}

static TLS: Slots = Slots::new();
static FLS: Slots = Slots::new();
static CALLBACKS: [AtomicPtr<c_void>; SLOTS] = [const { AtomicPtr::new(null_mut()) }; SLOTS];

thread_local! {
    static TLS_VALUES: Values = const { RefCell::new(Vec::new()) };
    static FLS_VALUES: FlsValues = const { FlsValues(RefCell::new(Vec::new())) };
}

/// Those whose slots may have a callback, which the thread's end calls.
struct FlsValues(Values);

impl Drop for FlsValues {
    fn drop(&mut self) {
        for slot in 0..self.0.borrow().len() {
            let value = FLS.get(slot, &self.0).unwrap_or(null_mut());
            call(slot, value);
        }
    }
}

/// Calls a slot's callback, if it has one and there is a value.
fn call(slot: usize, value: *mut c_void) {
    let callback = CALLBACKS[slot].load(SeqCst);
    if callback.is_null() || value.is_null() {
        return;
    }
    // SAFETY: `FlsAlloc` put it there.
    let callback: Callback = unsafe { std::mem::transmute(callback) };
    // SAFETY: the program gave it for this.
    unsafe { callback(value) };
}

/// Allocates a slot.
#[unsafe(no_mangle)]
pub extern "C" fn TlsAlloc() -> DWORD {
    error::or(TLS.allocate().map(|slot| slot as DWORD), TLS_OUT_OF_INDEXES)
}

/// Frees a slot.
#[unsafe(no_mangle)]
pub extern "C" fn TlsFree(slot: DWORD) -> BOOL {
    error::or(TLS.free(slot as usize).map(|()| TRUE), FALSE)
}

/// The calling thread's value. Clears the last error, because null is a value.
#[unsafe(no_mangle)]
pub extern "C" fn TlsGetValue(slot: DWORD) -> *mut c_void {
    let result = TLS_VALUES
        .try_with(|values| TLS.get(slot as usize, values))
        .unwrap_or(Ok(null_mut()));
    error::set_last(result.err().unwrap_or(Error::SUCCESS));
    result.unwrap_or(null_mut())
}

/// Sets the calling thread's value.
#[unsafe(no_mangle)]
pub extern "C" fn TlsSetValue(slot: DWORD, value: *mut c_void) -> BOOL {
    let result = TLS_VALUES
        .try_with(|values| TLS.set(slot as usize, values, value))
        .unwrap_or(Err(Error::NOT_ENOUGH_MEMORY));
    error::or(result.map(|()| TRUE), FALSE)
}

/// Allocates a slot whose values a callback is given when their thread ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FlsAlloc(callback: Option<Callback>) -> DWORD {
    let result = FLS.allocate().map(|slot| {
        let callback = callback.map_or(null_mut(), |callback| callback as *mut c_void);
        CALLBACKS[slot].store(callback, SeqCst);
        slot as DWORD
    });
    error::or(result, TLS_OUT_OF_INDEXES)
}

/// Frees a slot; the callback gets the calling thread's value, but not those of others.
#[unsafe(no_mangle)]
pub extern "C" fn FlsFree(slot: DWORD) -> BOOL {
    let slot = slot as usize;
    let value = FLS_VALUES
        .try_with(|values| FLS.get(slot, &values.0))
        .unwrap_or(Ok(null_mut()));
    let result = value.and_then(|value| {
        call(slot, value);
        FLS.free(slot)
    });
    error::or(result.map(|()| TRUE), FALSE)
}

/// The calling thread's value. Clears the last error, because null is a value.
#[unsafe(no_mangle)]
pub extern "C" fn FlsGetValue(slot: DWORD) -> *mut c_void {
    let result = FLS_VALUES
        .try_with(|values| FLS.get(slot as usize, &values.0))
        .unwrap_or(Ok(null_mut()));
    error::set_last(result.err().unwrap_or(Error::SUCCESS));
    result.unwrap_or(null_mut())
}

/// Sets the calling thread's value.
#[unsafe(no_mangle)]
pub extern "C" fn FlsSetValue(slot: DWORD, value: *mut c_void) -> BOOL {
    let result = FLS_VALUES
        .try_with(|values| FLS.set(slot as usize, &values.0, value))
        .unwrap_or(Err(Error::NOT_ENOUGH_MEMORY));
    error::or(result.map(|()| TRUE), FALSE)
}
