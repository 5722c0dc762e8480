//! Files: opening, reading, writing. Sockets can be read and written in the same way.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use overlapped_core::{Kind, Segment, Status};

use super::transfer;
use super::truth;
use crate::abi::{BOOL, DWORD, FALSE, HANDLE, INVALID_HANDLE_VALUE, OVERLAPPED, TRUE, WSABUF};
use crate::error::{self, Error};
use crate::handle;
use crate::net::types::OVERLAPPED_COMPLETION_ROUTINE;
use crate::objects::operation::{Memory, Routine, Told};
use crate::objects::socket::Started;
use crate::objects::{Console, File, Object};

const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_ALL: u32 = 0x1000_0000;
const FILE_READ_DATA: u32 = 1;
const FILE_WRITE_DATA: u32 = 2;
const FILE_APPEND_DATA: u32 = 4;

const CREATE_NEW: u32 = 1;
const CREATE_ALWAYS: u32 = 2;
const OPEN_EXISTING: u32 = 3;
const OPEN_ALWAYS: u32 = 4;
const TRUNCATE_EXISTING: u32 = 5;

const FILE_FLAG_WRITE_THROUGH: u32 = 0x8000_0000;
const FILE_FLAG_OVERLAPPED: u32 = 0x4000_0000;
const FILE_FLAG_NO_BUFFERING: u32 = 0x2000_0000;
const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;

fn of_io(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ENOTDIR) => Error::PATH_NOT_FOUND,
        Some(libc::EEXIST) => Error::FILE_EXISTS,
        Some(libc::EISDIR) => Error::ACCESS_DENIED,
        Some(errno) => Error(Status::from_errno(errno).win32()),
        None => Error::INVALID_PARAMETER,
    }
}

/// A program's path: with slashes of either kind. Drives are not known.
fn path(name: &[u8]) -> PathBuf {
    if name.eq_ignore_ascii_case(b"nul") {
        return PathBuf::from("/dev/null");
    }
    let name: Vec<u8> = name
        .iter()
        .map(|&byte| if byte == b'\\' { b'/' } else { byte })
        .collect();
    PathBuf::from(OsStr::from_bytes(&name))
}

fn open(name: &[u8], access: u32, disposition: u32, flags: u32) -> Result<HANDLE, Error> {
    let path = path(name);
    let reads = access & (GENERIC_READ | GENERIC_ALL | FILE_READ_DATA) != 0;
    let writes = access & (GENERIC_WRITE | GENERIC_ALL | FILE_WRITE_DATA) != 0;
    let appends = !writes && access & FILE_APPEND_DATA != 0;
    let mut linux = 0;
    if flags & FILE_FLAG_WRITE_THROUGH != 0 {
        linux |= libc::O_DSYNC;
    }
    if flags & FILE_FLAG_NO_BUFFERING != 0 {
        linux |= libc::O_DIRECT;
    }
    let with = |set: &dyn Fn(&mut std::fs::OpenOptions)| {
        let mut options = std::fs::OpenOptions::new();
        options
            // Nothing at all is enough to ask about a file.
            .read(reads || !(writes || appends))
            .write(writes || appends)
            .custom_flags(linux);
        set(&mut options);
        options.open(&path)
    };
    let anew = |truncate: bool| {
        // Which of the two it was is told (ERROR_ALREADY_EXISTS).
        let makes = |options: &mut std::fs::OpenOptions| {
            options.write(true).create_new(true);
        };
        match with(&makes) {
            Ok(made) => Ok((made, false)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => with(&|options| {
                if truncate {
                    options.write(true).truncate(true);
                }
            })
            .map(|file| (file, true)),
            Err(error) => Err(error),
        }
    };
    let (file, existed) = crate::thread::blocking(|| match disposition {
        CREATE_NEW => with(&|options| {
            options.write(true).create_new(true);
        })
        .map(|file| (file, false)),
        CREATE_ALWAYS => anew(true),
        OPEN_ALWAYS => anew(false),
        OPEN_EXISTING => with(&|_| {}).map(|file| (file, false)),
        TRUNCATE_EXISTING if writes => with(&|options| {
            options.truncate(true);
        })
        .map(|file| (file, false)),
        _ => Err(ErrorKind::InvalidInput.into()),
    })
    .map_err(|error| of_io(&error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Error::ACCESS_DENIED);
    }
    let delete = (flags & FILE_FLAG_DELETE_ON_CLOSE != 0).then_some(path);
    let overlapped = flags & FILE_FLAG_OVERLAPPED != 0;
    let made = handle::open(File::new(OwnedFd::from(file), overlapped, appends, delete))?;
    if matches!(disposition, CREATE_ALWAYS | OPEN_ALWAYS) {
        error::set_last(match existed {
            true => Error::ALREADY_EXISTS,
            false => Error(0),
        });
    }
    Ok(made)
}

/// Opens a file. Sharing and attributes are not looked at.
///
/// # Safety
///
/// `name` is NULL or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateFileA(
    name: *const c_char,
    access: DWORD,
    _share: DWORD,
    _security: *mut c_void,
    disposition: DWORD,
    flags: DWORD,
    _template: HANDLE,
) -> HANDLE {
    if name.is_null() {
        return error::or(Err(Error::PATH_NOT_FOUND), INVALID_HANDLE_VALUE);
    }
    // SAFETY: by the caller's word.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    error::or(open(name, access, disposition, flags), INVALID_HANDLE_VALUE)
}

