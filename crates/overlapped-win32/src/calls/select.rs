//! `select`, on sets of sockets.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::socket;
use crate::abi::{SOCKET, SOCKET_ERROR};
use crate::error::{self, Error};
use crate::net::types::{fd_set, timeval};
use crate::objects::Socket;
use crate::objects::socket::{self, Flag, Polled};

/// One socket of one of the sets.
struct Asked {
    set: usize,
    handle: SOCKET,
    socket: Arc<Socket>,
    connecting: bool,
    fd: OwnedFd,
}

/// Waits until one of the sockets is ready, and leaves those in the sets. The sets may be as long as
/// the program likes.
///
/// # Safety
///
/// The pointers are NULL or valid; the arrays as long as their counts say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_select(
    _count: i32,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *const timeval,
) -> i32 {
    let mut timeout_of = None;
    if !timeout.is_null() {
        // SAFETY: by the caller's word.
        let time = unsafe { *timeout };
        let seconds = Duration::from_secs(time.tv_sec.max(0) as u64);
        timeout_of = Some(seconds + Duration::from_micros(time.tv_usec.max(0) as u64));
    }
    // SAFETY: by the caller's word.
    error::or(
        unsafe { select([read, write, except], timeout_of) },
        SOCKET_ERROR,
    )
}

unsafe fn select(sets: [*mut fd_set; 3], timeout: Option<Duration>) -> Result<i32, Error> {
    let mut asked = Vec::new();
    for (set, &sockets) in sets.iter().enumerate() {
        // SAFETY: by the caller's word.
        for &s in unsafe { members(sockets) } {
            let socket = socket(s)?;
            let fd = socket.with_fd(|fd| fd.try_clone_to_owned())?;
            asked.push(Asked {
                set,
                handle: s,
                connecting: socket.has(Flag::CONNECTING),
                socket,
                fd: fd.map_err(|_| Error::WSAENOBUFS)?,
            });
        }
    }
    if asked.is_empty() {
        return Err(Error::WSAEINVAL);
    }
    let mut fds: Vec<libc::pollfd> = asked
        .iter()
        .map(|asked| {
            let events = [libc::POLLIN, libc::POLLOUT, libc::POLLPRI][asked.set];
            socket::entry(asked.fd.as_fd(), events)
        })
        .collect();
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let sockets: Vec<&Socket> = asked.iter().map(|asked| &*asked.socket).collect();
    if socket::poll(&sockets, &mut fds, deadline)? == Polled::Closed {
        return Err(Error::WSAENOTSOCK);
    }
    let mut ready = [const { Vec::new() }; 3];
    for (asked, polled) in asked.iter().zip(&fds) {
        if is_ready(asked, polled.revents) {
            ready[asked.set].push(asked.handle);
        }
    }
    let mut count = 0;
    for (&set, ready) in sets.iter().zip(&ready) {
        if set.is_null() {
            continue;
        }
        count += ready.len();
        // SAFETY: there are at most as many as there were.
        unsafe {
            (&raw mut (*set).fd_array)
                .cast::<SOCKET>()
                .copy_from(ready.as_ptr(), ready.len());
            (*set).fd_count = ready.len() as u32;
        }
    }
    Ok(count as i32)
}

fn is_ready(asked: &Asked, polled: i16) -> bool {
    let has = |events| polled & events != 0;
    let broken = has(libc::POLLERR | libc::POLLHUP | libc::POLLNVAL);
    match (asked.set, asked.connecting) {
        // A connect that failed is an exception, and not writable.
        (1, true) => has(libc::POLLOUT) && !has(libc::POLLERR),
        (2, true) => has(libc::POLLERR),
        (0, _) => has(libc::POLLIN) || broken,
        (1, _) => has(libc::POLLOUT) || broken,
        _ => has(libc::POLLPRI),
    }
}

/// # Safety
///
/// `set` is NULL, or valid and as long as its count says.
unsafe fn members<'a>(set: *mut fd_set) -> &'a [SOCKET] {
    if set.is_null() {
        return &[];
    }
    // SAFETY: by the caller's word; the array may be longer than the type says.
    unsafe {
        let array = (&raw const (*set).fd_array).cast();
        std::slice::from_raw_parts(array, (*set).fd_count as usize)
    }
}

/// Whether a socket is in a set.
///
/// # Safety
///
/// `set` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __WSAFDIsSet(s: SOCKET, set: *mut fd_set) -> i32 {
    // SAFETY: by the caller's word.
    unsafe { members(set) }.contains(&s).into()
}
