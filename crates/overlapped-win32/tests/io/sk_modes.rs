//! Chapter 4: notification modes.

use std::io::Write;
use std::ptr::null_mut;

use overlapped_win32::abi::HANDLE;

use crate::world::*;

const SKIP_PORT: u8 = 1;

#[test]
fn sk_1_what_ends_at_once_queues_nothing_and_what_pends_does() {
    let (port, socket, mut peer) = associated(1);
    assert_eq!(
        SetFileCompletionNotificationModes(socket as HANDLE, SKIP_PORT),
        1
    );
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(send(socket, b"hello", &mut ov), Ok(5));
    assert_eq!((ov.Internal, ov.InternalHigh), (0, 5));
    nothing(port);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"abc").unwrap();
    assert_eq!(success(port, 1, &ov), 3);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(CancelIoEx(socket as HANDLE, null_mut()), 1);
    assert_eq!(failure(port, 1, &ov), ERROR_OPERATION_ABORTED);
    close(socket);
    close_handle(port);
}

#[test]
fn sk_3_modes_are_only_added() {
    let (port, socket, _peer) = associated(1);
    for modes in [SKIP_PORT, 0, 0x80] {
        assert_eq!(
            SetFileCompletionNotificationModes(socket as HANDLE, modes),
            1
        );
    }
    let mut ov = overlapped();
    assert_eq!(send(socket, b"hello", &mut ov), Ok(5));
    nothing(port);
    close(socket);
    close_handle(port);
    let plain = not_overlapped();
    assert_eq!(
        SetFileCompletionNotificationModes(plain as HANDLE, SKIP_PORT),
        0
    );
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    close(plain);
}