/// As [`CreateFileA`], with a UTF-16 name.
///
/// # Safety
///
/// As [`CreateFileA`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateFileW(
    name: *const u16,
    access: DWORD,
    _share: DWORD,
    _security: *mut c_void,
    disposition: DWORD,
    flags: DWORD,
    _template: HANDLE,
) -> HANDLE {
    // SAFETY: by the caller's word.
    let name = unsafe { wide(name) };
    let opened = name.and_then(|name| open(name.as_bytes(), access, disposition, flags));
    error::or(opened, INVALID_HANDLE_VALUE)
}

/// # Safety
///
/// `text` is NULL or ends with a zero.
unsafe fn wide(text: *const u16) -> Result<String, Error> {
    if text.is_null() {
        return Err(Error::PATH_NOT_FOUND);
    }
    let mut length = 0;
    // SAFETY: by the caller's word there is a zero.
    let units = unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        std::slice::from_raw_parts(text, length)
    };
    Ok(String::from_utf16_lossy(units))
}

/// Deletes a file.
///
/// # Safety
///
/// `name` is NULL or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DeleteFileA(name: *const c_char) -> BOOL {
    if name.is_null() {
        return truth(Err(Error::PATH_NOT_FOUND));
    }
    // SAFETY: by the caller's word.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    truth(std::fs::remove_file(path(name)).map_err(|error| of_io(&error)))
}

/// As [`DeleteFileA`], with a UTF-16 name.
///
/// # Safety
///
/// As [`DeleteFileA`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DeleteFileW(name: *const u16) -> BOOL {
    // SAFETY: by the caller's word.
    let name = unsafe { wide(name) };
    truth(name.and_then(|name| {
        std::fs::remove_file(path(name.as_bytes())).map_err(|error| of_io(&error))
    }))
}

fn file(handle: HANDLE) -> Result<Arc<File>, Error> {
    match handle::find(handle)? {
        Object::File(file) => Ok(file),
        _ => Err(Error::INVALID_HANDLE),
    }
}

fn of_status(status: Status) -> Error {
    Error(status.win32())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Read,
    Write,
}

/// Where an operation begins, as its `OVERLAPPED` says.
unsafe fn offset(overlapped: *const OVERLAPPED) -> u64 {
    // SAFETY: valid, by the caller's word.
    unsafe { u64::from((*overlapped).OffsetHigh) << 32 | u64::from((*overlapped).Offset) }
}

