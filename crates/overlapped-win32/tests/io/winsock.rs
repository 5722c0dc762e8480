//! Winsock beside the port.

use std::ffi::CStr;
use std::net::{TcpListener, TcpStream};
use std::ptr::{null, null_mut};

use overlapped_win32::abi::{INVALID_SOCKET, SOCKET};
use overlapped_win32::calls::{names, select, services, winsock};
use overlapped_win32::net::types::{GUID, WSADATA, addrinfo, fd_set, timeval};

use crate::world::*;

#[test]
fn startup_tells_of_version_2_2() {
    let mut data = std::mem::MaybeUninit::<WSADATA>::uninit();
    // SAFETY: there is room.
    let data = unsafe {
        assert_eq!(winsock::WSAStartup(0x0202, data.as_mut_ptr()), 0);
        data.assume_init()
    };
    assert_eq!((data.wVersion, data.wHighVersion), (0x0202, 0x0202));
    assert_eq!(winsock::WSACleanup(), 0);
    winsock::WSASetLastError(7);
    assert_eq!(GetLastError(), 7);
}

#[test]
fn stale_and_foreign_sockets_are_refused() {
    let closed = tcp();
    close(closed);
    let event = event(false, false);
    for socket in [closed, event as SOCKET, 0, 1, 3, INVALID_SOCKET] {
        assert_eq!(send_now(socket, b"x"), Err(WSAENOTSOCK));
        assert_eq!(recv_now(socket, &mut [0]), Err(WSAENOTSOCK));
        assert_eq!(bind(socket, any()), -1);
        assert_eq!(GetLastError(), WSAENOTSOCK);
        assert_eq!(closesocket(socket), -1);
        assert_eq!(GetLastError(), WSAENOTSOCK);
    }
    close_handle(event);
}

#[test]
fn null_pointers_are_refused() {
    let (socket, _peer) = connected();
    let mut ov = overlapped();
    // SAFETY: NULL is what is asked about.
    unsafe {
        assert_eq!(overlapped_bind(socket, null(), 16), -1);
        assert_eq!(GetLastError(), WSAEFAULT);
        assert_eq!(overlapped_connect(socket, null(), 16), -1);
        assert_eq!(GetLastError(), WSAEFAULT);
        assert_eq!(overlapped_recv(socket, null_mut(), 8, 0), -1);
        assert_eq!(GetLastError(), WSAEFAULT);
        assert_eq!(overlapped_send(socket, null(), 8, 0), -1);
        assert_eq!(GetLastError(), WSAEFAULT);
        assert_eq!(overlapped_getsockname(socket, null_mut(), null_mut()), -1);
        assert_eq!(GetLastError(), WSAEFAULT);
        assert_eq!(
            overlapped_getsockopt(socket, 0, 0, null_mut(), null_mut()),
            -1
        );
        assert_eq!(GetLastError(), WSAEFAULT);
        let mut bytes = 0;
        assert_eq!(
            WSASend(socket, null_mut(), 1, &mut bytes, 0, &mut *ov, None),
            -1
        );
        assert_eq!(GetLastError(), WSAEFAULT);
        assert_eq!(
            WSARecv(
                socket,
                null_mut(),
                1,
                &mut bytes,
                null_mut(),
                &mut *ov,
                None
            ),
            -1
        );
        assert_eq!(GetLastError(), WSAEFAULT);
        assert_eq!(
            GetOverlappedResult(null_mut(), null_mut(), &mut bytes, 0),
            0
        );
        assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
        assert_eq!(
            GetQueuedCompletionStatus(null_mut(), null_mut(), null_mut(), null_mut(), 0),
            0
        );
        assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
        assert_eq!(
            DuplicateHandle(null_mut(), null_mut(), null_mut(), null_mut(), 0, 0, 0),
            0
        );
        assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
        assert_eq!(
            select::overlapped_select(0, null_mut(), null_mut(), null_mut(), NO_TIME),
            -1
        );
        assert_eq!(GetLastError(), WSAEINVAL);
        assert_eq!(select::__WSAFDIsSet(socket, null_mut()), 0);
        assert_eq!(names::overlapped_inet_addr(null()), u32::MAX);
        assert_eq!(names::overlapped_inet_pton(2, null(), null_mut()), -1);
        assert!(names::overlapped_inet_ntop(2, null(), null_mut(), 0).is_null());
        names::overlapped_freeaddrinfo(null_mut());
    }
    close(socket);
}

