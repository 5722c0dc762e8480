//! Critical sections, SRW locks, condition variables, one-time initialisation.
//!
//! They live in the program's memory; what zeros mean, and how their words are used, is in the
//! module `locks`.
//!
//! A critical section's `LockCount` is the word of an exclusive lock; the owner's number and how
//! often it entered are where Windows has them. One that is all zeros is free, so also one that was
//! not initialised.
//!
//! What guards a one-time initialisation has its state in the two lowest bits, and the program's
//! context above them:
//!
//! ```text
//! 0 not begun   1 somebody does it, others wait   2 done, with the context   3 any number try it
//! ```

use std::ffi::c_void;
use std::ptr::{from_ref, null_mut};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Instant;

use crate::abi::{
    BOOL, CONDITION_VARIABLE, CRITICAL_SECTION, DWORD, FALSE, INIT_ONCE, SRWLOCK, TRUE, ULONG_PTR,
};
use crate::error::{self, Error};
use crate::locks::{Word, condition, exclusive, shared};
use crate::thread::ThreadId;
use crate::{text, time};

/// A critical section, as it is used here.
#[repr(C)]
struct Section {
    _debug: usize,
    word: AtomicU32,
    /// Only its owner touches it.
    entered: AtomicI32,
    owner: AtomicUsize,
    _semaphore: usize,
    spins: AtomicUsize,
}

const _: () = assert!(size_of::<Section>() == size_of::<CRITICAL_SECTION>());

impl Section {
    /// # Safety
    /// It is a critical section that stays where it is.
    unsafe fn at<'a>(section: *mut CRITICAL_SECTION) -> &'a Self {
        // SAFETY: the caller's promise; all fields are atomic, or are not touched.
        unsafe { &*section.cast::<Section>() }
    }

    /// Whether the calling thread owns it. What others write here is never its own number.
    fn is_mine(&self) -> bool {
        self.owner.load(Relaxed) == ThreadId::current().number() as usize
    }

    fn enter_again(&self) {
        self.entered.store(self.entered.load(Relaxed) + 1, Relaxed);
    }

    fn entered(&self) {
        self.owner
            .store(ThreadId::current().number() as usize, Relaxed);
        self.entered.store(1, Relaxed);
    }
}

/// Initialises a critical section.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitializeCriticalSection(section: *mut CRITICAL_SECTION) {
    // SAFETY: the same call.
    unsafe { InitializeCriticalSectionEx(section, 0, 0) };
}

/// Initialises a critical section.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitializeCriticalSectionAndSpinCount(
    section: *mut CRITICAL_SECTION,
    spins: DWORD,
) -> BOOL {
    // SAFETY: the same call.
    unsafe { InitializeCriticalSectionEx(section, spins, 0) }
}

/// Initialises a critical section. How long it spins is this library's to decide; the count is
/// kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitializeCriticalSectionEx(
    section: *mut CRITICAL_SECTION,
    spins: DWORD,
    _flags: DWORD,
) -> BOOL {
    let new = CRITICAL_SECTION {
        DebugInfo: null_mut(),
        LockCount: 0,
        RecursionCount: 0,
        OwningThread: null_mut(),
        LockSemaphore: null_mut(),
        SpinCount: (spins & 0x00ff_ffff) as ULONG_PTR,
    };
    // SAFETY: the program's memory for one, which nobody uses yet.
    unsafe { section.write(new) };
    TRUE
}

/// Kept; the count before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetCriticalSectionSpinCount(
    section: *mut CRITICAL_SECTION,
    spins: DWORD,
) -> DWORD {
    // SAFETY: the program's critical section.
    let section = unsafe { Section::at(section) };
    section.spins.swap(spins as usize, Relaxed) as DWORD
}

/// Enters a critical section, again if the thread is inside.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn EnterCriticalSection(section: *mut CRITICAL_SECTION) {
    // SAFETY: the program's critical section.
    let section = unsafe { Section::at(section) };
    if section.is_mine() {
        section.enter_again();
    } else {
        exclusive::lock(&section.word);
        section.entered();
    }
}

