//! Chapters 2 and 4: completion routines, alertable waits, and the thread pool's I/O.

use std::cell::RefCell;
use std::ffi::{CString, c_void};
use std::io::Write;
use std::ptr::null_mut;
use std::sync::Mutex;

use overlapped_win32::abi::{HANDLE, OVERLAPPED, OVERLAPPED_ENTRY, SOCKET, WSABUF};
use overlapped_win32::calls::apc::QueueUserAPC;
use overlapped_win32::calls::files::{CreateFileA, ReadFileEx};
use overlapped_win32::calls::pool_io::*;
use overlapped_win32::calls::threads::GetCurrentThread;
use overlapped_win32::calls::waits::SleepEx;

use crate::world::*;

const WAIT_IO_COMPLETION: u32 = 192;

thread_local! {
    /// What routines were called with on this thread.
    static CALLS: RefCell<Vec<(u32, u32, usize)>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C" fn routine(error: u32, bytes: u32, overlapped: *mut OVERLAPPED, flags: u32) {
    assert_eq!(flags, 0);
    CALLS.with_borrow_mut(|calls| calls.push((error, bytes, overlapped as usize)));
}

unsafe extern "C" fn file_routine(error: u32, bytes: u32, overlapped: *mut OVERLAPPED) {
    CALLS.with_borrow_mut(|calls| calls.push((error, bytes, overlapped as usize)));
}

unsafe extern "C-unwind" fn noted(parameter: usize) {
    CALLS.with_borrow_mut(|calls| calls.push((0, 0, parameter)));
}

fn calls() -> Vec<(u32, u32, usize)> {
    CALLS.take()
}

fn queue_apc(parameter: usize) {
    // SAFETY: the routine takes any number.
    let queued = unsafe { QueueUserAPC(Some(noted), GetCurrentThread(), parameter) };
    assert_ne!(queued, 0);
}

fn recv_with_routine(
    socket: SOCKET,
    room: &mut [u8],
    overlapped: &mut OVERLAPPED,
) -> Result<u32, u32> {
    let mut piece = WSABUF {
        len: room.len() as u32,
        buf: room.as_mut_ptr(),
    };
    let (mut bytes, mut flags) = (UNTOUCHED, 0);
    // SAFETY: the tests keep room and structure until the end.
    let result = unsafe {
        WSARecv(
            socket,
            &mut piece,
            1,
            &mut bytes,
            &mut flags,
            overlapped,
            Some(routine),
        )
    };
    if result == 0 {
        Ok(bytes)
    } else {
        Err(GetLastError())
    }
}

#[test]
fn ap_1_routines_run_in_alertable_waits_of_their_thread() {
    let (socket, mut peer) = connected();
    let mut ovs: Vec<_> = (0..3).map(|_| overlapped()).collect();
    let mut rooms = [[0; 1]; 3];
    let event = event(true, false);
    for (ov, room) in ovs.iter_mut().zip(&mut rooms) {
        ov.hEvent = event;
        assert_eq!(recv_with_routine(socket, room, ov), PENDING);
    }
    peer.write_all(b"abc").unwrap();
    while calls_so_far() < 3 {
        assert_eq!(SleepEx(WATCHDOG, 1), WAIT_IO_COMPLETION);
    }
    let mut called = calls();
    called.sort_by_key(|&(_, _, overlapped)| {
        ovs.iter()
            .position(|ov| &raw const **ov as usize == overlapped)
    });
    for ((error, bytes, overlapped), ov) in called.into_iter().zip(&ovs) {
        assert_eq!((error, bytes), (0, 1));
        assert_eq!(overlapped, &raw const **ov as usize);
        assert_eq!(ov.Internal, 0);
    }
    // AP-2: in the order of the calls.
    assert_eq!(rooms.concat(), b"abc");
    // The event is not for this.
    assert_eq!(
        overlapped_win32::calls::waits::WaitForSingleObject(event, 0),
        258
    );
    close(socket);
    close_handle(event);
}

fn calls_so_far() -> usize {
    CALLS.with_borrow(Vec::len)
}

#[test]
fn ap_1_a_routine_is_told_of_a_cancel() {
    let (socket, _peer) = connected();
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv_with_routine(socket, &mut room, &mut ov), PENDING);
    assert_eq!(CancelIoEx(socket as HANDLE, &mut *ov), 1);
    assert_eq!(SleepEx(WATCHDOG, 1), WAIT_IO_COMPLETION);
    assert_eq!(
        calls(),
        [(ERROR_OPERATION_ABORTED, 0, &raw const *ov as usize)]
    );
    close(socket);
}

