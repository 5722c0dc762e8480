//! What an `AcceptEx` has to do with the socket that it is for.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use overlapped_core::{Endpoint, Status};

use super::place::Place;
use super::{Flag, Socket};
use crate::error::Error;
use crate::net::Any;

/// Behind the data of a connection's first receive are its addresses, in our own form: the length,
/// then the address itself, this far behind (AX-2).
pub(crate) const ADDRESS_AT: usize = 16;

/// An `AcceptEx` that is under way.
pub(crate) struct Accepting {
    target: Arc<Socket>,
    buffer: *mut u8,
    /// The lengths of the three parts of the buffer.
    received: u32,
    local: u32,
    remote: u32,
}

impl Accepting {
    /// Claims `target` for an accept (AX-1).
    pub(crate) fn new(
        listener: &Arc<Socket>,
        target: Arc<Socket>,
        buffer: *mut u8,
        [received, local, remote]: [u32; 3],
    ) -> Result<Accepting, Error> {
        let taken = Flag::BOUND.0 | Flag::LISTENING.0 | Flag::ACCEPTING.0;
        if !target.is_stream() || target.is_connected() || target.family() != listener.family() {
            return Err(Error::WSAEINVAL);
        }
        use std::sync::atomic::Ordering::AcqRel;
        let before = target.flags.fetch_or(Flag::ACCEPTING.0, AcqRel);
        if before & taken != 0 {
            if before & Flag::ACCEPTING.0 == 0 {
                target.clear(Flag::ACCEPTING);
            }
            return Err(Error::WSAEINVAL);
        }
        *target.listener() = Arc::downgrade(listener);
        Ok(Accepting {
            target,
            buffer,
            received,
            local,
            remote,
        })
    }

    /// Whether the buffer has room for the addresses (AX-3).
    pub(crate) fn has_room(&self) -> bool {
        let needed = ADDRESS_AT as u32
            + match self.target.family() {
                libc::AF_INET => 16,
                libc::AF_INET6 => 28,
                _ => 110,
            };
        (self.local == 0 || self.local >= needed) && self.remote >= needed
    }

    pub(crate) fn is_for(&self, target: &Arc<Socket>) -> bool {
        Arc::ptr_eq(&self.target, target)
    }

    /// The accept has ended: puts the connection where it belongs.
    pub(crate) fn finish(
        self,
        endpoint: Option<Endpoint>,
        status: Status,
        bytes: usize,
    ) -> (Status, usize) {
        let Some(endpoint) = endpoint else {
            return match status.is_success() {
                // It was only waited for, since it could not be told where it comes from.
                true => (Status::BUFFER_TOO_SMALL, 0),
                false => (status, bytes),
            };
        };
        let names = [
            (0, self.local, libc::getsockname as Ask),
            (self.local, self.remote, libc::getpeername),
        ];
        let fd = {
            use std::os::fd::AsRawFd;
            endpoint
                .os()
                .expect("the core's are the system's")
                .as_raw_fd()
        };
        for (at, room, ask) in names {
            // A peer that has reset the connection meanwhile has no name.
            let ask = |to: *mut libc::sockaddr, length: *mut libc::socklen_t| {
                // SAFETY: the socket is open, and there is room.
                unsafe { ask(fd, to, length) }
            };
            let address = Any::filled_by(ask).unwrap_or(Any::empty());
            if room as usize >= ADDRESS_AT {
                // SAFETY: the program gave a buffer of these lengths until now, and the address is
                // not longer than the room, as was seen before.
                unsafe {
                    let to = self.buffer.add(self.received as usize + at as usize);
                    let length = crate::net::write_length(&address, to.add(ADDRESS_AT));
                    to.cast::<u32>().write_unaligned(length as u32);
                }
            }
        }
        if self.target.replace(endpoint).is_err() {
            return (Status::CONNECTION_ABORTED, 0);
        }
        self.target.set(Flag::ACCEPTED);
        self.target.note_connected();
        (status, bytes)
    }
}

type Ask = unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;

impl Drop for Accepting {
    fn drop(&mut self) {
        *self.target.listener() = Weak::new();
        self.target.clear(Flag::ACCEPTING);
    }
}

impl Socket {
    fn listener(&self) -> std::sync::MutexGuard<'_, Weak<Socket>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket is closed: an accept that was to put a connection here ends (AX-8).
    pub(super) fn stop_accepting(self: &Arc<Self>) {
        let listener = self.listener().upgrade();
        if let Some(listener) = listener {
            listener.cancel_those(|memory| memory.is_accepting_for(self));
        }
    }

    /// An accept has been started for it. Had it been closed before, the accept was not there to be ended,
    /// and would take a connection that nobody gets.
    pub(crate) fn stop_accepting_if_closed(self: &Arc<Self>) {
        if matches!(*self.place(), Place::Closed) {
            self.stop_accepting();
        }
    }

    /// For how long a connection has been there that is to be put here with its first data (AX-4).
    pub(super) fn accepted_for(self: &Arc<Self>) -> Option<Duration> {
        let listener = self.listener().upgrade()?;
        let is_it = |operation: &overlapped_core::Operation| {
            super::Memory::look(operation).is_accepting_for(self)
        };
        listener.seated()?.awaited_for(is_it)
    }
}
