//! What an echo costs through the C ABI, and what through the Rust face, on one thread: run it under
//! `valgrind --tool=callgrind` with two numbers of echoes, and divide the difference.
//!
//! ```text
//! echo_cost win32|rust ECHOES
//! ```

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::ptr::null_mut;

    use overlapped::{CompletionPort, Operation};
    use overlapped_win32::abi::{HANDLE, INVALID_HANDLE_VALUE, OVERLAPPED, WSABUF};
    use overlapped_win32::calls::{ports, sockets, transfer};

    const BYTES: usize = 64;

    pub fn main() {
        let mut arguments = std::env::args().skip(1);
        let face = arguments.next();
        let echoes = arguments.next().and_then(|echoes| echoes.parse().ok());
        match (face.as_deref(), echoes) {
            (Some("win32"), Some(echoes)) => win32(echoes),
            (Some("rust"), Some(echoes)) => rust(echoes),
            _ => eprintln!("usage: echo_cost win32|rust ECHOES"),
        }
    }

    /// What the client does for one echo.
    fn ask(client: &mut TcpStream) {
        client.write_all(&[7; BYTES]).unwrap();
    }

    fn answer(client: &mut TcpStream) {
        client.read_exact(&mut [0; BYTES]).unwrap();
    }

    fn rust(echoes: u32) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let port: CompletionPort<u64, ()> = CompletionPort::new(1).unwrap();
        let socket = port.associate(server, 1).unwrap();
        let _ = socket.recv(Operation::with_capacity(BYTES, ())).unwrap();
        for _ in 0..echoes {
            ask(&mut client);
            let packet = port.get().unwrap();
            assert_eq!((packet.bytes, packet.key()), (BYTES, Some(&1)));
            let _ = socket.send(packet.operation).unwrap();
            let packet = port.get().unwrap();
            let _ = socket.recv(packet.operation).unwrap();
            answer(&mut client);
        }
    }

    fn win32(echoes: u32) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = sockets::overlapped_socket(2, 1, 6);
        let mut name = [0u8; 16];
        name[0] = 2;
        name[2..4].copy_from_slice(&address.port().to_be_bytes());
        name[4..8].copy_from_slice(&[127, 0, 0, 1]);
        // SAFETY: the name is as long as is said.
        let connected = unsafe { sockets::overlapped_connect(socket, name.as_ptr().cast(), 16) };
        assert_eq!(connected, 0);
        let (mut client, _) = listener.accept().unwrap();
        let port = ports::CreateIoCompletionPort(INVALID_HANDLE_VALUE, null_mut(), 0, 1);
        ports::CreateIoCompletionPort(socket as HANDLE, port, 1, 0);
        let mut room = [0u8; BYTES];
        let mut overlapped = OVERLAPPED {
            Internal: 0,
            InternalHigh: 0,
            Offset: 0,
            OffsetHigh: 0,
            hEvent: null_mut(),
        };
        let overlapped = &raw mut overlapped;
        let mut piece = WSABUF {
            len: BYTES as u32,
            buf: room.as_mut_ptr(),
        };
        let mut recv = || {
            let mut flags = 0;
            // SAFETY: all live until the packet.
            unsafe {
                transfer::WSARecv(
                    socket,
                    &mut piece,
                    1,
                    null_mut(),
                    &mut flags,
                    overlapped,
                    None,
                )
            }
        };
        let get = || {
            let (mut bytes, mut key, mut of) = (0, 0, null_mut());
            // SAFETY: all are valid.
            let ok = unsafe {
                ports::GetQueuedCompletionStatus(port, &mut bytes, &mut key, &mut of, u32::MAX)
            };
            assert_eq!((ok, bytes, key, of), (1, BYTES as u32, 1, overlapped));
        };
        recv();
        for _ in 0..echoes {
            ask(&mut client);
            get();
            let mut piece = WSABUF {
                len: BYTES as u32,
                buf: room.as_mut_ptr(),
            };
            // SAFETY: as above.
            unsafe {
                transfer::WSASend(socket, &mut piece, 1, null_mut(), 0, overlapped, None);
            }
            get();
            recv();
            answer(&mut client);
        }
    }
}