#[test]
fn an_accept_with_too_little_room_for_the_name_takes_no_connection() {
    // An address of either family, with Windows's numbers: the loopback, any port.
    let (mut v4, mut v6) = ([0u8; 16], [0u8; 28]);
    (v4[0], v4[4], v4[7]) = (2, 127, 1);
    (v6[0], v6[23]) = (23, 1);
    for name in [&mut v4[..], &mut v6[..]] {
        let (whole, family) = (name.len() as i32, name[0].into());
        let listener = overlapped_socket(family, 1, 6);
        let mut length = whole;
        // SAFETY: all are as long as is said.
        unsafe {
            if overlapped_bind(listener, name.as_ptr().cast(), whole) != 0 {
                eprintln!("SKIPPED: no loopback of family {family}");
                close(listener);
                continue;
            }
            assert_eq!(overlapped_listen(listener, 5), 0);
            overlapped_getsockname(listener, name.as_mut_ptr().cast(), &mut length);
        }
        let port = u16::from_be_bytes([name[2], name[3]]);
        let peer = match family {
            2 => TcpStream::connect(("127.0.0.1", port)),
            _ => TcpStream::connect(("::1", port)),
        }
        .unwrap();
        for too_little in [-1, 0, whole - 1] {
            let (mut room, mut length) = ([7u8; 28], too_little);
            // SAFETY: there is more room than is said.
            let refused =
                unsafe { overlapped_accept(listener, room.as_mut_ptr().cast(), &mut length) };
            assert_eq!(
                (refused, GetLastError()),
                (INVALID_SOCKET, WSAEFAULT),
                "{too_little} of {whole}"
            );
            assert_eq!((room, length), ([7; 28], too_little));
        }
        let (mut room, mut length) = ([0u8; 28], whole);
        // SAFETY: there is as much room.
        let accepted =
            unsafe { overlapped_accept(listener, room.as_mut_ptr().cast(), &mut length) };
        assert_ne!(accepted, INVALID_SOCKET);
        assert_eq!((i32::from(room[0]), length), (family, whole));
        assert_eq!(
            u16::from_be_bytes([room[2], room[3]]),
            peer.local_addr().unwrap().port()
        );
        close(accepted);
        close(listener);
    }
}

#[test]
fn a_blocking_connection_both_ways() {
    let (listener, address) = listening();
    let client = std::thread::spawn(move || {
        let socket = tcp();
        assert_eq!(connect(socket, address), 0);
        assert_eq!(send_now(socket, b"hello"), Ok(5));
        let mut room = [0; 8];
        assert_eq!(recv_now(socket, &mut room), Ok(5));
        assert_eq!(&room[..5], b"there");
        assert_eq!(overlapped_shutdown(socket, 1), 0);
        assert_eq!(recv_now(socket, &mut room), Ok(0));
        close(socket);
    });
    let mut from = [0u8; 16];
    let mut length = 16;
    // SAFETY: as long as is said.
    let socket = unsafe { overlapped_accept(listener, from.as_mut_ptr().cast(), &mut length) };
    assert_eq!(remote(socket), Ok(of_name(&from)));
    let mut room = [0; 8];
    assert_eq!(recv_now(socket, &mut room), Ok(5));
    assert_eq!(send_now(socket, b"there"), Ok(5));
    assert_eq!(recv_now(socket, &mut room), Ok(0));
    close(socket);
    client.join().unwrap();
    close(listener);
}

#[test]
fn a_listener_can_be_bound_again_at_once_and_not_twice() {
    let (listener, address) = listening();
    let peer = TcpStream::connect(address).unwrap();
    // SAFETY: no name is asked for.
    let accepted = unsafe { overlapped_accept(listener, NO_NAME, null_mut()) };
    let second = tcp();
    assert_eq!(bind(second, address), -1);
    assert_eq!(GetLastError(), 10048);
    // Ours ends the connection first, so that the port is in TIME_WAIT.
    close(accepted);
    drop(peer);
    close(listener);
    assert_eq!(bind(second, address), 0, "{}", GetLastError());
    assert_eq!(overlapped_listen(second, 5), 0);
    close(second);
}

const SO_REUSEADDR: i32 = 4;
const SO_EXCLUSIVEADDRUSE: i32 = !4;
const SO_SNDBUF: i32 = 0x1001;

