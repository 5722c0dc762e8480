//! What an operation with a file has beside the rest.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{Header, is_range};
use crate::engine::files::{Descriptor, FileState};
use crate::{File, OpenOptions, Status};

/// The part of the header that only operations with files need.
#[derive(Default)]
pub(crate) struct FilePart {
    /// Which file it was started on.
    pub(crate) of: u64,
    /// The open file, kept open until the operation has ended.
    pub(crate) descriptor: Option<Arc<Descriptor>>,
    /// Where in the file: of a read or write its first byte, of a transmit the next one.
    pub(crate) offset: u64,
    /// Of a transmit.
    pub(crate) transmit: Transmit,
    /// Of an open.
    pub(crate) open: Option<Opening>,
    /// Of a close: what it closes.
    pub(crate) closing: Option<OwnedFd>,
}

/// How far the file's part of a transmit is.
#[derive(Default)]
pub(crate) struct Transmit {
    /// How many of the operation's pieces precede the file.
    pub(crate) head: usize,
    /// How many of the file's bytes are out.
    pub(crate) sent: usize,
    /// How many are wanted yet; `None`: all there are.
    pub(crate) left: Option<u64>,
    /// Up to where in the file the page cache was filled.
    pub(crate) warm_to: u64,
    /// Somebody is filling it.
    pub(crate) warming: bool,
}

/// What is to be opened, and the file that this makes.
pub(crate) struct Opening {
    pub(crate) path: CString,
    pub(crate) flags: i32,
    pub(crate) mode: u32,
    pub(crate) file: Arc<FileState>,
}

impl Header {
    /// Sets where in the file an operation begins, in bytes.
    pub fn set_offset(&mut self, offset: u64) {
        self.file().offset = offset;
    }

    /// Sets what an open opens, and the file that it makes.
    ///
    /// # Errors
    ///
    /// When the options contradict each other.
    pub fn set_open(
        &mut self,
        path: CString,
        options: &OpenOptions,
        file: &File,
    ) -> io::Result<()> {
        self.file().open = Some(Opening {
            path,
            flags: options.of_system()?,
            mode: options.permissions(),
            file: file.state().clone(),
        });
        Ok(())
    }

    /// Lets go of the file, which may close it here. Called when the packet is out.
    pub fn let_go_of_file(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.file.descriptor = None;
            extra.file.open = None;
        }
    }

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
        let descriptor = file.state().readable()?;
        let part = self.file();
        part.descriptor = Some(descriptor);
        part.offset = offset;
        part.transmit = Transmit {
            head,
            left: length,
            ..Transmit::default()
        };
        Ok(())
    }
}