/// Reads. A file at the place that the `OVERLAPPED` says, or at the file pointer without one; a socket
/// as `WSARecv` does (IO-17, IO-18).
///
/// # Safety
///
/// The pointers are NULL or valid; the buffer until the operation has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ReadFile(
    handle: HANDLE,
    buffer: *mut c_void,
    length: DWORD,
    moved: *mut DWORD,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    // SAFETY: by the caller's word.
    unsafe { transfer(Way::Read, handle, buffer.cast(), length, moved, overlapped) }
}

/// Writes. A file at the place that the `OVERLAPPED` says (all ones: at its end), or at the file pointer
/// without one; a socket as `WSASend` does.
///
/// # Safety
///
/// As [`ReadFile`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WriteFile(
    handle: HANDLE,
    buffer: *const c_void,
    length: DWORD,
    moved: *mut DWORD,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let buffer = buffer.cast_mut().cast();
    // SAFETY: by the caller's word.
    unsafe { transfer(Way::Write, handle, buffer, length, moved, overlapped) }
}

unsafe fn transfer(
    way: Way,
    handle: HANDLE,
    buffer: *mut u8,
    length: u32,
    moved: *mut u32,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    // SAFETY: by the caller's word, here and below.
    let result = unsafe {
        if !moved.is_null() {
            *moved = 0;
        }
        match handle::find(handle) {
            Ok(Object::Socket(_)) => {
                return on_socket(way, handle, buffer, length, moved, overlapped);
            }
            Ok(Object::File(file)) => on_file(way, &file, buffer, length, overlapped),
            Ok(Object::Console(console)) => on_console(way, &console, buffer, length),
            Ok(_) => Err(Error::INVALID_HANDLE),
            Err(error) => Err(error),
        }
    };
    match result {
        Ok(Started::Done(bytes)) => {
            if !moved.is_null() {
                // SAFETY: as above.
                unsafe { *moved = bytes as u32 };
            }
            TRUE
        }
        Ok(Started::Pending) => truth(Err(Error::IO_PENDING)),
        Err(error) => truth(Err(error)),
    }
}

/// Reads as [`ReadFile`] does an overlapped file, and has the thread call `routine` at the end, in an
/// alertable wait (AP-1).
///
/// # Safety
///
/// As [`ReadFile`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ReadFileEx(
    handle: HANDLE,
    buffer: *mut c_void,
    length: DWORD,
    overlapped: *mut OVERLAPPED,
    routine: Option<OVERLAPPED_COMPLETION_ROUTINE>,
) -> BOOL {
    // SAFETY: by the caller's word.
    truth(unsafe {
        transfer_ex(
            Way::Read,
            handle,
            buffer.cast(),
            length,
            overlapped,
            routine,
        )
    })
}

/// Writes as [`WriteFile`] does, likewise.
///
/// # Safety
///
/// As [`WriteFile`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WriteFileEx(
    handle: HANDLE,
    buffer: *const c_void,
    length: DWORD,
    overlapped: *mut OVERLAPPED,
    routine: Option<OVERLAPPED_COMPLETION_ROUTINE>,
) -> BOOL {
    let buffer = buffer.cast_mut().cast();
    // SAFETY: by the caller's word.
    truth(unsafe { transfer_ex(Way::Write, handle, buffer, length, overlapped, routine) })
}

