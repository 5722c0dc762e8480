//! The extension functions: found by their GUIDs, or linked.

use std::ffi::c_void;
use std::sync::Arc;

use overlapped_core::{Kind, Segment, Status};

use super::{socket, transfer, truth, wsamsg};
use crate::abi::{BOOL, DWORD, FALSE, HANDLE, OVERLAPPED, SOCKET};
use crate::error::Error;
use crate::net::types::{GUID, TRANSMIT_FILE_BUFFERS, sockaddr};
use crate::objects::operation::{Finished, Memory, Told};
use crate::objects::socket::{ADDRESS_AT, Accepting, Flag, Started};
use crate::objects::{Event, Object, Socket};
use crate::{handle, net};

const fn guid(data1: u32, data2: u16, data3: u16, data4: [u8; 8]) -> GUID {
    GUID {
        Data1: data1,
        Data2: data2,
        Data3: data3,
        Data4: data4,
    }
}

const OF_1996: [u8; 8] = [0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92];
const ACCEPTEX: GUID = guid(0xb5367df1, 0xcbac, 0x11cf, OF_1996);
const GETACCEPTEXSOCKADDRS: GUID = guid(0xb5367df2, 0xcbac, 0x11cf, OF_1996);
const CONNECTEX: GUID = guid(
    0x25a207b9,
    0xddf3,
    0x4660,
    [0x8e, 0xe9, 0x76, 0xe5, 0x8c, 0x74, 0x06, 0x3e],
);
const DISCONNECTEX: GUID = guid(
    0x7fda2e11,
    0x8630,
    0x436f,
    [0xa0, 0x31, 0xf5, 0x36, 0xa6, 0xee, 0xc1, 0x57],
);

const TRANSMITFILE: GUID = guid(0xb5367df0, 0xcbac, 0x11cf, OF_1996);

const WSARECVMSG: GUID = guid(
    0xf689d7c8,
    0x6f1f,
    0x436b,
    [0x8a, 0x53, 0xe5, 0x4f, 0xe3, 0x51, 0xc3, 0x22],
);
const WSASENDMSG: GUID = guid(
    0xa441e712,
    0x754f,
    0x43ca,
    [0x84, 0xa7, 0x0d, 0xee, 0x44, 0xcf, 0x60, 0x6d],
);

/// The function with this GUID.
pub(super) fn find(guid: GUID) -> Option<*const c_void> {
    Some(match guid {
        ACCEPTEX => AcceptEx as *const c_void,
        GETACCEPTEXSOCKADDRS => GetAcceptExSockaddrs as *const c_void,
        CONNECTEX => ConnectEx as *const c_void,
        DISCONNECTEX => DisconnectEx as *const c_void,
        TRANSMITFILE => TransmitFile as *const c_void,
        WSARECVMSG => wsamsg::WSARecvMsg as *const c_void,
        WSASENDMSG => wsamsg::WSASendMsg as *const c_void,
        _ => return None,
    })
}

/// What a call that started an operation returns.
///
/// # Safety
///
/// `moved` is NULL or valid.
unsafe fn started(result: Result<Started, Error>, moved: *mut DWORD) -> BOOL {
    // SAFETY: by the caller's word.
    match unsafe { transfer::started(result, moved) } {
        0 => crate::abi::TRUE,
        _ => FALSE,
    }
}

/// Accepts a connection, its first data and its addresses (AX-1 to AX-9).
///
/// # Safety
///
/// The pointers are NULL or valid; the buffer, which has the three lengths together, until the operation
/// has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn AcceptEx(
    listener: SOCKET,
    accept: SOCKET,
    buffer: *mut c_void,
    data_length: DWORD,
    local_length: DWORD,
    remote_length: DWORD,
    received: *mut DWORD,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let lengths = [data_length, local_length, remote_length];
    // SAFETY: by the caller's word.
    unsafe {
        let result = accept_ex(listener, accept, buffer.cast(), lengths, overlapped);
        started(result, received)
    }
}

