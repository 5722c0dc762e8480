//! Options of sockets, and what else they can be told to do.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::transfer::Routine;
use super::{extension, socket, zero};
use crate::abi::{DWORD, OVERLAPPED, SOCKET};
use crate::error::Error;
use crate::net::options::{Own, What, find};
use crate::net::types::{GUID, linger, tcp_keepalive};
use crate::objects::Socket;
use crate::objects::socket::Flag;

/// A program's number: of four bytes, or of one.
fn number(value: &[u8]) -> Result<i32, Error> {
    match value {
        [a, b, c, d, ..] => Ok(i32::from_ne_bytes([*a, *b, *c, *d])),
        [byte, ..] => Ok((*byte).into()),
        [] => Err(Error::WSAEFAULT),
    }
}

/// Sets an option.
///
/// # Safety
///
/// `value` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_setsockopt(
    s: SOCKET,
    level: i32,
    name: i32,
    value: *const u8,
    length: i32,
) -> i32 {
    let length = usize::try_from(length).unwrap_or(0);
    let value = match value.is_null() {
        true => &[][..],
        // SAFETY: by the caller's word.
        false => unsafe { std::slice::from_raw_parts(value, length) },
    };
    zero(socket(s).and_then(|socket| set(&socket, level, name, value)))
}

fn set(socket: &Arc<Socket>, level: i32, name: i32, value: &[u8]) -> Result<(), Error> {
    let pass = |level, name, value: &[u8]| {
        // SAFETY: as many bytes as are said.
        socket.call(|fd| unsafe {
            libc::setsockopt(fd, level, name, value.as_ptr().cast(), value.len() as u32)
        })
    };
    let own = match find(level, name).ok_or(Error::WSAENOPROTOOPT)? {
        What::Number(level, name) => {
            return pass(level, name, &number(value)?.to_ne_bytes()).map(|_| ());
        }
        What::Same(level, name) => return pass(level, name, value).map(|_| ()),
        What::Own(own) => own,
    };
    match own {
        Own::Reuse | Own::Exclusive => {
            let (flag, other) = match own {
                Own::Reuse => (Flag::REUSE, Flag::EXCLUSIVE),
                _ => (Flag::EXCLUSIVE, Flag::REUSE),
            };
            let on = number(value)? != 0;
            if on && socket.has(other) || own == Own::Exclusive && socket.has(Flag::BOUND) {
                return Err(Error::WSAEINVAL);
            }
            socket.put(flag, on);
            Ok(())
        }
        Own::Linger => {
            if value.len() < size_of::<linger>() {
                return Err(Error::WSAEFAULT);
            }
            // SAFETY: long enough, and any bytes are one.
            let linger = unsafe { value.as_ptr().cast::<linger>().read_unaligned() };
            set_linger(socket, linger)
        }
        Own::DontLinger => set_linger(
            socket,
            linger {
                l_onoff: (number(value)? == 0).into(),
                l_linger: (socket.linger().load(Relaxed) >> 16) as u16,
            },
        ),
        Own::RecvTimeout | Own::SendTimeout => {
            let milliseconds = number(value)? as u32;
            let to = match own {
                Own::RecvTimeout => socket.recv_timeout(),
                _ => socket.send_timeout(),
            };
            to.store(milliseconds, Relaxed);
            Ok(())
        }
        // None at all is allowed on Windows, which then sends from the program's memory; here the
        // kernel keeps its least.
        Own::SendBuffer => pass(libc::SOL_SOCKET, libc::SO_SNDBUF, value_of(value)?).map(|_| ()),
        Own::RecvBuffer => pass(libc::SOL_SOCKET, libc::SO_RCVBUF, value_of(value)?).map(|_| ()),
        Own::AcceptContext => {
            let listener = value.try_into().map(usize::from_ne_bytes);
            let listener = super::socket(listener.map_err(|_| Error::WSAEFAULT)?)?;
            match listener.has(Flag::LISTENING) && socket.has(Flag::ACCEPTED) {
                true => Ok(()),
                false => Err(Error::WSAEINVAL),
            }
        }
        Own::ConnectContext => match socket.is_connected() {
            true => Ok(()),
            false => Err(Error::WSAENOTCONN),
        },
        Own::Nothing => Ok(()),
        Own::Error | Own::Type | Own::MaxMessage | Own::ConnectTime => Err(Error::WSAENOPROTOOPT),
    }
}

fn value_of(value: &[u8]) -> Result<&[u8], Error> {
    value.get(..4).ok_or(Error::WSAEFAULT)
}

fn set_linger(socket: &Socket, linger: linger) -> Result<(), Error> {
    let on = linger.l_onoff != 0;
    let raw = u32::from(linger.l_linger) << 16 | u32::from(on);
    socket.linger().store(raw, Relaxed);
    // Closing does not wait for what is not out: with a time, it goes out for as long as the port
    // allows.
    let hard = on && linger.l_linger == 0;
    socket.put(Flag::HARD_CLOSE, hard);
    let reset = hard.then_some(Duration::ZERO);
    let set = socket.with_fd(|fd| socket2::SockRef::from(&fd).set_linger(reset))?;
    set.map_err(|error| crate::net::of_errno(error.raw_os_error().unwrap_or(0)))
}