/// The same, unless another thread is inside.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TryEnterCriticalSection(section: *mut CRITICAL_SECTION) -> BOOL {
    // SAFETY: the program's critical section.
    let section = unsafe { Section::at(section) };
    if section.is_mine() {
        section.enter_again();
    } else if exclusive::try_lock(&section.word) {
        section.entered();
    } else {
        return FALSE;
    }
    TRUE
}

/// Leaves a critical section once. If nobody is inside, nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LeaveCriticalSection(section: *mut CRITICAL_SECTION) {
    // SAFETY: the program's critical section.
    let section = unsafe { Section::at(section) };
    match section.entered.load(Relaxed) {
        ..=0 => {}
        1 => {
            section.entered.store(0, Relaxed);
            section.owner.store(0, Relaxed);
            exclusive::unlock(&section.word);
        }
        times => section.entered.store(times - 1, Relaxed),
    }
}

/// Nothing is left to do: there is only the program's memory.
#[unsafe(no_mangle)]
pub extern "C" fn DeleteCriticalSection(_section: *mut CRITICAL_SECTION) {}

/// # Safety
/// It is an SRW lock that stays where it is.
unsafe fn srw<'a>(lock: *mut SRWLOCK) -> shared::Lock<'a, AtomicU32> {
    // SAFETY: the caller's promise; two words are its size.
    let [state, turn] = unsafe { &*lock.cast::<[AtomicU32; 2]>() };
    shared::Lock { state, turn }
}

/// Initialises an SRW lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitializeSRWLock(lock: *mut SRWLOCK) {
    // SAFETY: the program's memory for one, which nobody uses yet.
    unsafe { lock.write(SRWLOCK { Ptr: null_mut() }) };
}

/// Takes it alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn AcquireSRWLockExclusive(lock: *mut SRWLOCK) {
    // SAFETY: the program's lock.
    unsafe { srw(lock) }.lock();
}

/// Takes it alone if nobody has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TryAcquireSRWLockExclusive(lock: *mut SRWLOCK) -> u8 {
    // SAFETY: the program's lock.
    unsafe { srw(lock) }.try_lock().into()
}

/// Gives it back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ReleaseSRWLockExclusive(lock: *mut SRWLOCK) {
    // SAFETY: the program's lock.
    unsafe { srw(lock) }.unlock();
}

/// Shares it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn AcquireSRWLockShared(lock: *mut SRWLOCK) {
    // SAFETY: the program's lock.
    unsafe { srw(lock) }.lock_shared();
}

/// Shares it if nobody has it alone or waits for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TryAcquireSRWLockShared(lock: *mut SRWLOCK) -> u8 {
    // SAFETY: the program's lock.
    unsafe { srw(lock) }.try_lock_shared().into()
}

/// Gives back its share.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ReleaseSRWLockShared(lock: *mut SRWLOCK) {
    // SAFETY: the program's lock.
    unsafe { srw(lock) }.unlock_shared();
}

/// # Safety
/// It is a condition variable that stays where it is.
unsafe fn variable<'a>(variable: *mut CONDITION_VARIABLE) -> &'a AtomicU32 {
    // SAFETY: the caller's promise; the first word is used.
    unsafe { &*variable.cast::<AtomicU32>() }
}

/// Initialises a condition variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitializeConditionVariable(variable: *mut CONDITION_VARIABLE) {
    // SAFETY: the program's memory for one, which nobody uses yet.
    unsafe { variable.write(CONDITION_VARIABLE { Ptr: null_mut() }) };
}

/// Wakes one that sleeps on it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WakeConditionVariable(condition: *mut CONDITION_VARIABLE) {
    // SAFETY: the program's condition variable.
    condition::wake_one(unsafe { variable(condition) });
}

/// Wakes all that sleep on it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WakeAllConditionVariable(condition: *mut CONDITION_VARIABLE) {
    // SAFETY: the program's condition variable.
    condition::wake_all(unsafe { variable(condition) });
}