#[test]
fn po_11_an_associated_socket_has_no_routines() {
    let (port, socket, _peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(
        recv_with_routine(socket, &mut room, &mut ov),
        Err(WSAEINVAL)
    );
    assert_eq!(SleepEx(0, 1), 0);
    nothing(port);
    close(socket);
    close_handle(port);
}

#[test]
fn po_10_a_routine_stays_one_when_the_socket_is_associated_later() {
    let (socket, mut peer) = connected();
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv_with_routine(socket, &mut room, &mut ov), PENDING);
    let port = port();
    associate(socket, port, 1);
    peer.write_all(b"x").unwrap();
    assert_eq!(SleepEx(WATCHDOG, 1), WAIT_IO_COMPLETION);
    assert_eq!(calls().len(), 1);
    nothing(port);
    close(socket);
    close_handle(port);
}

#[test]
fn ap_1_files_have_routines_too() {
    let path = std::env::temp_dir().join(format!("overlapped-win32-ex-{}", std::process::id()));
    std::fs::write(&path, b"0123").unwrap();
    let name = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the name ends with a zero; room and structure live until the end.
    let file = unsafe {
        let (read, existing, overlapped) = (0x8000_0000, 3, 0x4000_0000);
        CreateFileA(
            name.as_ptr(),
            read,
            0,
            null_mut(),
            existing,
            overlapped,
            null_mut(),
        )
    };
    let (mut ov, mut room) = (overlapped(), [0u8; 8]);
    ov.Offset = 1;
    // SAFETY: as above.
    let started = unsafe {
        ReadFileEx(
            file,
            room.as_mut_ptr().cast(),
            8,
            &mut *ov,
            Some(file_routine),
        )
    };
    assert_eq!(started, 1);
    assert_eq!(SleepEx(WATCHDOG, 1), WAIT_IO_COMPLETION);
    assert_eq!(calls(), [(0, 3, &raw const *ov as usize)]);
    assert_eq!(&room[..3], b"123");
    close_handle(file);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn ap_2_a_blocking_receive_that_waits_is_alertable() {
    let (socket, mut peer) = connected();
    queue_apc(5);
    peer.write_all(b"x").unwrap();
    // There is something: it does not wait.
    until(|| {
        let mut waiting = 0;
        // FIONREAD
        // SAFETY: it is a number.
        unsafe { ioctlsocket(socket, 0x4004_667f, &mut waiting) };
        waiting == 1
    });
    assert_eq!(recv_now(socket, &mut [0; 8]), Ok(1));
    assert_eq!(calls(), []);
    let writes = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        peer.write_all(b"yz").unwrap();
        peer
    });
    assert_eq!(recv_now(socket, &mut [0; 8]), Ok(2));
    assert_eq!(calls(), [(0, 0, 5)]);
    drop(writes.join().unwrap());
    close(socket);
}

/// One `GetQueuedCompletionStatusEx`: how many packets, or the error.
fn get_many(port: HANDLE, milliseconds: u32, alertable: bool) -> Result<u32, u32> {
    let mut entries = Vec::<OVERLAPPED_ENTRY>::with_capacity(8);
    let mut taken = UNTOUCHED;
    // SAFETY: there is room for so many.
    let ok = unsafe {
        let to = entries.as_mut_ptr();
        GetQueuedCompletionStatusEx(port, to, 8, &mut taken, milliseconds, alertable.into())
    };
    if ok != 0 {
        Ok(taken)
    } else {
        Err(GetLastError())
    }
}

#[test]
fn gx_5_gx_6_gx_7_calls_and_packets() {
    let port = port();
    let handle = port as usize;
    std::thread::spawn(move || {
        let port = handle as HANDLE;
        let post = || assert_eq!(PostQueuedCompletionStatus(port, 0, 0, null_mut()), 1);
        // GX-6: not the port's thread yet, and the call goes first.
        post();
        queue_apc(1);
        assert_eq!(get_many(port, 0, true), Err(WAIT_IO_COMPLETION));
        assert_eq!(calls(), [(0, 0, 1)]);
        // GX-5
        queue_apc(2);
        assert_eq!(get_many(port, 0, false), Ok(1));
        assert_eq!(get_many(port, 0, false), Err(WAIT_TIMEOUT));
        assert_eq!(calls(), []);
        // GX-7: now it is, and packets go first.
        post();
        assert_eq!(get_many(port, WATCHDOG, true), Ok(1));
        assert_eq!(calls(), []);
        assert_eq!(get_many(port, WATCHDOG, true), Err(WAIT_IO_COMPLETION));
        assert_eq!(calls(), [(0, 0, 2)]);
        assert_eq!(get_many(port, 0, true), Err(WAIT_TIMEOUT));
    })
    .join()
    .unwrap();
    close_handle(port);
}

