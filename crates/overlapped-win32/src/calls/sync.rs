//! Events, mutexes, semaphores.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;
use std::time::Duration;

use crate::abi::{BOOL, DWORD, FALSE, HANDLE, LONG, TRUE, WCHAR};
use crate::error::{self, Error};
use crate::objects::{Event, Mutex, Object, Semaphore};
use crate::{dispatcher, handle, names, text};

const CREATE_EVENT_MANUAL_RESET: DWORD = 1;
const CREATE_EVENT_INITIAL_SET: DWORD = 2;
const CREATE_MUTEX_INITIAL_OWNER: DWORD = 1;

fn create_event(manual_reset: bool, set: bool, name: Option<String>) -> HANDLE {
    error::or(
        names::create(name, Event::new(manual_reset, set)),
        null_mut(),
    )
}

/// Makes an event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateEventA(
    _attributes: *mut c_void,
    manual_reset: BOOL,
    initially_set: BOOL,
    name: *const c_char,
) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::ansi(name) };
    create_event(manual_reset != FALSE, initially_set != FALSE, name)
}

/// Makes an event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateEventW(
    _attributes: *mut c_void,
    manual_reset: BOOL,
    initially_set: BOOL,
    name: *const WCHAR,
) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::wide(name) };
    create_event(manual_reset != FALSE, initially_set != FALSE, name)
}

/// Makes an event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateEventExA(
    _attributes: *mut c_void,
    name: *const c_char,
    flags: DWORD,
    _access: DWORD,
) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::ansi(name) };
    let has = |flag| flags & flag != 0;
    create_event(
        has(CREATE_EVENT_MANUAL_RESET),
        has(CREATE_EVENT_INITIAL_SET),
        name,
    )
}

/// Makes an event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateEventExW(
    _attributes: *mut c_void,
    name: *const WCHAR,
    flags: DWORD,
    _access: DWORD,
) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::wide(name) };
    let has = |flag| flags & flag != 0;
    create_event(
        has(CREATE_EVENT_MANUAL_RESET),
        has(CREATE_EVENT_INITIAL_SET),
        name,
    )
}

/// Another handle for an event of this process that has a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OpenEventA(_access: DWORD, _inherit: BOOL, name: *const c_char) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::ansi(name) };
    let event = names::open(name, |object| matches!(object, Object::Event(_)));
    error::or(event, null_mut())
}

/// Another handle for an event of this process that has a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OpenEventW(_access: DWORD, _inherit: BOOL, name: *const WCHAR) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::wide(name) };
    let event = names::open(name, |object| matches!(object, Object::Event(_)));
    error::or(event, null_mut())
}

fn with_event(event: HANDLE, f: impl FnOnce(&Event)) -> BOOL {
    let result = handle::find(event).and_then(|object| {
        f(object.event()?);
        Ok(TRUE)
    });
    error::or(result, FALSE)
}

/// Sets an event.
#[unsafe(no_mangle)]
pub extern "C" fn SetEvent(event: HANDLE) -> BOOL {
    with_event(event, Event::set)
}

/// Resets an event.
#[unsafe(no_mangle)]
pub extern "C" fn ResetEvent(event: HANDLE) -> BOOL {
    with_event(event, Event::reset)
}

/// Ends the waits for an event that are there now.
#[unsafe(no_mangle)]
pub extern "C" fn PulseEvent(event: HANDLE) -> BOOL {
    with_event(event, Event::pulse)
}

fn create_mutex(owned: bool, name: Option<String>) -> HANDLE {
    let result = names::create(name, Mutex::new()).and_then(|handle| {
        // One that was there already is not taken.
        if owned && error::last() == Error::SUCCESS.0 {
            let mutex = handle::find(handle)?;
            dispatcher::wait(&[mutex.signal()?], false, Some(Duration::ZERO), false);
        }
        Ok(handle)
    });
    error::or(result, null_mut())
}

/// Makes a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateMutexA(
    _attributes: *mut c_void,
    owned: BOOL,
    name: *const c_char,
) -> HANDLE {
    // SAFETY: a string of the program's.
    create_mutex(owned != FALSE, unsafe { text::ansi(name) })
}

/// Makes a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateMutexW(
    _attributes: *mut c_void,
    owned: BOOL,
    name: *const WCHAR,
) -> HANDLE {
    // SAFETY: a string of the program's.
    create_mutex(owned != FALSE, unsafe { text::wide(name) })
}