/// # Safety
/// It is a condition variable that stays where it is.
unsafe fn sleep(
    condition: *mut CONDITION_VARIABLE,
    timeout: DWORD,
    unlock: impl FnOnce(),
    lock: impl FnOnce(),
) -> BOOL {
    let until = time::timeout(timeout).map(|timeout| Instant::now() + timeout);
    // SAFETY: the caller's promise.
    match condition::sleep(unsafe { variable(condition) }, until, unlock, lock) {
        true => TRUE,
        false => {
            error::set_last(Error::TIMEOUT);
            FALSE
        }
    }
}

/// Leaves a critical section, sleeps until it is woken, and enters again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SleepConditionVariableCS(
    condition: *mut CONDITION_VARIABLE,
    section: *mut CRITICAL_SECTION,
    timeout: DWORD,
) -> BOOL {
    // SAFETY: the program's condition variable and critical section.
    unsafe {
        sleep(
            condition,
            timeout,
            || LeaveCriticalSection(section),
            || EnterCriticalSection(section),
        )
    }
}

/// Gives back an SRW lock, sleeps until it is woken, and takes the lock again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SleepConditionVariableSRW(
    condition: *mut CONDITION_VARIABLE,
    lock: *mut SRWLOCK,
    timeout: DWORD,
    flags: DWORD,
) -> BOOL {
    const CONDITION_VARIABLE_LOCKMODE_SHARED: DWORD = 1;
    // SAFETY: the program's condition variable and lock.
    unsafe {
        let lock = srw(lock);
        match flags & CONDITION_VARIABLE_LOCKMODE_SHARED != 0 {
            true => sleep(
                condition,
                timeout,
                || lock.unlock_shared(),
                || lock.lock_shared(),
            ),
            false => sleep(condition, timeout, || lock.unlock(), || lock.lock()),
        }
    }
}

const STATE: usize = 3;
const FRESH: usize = 0;
const BEGUN: usize = 1;
const DONE: usize = 2;
const TRIED: usize = 3;

const INIT_ONCE_CHECK_ONLY: DWORD = 1;
const INIT_ONCE_ASYNC: DWORD = 2;
const INIT_ONCE_INIT_FAILED: DWORD = 4;

type InitOnce = unsafe extern "C-unwind" fn(*mut INIT_ONCE, *mut c_void, *mut *mut c_void) -> BOOL;

/// # Safety
/// It is one that stays where it is.
unsafe fn once<'a>(once: *mut INIT_ONCE) -> &'a AtomicUsize {
    // SAFETY: the caller's promise.
    unsafe { &*once.cast::<AtomicUsize>() }
}

/// The half that holds the state, for sleeping on.
fn low_half(once: &AtomicUsize) -> &AtomicU32 {
    const { assert!(cfg!(target_endian = "little") && size_of::<usize>() == 8) };
    // SAFETY: it is the first half on this machine, and is only compared and slept on as that.
    unsafe { &*from_ref(once).cast::<AtomicU32>() }
}

/// Initialises what guards a one-time initialisation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitOnceInitialize(once: *mut INIT_ONCE) {
    // SAFETY: the program's memory for one, which nobody uses yet.
    unsafe { once.write(INIT_ONCE { Ptr: null_mut() }) };
}

/// Begins an initialisation, or waits for the one that somebody began; `*pending` if it is the
/// calling thread's to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitOnceBeginInitialize(
    guard: *mut INIT_ONCE,
    flags: DWORD,
    pending: *mut BOOL,
    context: *mut *mut c_void,
) -> BOOL {
    // SAFETY: the program's.
    let word = unsafe { once(guard) };
    let begun = match flags & INIT_ONCE_ASYNC {
        0 => BEGUN,
        _ => TRIED,
    };
    loop {
        let value = word.load(SeqCst);
        let state = value & STATE;
        if state == DONE {
            // SAFETY: where the program wants them.
            unsafe {
                text::give(pending, FALSE);
                text::give(context, (value & !STATE) as *mut c_void);
            }
            return TRUE;
        }
        if flags & INIT_ONCE_CHECK_ONLY != 0 {
            // SAFETY: as above.
            unsafe { text::give(pending, TRUE) };
            error::set_last(Error::GEN_FAILURE);
            return FALSE;
        }
        if state == FRESH {
            if word.compare_exchange(FRESH, begun, SeqCst, SeqCst).is_err() {
                continue;
            }
        } else if state != begun {
            error::set_last(Error::INVALID_PARAMETER);
            return FALSE;
        } else if begun == BEGUN {
            low_half(word).sleep(value as u32, None);
            continue;
        }
        // SAFETY: as above.
        unsafe { text::give(pending, TRUE) };
        return TRUE;
    }
}

