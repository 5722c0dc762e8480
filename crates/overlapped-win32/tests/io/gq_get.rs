//! Chapter 2: getting packets.

use std::io::Write;
use std::ptr::null_mut;

use overlapped_win32::abi::{HANDLE, OVERLAPPED, OVERLAPPED_ENTRY};

use crate::world::*;

/// One `GetQueuedCompletionStatusEx`.
fn get_many(port: HANDLE, most: usize, milliseconds: u32) -> Result<Vec<OVERLAPPED_ENTRY>, u32> {
    let mut entries = Vec::with_capacity(most);
    let mut taken = UNTOUCHED;
    // SAFETY: there is room for so many.
    let ok = unsafe {
        let to = entries.as_mut_ptr();
        let most = most as u32;
        GetQueuedCompletionStatusEx(port, to, most, &mut taken, milliseconds, 0)
    };
    if ok == 0 {
        return Err(GetLastError());
    }
    // SAFETY: so many were written.
    unsafe { entries.set_len(taken as usize) };
    Ok(entries)
}

#[test]
fn gq_1_2a_a_time_out_writes_only_the_null() {
    let port = port();
    assert_eq!(
        get_within(port, 0),
        Got {
            ok: false,
            error: WAIT_TIMEOUT,
            bytes: UNTOUCHED,
            key: UNTOUCHED as usize,
            overlapped: null_mut(),
        }
    );
    assert_eq!(get_within(port, 20).error, WAIT_TIMEOUT);
    close_handle(port);
}

#[test]
fn gq_2a_what_is_no_port_is_named() {
    let port = port();
    close_handle(port);
    let event = event(true, false);
    for no_port in [port, event, null_mut(), usize::MAX as HANDLE] {
        let got = get_within(no_port, WATCHDOG);
        assert_eq!((got.ok, got.error), (false, ERROR_INVALID_HANDLE));
        assert!(got.overlapped.is_null());
        assert_eq!(got.bytes, UNTOUCHED);
        assert_eq!(PostQueuedCompletionStatus(no_port, 0, 0, null_mut()), 0);
        assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
    }
    close_handle(event);
}

#[test]
fn gq_2_2a_success_leaves_the_last_error_and_failure_names_the_operations() {
    let (port, socket, mut peer) = associated(9);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"abc").unwrap();
    assert_eq!(success(port, 9, &ov), 3);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(CancelIoEx(socket as HANDLE, &mut *ov), 1);
    let got = get(port);
    assert_eq!((got.ok, got.error), (false, ERROR_OPERATION_ABORTED));
    assert_eq!((got.bytes, got.key), (0, 9));
    assert!(std::ptr::eq(got.overlapped, &*ov));
    close(socket);
    close_handle(port);
}

#[test]
fn gx_1_a_batch_takes_what_is_there_in_order() {
    let port = port();
    for key in 0..5 {
        assert_eq!(
            PostQueuedCompletionStatus(port, key as u32, key, null_mut()),
            1
        );
    }
    let first = get_many(port, 3, WATCHDOG).unwrap();
    let rest = get_many(port, 100, WATCHDOG).unwrap();
    let keys: Vec<_> = first
        .iter()
        .chain(&rest)
        .map(|entry| (entry.lpCompletionKey, entry.dwNumberOfBytesTransferred))
        .collect();
    assert_eq!(keys, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]);
    assert_eq!(first.len(), 3);
    assert_eq!(get_many(port, 1, 0).err(), Some(WAIT_TIMEOUT));
    close_handle(port);
}

#[test]
fn gx_2_gx_3_a_failed_operation_is_an_entry_with_its_status() {
    let (port, socket, _peer) = associated(4);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(CancelIoEx(socket as HANDLE, null_mut()), 1);
    let entries = get_many(port, 8, WATCHDOG).unwrap();
    let [entry] = &entries[..] else {
        panic!("one operation, one entry");
    };
    assert_eq!(entry.lpCompletionKey, 4);
    assert_eq!(entry.Internal, STATUS_CANCELLED);
    assert_eq!(entry.dwNumberOfBytesTransferred, 0);
    assert!(std::ptr::eq(entry.lpOverlapped, &*ov));
    assert_eq!(ov.Internal, STATUS_CANCELLED);
    close(socket);
    close_handle(port);
}