#[test]
fn options_have_windowss_numbers_and_shapes() {
    let socket = tcp();
    let on = 1u32.to_ne_bytes();
    for (level, name) in [(6, 1), (SOL_SOCKET, 8), (SOL_SOCKET, SO_REUSEADDR)] {
        assert_eq!(option(socket, level, name), Ok(0));
        assert_eq!(set_option(socket, level, name, &on), Ok(()));
        assert_eq!(option(socket, level, name), Ok(1));
    }
    // One of the two.
    assert_eq!(
        set_option(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, &on),
        Err(WSAEINVAL)
    );
    // linger { 1, 7 }, in four bytes.
    assert_eq!(
        set_option(socket, SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0]),
        Ok(())
    );
    assert_eq!(option(socket, SOL_SOCKET, SO_LINGER), Ok(1));
    assert_eq!(
        set_option(socket, SOL_SOCKET, SO_SNDBUF, &0u32.to_ne_bytes()),
        Ok(())
    );
    assert_eq!(option(socket, SOL_SOCKET, 0x1008), Ok(1));
    assert_eq!(option(socket, SOL_SOCKET, 0x7777), Err(10042));
    assert_eq!(set_option(socket, SOL_SOCKET, 4, &[]), Err(WSAEFAULT));
    // One byte is enough for a truth.
    assert_eq!(set_option(socket, 6, 1, &[0]), Ok(()));
    assert_eq!(option(socket, 6, 1), Ok(0));
    close(socket);
}

#[test]
fn a_socket_without_a_send_buffer_sends_all_the_same() {
    let (port, socket, mut peer) = associated(1);
    assert_eq!(
        set_option(socket, SOL_SOCKET, SO_SNDBUF, &0u32.to_ne_bytes()),
        Ok(())
    );
    let content = vec![7; 1 << 20];
    let mut ov = overlapped();
    assert_eq!(send(socket, &content, &mut ov), PENDING);
    let reads = std::thread::spawn(move || read_exactly(&mut peer, 1 << 20));
    assert_eq!(success(port, 1, &ov), 1 << 20);
    assert!(reads.join().unwrap() == content);
    close(socket);
    close_handle(port);
}

#[test]
fn extension_functions_are_found_and_others_refused_clearly() {
    let socket = tcp();
    let mut guid = GUID {
        Data1: 0xb5367df1,
        Data2: 0xcbac,
        Data3: 0x11cf,
        Data4: [0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92],
    };
    let ask = |code, guid: &GUID| {
        let (mut function, mut bytes) = (0usize, 0);
        // SAFETY: as long as is said.
        let result = unsafe {
            WSAIoctl(
                socket,
                code,
                (&raw const *guid).cast(),
                16,
                (&raw mut function).cast(),
                8,
                &mut bytes,
                null_mut(),
                None,
            )
        };
        if result == 0 {
            Ok((function, bytes))
        } else {
            Err(GetLastError())
        }
    };
    const FIND: u32 = 0xc800_0006;
    assert_eq!(ask(FIND, &guid), Ok((AcceptEx as *const () as usize, 8)));
    guid.Data1 = 0;
    assert_eq!(ask(FIND, &guid), Err(WSAEINVAL));
    assert_eq!(ask(0x1234, &guid), Err(WSAEOPNOTSUPP));
    close(socket);
}

#[test]
fn select_leaves_the_ready_ones_in_the_sets() {
    let (idle, _peer) = connected();
    let (listener, address) = listening();
    let set = |sockets: &[SOCKET]| {
        let mut set = fd_set {
            fd_count: sockets.len() as u32,
            fd_array: [0; 64],
        };
        set.fd_array[..sockets.len()].copy_from_slice(sockets);
        set
    };
    let now = timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let (mut read, mut write) = (set(&[idle, listener]), set(&[idle]));
    // SAFETY: all are valid.
    unsafe {
        let count = select::overlapped_select(0, &mut read, &mut write, null_mut(), &now);
        assert_eq!((count, read.fd_count, write.fd_count), (1, 0, 1));
        let client = TcpStream::connect(address).unwrap();
        let mut read = set(&[idle, listener]);
        let count = select::overlapped_select(0, &mut read, null_mut(), null_mut(), NO_TIME);
        assert_eq!((count, read.fd_count), (1, 1));
        assert_eq!(select::__WSAFDIsSet(listener, &mut read), 1);
        assert_eq!(select::__WSAFDIsSet(idle, &mut read), 0);
        drop(client);
        let mut bad = set(&[0x1234]);
        assert_eq!(
            select::overlapped_select(0, &mut bad, null_mut(), null_mut(), &now),
            -1
        );
        assert_eq!(GetLastError(), WSAENOTSOCK);
    }
    close(idle);
    close(listener);
}