/// Asks for an option.
///
/// # Safety
///
/// `value` is NULL or has `*length` bytes; `length` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_getsockopt(
    s: SOCKET,
    level: i32,
    name: i32,
    value: *mut u8,
    length: *mut i32,
) -> i32 {
    if value.is_null() || length.is_null() {
        return zero(Err(Error::WSAEFAULT));
    }
    // SAFETY: by the caller's word.
    let room = usize::try_from(unsafe { *length }).unwrap_or(0);
    let result = socket(s).and_then(|socket| {
        let bytes = get(&socket, level, name)?;
        // A truth fits into one byte.
        let bytes = match bytes.len() {
            4 if (1..4).contains(&room) => &bytes[..1],
            _ => &bytes[..],
        };
        if bytes.len() > room {
            return Err(Error::WSAEFAULT);
        }
        // SAFETY: there is room, as was just seen.
        unsafe {
            value.copy_from(bytes.as_ptr(), bytes.len());
            *length = bytes.len() as i32;
        }
        Ok(())
    });
    zero(result)
}

fn get(socket: &Arc<Socket>, level: i32, name: i32) -> Result<Vec<u8>, Error> {
    let ask = |level, name| {
        let mut value = vec![0u8; 64];
        let mut length = value.len() as libc::socklen_t;
        // SAFETY: as much room as is said.
        socket.call(|fd| unsafe {
            libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &mut length)
        })?;
        value.truncate(length as usize);
        Ok(value)
    };
    let own = match find(level, name).ok_or(Error::WSAENOPROTOOPT)? {
        What::Number(level, name) | What::Same(level, name) => return ask(level, name),
        What::Own(own) => own,
    };
    let number = |number: u32| Ok(number.to_ne_bytes().to_vec());
    match own {
        Own::Reuse => number(socket.has(Flag::REUSE).into()),
        Own::Exclusive => number(socket.has(Flag::EXCLUSIVE).into()),
        Own::Linger => {
            let raw = socket.linger().load(Relaxed);
            Ok([raw as u16, (raw >> 16) as u16]
                .map(u16::to_ne_bytes)
                .concat())
        }
        Own::DontLinger => number((socket.linger().load(Relaxed) & 1 == 0).into()),
        Own::RecvTimeout => number(socket.recv_timeout().load(Relaxed)),
        Own::SendTimeout => number(socket.send_timeout().load(Relaxed)),
        Own::SendBuffer => halved(ask(libc::SOL_SOCKET, libc::SO_SNDBUF)?),
        Own::RecvBuffer => halved(ask(libc::SOL_SOCKET, libc::SO_RCVBUF)?),
        Own::Error => {
            // What broke the connection is told by the calls, again and again (IO-14).
            let errno = ask(libc::SOL_SOCKET, libc::SO_ERROR)?;
            let errno = errno.try_into().map_or(0, i32::from_ne_bytes);
            if errno == 0 {
                return number(0);
            }
            number(socket.note_failure(crate::net::of_errno(errno)).0)
        }
        Own::Type => number(socket.kind() as u32),
        Own::MaxMessage => number(match socket.is_stream() {
            true => 0,
            false => 65507,
        }),
        Own::ConnectTime => number(
            socket
                .connected_for()
                .map_or(u32::MAX, |time| time.as_secs() as u32),
        ),
        Own::Nothing => number(0),
        Own::AcceptContext | Own::ConnectContext => Err(Error::WSAENOPROTOOPT),
    }
}

/// Linux tells twice what was asked for.
fn halved(value: Vec<u8>) -> Result<Vec<u8>, Error> {
    let doubled = value.try_into().map(i32::from_ne_bytes);
    let doubled = doubled.map_err(|_| Error::WSAEFAULT)?;
    Ok((doubled / 2).to_ne_bytes().to_vec())
}

const FIONBIO: u32 = 0x8004_667e;
const FIONREAD: u32 = 0x4004_667f;
const SIOCATMARK: u32 = 0x4004_7307;
const SIO_GET_EXTENSION_FUNCTION_POINTER: u32 = 0xc800_0006;
const SIO_KEEPALIVE_VALS: u32 = 0x9800_0004;
const SIO_UDP_CONNRESET: u32 = 0x9800_000c;
const SIO_LOOPBACK_FAST_PATH: u32 = 0x9800_0010;
const SIO_BASE_HANDLE: u32 = 0x4800_0022;

/// Sets the mode, or asks how much has come.
///
/// # Safety
///
/// `argument` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctlsocket(s: SOCKET, command: i32, argument: *mut u32) -> i32 {
    zero(socket(s).and_then(|socket| {
        // SAFETY: by the caller's word.
        let argument = unsafe { argument.as_mut() }.ok_or(Error::WSAEFAULT)?;
        control(&socket, command as u32, argument)
    }))
}

