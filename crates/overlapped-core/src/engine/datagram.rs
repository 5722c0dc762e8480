//! Linux: the calls that move datagrams, and the errors that the network sends back.
//!
//! A datagram that found nobody comes back as an ICMP message. The system shows that to a socket
//! twice: the next call of any kind fails with it, once, and, with `IP_RECVERR`, which is what
//! makes it do so for sockets that are not connected, the message itself waits in the socket's
//! *error queue*. The model wants it in a receive and never in a send (IO-13). So a send that fails
//! is tried again, and a receive that finds nothing looks into the queue, once an error was
//! reported; whatever it fails with, it empties the queue, so that what was sent back so far fails
//! one receive.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrStorage;

use super::Received;
use crate::Address;
use crate::operation::Segment;

/// How often a send is tried again because of an error that an earlier one has caused.
const RETRIES: u32 = 8;

/// Fills the segments from one datagram.
pub(super) fn recv(fd: BorrowedFd<'_>, into: &[Segment]) -> rustix::io::Result<Received> {
    receive(fd, &mut super::direct::message(into), libc::MSG_DONTWAIT)
}

/// Receives what the header of segments asks for, and where it came from.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    header: &mut libc::msghdr,
    flags: libc::c_int,
) -> rustix::io::Result<Received> {
    let mut from = MaybeUninit::<SocketAddrStorage>::uninit();
    header.msg_name = from.as_mut_ptr().cast();
    header.msg_namelen = size_of::<SocketAddrStorage>() as libc::socklen_t;
    // SAFETY: the header names memory that is ours for the length of the call, the segments'
    // by `Segment::new`.
    let result = unsafe { libc::recvmsg(fd.as_raw_fd(), header, flags) };
    let bytes = super::direct::length(result)?;
    let from = (header.msg_namelen as usize >= size_of::<libc::sa_family_t>()).then(|| {
        // SAFETY: the system has written an address of this length.
        unsafe { SocketAddrAny::new(from, header.msg_namelen) }
    });
    Ok(Received {
        bytes,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        from: from.and_then(Address::from_system),
    })
}

/// Sends the segments as one datagram, to the peer or to `to`.
pub(super) fn send(
    fd: BorrowedFd<'_>,
    from: &[Segment],
    to: Option<&Address>,
) -> rustix::io::Result<usize> {
    transmit(fd, super::direct::message(from), to)
}

/// Sends what the header of segments says, to the peer or to `to`.
pub(super) fn transmit(
    fd: BorrowedFd<'_>,
    mut header: libc::msghdr,
    to: Option<&Address>,
) -> rustix::io::Result<usize> {
    let to = match to {
        Some(address) => Some(address.to_system().ok_or(Errno::DESTADDRREQ)?),
        None => None,
    };
    if let Some(to) = &to {
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.addr_len();
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let mut tries = 0;
    loop {
        // SAFETY: as in `recv`; the system only reads, also the address.
        let result = unsafe { libc::sendmsg(fd.as_raw_fd(), &header, flags) };
        match super::direct::length(result) {
            Err(Errno::INTR) => {}
            Err(errno) if tries < RETRIES && is_sent_back(errno) && is_internet(fd) => tries += 1,
            result => return result,
        }
    }
}

fn is_sent_back(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH
    )
}

fn is_internet(fd: BorrowedFd<'_>) -> bool {
    use rustix::net::AddressFamily;
    rustix::net::sockopt::socket_domain(fd)
        .is_ok_and(|family| matches!(family, AddressFamily::INET | AddressFamily::INET6))
}

/// Empties the error queue; the first of its errors that is about a datagram that was sent.
pub(super) fn sent_back(fd: BorrowedFd<'_>) -> Option<Errno> {
    // To a Unix socket the flag means nothing, and the call would take a datagram.
    if !is_internet(fd) {
        return None;
    }
    let mut first = None;
    loop {
        // An extended error and the address of who reports it; aligned as a control message is.
        let mut control = [0u64; 16];
        let mut header = super::direct::message(&[]);
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: the header names memory of this function only.
        let result = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header, flags) };
        match super::direct::length(result) {
            Err(Errno::INTR) => continue,
            Err(_) => return first,
            Ok(_) => {}
        }
        // SAFETY: the system has filled in the control messages, and said how long they are.
        let mut message = unsafe { libc::CMSG_FIRSTHDR(&header) };
        while !message.is_null() {
            // SAFETY: the macro has given a message inside the buffer.
            let (level, kind) = unsafe { ((*message).cmsg_level, (*message).cmsg_type) };
            if (level, kind) == (libc::SOL_IP, libc::IP_RECVERR)
                || (level, kind) == (libc::SOL_IPV6, libc::IPV6_RECVERR)
            {
                // SAFETY: such a message holds this structure.
                let error = unsafe {
                    libc::CMSG_DATA(message)
                        .cast::<libc::sock_extended_err>()
                        .read_unaligned()
                };
                let errno = Errno::from_raw_os_error(error.ee_errno as i32);
                if error.ee_origin != libc::SO_EE_ORIGIN_LOCAL && is_sent_back(errno) {
                    first.get_or_insert(errno);
                }
            }
            // SAFETY: as for the first.
            message = unsafe { libc::CMSG_NXTHDR(&header, message) };
        }
    }
}

/// Whether what was sent back is told to sockets that are not connected. A socket that is not of
/// the internet has nothing like it.
pub(super) fn set_sent_back(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    use rustix::net::AddressFamily;
    let on = libc::c_int::from(on);
    let set = |level, name| {
        // SAFETY: the option's value is an int, which lives for the call.
        let result = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                level,
                name,
                std::ptr::from_ref(&on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        super::direct::length(result as isize)
            .map(|_| ())
            .map_err(io::Error::from)
    };
    match rustix::net::sockopt::socket_domain(fd)? {
        AddressFamily::INET => set(libc::SOL_IP, libc::IP_RECVERR),
        AddressFamily::INET6 => {
            set(libc::SOL_IPV6, libc::IPV6_RECVERR)?;
            // For IPv4 peers of a socket of both.
            set(libc::SOL_IP, libc::IP_RECVERR)
        }
        _ => Ok(()),
    }
}