#[test]
fn a_non_blocking_connect_is_told_by_select() {
    let (refused, accepted) = (nobody(), TcpListener::bind(any()).unwrap());
    for (to, set_of_end) in [(accepted.local_addr().unwrap(), 1), (refused, 2)] {
        let socket = tcp();
        let mut on = 1;
        // SAFETY: all are valid.
        unsafe {
            assert_eq!(ioctlsocket(socket, 0x8004_667e_u32 as i32, &mut on), 0);
            assert_eq!(connect(socket, to), -1);
            assert_eq!(GetLastError(), WSAEWOULDBLOCK);
            let set = || {
                let mut set = fd_set {
                    fd_count: 1,
                    fd_array: [0; 64],
                };
                set.fd_array[0] = socket;
                set
            };
            let (mut write, mut except) = (set(), set());
            let count = select::overlapped_select(0, null_mut(), &mut write, &mut except, NO_TIME);
            assert_eq!(count, 1);
            assert_eq!(write.fd_count, u32::from(set_of_end == 1));
            assert_eq!(except.fd_count, u32::from(set_of_end == 2));
        }
        close(socket);
    }
}

#[test]
fn names_are_resolved_into_winsocks_structures() {
    let mut list: *mut addrinfo = null_mut();
    // SAFETY: the texts end with zeroes; the list is what the call says.
    unsafe {
        let asked =
            names::overlapped_getaddrinfo(c"127.0.0.1".as_ptr(), c"80".as_ptr(), null(), &mut list);
        assert_eq!(asked, 0);
        let first = &*list;
        assert_eq!((first.ai_family, first.ai_addrlen), (2, 16));
        let name = std::slice::from_raw_parts(first.ai_addr.cast::<u8>(), 16);
        assert_eq!(of_name(name), "127.0.0.1:80".parse().unwrap());
        names::overlapped_freeaddrinfo(list);
        assert_eq!(
            names::overlapped_getaddrinfo(c"::1".as_ptr(), null(), null(), &mut list),
            0
        );
        assert_eq!(((*list).ai_family, (*list).ai_addrlen), (23, 28));
        assert_eq!(*(*list).ai_addr.cast::<u16>(), 23);
        names::overlapped_freeaddrinfo(list);
        let mut hints: addrinfo = std::mem::zeroed();
        hints.ai_flags = 4;
        let code = names::overlapped_getaddrinfo(c"no number".as_ptr(), null(), &hints, &mut list);
        assert_eq!(code, 11001);
        let host = names::overlapped_gethostbyname(c"127.0.0.1".as_ptr());
        assert_eq!(((*host).h_addrtype, (*host).h_length), (2, 4));
        assert_eq!(*(*(*host).h_addr_list).cast::<[u8; 4]>(), [127, 0, 0, 1]);
        assert!((*(*host).h_addr_list.add(1)).is_null());
        assert!((*(*host).h_aliases).is_null());
        assert_eq!(
            names::overlapped_inet_addr(c"127.0.0.1".as_ptr()).to_ne_bytes(),
            [127, 0, 0, 1]
        );
        let text = names::overlapped_inet_ntoa(u32::from_ne_bytes([10, 0, 200, 1]));
        assert_eq!(std::ffi::CStr::from_ptr(text), c"10.0.200.1");
        let mut bytes = [0u8; 16];
        assert_eq!(
            names::overlapped_inet_pton(23, c"::1".as_ptr(), bytes.as_mut_ptr()),
            1
        );
        assert_eq!(bytes[15], 1);
        assert_eq!(
            names::overlapped_inet_pton(2, c"x".as_ptr(), bytes.as_mut_ptr()),
            0
        );
        let mut text = [0; 46];
        names::overlapped_inet_ntop(23, bytes.as_ptr(), text.as_mut_ptr(), 46);
        assert_eq!(std::ffi::CStr::from_ptr(text.as_ptr()), c"::1");
    }
}

