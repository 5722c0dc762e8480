//! A socket of a port, and what it has in flight.

use std::collections::HashMap;
use std::io;
use std::os::windows::io::{AsRawSocket, OwnedSocket};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    SD_BOTH, SD_RECEIVE, SD_SEND, SOCKET, WSA_IO_PENDING, WSABUF, WSAGetLastError, WSARecv,
    WSASend, shutdown,
};
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};

use super::port::PortInner;
use crate::endpoint::Endpoint;
use crate::operation::{Kind, Operation, Refused, ShutdownHow, Token};
use crate::{Address, Status};

/// A socket that is associated with a port. Cloning gives another handle to the same socket.
#[derive(Clone)]
pub struct Socket(Arc<SocketState>);

pub(crate) struct SocketState {
    port: Arc<PortInner>,
    number: u64,
    flying: Mutex<Flying>,
}

/// What the socket's lock guards. Held over each call that starts or cancels, so that an address is
/// cancelled only while it is that operation's.
struct Flying {
    /// `None` once it is closed.
    endpoint: Option<Endpoint>,
    next: u64,
    /// The addresses of the operations that the kernel has, by number.
    operations: HashMap<u64, usize>,
}

impl SocketState {
    pub(super) fn new(port: Arc<PortInner>, socket: OwnedSocket) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);

        Arc::new(SocketState {
            port,
            number: NUMBERS.fetch_add(1, SeqCst),
            flying: Mutex::new(Flying {
                endpoint: Some(Endpoint::Os(socket)),
                next: 0,
                operations: HashMap::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Flying> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The packet of an operation was taken.
    pub(super) fn landed(&self, number: u64) {
        self.lock().operations.remove(&number);
    }

    /// Cancels all that is in flight; how many operations that was.
    pub(super) fn cancel_all(&self) -> usize {
        let flying = self.lock();
        if let Some(socket) = flying.socket()
            && !flying.operations.is_empty()
        {
            // SAFETY: the socket is open while the lock is held.
            unsafe { CancelIoEx(socket as HANDLE, null()) };
        }
        flying.operations.len()
    }
}

impl Flying {
    fn socket(&self) -> Option<SOCKET> {
        let Some(Endpoint::Os(socket)) = &self.endpoint else {
            return None;
        };
        Some(socket.as_raw_socket() as SOCKET)
    }
}

impl Socket {
    pub(super) fn new(state: Arc<SocketState>) -> Self {
        Socket(state)
    }

    /// As [`start`](Socket::start): nothing ends at once here so far, which SK-5 allows.
    ///
    /// # Errors
    ///
    /// As [`start`](Socket::start).
    pub fn start_direct(&self, operation: Operation) -> Result<crate::Outcome, Refused> {
        self.start(operation).map(crate::Outcome::Pending)
    }

    /// Starts an operation that was prepared; its packet comes out of the socket's port.
    ///
    /// # Errors
    ///
    /// The operation comes back with the reason, and queues no packet (PK-5).
    pub fn start(&self, mut operation: Operation) -> Result<Token, Refused> {
        let mut flying = self.0.lock();
        let Some(socket) = flying.socket() else {
            return Err(Refused {
                status: Status::INVALID_HANDLE,
                operation,
            });
        };
        let kind = operation.kind();
        let performed = matches!(kind, Kind::Recv | Kind::RecvZero | Kind::Send);
        if !performed || operation.timeout().is_some() {
            return Err(Refused {
                status: Status::NOT_SUPPORTED,
                operation,
            });
        }
        if !self.0.port.depart() {
            return Err(Refused {
                status: Status::INVALID_HANDLE,
                operation,
            });
        }
        let number = flying.next;
        flying.next += 1;
        operation.set_id(number);
        operation.overlapped.reset();
        operation.overlapped.socket = Some(self.0.clone());
        // The system copies the array before the call returns (PK-11).
        let mut buffers: SmallVec<[WSABUF; 8]> = operation
            .segments()
            .iter()
            .map(|segment| WSABUF {
                len: u32::try_from(segment.len()).unwrap_or(u32::MAX),
                buf: segment.as_ptr(),
            })
            .collect();
        if buffers.is_empty() {
            buffers.push(WSABUF {
                len: 0,
                buf: null_mut(),
            });
        }
        let header = operation.into_raw();
        flying.operations.insert(number, header.as_ptr() as usize);
        let (count, overlapped) = (buffers.len() as u32, header.cast::<OVERLAPPED>().as_ptr());
        let mut flags = 0;
        // SAFETY: the socket is open while the lock is held; the OVERLAPPED is the front of memory
        // that was just given up and stays until its packet is taken; the buffers obey
        // `Segment::new`.
        let result = unsafe {
            if kind == Kind::Send {
                WSASend(
                    socket,
                    buffers.as_ptr(),
                    count,
                    null_mut(),
                    0,
                    overlapped,
                    None,
                )
            } else {
                WSARecv(
                    socket,
                    buffers.as_ptr(),
                    count,
                    null_mut(),
                    &mut flags,
                    overlapped,
                    None,
                )
            }
        };
        let error = match result {
            0 => 0,
            // SAFETY: no pointers are involved.
            _ => unsafe { WSAGetLastError() },
        };
        if result != 0 && error != WSA_IO_PENDING {
            flying.operations.remove(&number);
            drop(flying);
            self.0.port.arrive();
            // SAFETY: the call failed, so the system has not kept the address.
            let mut operation = unsafe { Operation::from_raw(header) };
            operation.overlapped.socket = None;
            return Err(Refused {
                status: Status::from_win32(error as u32),
                operation,
            });
        }
        Ok(Token {
            socket: self.0.number,
            operation: number,
        })
    }

    /// Queues an operation at the socket's port as it is (PQ-1).
    ///
    /// # Errors
    ///
    /// A closed port gives it back.
    pub fn post(&self, operation: Operation) -> Result<(), Operation> {
        self.0.port.post(operation)
    }

    /// Asks the system to cancel an operation; `false` if it is not under way (CX-2). Here `true`
    /// is no promise: the operation may complete all the same, and its packet says how (CX-1).
    pub fn cancel(&self, token: Token) -> bool {
        let flying = self.0.lock();
        if token.socket != self.0.number {
            return false;
        }
        let (Some(socket), Some(&address)) =
            (flying.socket(), flying.operations.get(&token.operation))
        else {
            return false;
        };
        // SAFETY: the socket is open and the address is that operation's while the lock is held.
        unsafe { CancelIoEx(socket as HANDLE, address as *const OVERLAPPED) != 0 }
    }

    /// Cancels all that is under way; how many operations that was.
    pub fn cancel_all(&self) -> usize {
        self.0.cancel_all()
    }

    /// Closes the socket, whatever handles there are; what is in flight ends with packets.
    pub fn close(&self) {
        let endpoint = self.0.lock().endpoint.take();
        drop(endpoint);
    }

    /// Shuts directions down.
    ///
    /// # Errors
    ///
    /// When it is closed or not connected.
    pub fn shutdown(&self, how: ShutdownHow) -> Result<(), Status> {
        let flying = self.0.lock();
        let socket = flying.socket().ok_or(Status::INVALID_HANDLE)?;
        let how = match how {
            ShutdownHow::Recv => SD_RECEIVE,
            ShutdownHow::Send => SD_SEND,
            ShutdownHow::Both => SD_BOTH,
        };
        // SAFETY: the socket is open while the lock is held.
        if unsafe { shutdown(socket, how) } == 0 {
            return Ok(());
        }
        // SAFETY: no pointers are involved.
        Err(Status::from_win32(unsafe { WSAGetLastError() } as u32))
    }

    /// Nothing: on Windows an association lasts until the socket is closed (PO-6).
    pub fn release(&self) -> Option<Endpoint> {
        None
    }

    /// Uses the endpoint, for options.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn with_endpoint<R>(&self, f: impl FnOnce(&Endpoint) -> R) -> Result<R, Status> {
        self.0
            .lock()
            .endpoint
            .as_ref()
            .map(f)
            .ok_or(Status::INVALID_HANDLE)
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.address(|socket| socket.local_addr())
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// When the socket is closed or not connected.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.address(|socket| socket.peer_addr())
    }

    fn address(
        &self,
        ask: impl FnOnce(socket2::SockRef<'_>) -> io::Result<socket2::SockAddr>,
    ) -> io::Result<Address> {
        let address = self
            .with_endpoint(|Endpoint::Os(socket)| ask(socket2::SockRef::from(socket)))
            .map_err(Status::to_error)??;
        let unknown = || io::Error::new(io::ErrorKind::Unsupported, "not an internet address");
        address
            .as_socket()
            .map(Address::Internet)
            .ok_or_else(unknown)
    }
}