#[test]
fn gx_4_what_is_wrong_is_named() {
    let port = port();
    assert_eq!(get_many(port, 0, 0).err(), Some(ERROR_INVALID_PARAMETER));
    close_handle(port);
    assert_eq!(get_many(port, 1, 0).err(), Some(ERROR_INVALID_HANDLE));
}

#[test]
fn pq_1_a_post_is_not_interpreted() {
    let port = port();
    let garbage = 0xdead_0001usize as *mut OVERLAPPED;
    for overlapped in [null_mut(), garbage] {
        assert_eq!(
            PostQueuedCompletionStatus(port, 77, usize::MAX, overlapped),
            1
        );
        assert_eq!(
            get(port),
            Got {
                ok: true,
                error: UNTOUCHED,
                bytes: 77,
                key: usize::MAX,
                overlapped,
            }
        );
    }
    close_handle(port);
}

#[test]
fn pq_2_posts_keep_their_order_among_each_other() {
    let port = port();
    for key in 0..1000 {
        PostQueuedCompletionStatus(port, 0, key, null_mut());
    }
    for key in 0..1000 {
        assert_eq!(get(port).key, key);
    }
    close_handle(port);
}

#[test]
fn pq_2_a_post_ends_another_threads_wait() {
    let port = port();
    let handle = port as usize;
    let waits = std::thread::spawn(move || get(handle as HANDLE).key);
    PostQueuedCompletionStatus(port, 0, 3, null_mut());
    assert_eq!(waits.join().unwrap(), 3);
    close_handle(port);
}

#[test]
fn cc_8_a_thread_that_waits_elsewhere_gives_its_place_away() {
    // Room for one.
    let port = CreateIoCompletionPort(usize::MAX as HANDLE, null_mut(), 0, 1);
    let event = event(true, false);
    let (handle, awaited) = (port as usize, event as usize);
    let (say, said) = std::sync::mpsc::channel();
    let first = std::thread::spawn(move || {
        assert_eq!(get(handle as HANDLE).key, 1);
        say.send(()).unwrap();
        // Set by who can only come in because this thread waits.
        let mut ov = overlapped();
        ov.Internal = STATUS_PENDING;
        ov.hEvent = awaited as HANDLE;
        result(null_mut(), &mut ov).unwrap();
    });
    PostQueuedCompletionStatus(port, 0, 1, null_mut());
    said.recv().unwrap();
    PostQueuedCompletionStatus(port, 0, 2, null_mut());
    let second = std::thread::spawn(move || {
        get(handle as HANDLE);
        overlapped_win32::calls::sync::SetEvent(awaited as HANDLE);
    });
    first.join().unwrap();
    second.join().unwrap();
    close_handle(event);
    close_handle(port);
}

#[test]
fn cx_9_closing_the_port_ends_waits() {
    let port = port();
    let handle = port as usize;
    let waits: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(move || {
                let got = get_within(handle as HANDLE, WATCHDOG);
                (got.ok, got.overlapped as usize, got.error)
            })
        })
        .collect();
    // So that they are, probably, waiting.
    std::thread::sleep(std::time::Duration::from_millis(20));
    close_handle(port);
    for wait in waits {
        let (ok, overlapped, error) = wait.join().unwrap();
        assert_eq!((ok, overlapped), (false, 0));
        // The latter if it had not begun to wait.
        assert!([ERROR_ABANDONED_WAIT_0, ERROR_INVALID_HANDLE].contains(&error));
    }
    assert_eq!(CloseHandle(port), 0);
    assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
}

#[test]
fn cx_9_a_duplicate_keeps_the_port() {
    let port = port();
    let other = duplicate(port);
    close_handle(port);
    assert_eq!(PostQueuedCompletionStatus(other, 0, 6, null_mut()), 1);
    assert_eq!(get(other).key, 6);
    close_handle(other);
}
