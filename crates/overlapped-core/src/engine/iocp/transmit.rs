//! A send of bytes, a range of a file, and bytes (TF-1).

use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{SOCKET, TRANSMIT_FILE_BUFFERS, TransmitFile};
use windows_sys::Win32::Storage::FileSystem::GetFileSizeEx;
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::file::{File, OpenFile};
use super::{pieces, status};
use crate::Status;
use crate::operation::{Header, is_range};

/// The most that one call sends.
const MOST: u64 = i32::MAX as u64 - 1;

/// What a transmit lends the kernel.
pub(crate) struct Transmit {
    file: Arc<OpenFile>,
    offset: u64,
    /// How many of the file's bytes are wanted; `None`: all there are.
    wanted: Option<u64>,
    /// How many of the operation's pieces precede the file.
    head: usize,
    /// The pieces before and behind the file, each in one.
    ends: [Vec<u8>; 2],
    buffers: TRANSMIT_FILE_BUFFERS,
    /// How much there was to be sent; less than what was asked for if the file ended before that.
    total: usize,
    short: bool,
}

impl Header {
    /// Sets what a transmit sends between the first `head` of its pieces and the others: `length`
    /// bytes of the file from `offset` on, or all there are.
    ///
    /// # Errors
    ///
    /// When the file is closed or cannot be read, or there is no such range.
    pub fn set_transmit(
        &mut self,
        file: &File,
        offset: u64,
        length: Option<u64>,
        head: usize,
    ) -> Result<(), Status> {
        if !is_range(offset, length.unwrap_or(0)) {
            return Err(Status::INVALID_PARAMETER);
        }
        let file = file.readable()?;
        self.scratch().transmit = Some(Box::new(Transmit {
            file,
            offset,
            wanted: length,
            head,
            ends: Default::default(),
            buffers: TRANSMIT_FILE_BUFFERS {
                Head: null_mut(),
                HeadLength: 0,
                Tail: null_mut(),
                TailLength: 0,
            },
            total: 0,
            short: false,
        }));
        Ok(())
    }
}

/// Starts it; what the call returned.
///
/// # Safety
///
/// As for `calls::issue`.
pub(super) unsafe fn issue(socket: SOCKET, header: NonNull<Header>) -> Result<bool, Status> {
    // SAFETY: nobody else has it, and this reference is not used any more when the call is made.
    let operation = unsafe { &mut *header.as_ptr() };
    let overlapped: *mut OVERLAPPED = header.as_ptr().cast();
    let mut transmit = operation
        .scratch()
        .transmit
        .take()
        .ok_or(Status::INVALID_PARAMETER)?;
    if operation.capacity() as u64 > MOST {
        // Before it is copied together.
        return Err(Status::INVALID_BUFFER_SIZE);
    }
    let there = size(&transmit.file)?.saturating_sub(transmit.offset);
    let length = transmit.wanted.map_or(there, |wanted| wanted.min(there));
    transmit.short = transmit.wanted.is_some_and(|wanted| wanted > there);
    let (head, tail) = operation.segments().split_at(transmit.head);
    // What follows a file that ends too early is not sent.
    let tail = if transmit.short { &[][..] } else { tail };
    for (end, parts) in transmit.ends.iter_mut().zip([head, tail]) {
        pieces::gather(parts, end);
    }
    let [head, tail] = &transmit.ends;
    let total = length + head.len() as u64 + tail.len() as u64;
    if total > MOST {
        return Err(Status::INVALID_BUFFER_SIZE);
    }
    transmit.buffers = TRANSMIT_FILE_BUFFERS {
        Head: head.as_ptr().cast_mut().cast(),
        HeadLength: head.len() as u32,
        Tail: tail.as_ptr().cast_mut().cast(),
        TailLength: tail.len() as u32,
    };
    transmit.total = total as usize;
    // To the call, no bytes of a file are all of them; so none are no file.
    let file: HANDLE = match length {
        0 => null_mut(),
        _ => transmit.file.raw(),
    };
    operation.overlapped.set_offset(transmit.offset);
    let transmit = operation.scratch().transmit.insert(transmit);
    let buffers = &raw const transmit.buffers;
    // SAFETY: everything that the call is given lies in the operation's memory, or is kept open by
    // it.
    Ok(unsafe { TransmitFile(socket, file, length as u32, 0, overlapped, buffers, 0) != 0 })
}

/// How one ended for which the system reports success.
pub(super) fn status(operation: &mut Header, bytes: usize) -> Status {
    match &operation.scratch().transmit {
        Some(transmit) if transmit.short || bytes < transmit.total => Status::END_OF_FILE,
        _ => Status::SUCCESS,
    }
}

fn size(file: &OpenFile) -> Result<u64, Status> {
    let mut size = 0;
    // SAFETY: the file is open, and the size lives for the call.
    match unsafe { GetFileSizeEx(file.raw(), &mut size) } {
        0 => Err(status::of_last_call()),
        _ => Ok(u64::try_from(size).unwrap_or(0)),
    }
}