unsafe fn accept_ex(
    listener: SOCKET,
    accept: SOCKET,
    buffer: *mut u8,
    lengths: [u32; 3],
    overlapped: *mut OVERLAPPED,
) -> Result<Started, Error> {
    let listener = socket(listener)?;
    if overlapped.is_null() {
        return Err(Error::INVALID_PARAMETER);
    }
    // SAFETY: by the caller's word. It stays so if the call is refused (PK-9).
    unsafe { (*overlapped).Internal = Status::PENDING.code() as usize };
    let target = socket(accept)?;
    if !listener.has(Flag::LISTENING) {
        return Err(Error::WSAEINVAL);
    }
    if buffer.is_null() || lengths[2] == 0 {
        return Err(Error::WSAEFAULT);
    }
    // SAFETY: by the caller's word.
    let told = unsafe { Told::of(overlapped) }?;
    let accepting = Accepting::new(&listener, target.clone(), buffer, lengths)?;
    let mut memory = Memory::take(overlapped);
    let header = memory.header();
    match (accepting.has_room(), lengths[0]) {
        (true, 0) => header.prepare(Kind::Accept, []),
        (true, length) => {
            // SAFETY: the program gives the buffer until the operation has ended.
            let room = unsafe { Segment::new(buffer, length as usize) };
            header.prepare_one(Kind::AcceptRecv, room);
        }
        // It waits for a connection and leaves it there (AX-3).
        (false, _) => header.prepare(Kind::Readable, []),
    }
    memory.more().accepting = Some(accepting);
    let started = listener.start(memory, told, true);
    target.stop_accepting_if_closed();
    started
}

/// Finds the addresses in the buffer of an accept (AX-2).
///
/// # Safety
///
/// The buffer is the one of an [`AcceptEx`] that has ended, with the same lengths; the other pointers are
/// NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetAcceptExSockaddrs(
    buffer: *mut c_void,
    data_length: DWORD,
    local_length: DWORD,
    remote_length: DWORD,
    local: *mut *mut sockaddr,
    local_size: *mut i32,
    remote: *mut *mut sockaddr,
    remote_size: *mut i32,
) {
    let data = data_length as usize;
    let parts = [
        (data, local_length, local, local_size),
        (
            data + local_length as usize,
            remote_length,
            remote,
            remote_size,
        ),
    ];
    for (at, room, to, size) in parts {
        if buffer.is_null() || to.is_null() || size.is_null() {
            continue;
        }
        // SAFETY: by the caller's word.
        unsafe {
            let part = buffer.cast::<u8>().add(at);
            match room as usize >= ADDRESS_AT {
                true => {
                    *to = part.add(ADDRESS_AT).cast();
                    *size = part.cast::<u32>().read_unaligned() as i32;
                }
                false => {
                    *to = std::ptr::null_mut();
                    *size = 0;
                }
            }
        }
    }
}

/// Connects, and sends if there is something to be sent (CE-1 to CE-4).
///
/// # Safety
///
/// The pointers are NULL or valid; what is to be sent until the operation has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ConnectEx(
    s: SOCKET,
    name: *const sockaddr,
    length: i32,
    data: *const c_void,
    data_length: DWORD,
    sent: *mut DWORD,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    // SAFETY: by the caller's word.
    unsafe {
        let result = connect_ex(s, name, length, data.cast(), data_length, overlapped);
        started(result, sent)
    }
}