#[test]
fn addresses_are_texts_and_back() {
    for (text, family) in [
        ("127.0.0.1:80", 2),
        ("10.0.0.1", 2),
        ("[::1]:443", 23),
        ("fe80::1", 23),
    ] {
        let asked = std::ffi::CString::new(text).unwrap();
        let (mut name, mut length) = ([0u64; 8], 64);
        let (mut back, mut room) = ([0; 64], 64);
        // SAFETY: as long as is said.
        unsafe {
            let to = name.as_mut_ptr().cast();
            let null = null_mut();
            let read = names::WSAStringToAddressA(asked.as_ptr(), family, null, to, &mut length);
            assert_eq!(read, 0, "{text}");
            let length = length as u32;
            let put = names::WSAAddressToStringA(to, length, null, back.as_mut_ptr(), &mut room);
            assert_eq!(put, 0, "{text}");
            assert_eq!(std::ffi::CStr::from_ptr(back.as_ptr()), &*asked);
            assert_eq!(room as usize, text.len() + 1);
            let mut little = 3;
            let put = names::WSAAddressToStringA(to, length, null, back.as_mut_ptr(), &mut little);
            assert_eq!((put, GetLastError()), (-1, WSAEFAULT));
        }
    }
}

#[test]
fn handles_tell_what_they_are() {
    use overlapped_win32::calls::files::GetFileType;
    let socket = tcp();
    assert_eq!(GetFileType(socket as _), 3);
    let mut flags = UNTOUCHED;
    // SAFETY: there is place for the flags.
    assert_eq!(unsafe { GetHandleInformation(socket as _, &mut flags) }, 1);
    assert_eq!(flags, 0);
    assert_eq!(SetHandleInformation(socket as _, 1, 0), 1);
    close(socket);
    assert_eq!(GetFileType(socket as _), 0);
    assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
    assert_eq!(SetHandleInformation(socket as _, 1, 0), 0);
}

#[test]
fn byte_orders_go_with_a_socket() {
    let socket = tcp();
    let (mut long, mut short) = (0, 0);
    // SAFETY: there is room.
    unsafe {
        assert_eq!(winsock::WSAHtonl(socket, 0x0102_0304, &mut long), 0);
        assert_eq!(long.to_ne_bytes(), [1, 2, 3, 4]);
        assert_eq!(winsock::WSANtohl(socket, long, &mut long), 0);
        assert_eq!(long, 0x0102_0304);
        assert_eq!(winsock::WSAHtons(socket, 0x0102, &mut short), 0);
        assert_eq!(short.to_ne_bytes(), [1, 2]);
        assert_eq!(winsock::WSANtohs(socket, short, &mut short), 0);
        assert_eq!(short, 0x0102);
        let refused = winsock::WSAHtonl(socket, 1, null_mut());
        assert_eq!((refused, GetLastError()), (-1, WSAEFAULT));
        close(socket);
        let refused = winsock::WSAHtonl(socket, 1, &mut long);
        assert_eq!((refused, GetLastError()), (-1, WSAENOTSOCK));
    }
}

#[test]
fn services_and_protocols_have_numbers() {
    // SAFETY: texts that end with a zero; the answers are good until the next question.
    unsafe {
        let unknown = services::overlapped_getservbyname(c"no-such-service".as_ptr(), null());
        // WSANO_DATA
        assert_eq!((unknown, GetLastError()), (null_mut(), 11004));
        let (http, tcp) = (c"http".as_ptr(), c"tcp".as_ptr());
        // A small system may have no list of them.
        if std::path::Path::new("/etc/services").exists() {
            let found = &*services::overlapped_getservbyname(http, tcp);
            assert_eq!(found.s_port as u16, 80u16.to_be());
            assert_eq!(CStr::from_ptr(found.s_proto), c"tcp");
            assert_eq!(CStr::from_ptr(found.s_name), c"http");
            let found = &*services::overlapped_getservbyport(80u16.to_be().into(), tcp);
            assert_eq!(CStr::from_ptr(found.s_name), c"http");
        }
        if std::path::Path::new("/etc/protocols").exists() {
            let found = &*services::overlapped_getprotobyname(tcp);
            assert_eq!((found.p_proto, CStr::from_ptr(found.p_name)), (6, c"tcp"));
            assert!(!found.p_aliases.is_null());
        }
    }
}
