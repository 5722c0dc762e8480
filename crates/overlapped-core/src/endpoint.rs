//! What a port can associate: a socket, pipe or other descriptor of the system, or a simulated socket.

use std::io;

#[cfg(unix)]
use std::os::fd::OwnedFd as OsSocket;
#[cfg(windows)]
use std::os::windows::io::OwnedSocket as OsSocket;

#[cfg(target_os = "linux")]
use crate::Status;
#[cfg(all(feature = "sim", target_os = "linux"))]
use crate::engine::sim::SimSocket;

/// A socket before it is associated, and after it was given back.
#[derive(Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// A socket of the operating system; on Linux any descriptor that can be waited for.
    Os(OsSocket),
    /// A connection that an accept of a port's took.
    #[cfg(target_os = "linux")]
    Connection(Connection),
    /// An end of a pipe; or a file that could not be associated, which is neither.
    #[cfg(windows)]
    Handle(std::os::windows::io::OwnedHandle),
    /// A socket of the simulated network.
    #[cfg(all(feature = "sim", target_os = "linux"))]
    Sim(SimSocket),
}

/// An accepted connection, of which the system need not be asked what it is.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Connection {
    pub(crate) fd: OsSocket,
    /// Whether it is an internet connection, over which no descriptors are passed.
    pub(crate) internet: bool,
}

impl Endpoint {
    /// The system's socket; `None` of a simulated one, and of what is none on Windows.
    pub fn os(&self) -> Option<&OsSocket> {
        match self {
            Endpoint::Os(socket) => Some(socket),
            #[cfg(target_os = "linux")]
            Endpoint::Connection(connection) => Some(&connection.fd),
            #[cfg(windows)]
            Endpoint::Handle(_) => None,
            #[cfg(all(feature = "sim", target_os = "linux"))]
            Endpoint::Sim(_) => None,
        }
    }

    /// Of a system's socket: what has come back of the datagrams that it has sent (IO-13), if that is
    /// to be told and anything has; told once.
    #[cfg(target_os = "linux")]
    pub fn sent_back(&self) -> Option<Status> {
        self.os()?;
        crate::engine::sent_back(self)
    }

    /// Whether a system's socket that is not connected is told what comes back.
    ///
    /// # Errors
    ///
    /// The system's; a simulated socket is not told.
    #[cfg(target_os = "linux")]
    pub fn set_sent_back(&self, told: bool) -> io::Result<()> {
        match self.os() {
            Some(_) => crate::engine::set_sent_back(self, told),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The system's socket.
    ///
    /// # Errors
    ///
    /// A simulated socket has none, nor has what is none on Windows.
    pub fn into_os(self) -> io::Result<OsSocket> {
        match self {
            Endpoint::Os(socket) => Ok(socket),
            #[cfg(target_os = "linux")]
            Endpoint::Connection(connection) => Ok(connection.fd),
            #[cfg(windows)]
            Endpoint::Handle(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a pipe or file is no socket",
            )),
            #[cfg(all(feature = "sim", target_os = "linux"))]
            Endpoint::Sim(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a simulated socket is no system's",
            )),
        }
    }
}

/// Makes a pipe: its reading and its writing end.
///
/// # Errors
///
/// The system's.
#[cfg(any(target_os = "linux", windows))]
pub fn pipe() -> io::Result<(Endpoint, Endpoint)> {
    #[cfg(target_os = "linux")]
    let (reader, writer) = io::pipe()?;
    #[cfg(windows)]
    let (reader, writer) = crate::engine::iocp::pipe()?;
    Ok((reader.into(), writer.into()))
}

impl From<OsSocket> for Endpoint {
    fn from(socket: OsSocket) -> Self {
        Endpoint::Os(socket)
    }
}

macro_rules! from_std {
    ($($type:ty),*) => {
        $(impl From<$type> for Endpoint {
            fn from(socket: $type) -> Self {
                Endpoint::Os(socket.into())
            }
        })*
    };
}

from_std!(
    std::net::TcpStream,
    std::net::TcpListener,
    std::net::UdpSocket,
    socket2::Socket
);
#[cfg(target_os = "linux")]
from_std!(
    std::os::unix::net::UnixStream,
    std::os::unix::net::UnixListener,
    std::os::unix::net::UnixDatagram,
    std::io::PipeReader,
    std::io::PipeWriter
);

#[cfg(windows)]
impl From<std::os::windows::io::OwnedHandle> for Endpoint {
    fn from(handle: std::os::windows::io::OwnedHandle) -> Self {
        Endpoint::Handle(handle)
    }
}

#[cfg(all(feature = "sim", target_os = "linux"))]
impl From<SimSocket> for Endpoint {
    fn from(socket: SimSocket) -> Self {
        Endpoint::Sim(socket)
    }
}