unsafe fn transfer_ex(
    way: Way,
    handle: HANDLE,
    buffer: *mut u8,
    length: u32,
    overlapped: *mut OVERLAPPED,
    routine: Option<OVERLAPPED_COMPLETION_ROUTINE>,
) -> Result<(), Error> {
    let object = handle::find(handle)?;
    let notification = object.notification()?;
    let (Some(routine), false) = (routine, overlapped.is_null()) else {
        return Err(Error::INVALID_PARAMETER);
    };
    // PO-11
    if !notification.is_overlapped() || notification.is_associated() {
        return Err(Error::INVALID_PARAMETER);
    }
    let told = Some(Told::Routine(Routine::File(routine)));
    // SAFETY: by the caller's word.
    unsafe {
        match &object {
            Object::File(file) => {
                start_on_file(way, file, buffer, length, overlapped, told).map(|_| ())
            }
            _ => {
                let kind = match way {
                    Way::Read => Kind::Recv,
                    Way::Write => Kind::Send,
                };
                let segment = Segment::new(buffer, length as usize);
                let prepare = |memory: &mut Memory, _| memory.header().prepare_one(kind, segment);
                transfer::start(handle as usize, overlapped, told, |_| Ok(()), prepare)
                    .map(|_| ())
                    .map_err(|error| Error(Status::from_win32(error.0).win32()))
            }
        }
    }
}

/// On a socket, with the errors of files.
unsafe fn on_socket(
    way: Way,
    handle: HANDLE,
    buffer: *mut u8,
    length: u32,
    moved: *mut u32,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let mut piece = WSABUF {
        len: length,
        buf: buffer,
    };
    let (s, mut flags, mut bytes) = (handle as usize, 0, 0);
    let to = if moved.is_null() {
        &raw mut bytes
    } else {
        moved
    };
    // SAFETY: by the caller's word.
    let result = unsafe {
        match way {
            Way::Read => transfer::WSARecv(s, &mut piece, 1, to, &mut flags, overlapped, None),
            Way::Write => transfer::WSASend(s, &mut piece, 1, to, 0, overlapped, None),
        }
    };
    if result == 0 {
        return TRUE;
    }
    let error = error::last();
    if error != Error::IO_PENDING.0 {
        error::set_last(Error(Status::from_win32(error).win32()));
    }
    FALSE
}

/// On one of the standard handles.
unsafe fn on_console(
    way: Way,
    console: &Console,
    buffer: *mut u8,
    length: u32,
) -> Result<Started, Error> {
    if buffer.is_null() {
        return Err(Error::NOACCESS);
    }
    // SAFETY: by the caller's word.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length as usize) };
    match way {
        Way::Read => console.read(bytes).map(Started::Done),
        Way::Write => console.write(bytes).map(|()| Started::Done(bytes.len())),
    }
}

unsafe fn on_file(
    way: Way,
    file: &File,
    buffer: *mut u8,
    length: u32,
    overlapped: *mut OVERLAPPED,
) -> Result<Started, Error> {
    if buffer.is_null() && length > 0 {
        return Err(Error::NOACCESS);
    }
    let is_overlapped = file.notification().is_overlapped();
    if overlapped.is_null() {
        if is_overlapped {
            return Err(Error::INVALID_PARAMETER);
        }
        let mut pointer = file.pointer();
        // SAFETY: by the caller's word.
        let (at, bytes) = unsafe { now(way, file, buffer, length, Some(*pointer)) }?;
        *pointer = at + bytes as u64;
        return Ok(Started::Done(bytes));
    }
    // SAFETY: by the caller's word.
    let (at, told) = unsafe { (offset(overlapped), Told::of(overlapped)?) };
    let at = (at != u64::MAX).then_some(at);
    if !is_overlapped {
        // SAFETY: by the caller's word, here and below.
        let (at, bytes) = unsafe { now(way, file, buffer, length, at) }?;
        *file.pointer() = at + bytes as u64;
        // SAFETY: as above.
        unsafe {
            (*overlapped).InternalHigh = bytes;
            (*overlapped).Internal = 0;
        }
        if way == Way::Read && bytes == 0 && length > 0 {
            return Err(Error::HANDLE_EOF);
        }
        return Ok(Started::Done(bytes));
    }
    // SAFETY: by the caller's word.
    unsafe { start_on_file(way, file, buffer, length, overlapped, told) }
}

