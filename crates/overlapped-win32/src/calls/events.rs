//! Winsock's events: those of the system, under other names.

use std::ptr::null_mut;

use smallvec::SmallVec;

use super::{timeout, truth};
use crate::abi::{BOOL, DWORD, FALSE, HANDLE};
use crate::dispatcher::{self, Ended};
use crate::error::{self, Error};
use crate::objects::{Event, Object};
use crate::{apc, handle};

const WSA_MAXIMUM_WAIT_EVENTS: u32 = 64;
const WSA_WAIT_FAILED: u32 = u32::MAX;
const WSA_WAIT_IO_COMPLETION: u32 = 0xc0;
const WSA_WAIT_TIMEOUT: u32 = 258;

/// Makes an event that stays set until it is reset.
#[unsafe(no_mangle)]
pub extern "C" fn WSACreateEvent() -> HANDLE {
    error::or(handle::open(Event::new(true, false)), null_mut())
}

fn with(event: HANDLE, f: impl FnOnce(&Event)) -> BOOL {
    truth(handle::find(event).and_then(|object| {
        f(object.event()?);
        Ok(())
    }))
}

/// Sets an event.
#[unsafe(no_mangle)]
pub extern "C" fn WSASetEvent(event: HANDLE) -> BOOL {
    with(event, Event::set)
}

/// Resets an event.
#[unsafe(no_mangle)]
pub extern "C" fn WSAResetEvent(event: HANDLE) -> BOOL {
    with(event, Event::reset)
}

/// Closes an event.
#[unsafe(no_mangle)]
pub extern "C" fn WSACloseEvent(event: HANDLE) -> BOOL {
    let is_event = handle::find(event).and_then(|object| object.event().map(|_| ()));
    truth(is_event.and_then(|()| handle::close(event)))
}

/// Waits for one of several events, or for all.
///
/// # Safety
///
/// `events` is NULL or valid for `count`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSAWaitForMultipleEvents(
    count: DWORD,
    events: *const HANDLE,
    all: BOOL,
    milliseconds: DWORD,
    alertable: BOOL,
) -> DWORD {
    if events.is_null() || count == 0 || count > WSA_MAXIMUM_WAIT_EVENTS {
        return error::or(Err(Error::INVALID_PARAMETER), WSA_WAIT_FAILED);
    }
    // SAFETY: by the caller's word.
    let handles = unsafe { std::slice::from_raw_parts(events, count as usize) };
    let objects: Result<SmallVec<[Object; 4]>, Error> =
        handles.iter().map(|&event| handle::find(event)).collect();
    let waited = objects.and_then(|objects| {
        let signals: Result<SmallVec<[_; 4]>, Error> =
            objects.iter().map(|object| object.signal()).collect();
        let (all, alertable) = (all != FALSE, alertable != FALSE);
        let ended = dispatcher::wait(&signals?, all, timeout(milliseconds), alertable);
        Ok(match ended {
            Ended::Signalled(place) | Ended::Abandoned(place) => place as u32,
            Ended::TimedOut => WSA_WAIT_TIMEOUT,
            Ended::Alerted => WSA_WAIT_IO_COMPLETION,
        })
    });
    if waited == Ok(WSA_WAIT_IO_COMPLETION) {
        apc::run();
    }
    error::or(waited, WSA_WAIT_FAILED)
}
