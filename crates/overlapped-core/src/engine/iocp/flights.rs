//! What the system has of a socket's or file's operations.
//!
//! An operation is noted here by the address that the system knows it by, under the lock of its
//! socket or file, from before the call that starts it until its packet is taken. So an address is
//! cancelled only while it is that operation's.

use std::ptr::NonNull;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};

use crate::operation::Header;
use crate::{Kind, Status};

/// The oldest first.
#[derive(Default)]
pub(super) struct Flights(Vec<Flight>);

/// One operation that the system has.
pub(super) struct Flight {
    number: u64,
    address: NonNull<Header>,
    kind: Kind,
    /// It was to end; what for.
    pub(super) ending: Option<Status>,
}

// SAFETY: the address is given to the system, and never followed.
unsafe impl Send for Flight {}

impl Flight {
    /// Asks the system to end it; whether it will, and was not to before.
    fn ask(&mut self, handle: HANDLE, why: Status) -> bool {
        let overlapped: *const OVERLAPPED = self.address.as_ptr().cast();
        // Also if it was asked before: what it would not cancel then it may now.
        // SAFETY: the system compares the address with those that it has.
        let asked = unsafe { CancelIoEx(handle, overlapped) } != 0;
        // Where the system has done its part of a receive from the pool, a buffer is still to be
        // had, which may take its time.
        let ends = (asked || self.kind == Kind::RecvPooled) && self.ending.is_none();
        if ends {
            self.ending = Some(why);
        }
        ends
    }
}

impl Flights {
    /// Notes an operation that is about to be given to the system.
    pub(super) fn board(&mut self, number: u64, address: NonNull<Header>, kind: Kind) {
        let place = self.0.partition_point(|other| other.number < number);
        let flight = Flight {
            number,
            address,
            kind,
            ending: None,
        };
        self.0.insert(place, flight);
    }

    /// It is over, or was not taken.
    pub(super) fn unboard(&mut self, number: u64) -> Option<Flight> {
        self.place(number).map(|place| self.0.remove(place))
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.0
            .binary_search_by_key(&number, |flight| flight.number)
            .ok()
    }

    /// Asks the system to end one; whether it will. `None`: it is not here.
    pub(super) fn end(&mut self, handle: HANDLE, number: u64, why: Status) -> Option<bool> {
        self.place(number)
            .map(|place| self.0[place].ask(handle, why))
    }

    /// Asks for the end of all that `wanted` accepts; how many will end.
    pub(super) fn end_all(
        &mut self,
        handle: HANDLE,
        why: Status,
        wanted: impl Fn(Kind) -> bool,
    ) -> usize {
        self.0
            .iter_mut()
            .filter(|flight| wanted(flight.kind))
            .map(|flight| usize::from(flight.ask(handle, why)))
            .sum()
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.0.iter().map(|flight| flight.kind)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