/// Starts it on a file that was opened for that.
unsafe fn start_on_file(
    way: Way,
    file: &File,
    buffer: *mut u8,
    length: u32,
    overlapped: *mut OVERLAPPED,
    told: Option<Told>,
) -> Result<Started, Error> {
    // SAFETY: by the caller's word.
    let at = unsafe { offset(overlapped) };
    let at = (at != u64::MAX).then_some(at);
    let kind = match way {
        Way::Read => Kind::Read,
        Way::Write if at.is_none() || file.appends() => Kind::Append,
        Way::Write => Kind::Write,
    };
    let mut memory = Memory::take(overlapped);
    // SAFETY: the program gives the buffer until the operation has ended.
    let segment = unsafe { Segment::new(buffer, length as usize) };
    memory.header().prepare_one(kind, segment);
    memory.header().set_offset(at.unwrap_or(0));
    file.start(memory, told).map_err(of_status)
}

/// Reads or writes, and waits for it; where it began, and how many bytes it moved. At the end of the
/// file there is nothing to be read.
///
/// # Safety
///
/// The buffer has `length` bytes.
unsafe fn now(
    way: Way,
    file: &File,
    buffer: *mut u8,
    length: u32,
    at: Option<u64>,
) -> Result<(u64, usize), Error> {
    let length = length as usize;
    let moved = file.with_fd(|fd| {
        let fd = fd.as_raw_fd();
        crate::thread::blocking(|| {
            let at = match at {
                Some(at) if !(way == Way::Write && file.appends()) => at as i64,
                // SAFETY: the descriptor is open.
                _ => unsafe { libc::lseek(fd, 0, libc::SEEK_END) },
            };
            let mut moved = 0;
            while moved < length {
                // SAFETY: the rest of the buffer.
                let part = unsafe {
                    let (rest, left) = (buffer.add(moved), length - moved);
                    match way {
                        Way::Read => libc::pread(fd, rest.cast(), left, at + moved as i64),
                        Way::Write => libc::pwrite(fd, rest.cast(), left, at + moved as i64),
                    }
                };
                match part {
                    0 => break,
                    -1 => match io::Error::last_os_error() {
                        error if error.kind() == ErrorKind::Interrupted => {}
                        _ if moved > 0 => break,
                        error => return Err(of_io(&error)),
                    },
                    part => moved += part as usize,
                }
            }
            Ok((at as u64, moved))
        })
    });
    moved.map_err(of_status)?
}

/// Moves the file pointer.
///
/// # Safety
///
/// `to` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetFilePointerEx(
    handle: HANDLE,
    distance: i64,
    to: *mut i64,
    from: DWORD,
) -> BOOL {
    let moved = seek(handle, distance, from).map(|at| {
        if !to.is_null() {
            // SAFETY: by the caller's word.
            unsafe { *to = at as i64 };
        }
    });
    truth(moved)
}

fn seek(handle: HANDLE, distance: i64, from: u32) -> Result<u64, Error> {
    let file = file(handle)?;
    let mut pointer = file.pointer();
    let start = match from {
        0 => 0,
        1 => *pointer,
        2 => size(&file)?,
        _ => return Err(Error::INVALID_PARAMETER),
    };
    *pointer = start
        .checked_add_signed(distance)
        .filter(|&at| i64::try_from(at).is_ok())
        .ok_or(Error::NEGATIVE_SEEK)?;
    Ok(*pointer)
}

/// What the calls return that give 64 bits in halves: the lower one. All ones may be an error or not,
/// so the last error tells.
///
/// # Safety
///
/// `high` is NULL or valid.
unsafe fn halves(result: Result<u64, Error>, high: *mut u32) -> u32 {
    match result {
        Ok(whole) => {
            if !high.is_null() {
                // SAFETY: by the caller's word.
                unsafe { *high = (whole >> 32) as u32 };
            }
            error::set_last(Error(0));
            whole as u32
        }
        Err(error) => error::or(Err(error), u32::MAX),
    }
}

