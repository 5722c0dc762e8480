//! The exported functions, by subject.
//!
//! What a program has to see to when it calls one is in Microsoft's documentation of it. Null and
//! handles of the wrong kind are errors here, also where Windows would crash.
#![allow(clippy::missing_safety_doc)]

pub mod apc;
pub mod console;
pub mod control;
pub mod events;
pub mod extension;
pub mod files;
pub mod handles;
pub mod heap;
pub mod interlocked;
pub mod io;
pub mod locks;
pub mod messages;
pub mod modules;
pub mod names;
pub mod options;
pub mod pages;
pub mod pool;
pub mod pool_io;
pub mod ports;
pub mod results;
pub mod select;
pub mod services;
pub mod slist;
pub mod sockets;
pub mod strings;
pub mod sync;
pub mod system;
pub mod threads;
pub mod time;
pub mod timers;
pub mod tls;
pub mod transfer;
pub mod waits;
pub mod winsock;
pub mod wsamsg;

use std::sync::Arc;
use std::time::Duration;

use crate::abi::{BOOL, FALSE, HANDLE, INFINITE, OVERLAPPED, SOCKET, SOCKET_ERROR, TRUE};
use crate::error::{self, Error};
use crate::handle;
use crate::objects::operation::{Memory, Told};
use crate::objects::{Notification, Socket};

/// What most calls of Winsock return.
fn zero(result: Result<(), Error>) -> i32 {
    error::or(result.map(|()| 0), SOCKET_ERROR)
}

/// What most others do.
fn truth(result: Result<(), Error>) -> BOOL {
    error::or(result.map(|()| TRUE), FALSE)
}

/// The socket that a program means.
fn socket(socket: SOCKET) -> Result<Arc<Socket>, Error> {
    handle::look(socket as HANDLE, |object| object.socket().cloned())
        .map_err(|_| Error::WSAENOTSOCK)?
}

/// A time-out; `None` is for ever.
fn timeout(milliseconds: u32) -> Option<Duration> {
    (milliseconds != INFINITE).then(|| Duration::from_millis(milliseconds.into()))
}

/// A call that was overlapped has ended before it returns, and is told of as others are (PK-4).
///
/// # Safety
///
/// `overlapped` is valid.
unsafe fn ended_at_once(
    notification: &Arc<Notification>,
    overlapped: *mut OVERLAPPED,
    bytes: usize,
) -> Result<(), Error> {
    // SAFETY: by the caller's word.
    let told = unsafe {
        let told = Told::of(overlapped)?;
        (*overlapped).InternalHigh = bytes;
        (*overlapped).Internal = 0;
        told
    };
    let mut memory = Memory::posted(overlapped, 0, bytes);
    match told {
        Some(told) => told.prepare(&mut memory),
        None => notification.begin(),
    }
    let more = memory.more();
    more.no_packet |= notification.skips_port();
    more.notification = Some(notification.clone());
    memory.tell();
    Ok(())
}