#[test]
fn gx_4_a_call_that_comes_later_ends_the_wait() {
    let port = port();
    for others in [0, 1] {
        // With another thread there, one of the two leads and the other one follows.
        let handle = port as usize;
        let also: Vec<_> = (0..others)
            .map(|_| std::thread::spawn(move || get(handle as HANDLE).key))
            .collect();
        let (socket, mut peer) = connected();
        let waits = std::thread::spawn(move || {
            let (mut ov, mut room) = (overlapped(), [0; 8]);
            assert_eq!(recv_with_routine(socket, &mut room, &mut ov), PENDING);
            peer.write_all(b"x").unwrap();
            let result = get_many(handle as HANDLE, WATCHDOG, true);
            (result, calls().len())
        });
        assert_eq!(waits.join().unwrap(), (Err(WAIT_IO_COMPLETION), 1));
        close(socket);
        for other in also {
            assert_eq!(PostQueuedCompletionStatus(port, 0, 9, null_mut()), 1);
            assert_eq!(other.join().unwrap(), 9);
        }
    }
    close_handle(port);
}

// ---- the thread pool ---------------------------------------------------------------------------

static BOUND: Mutex<Vec<(u32, u32, usize)>> = Mutex::new(Vec::new());

unsafe extern "C" fn bound(error: u32, bytes: u32, overlapped: *mut OVERLAPPED) {
    BOUND
        .lock()
        .unwrap()
        .push((error, bytes, overlapped as usize));
}

#[test]
fn tp_1_a_function_is_called_with_the_packets() {
    let (socket, mut peer) = connected();
    let file = socket as HANDLE;
    for (routine, flags) in [(None, 0), (Some(bound as _), 1)] {
        assert_eq!(BindIoCompletionCallback(file, routine, flags), 0);
        assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    }
    assert_eq!(BindIoCompletionCallback(file, Some(bound), 0), 1);
    assert_eq!(BindIoCompletionCallback(file, Some(bound), 0), 0);
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"abc").unwrap();
    let expected = (0, 3, &raw const *ov as usize);
    until(|| BOUND.lock().unwrap().contains(&expected));
    close(socket);
}

unsafe extern "C" fn pooled(
    _instance: *mut c_void,
    context: *mut c_void,
    _overlapped: *mut OVERLAPPED,
    result: u32,
    bytes: usize,
    io: *mut c_void,
) {
    assert!(!io.is_null());
    // SAFETY: the test's, until it has waited.
    let calls = unsafe { &*context.cast::<Mutex<Vec<(u32, usize)>>>() };
    calls.lock().unwrap().push((result, bytes));
}

#[test]
fn tp_2_the_pool_counts_what_is_to_come() {
    let (socket, mut peer) = connected();
    let seen: Mutex<Vec<(u32, usize)>> = Mutex::default();
    let context = (&raw const seen).cast_mut().cast();
    let io = CreateThreadpoolIo(socket as HANDLE, Some(pooled), context, null_mut());
    assert!(!io.is_null());
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    // SAFETY: the object is open until the end.
    unsafe {
        StartThreadpoolIo(io);
        assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
        peer.write_all(b"abc").unwrap();
        WaitForThreadpoolIoCallbacks(io, 0);
        assert_eq!(*seen.lock().unwrap(), [(0, 3)]);
        // Started and taken back: nothing to wait for.
        StartThreadpoolIo(io);
        CancelThreadpoolIo(io);
        WaitForThreadpoolIoCallbacks(io, 0);
        // Taken back once too often: the next packet is dropped.
        CancelThreadpoolIo(io);
        StartThreadpoolIo(io);
        assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
        peer.write_all(b"d").unwrap();
        until(|| ov_ended(&ov));
        // Not waited for any more.
        WaitForThreadpoolIoCallbacks(io, 1);
        assert_eq!(seen.lock().unwrap().len(), 1);
        CloseThreadpoolIo(io);
    }
    close(socket);
}

fn ov_ended(ov: &OVERLAPPED) -> bool {
    // SAFETY: it is there, and written by another thread.
    unsafe { (&raw const ov.Internal).read_volatile() != STATUS_PENDING }
}