/// Ends an initialisation, with its context or as failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitOnceComplete(
    guard: *mut INIT_ONCE,
    flags: DWORD,
    context: *mut c_void,
) -> BOOL {
    // SAFETY: the program's.
    let word = unsafe { once(guard) };
    let begun = match flags & INIT_ONCE_ASYNC {
        0 => BEGUN,
        _ => TRIED,
    };
    let failed = flags & INIT_ONCE_INIT_FAILED != 0;
    let value = match failed {
        true => FRESH,
        false => context as usize | DONE,
    };
    // Of several that try, a failed one says nothing; and the context has to leave room for the
    // state.
    if failed && (begun == TRIED || !context.is_null()) || context as usize & STATE != 0 {
        error::set_last(Error::INVALID_PARAMETER);
        return FALSE;
    }
    if word.compare_exchange(begun, value, SeqCst, SeqCst).is_err() {
        error::set_last(Error::GEN_FAILURE);
        return FALSE;
    }
    low_half(word).wake_all();
    TRUE
}

/// Calls `f` once, however many come here; all return after it did. If it fails, the next one
/// tries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitOnceExecuteOnce(
    guard: *mut INIT_ONCE,
    f: Option<InitOnce>,
    parameter: *mut c_void,
    context: *mut *mut c_void,
) -> BOOL {
    let Some(f) = f else {
        error::set_last(Error::INVALID_PARAMETER);
        return FALSE;
    };
    let mut pending = FALSE;
    let mut value = null_mut();
    // SAFETY: the program's guard, and its routine with what it is given for.
    unsafe {
        if InitOnceBeginInitialize(guard, 0, &mut pending, &mut value) == FALSE {
            return FALSE;
        }
        if pending != FALSE {
            if f(guard, parameter, &mut value) == FALSE {
                InitOnceComplete(guard, INIT_ONCE_INIT_FAILED, null_mut());
                return FALSE;
            }
            if InitOnceComplete(guard, 0, value) == FALSE {
                return FALSE;
            }
        }
        text::give(context, value);
    }
    TRUE
}

/// Sleeps while the value at an address is the one that it is compared with. Of 4 bytes, which the
/// kernel can compare; other sizes are refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WaitOnAddress(
    address: *mut c_void,
    compare: *const c_void,
    size: usize,
    timeout: DWORD,
) -> BOOL {
    if size != 4 || !address.cast::<u32>().is_aligned() || address.is_null() || compare.is_null() {
        error::set_last(Error::INVALID_PARAMETER);
        return FALSE;
    }
    // SAFETY: the program's memory.
    let (word, compare) = unsafe {
        (
            &*address.cast::<AtomicU32>(),
            compare.cast::<u32>().read_unaligned(),
        )
    };
    let until = time::timeout(timeout).map(|timeout| Instant::now() + timeout);
    if word.load(SeqCst) == compare && !word.sleep(compare, until) {
        error::set_last(Error::TIMEOUT);
        return FALSE;
    }
    TRUE
}

/// Wakes one that sleeps on the address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WakeByAddressSingle(address: *mut c_void) {
    // SAFETY: it is a name here.
    unsafe { &*address.cast::<AtomicU32>() }.wake_one();
}

/// Wakes all that sleep on the address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WakeByAddressAll(address: *mut c_void) {
    // SAFETY: it is a name here.
    unsafe { &*address.cast::<AtomicU32>() }.wake_all();
}
