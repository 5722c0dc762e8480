//! Events, mutexes, semaphores, and waits.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

use crate::abi::{BOOL, FALSE, HANDLE, TRUE};
use crate::error;
use crate::handle;
use crate::objects::Event;

/// Makes an event.
#[unsafe(no_mangle)]
pub extern "C" fn CreateEventA(
    _attributes: *mut c_void,
    manual_reset: BOOL,
    initially_set: BOOL,
    _name: *const c_char,
) -> HANDLE {
    let event = Event::new(manual_reset != FALSE, initially_set != FALSE);
    error::or(handle::open(event), null_mut())
}

/// Sets an event.
#[unsafe(no_mangle)]
pub extern "C" fn SetEvent(event: HANDLE) -> BOOL {
    let result = handle::find(event).and_then(|object| {
        object.event()?.set();
        Ok(TRUE)
    });
    error::or(result, FALSE)
}