unsafe fn connect_ex(
    s: SOCKET,
    name: *const sockaddr,
    length: i32,
    data: *const u8,
    data_length: u32,
    overlapped: *mut OVERLAPPED,
) -> Result<Started, Error> {
    let socket = socket(s)?;
    if overlapped.is_null() {
        return Err(Error::INVALID_PARAMETER);
    }
    // SAFETY: by the caller's word, here and below.
    let to = unsafe {
        (*overlapped).Internal = Status::PENDING.code() as usize;
        net::read(name, length)?
    };
    if !socket.is_stream()
        || !socket.has(Flag::BOUND)
        || socket.has(Flag::LISTENING)
        || socket.has(Flag::ACCEPTING)
    {
        return Err(Error::WSAEINVAL);
    }
    if socket.is_connected() {
        return Err(Error::WSAEISCONN);
    }
    if to
        .internet()
        .is_some_and(|to| to.port() == 0 || to.ip().is_unspecified())
    {
        return Err(Error::WSAEADDRNOTAVAIL);
    }
    // SAFETY: as above.
    let told = unsafe { Told::of(overlapped) }?;
    let mut memory = Memory::take(overlapped);
    let header = memory.header();
    match data.is_null() || data_length == 0 {
        true => header.prepare(Kind::Connect, []),
        false => {
            // SAFETY: the program gives the data until the operation has ended.
            let content = unsafe { Segment::new(data.cast_mut(), data_length as usize) };
            header.prepare_one(Kind::Connect, content);
        }
    }
    header.set_peer(Some(to.to_core()?));
    let connected: Arc<Socket> = socket.clone();
    memory.more().finish = Some(Box::new(move |header| {
        if header.status().is_success() {
            connected.note_connected();
        }
        Finished::Ended
    }));
    socket.start(memory, told, true)
}

const TF_REUSE_SOCKET: u32 = 2;

/// Ends the sending direction, and with `TF_REUSE_SOCKET` the connection (DX-1, DX-2).
///
/// # Safety
///
/// `overlapped` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DisconnectEx(
    s: SOCKET,
    overlapped: *mut OVERLAPPED,
    flags: DWORD,
    reserved: DWORD,
) -> BOOL {
    // SAFETY: by the caller's word.
    match unsafe { disconnect_ex(s, overlapped, flags, reserved) } {
        Ok(None) => crate::abi::TRUE,
        // SAFETY: nothing is written.
        Ok(Some(result)) => unsafe { started(Ok(result), std::ptr::null_mut()) },
        Err(error) => truth(Err(error)),
    }
}

unsafe fn disconnect_ex(
    s: SOCKET,
    overlapped: *mut OVERLAPPED,
    flags: u32,
    reserved: u32,
) -> Result<Option<Started>, Error> {
    let socket = socket(s)?;
    if !socket.is_connected() {
        return Err(Error::WSAENOTCONN);
    }
    if reserved != 0 || flags & !TF_REUSE_SOCKET != 0 {
        return Err(Error::WSAEINVAL);
    }
    let reuse = flags & TF_REUSE_SOCKET != 0;
    if overlapped.is_null() {
        match reuse {
            true => socket.renew()?,
            false => socket.shut(overlapped_core::ShutdownHow::Send)?,
        }
        return Ok(None);
    }
    // SAFETY: by the caller's word.
    let told = unsafe { Told::of(overlapped) }?;
    let mut memory = Memory::take(overlapped);
    memory.header().prepare(Kind::Disconnect, []);
    socket.set(Flag::SEND_SHUT);
    if reuse {
        let used = socket.clone();
        memory.more().finish = Some(Box::new(move |header| {
            if header.status().is_success() && used.renew().is_err() {
                header.finish(Status::INSUFFICIENT_RESOURCES, 0);
            }
            Finished::Ended
        }));
    }
    socket.start(memory, told, true).map(Some)
}

const TF_DISCONNECT: u32 = 1;
/// Which threads do it is not the program's affair here.
const TF_IGNORED: u32 = 4 | 16 | 32;
const MOST_TRANSMITTED: u32 = i32::MAX as u32 - 1;

/// Sends bytes, a range of a file, and bytes, as one send (TF-1). Without an `OVERLAPPED` it waits.
///
/// # Safety
///
/// The pointers are NULL or valid; buffers until the operation has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TransmitFile(
    s: SOCKET,
    file: HANDLE,
    length: DWORD,
    _chunk: DWORD,
    overlapped: *mut OVERLAPPED,
    buffers: *mut TRANSMIT_FILE_BUFFERS,
    flags: DWORD,
) -> BOOL {
    // SAFETY: by the caller's word.
    let result = unsafe {
        match overlapped.is_null() {
            false => transmit(s, file, length, overlapped, buffers, flags),
            true => transmit_now(s, file, length, buffers, flags),
        }
    };
    // SAFETY: nothing is written.
    unsafe { started(result, std::ptr::null_mut()) }
}