/// Makes a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateMutexExA(
    _attributes: *mut c_void,
    name: *const c_char,
    flags: DWORD,
    _access: DWORD,
) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::ansi(name) };
    create_mutex(flags & CREATE_MUTEX_INITIAL_OWNER != 0, name)
}

/// Makes a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateMutexExW(
    _attributes: *mut c_void,
    name: *const WCHAR,
    flags: DWORD,
    _access: DWORD,
) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::wide(name) };
    create_mutex(flags & CREATE_MUTEX_INITIAL_OWNER != 0, name)
}

/// Another handle for a mutex of this process that has a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OpenMutexA(_access: DWORD, _inherit: BOOL, name: *const c_char) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::ansi(name) };
    let mutex = names::open(name, |object| matches!(object, Object::Mutex(_)));
    error::or(mutex, null_mut())
}

/// Another handle for a mutex of this process that has a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OpenMutexW(_access: DWORD, _inherit: BOOL, name: *const WCHAR) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::wide(name) };
    let mutex = names::open(name, |object| matches!(object, Object::Mutex(_)));
    error::or(mutex, null_mut())
}

/// Gives back a mutex once.
#[unsafe(no_mangle)]
pub extern "C" fn ReleaseMutex(mutex: HANDLE) -> BOOL {
    let result = handle::find(mutex).and_then(|object| match object {
        Object::Mutex(mutex) => mutex.release(),
        _ => Err(Error::INVALID_HANDLE),
    });
    error::or(result.map(|()| TRUE), FALSE)
}

fn create_semaphore(count: LONG, most: LONG, name: Option<String>) -> HANDLE {
    let result = Semaphore::new(count, most).and_then(|semaphore| names::create(name, semaphore));
    error::or(result, null_mut())
}

/// Makes a semaphore.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateSemaphoreA(
    _attributes: *mut c_void,
    count: LONG,
    most: LONG,
    name: *const c_char,
) -> HANDLE {
    // SAFETY: a string of the program's.
    create_semaphore(count, most, unsafe { text::ansi(name) })
}

/// Makes a semaphore.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateSemaphoreW(
    _attributes: *mut c_void,
    count: LONG,
    most: LONG,
    name: *const WCHAR,
) -> HANDLE {
    // SAFETY: a string of the program's.
    create_semaphore(count, most, unsafe { text::wide(name) })
}

/// Makes a semaphore.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateSemaphoreExA(
    _attributes: *mut c_void,
    count: LONG,
    most: LONG,
    name: *const c_char,
    _flags: DWORD,
    _access: DWORD,
) -> HANDLE {
    // SAFETY: a string of the program's.
    create_semaphore(count, most, unsafe { text::ansi(name) })
}

/// Makes a semaphore.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateSemaphoreExW(
    _attributes: *mut c_void,
    count: LONG,
    most: LONG,
    name: *const WCHAR,
    _flags: DWORD,
    _access: DWORD,
) -> HANDLE {
    // SAFETY: a string of the program's.
    create_semaphore(count, most, unsafe { text::wide(name) })
}

/// Another handle for a semaphore of this process that has a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OpenSemaphoreA(
    _access: DWORD,
    _inherit: BOOL,
    name: *const c_char,
) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::ansi(name) };
    let semaphore = names::open(name, |object| matches!(object, Object::Semaphore(_)));
    error::or(semaphore, null_mut())
}

/// Another handle for a semaphore of this process that has a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OpenSemaphoreW(
    _access: DWORD,
    _inherit: BOOL,
    name: *const WCHAR,
) -> HANDLE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::wide(name) };
    let semaphore = names::open(name, |object| matches!(object, Object::Semaphore(_)));
    error::or(semaphore, null_mut())
}

/// Adds to a semaphore's count.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ReleaseSemaphore(
    semaphore: HANDLE,
    more: LONG,
    before: *mut LONG,
) -> BOOL {
    let result = handle::find(semaphore).and_then(|object| match object {
        Object::Semaphore(semaphore) => semaphore.release(more),
        _ => Err(Error::INVALID_HANDLE),
    });
    let result = result.map(|count| {
        // SAFETY: where the program wants the count before.
        unsafe { text::give(before, count) };
        TRUE
    });
    error::or(result, FALSE)
}