fn control(socket: &Socket, command: u32, argument: &mut u32) -> Result<(), Error> {
    let ask = |command: libc::Ioctl| {
        let mut value = 0i32;
        // SAFETY: both of these write a number.
        socket.call(|fd| unsafe { libc::ioctl(fd, command, &raw mut value) })?;
        Ok(value as u32)
    };
    match command {
        FIONBIO => socket.put(Flag::NON_BLOCKING, *argument != 0),
        FIONREAD => *argument = ask(libc::FIONREAD)?,
        // Whether no urgent data is left to be read.
        SIOCATMARK => *argument = 1,
        _ => return Err(Error::WSAEINVAL),
    }
    Ok(())
}

/// Does what `code` says: finds an extension function, sets times of keep-alives, and a few others.
/// What is not known is refused with `WSAEOPNOTSUPP`. It always ends at once; if it was overlapped, a
/// packet comes or an event is set all the same.
///
/// # Safety
///
/// The pointers are NULL or valid for the lengths that go with them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSAIoctl(
    s: SOCKET,
    code: DWORD,
    input: *const c_void,
    input_length: DWORD,
    output: *mut c_void,
    output_length: DWORD,
    returned: *mut DWORD,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> i32 {
    let bytes = |start: *const c_void, length: u32| match start.is_null() {
        true => &[][..],
        // SAFETY: by the caller's word.
        false => unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length as usize) },
    };
    let input = bytes(input, input_length);
    let result = socket(s).and_then(|socket| {
        if routine.is_some() {
            return Err(Error::WSAEOPNOTSUPP);
        }
        if returned.is_null() && overlapped.is_null() {
            return Err(Error::WSAEFAULT);
        }
        let answer = ioctl(&socket, s, code, input)?;
        if answer.len() > output_length as usize || (output.is_null() && !answer.is_empty()) {
            return Err(Error::WSAEFAULT);
        }
        // SAFETY: there is room, as was just seen; the others by the caller's word.
        unsafe {
            output.cast::<u8>().copy_from(answer.as_ptr(), answer.len());
            if !returned.is_null() {
                *returned = answer.len() as u32;
            }
            if !overlapped.is_null() {
                super::ended_at_once(socket.notification(), overlapped, answer.len())?;
            }
        }
        Ok(())
    });
    zero(result)
}

fn ioctl(socket: &Socket, s: SOCKET, code: u32, input: &[u8]) -> Result<Vec<u8>, Error> {
    match code {
        SIO_GET_EXTENSION_FUNCTION_POINTER => {
            if input.len() < size_of::<GUID>() {
                return Err(Error::WSAEFAULT);
            }
            // SAFETY: long enough, and any bytes are one.
            let guid = unsafe { input.as_ptr().cast::<GUID>().read_unaligned() };
            let function = extension::find(guid).ok_or(Error::WSAEINVAL)?;
            Ok((function as usize).to_ne_bytes().to_vec())
        }
        SIO_KEEPALIVE_VALS => {
            if input.len() < size_of::<tcp_keepalive>() {
                return Err(Error::WSAEFAULT);
            }
            // SAFETY: as above.
            let times = unsafe { input.as_ptr().cast::<tcp_keepalive>().read_unaligned() };
            keep_alive(socket, times).map(|()| Vec::new())
        }
        SIO_UDP_CONNRESET => {
            let told = number(input)? != 0;
            socket.set_sent_back(told)?;
            Ok(Vec::new())
        }
        SIO_LOOPBACK_FAST_PATH => Ok(Vec::new()),
        SIO_BASE_HANDLE => Ok(s.to_ne_bytes().to_vec()),
        FIONBIO | FIONREAD | SIOCATMARK => {
            let mut argument = match code {
                FIONBIO => number(input)? as u32,
                _ => 0,
            };
            control(socket, code, &mut argument)?;
            Ok(match code {
                FIONBIO => Vec::new(),
                _ => argument.to_ne_bytes().to_vec(),
            })
        }
        _ => Err(Error::WSAEOPNOTSUPP),
    }
}

fn keep_alive(socket: &Socket, times: tcp_keepalive) -> Result<(), Error> {
    let seconds = |milliseconds: u32| (milliseconds.div_ceil(1000)).max(1);
    let set = |level, name, value: u32| {
        // SAFETY: four bytes.
        socket.call(|fd| unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), 4) })
    };
    set(
        libc::SOL_SOCKET,
        libc::SO_KEEPALIVE,
        (times.onoff != 0).into(),
    )?;
    if times.onoff != 0 {
        let (idle, between) = (
            seconds(times.keepalivetime),
            seconds(times.keepaliveinterval),
        );
        set(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, idle)?;
        set(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, between)?;
    }
    Ok(())
}