/// Starts it with an event of our own, and waits for that.
unsafe fn transmit_now(
    s: SOCKET,
    file: HANDLE,
    length: u32,
    buffers: *mut TRANSMIT_FILE_BUFFERS,
    flags: u32,
) -> Result<Started, Error> {
    let event = handle::open(Event::new(true, false))?;
    let pointer = match handle::find(file) {
        Ok(Object::File(file)) => *file.pointer(),
        _ => 0,
    };
    let mut overlapped = OVERLAPPED {
        Internal: 0,
        InternalHigh: 0,
        Offset: pointer as u32,
        OffsetHigh: (pointer >> 32) as u32,
        // Marked: there is no packet.
        hEvent: (event as usize | 1) as HANDLE,
    };
    // SAFETY: the structure lives until the operation has ended, which is waited for.
    let result = unsafe {
        transmit(s, file, length, &mut overlapped, buffers, flags).and_then(|_| {
            super::results::ended(event, &mut overlapped, Status::winsock).map(Started::Done)
        })
    };
    let _ = handle::close(event);
    result
}

unsafe fn transmit(
    s: SOCKET,
    file: HANDLE,
    length: u32,
    overlapped: *mut OVERLAPPED,
    buffers: *mut TRANSMIT_FILE_BUFFERS,
    flags: u32,
) -> Result<Started, Error> {
    let socket = socket(s)?;
    if flags & !(TF_DISCONNECT | TF_REUSE_SOCKET | TF_IGNORED) != 0
        || flags & (TF_DISCONNECT | TF_REUSE_SOCKET) == TF_REUSE_SOCKET
        || length > MOST_TRANSMITTED
    {
        return Err(Error::WSAEINVAL);
    }
    if !socket.is_stream() || !socket.is_connected() {
        return Err(Error::WSAENOTCONN);
    }
    // SAFETY: by the caller's word, here and below.
    let (told, at) = unsafe {
        let at = u64::from((*overlapped).OffsetHigh) << 32 | u64::from((*overlapped).Offset);
        (Told::of(overlapped)?, at)
    };
    let piece = |start: *mut c_void, length: u32| {
        let is_any = !start.is_null() && length > 0;
        // SAFETY: the program gives the buffers until the operation has ended.
        is_any.then(|| unsafe { Segment::new(start.cast(), length as usize) })
    };
    // SAFETY: as above.
    let (head, tail) = unsafe { buffers.as_ref() }.map_or((None, None), |buffers| {
        (
            piece(buffers.Head, buffers.HeadLength),
            piece(buffers.Tail, buffers.TailLength),
        )
    });
    let mut memory = Memory::take(overlapped);
    let pieces = head.into_iter().chain(tail);
    if file.is_null() {
        memory.header().prepare(Kind::Send, pieces);
    } else {
        let Ok(Object::File(file)) = handle::find(file) else {
            memory.give_back();
            return Err(Error::INVALID_HANDLE);
        };
        memory.header().prepare(Kind::SendFile, pieces);
        let length = (length > 0).then_some(length.into());
        let set = file.seat(true).and_then(|file| {
            let head = head.iter().count();
            memory.header().set_transmit(&file, at, length, head)
        });
        if let Err(status) = set {
            memory.give_back();
            return Err(net::of_status(status));
        }
    }
    if flags & TF_DISCONNECT != 0 {
        let used = socket.clone();
        let reuse = flags & TF_REUSE_SOCKET != 0;
        memory.more().finish = Some(Box::new(move |header| {
            if header.status().is_success() {
                let ended = match reuse {
                    true => used.renew(),
                    false => used.shut(overlapped_core::ShutdownHow::Send),
                };
                if ended.is_err() {
                    let bytes = header.bytes();
                    header.finish(Status::UNSUCCESSFUL, bytes);
                }
            }
            Finished::Ended
        }));
    }
    socket.start(memory, told, true)
}
