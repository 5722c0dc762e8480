//! Chapter 5: files, and sockets that are used as such.

use std::ffi::CString;
use std::io::Write;
use std::path::PathBuf;
use std::ptr::null_mut;

use overlapped_win32::abi::{HANDLE, INVALID_HANDLE_VALUE, OVERLAPPED};
use overlapped_win32::calls::files::*;
use overlapped_win32::net::types::TRANSMIT_FILE_BUFFERS;

use crate::world::*;

const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const CREATE_NEW: u32 = 1;
const CREATE_ALWAYS: u32 = 2;
const OPEN_EXISTING: u32 = 3;
const FILE_FLAG_OVERLAPPED: u32 = 0x4000_0000;
const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
const ERROR_HANDLE_EOF: u32 = 38;

/// A path of its own, that is removed afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("overlapped-win32-{name}-{}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }

    fn of(name: &str, content: &[u8]) -> Self {
        let scratch = Self::new(name);
        std::fs::write(&scratch.0, content).unwrap();
        scratch
    }

    fn open(&self, access: u32, disposition: u32, flags: u32) -> HANDLE {
        let name = CString::new(self.0.to_str().unwrap()).unwrap();
        // SAFETY: the name ends with a zero.
        unsafe {
            CreateFileA(
                name.as_ptr(),
                access,
                0,
                null_mut(),
                disposition,
                flags,
                null_mut(),
            )
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn at(offset: u64) -> Box<OVERLAPPED> {
    let mut ov = overlapped();
    (ov.Offset, ov.OffsetHigh) = (offset as u32, (offset >> 32) as u32);
    ov
}

fn read(file: HANDLE, room: &mut [u8], ov: *mut OVERLAPPED) -> Result<u32, u32> {
    let mut bytes = UNTOUCHED;
    // SAFETY: room and structure live until the end.
    let ok = unsafe {
        ReadFile(
            file,
            room.as_mut_ptr().cast(),
            room.len() as u32,
            &mut bytes,
            ov,
        )
    };
    if ok != 0 {
        Ok(bytes)
    } else {
        Err(GetLastError())
    }
}

fn write(file: HANDLE, content: &[u8], ov: *mut OVERLAPPED) -> Result<u32, u32> {
    let mut bytes = UNTOUCHED;
    // SAFETY: as above.
    let ok = unsafe {
        WriteFile(
            file,
            content.as_ptr().cast(),
            content.len() as u32,
            &mut bytes,
            ov,
        )
    };
    if ok != 0 {
        Ok(bytes)
    } else {
        Err(GetLastError())
    }
}

/// Where the file's pointer is.
fn pointer(file: HANDLE) -> i64 {
    let mut at = -1;
    // SAFETY: it is valid.
    assert_ne!(unsafe { SetFilePointerEx(file, 0, &mut at, 1) }, 0);
    at
}

#[test]
fn a_handle_that_only_appends_has_its_pointer_behind_what_it_wrote() {
    const FILE_READ_DATA: u32 = 1;
    const FILE_APPEND_DATA: u32 = 4;
    let scratch = Scratch::of("appends", b"0123456789");
    let file = scratch.open(FILE_READ_DATA | FILE_APPEND_DATA, OPEN_EXISTING, 0);
    assert_ne!(file, INVALID_HANDLE_VALUE);
    let mut room = [0; 4];
    assert_eq!(read(file, &mut room, null_mut()), Ok(4));
    assert_eq!(pointer(file), 4);
    assert_eq!(write(file, b"ab", null_mut()), Ok(2));
    assert_eq!(pointer(file), 12);
    assert_eq!(read(file, &mut room, null_mut()), Ok(0));
    // Wherever an OVERLAPPED says that it is to be.
    assert_eq!(write(file, b"c", &mut *at(2)), Ok(1));
    assert_eq!(pointer(file), 13);
    assert_eq!(read(file, &mut room, &mut *at(9)), Ok(4));
    assert_eq!(&room, b"9abc");
    assert_eq!(pointer(file), 13);
    assert_eq!(write(file, b"d", &mut *at(u64::MAX)), Ok(1));
    assert_eq!(pointer(file), 14);
    close_handle(file);
    assert_eq!(std::fs::read(&scratch.0).unwrap(), b"0123456789abcd");
}

#[test]
fn io_18_reads_at_across_and_behind_the_end() {
    let scratch = Scratch::of("reads", b"0123456789");
    let file = scratch.open(GENERIC_READ, OPEN_EXISTING, FILE_FLAG_OVERLAPPED);
    assert_ne!(file, INVALID_HANDLE_VALUE);
    let port = port();
    assert_eq!(CreateIoCompletionPort(file, port, 3, 0), port);
    let mut room = [0; 8];
    for (offset, bytes) in [(0, 8), (5, 5), (2, 8)] {
        let mut ov = at(offset);
        assert_eq!(read(file, &mut room, &mut *ov), PENDING);
        assert_eq!(success(port, 3, &ov), bytes);
        assert_eq!(room[0], b'0' + offset as u8);
    }
    for offset in [10, 1 << 40] {
        let mut ov = at(offset);
        match read(file, &mut room, &mut *ov) {
            PENDING => assert_eq!(failure(port, 3, &ov), ERROR_HANDLE_EOF),
            result => assert_eq!(result, Err(ERROR_HANDLE_EOF)),
        }
    }
    // Overlapped, so it has no pointer to read at.
    assert_eq!(
        read(file, &mut room, null_mut()),
        Err(ERROR_INVALID_PARAMETER)
    );
    nothing(port);
    close_handle(file);
    close_handle(port);
}

#[test]
fn io_18_writes_at_places_and_at_the_end() {
    let scratch = Scratch::new("writes");
    let file = scratch.open(
        GENERIC_READ | GENERIC_WRITE,
        CREATE_NEW,
        FILE_FLAG_OVERLAPPED,
    );
    assert_ne!(file, INVALID_HANDLE_VALUE);
    let event = event(true, false);
    let mut ov = at(4);
    ov.hEvent = event;
    assert_eq!(write(file, b"efgh", &mut *ov), PENDING);
    assert_eq!(result(file, &mut ov), Ok(4));
    let mut ov = at(0);
    ov.hEvent = event;
    assert_eq!(write(file, b"abcd", &mut *ov), PENDING);
    assert_eq!(result(file, &mut ov), Ok(4));
    let mut ov = at(u64::MAX);
    assert_eq!(write(file, b"ij", &mut *ov), PENDING);
    // PK-8: without an event, the file itself.
    assert_eq!(result(file, &mut ov), Ok(2));
    assert_eq!(std::fs::read(&scratch.0).unwrap(), b"abcdefghij");
    close_handle(file);
    close_handle(event);
}

#[test]
fn pk_8_a_file_of_a_port_sets_events_whoever_takes_packets() {
    let scratch = Scratch::of("events", b"0123456789");
    let file = scratch.open(GENERIC_READ, OPEN_EXISTING, FILE_FLAG_OVERLAPPED);
    let port = port();
    assert_eq!(CreateIoCompletionPort(file, port, 3, 0), port);
    let (mut plain, mut marked) = (at(0), at(1));
    marked.hEvent = (event(true, false) as usize | 1) as HANDLE;
    let mut rooms = [[0; 4]; 2];
    assert_eq!(read(file, &mut rooms[0], &mut *plain), PENDING);
    assert_eq!(read(file, &mut rooms[1], &mut *marked), PENDING);
    assert_eq!(result(file, &mut marked), Ok(4));
    assert_eq!(success(port, 3, &plain), 4);
    nothing(port);
    assert_eq!(rooms, [*b"0123", *b"1234"]);
    close_handle(marked.hEvent);
    close_handle(file);
    close_handle(port);
}

#[test]
fn files_without_overlapped_have_a_pointer() {
    let scratch = Scratch::new("pointer");
    let file = scratch.open(GENERIC_READ | GENERIC_WRITE, CREATE_ALWAYS, 0);
    assert_eq!(GetLastError(), 0);
    assert_eq!(write(file, b"0123456789", null_mut()), Ok(10));
    let (mut to, mut room) = (0, [0; 4]);
    // SAFETY: there is place for the number.
    let mut seek = |distance, from| unsafe {
        match SetFilePointerEx(file, distance, &mut to, from) {
            0 => Err(GetLastError()),
            _ => Ok(to),
        }
    };
    assert_eq!(seek(0, 1), Ok(10));
    assert_eq!(seek(-3, 2), Ok(7));
    assert_eq!(read(file, &mut room, null_mut()), Ok(3));
    assert_eq!(read(file, &mut room, null_mut()), Ok(0));
    assert_eq!(seek(-11, 1), Err(131));
    assert_eq!(seek(2, 0), Ok(2));
    assert_eq!(SetEndOfFile(file), 1);
    let (mut size, mut high) = (0, UNTOUCHED);
    // SAFETY: as above.
    unsafe {
        assert_eq!(GetFileSizeEx(file, &mut size), 1);
        assert_eq!((GetFileSize(file, &mut high), high), (2, 0));
        assert_eq!(SetFilePointer(file, -1, null_mut(), 2), 1);
        let mut high = -1;
        assert_eq!(SetFilePointer(file, 0, &mut high, 0), u32::MAX);
        assert_eq!(GetLastError(), 131);
    }
    assert_eq!(size, 2);
    assert_eq!(FlushFileBuffers(file), 1);
    // An OVERLAPPED says where, and the call waits all the same.
    let mut ov = at(1);
    assert_eq!(read(file, &mut room, &mut *ov), Ok(1));
    assert_eq!((room[0], ov.Internal, ov.InternalHigh), (b'1', 0, 1));
    close_handle(file);
    let again = scratch.open(GENERIC_READ, CREATE_ALWAYS, 0);
    assert_eq!(GetLastError(), 183);
    close_handle(again);
    assert_eq!(
        scratch.open(GENERIC_READ, CREATE_NEW, 0),
        INVALID_HANDLE_VALUE
    );
    assert_eq!(GetLastError(), 80);
    let gone = scratch.open(GENERIC_READ, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE);
    close_handle(gone);
    assert_eq!(
        scratch.open(GENERIC_READ, OPEN_EXISTING, 0),
        INVALID_HANDLE_VALUE
    );
    assert_eq!(GetLastError(), 2);
}

#[test]
fn po_5_a_file_that_is_not_overlapped_is_not_associated() {
    let scratch = Scratch::of("plain", b"");
    let file = scratch.open(GENERIC_READ, OPEN_EXISTING, 0);
    let port = port();
    assert!(CreateIoCompletionPort(file, port, 0, 0).is_null());
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    close_handle(file);
    close_handle(port);
}

#[test]
fn io_17_a_socket_is_read_and_written_as_a_file() {
    let (port, socket, mut peer) = associated(1);
    let file = socket as HANDLE;
    // The place is of no interest.
    let (mut ov, mut room) = (at(77), [0; 8]);
    assert_eq!(read(file, &mut room, &mut *ov), PENDING);
    peer.write_all(b"abc").unwrap();
    assert_eq!(success(port, 1, &ov), 3);
    assert_eq!(write(file, b"back", &mut *ov), PENDING);
    assert_eq!(success(port, 1, &ov), 4);
    assert_eq!(read_exactly(&mut peer, 4), b"back");
    // With the errors of files.
    assert_eq!(read(tcp() as HANDLE, &mut room, &mut *ov), Err(59));
    close(socket);
    close_handle(port);
}

fn transmit(
    socket: usize,
    file: HANDLE,
    length: u32,
    ov: *mut OVERLAPPED,
    flags: u32,
) -> Result<(), u32> {
    let mut buffers = TRANSMIT_FILE_BUFFERS {
        Head: b"<".as_ptr().cast_mut().cast(),
        HeadLength: 1,
        Tail: b">".as_ptr().cast_mut().cast(),
        TailLength: 1,
    };
    // SAFETY: head and tail are static, the structure lives until the end.
    match unsafe { TransmitFile(socket, file, length, 0, ov, &mut buffers, flags) } {
        0 => Err(GetLastError()),
        _ => Ok(()),
    }
}

#[test]
fn tf_1_head_file_and_tail_are_one_send() {
    let scratch = Scratch::of("transmit", b"0123456789");
    let file = scratch.open(GENERIC_READ, OPEN_EXISTING, 0);
    let (port, socket, mut peer) = associated(1);
    for (offset, length, sent) in [
        (0, 0, &b"<0123456789>"[..]),
        (2, 3, b"<234>"),
        (9, 0, b"<9>"),
    ] {
        let mut ov = at(offset);
        assert_eq!(
            transmit(socket, file, length, &mut *ov, 0),
            Err(WSA_IO_PENDING)
        );
        assert_eq!(success(port, 1, &ov), sent.len() as u32);
        assert_eq!(read_exactly(&mut peer, sent.len()), sent);
    }
    // No file, no buffers but these.
    let mut ov = overlapped();
    assert_eq!(
        transmit(socket, null_mut(), 0, &mut *ov, 0),
        Err(WSA_IO_PENDING)
    );
    assert_eq!(success(port, 1, &ov), 2);
    assert_eq!(read_exactly(&mut peer, 2), b"<>");
    // Waiting, from the file pointer on.
    assert_eq!(transmit(socket, file, 2, null_mut(), 0), Ok(()));
    assert_eq!(read_exactly(&mut peer, 4), b"<01>");
    nothing(port);
    close(socket);
    close_handle(file);
    close_handle(port);
}

#[test]
fn tf_1_what_is_wrong_is_named() {
    let (socket, _peer) = connected();
    let mut ov = overlapped();
    let ov = &raw mut *ov;
    assert_eq!(transmit(tcp(), null_mut(), 0, ov, 0), Err(WSAENOTCONN));
    assert_eq!(transmit(udp(), null_mut(), 0, ov, 0), Err(WSAENOTCONN));
    assert_eq!(
        transmit(socket, null_mut(), u32::MAX, ov, 0),
        Err(WSAEINVAL)
    );
    // TF_REUSE_SOCKET alone.
    assert_eq!(transmit(socket, null_mut(), 0, ov, 2), Err(WSAEINVAL));
    assert_eq!(
        transmit(socket, 0x1234 as HANDLE, 0, ov, 0),
        Err(ERROR_INVALID_HANDLE)
    );
    close(socket);
}
