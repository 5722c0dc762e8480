//! Linux: the calls that pass descriptors over Unix sockets.
//!
//! A message may have *control messages* beside its bytes, and one kind of them, `SCM_RIGHTS`, is
//! descriptors: the system opens what they stand for in the receiver too. What there is no room for
//! it closes, and says so. Everything that a call has brought is owned, or closed, before this
//! module returns.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Received, datagram};
use crate::Address;
use crate::operation::{MOST_DESCRIPTORS, Segment};

/// What a socket may bring before and after the descriptors, if somebody has asked it to: the
/// sender's credentials, and a pidfd. They must not take the descriptors' room.
const OTHERS: usize = space(size_of::<libc::ucred>()) + space(size_of::<RawFd>());

/// The control messages of one call.
///
/// Of `u64`, because that is how control messages are aligned.
struct Control([u64; Control::WORDS]);

impl Control {
    const WORDS: usize = (space(MOST_DESCRIPTORS * size_of::<RawFd>()) + OTHERS).div_ceil(8);

    /// Lets a call use the first `bytes`.
    fn offer(&mut self, header: &mut libc::msghdr, bytes: usize) {
        assert!(bytes <= size_of_val(&self.0));
        header.msg_control = self.0.as_mut_ptr().cast();
        // The field's type is one thing in glibc and another in musl.
        header.msg_controllen = bytes as _;
    }
}

/// What a control message with so many bytes takes of its buffer.
const fn space(bytes: usize) -> usize {
    // SAFETY: a computation.
    unsafe { libc::CMSG_SPACE(bytes as u32) as usize }
}

/// The length of a control message with so many bytes.
const fn length(bytes: usize) -> usize {
    // SAFETY: a computation.
    unsafe { libc::CMSG_LEN(bytes as u32) as usize }
}

/// Fills the segments with what came, and `descriptors`, which is empty, with at most `room` of
/// those that came with it.
pub(super) fn recv(
    fd: BorrowedFd<'_>,
    into: &[Segment],
    room: usize,
    descriptors: &mut Vec<OwnedFd>,
) -> rustix::io::Result<Received> {
    let mut control = Control([0; Control::WORDS]);
    let mut header = super::direct::message(into);
    control.offer(&mut header, length(room * size_of::<RawFd>()) + OTHERS);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let mut received = datagram::receive(fd, &mut header, flags)?;
    let mut lost = header.msg_flags & libc::MSG_CTRUNC != 0;
    take(&header, |descriptor| {
        // The room of what else could have come lets a few more in.
        if descriptors.len() < room {
            descriptors.push(descriptor);
        } else {
            lost = true;
        }
    });
    received.truncated |= lost;
    Ok(received)
}

/// Gives each descriptor that a call has brought to `passed`, and closes what is none of the
/// sender's.
fn take(header: &libc::msghdr, mut passed: impl FnMut(OwnedFd)) {
    // SAFETY: the system has filled in the control messages, and said how long they are.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: the macro has given a message inside the buffer.
        let (level, kind, bytes) = unsafe {
            let message = &*message;
            (message.cmsg_level, message.cmsg_type, message.cmsg_len)
        };
        if level == libc::SOL_SOCKET && matches!(kind, libc::SCM_RIGHTS | SCM_PIDFD) {
            #[allow(
                clippy::unnecessary_cast,
                reason = "the field's type is another in musl"
            )]
            let count = (bytes as usize - length(0)) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: the message has so many descriptors, which the system has opened in this
                // call: nobody else owns them. They need not be aligned.
                let descriptor = unsafe {
                    let first = libc::CMSG_DATA(message).cast::<RawFd>();
                    OwnedFd::from_raw_fd(first.add(index).read_unaligned())
                };
                if kind == libc::SCM_RIGHTS {
                    passed(descriptor);
                }
            }
        }
        // SAFETY: as for the first.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
}

/// A pidfd of the sender (`SO_PASSPIDFD`).
const SCM_PIDFD: libc::c_int = 4;

/// Sends the segments, to the peer or to `to`, with descriptors at their first byte. They have gone
/// out if the call succeeds, however few bytes it has sent.
pub(super) fn send(
    fd: BorrowedFd<'_>,
    from: &[Segment],
    to: Option<&Address>,
    descriptors: &[OwnedFd],
) -> rustix::io::Result<usize> {
    let mut control = Control([0; Control::WORDS]);
    let mut header = super::direct::message(from);
    if descriptors.is_empty() {
        return datagram::transmit(fd, header, to);
    }
    let bytes = size_of_val(descriptors);
    control.offer(&mut header, space(bytes));
    // SAFETY: there is room for a message of this size, which `offer` has seen to.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(&header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = length(bytes) as _;
        let first = libc::CMSG_DATA(message).cast::<RawFd>();
        for (index, descriptor) in descriptors.iter().enumerate() {
            first.add(index).write_unaligned(descriptor.as_raw_fd());
        }
    }
    datagram::transmit(fd, header, to)
}