/// Moves the file pointer, by a distance in halves; without a higher one, by 32 bits with a sign.
///
/// # Safety
///
/// `high` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetFilePointer(
    handle: HANDLE,
    distance: i32,
    high: *mut i32,
    from: DWORD,
) -> DWORD {
    let whole = match high.is_null() {
        true => i64::from(distance),
        // SAFETY: by the caller's word.
        false => i64::from(unsafe { *high }) << 32 | i64::from(distance as u32),
    };
    // SAFETY: by the caller's word.
    unsafe { halves(seek(handle, whole, from), high.cast()) }
}

/// How long a file is, in halves.
///
/// # Safety
///
/// `high` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetFileSize(handle: HANDLE, high: *mut DWORD) -> DWORD {
    // SAFETY: by the caller's word.
    unsafe { halves(file(handle).and_then(|file| size(&file)), high) }
}

fn size(file: &File) -> Result<u64, Error> {
    let asked = file.with_fd(|fd| {
        // SAFETY: it is plain data, which the call fills.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            match libc::fstat(fd.as_raw_fd(), &mut stat) {
                -1 => Err(of_io(&io::Error::last_os_error())),
                _ => Ok(stat.st_size as u64),
            }
        }
    });
    asked.map_err(of_status)?
}

/// How long a file is.
///
/// # Safety
///
/// `to` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetFileSizeEx(handle: HANDLE, to: *mut i64) -> BOOL {
    let asked = file(handle).and_then(|file| {
        if to.is_null() {
            return Err(Error::INVALID_PARAMETER);
        }
        // SAFETY: by the caller's word.
        unsafe { *to = size(&file)? as i64 };
        Ok(())
    });
    truth(asked)
}

/// Has a file end at its pointer.
#[unsafe(no_mangle)]
pub extern "C" fn SetEndOfFile(handle: HANDLE) -> BOOL {
    let set = file(handle).and_then(|file| {
        let length = *file.pointer() as i64;
        let set = file.with_fd(|fd| {
            // SAFETY: the descriptor is open.
            crate::thread::blocking(
                || match unsafe { libc::ftruncate(fd.as_raw_fd(), length) } {
                    -1 => Err(of_io(&io::Error::last_os_error())),
                    _ => Ok(()),
                },
            )
        });
        set.map_err(of_status)?
    });
    truth(set)
}

/// Brings a file's data to the disk.
#[unsafe(no_mangle)]
pub extern "C" fn FlushFileBuffers(handle: HANDLE) -> BOOL {
    let flushed = file(handle).and_then(|file| {
        let flushed = file.with_fd(|fd| {
            // SAFETY: the descriptor is open.
            crate::thread::blocking(|| match unsafe { libc::fsync(fd.as_raw_fd()) } {
                -1 => Err(of_io(&io::Error::last_os_error())),
                _ => Ok(()),
            })
        });
        flushed.map_err(of_status)?
    });
    truth(flushed)
}

const FILE_TYPE_UNKNOWN: u32 = 0;
const FILE_TYPE_DISK: u32 = 1;
const FILE_TYPE_CHAR: u32 = 2;
const FILE_TYPE_PIPE: u32 = 3;

/// What kind of file it is; sockets are pipes, as on Windows.
#[unsafe(no_mangle)]
pub extern "C" fn GetFileType(handle: HANDLE) -> DWORD {
    let kind = handle::find(handle).and_then(|object| match object {
        Object::File(_) => Ok(FILE_TYPE_DISK),
        Object::Socket(_) => Ok(FILE_TYPE_PIPE),
        Object::Console(console) => Ok(match console.terminal() {
            Some(_) => FILE_TYPE_CHAR,
            None => FILE_TYPE_PIPE,
        }),
        _ => Err(Error::INVALID_HANDLE),
    });
    error::or(kind, FILE_TYPE_UNKNOWN)
}
