//! Who is told when an operation of a file object ends: the association, the modes, the object's own
//! signal.

use std::sync::atomic::{
    AtomicBool, AtomicU8, Ordering::AcqRel, Ordering::Acquire, Ordering::Release,
};
use std::sync::{Arc, OnceLock};

use overlapped_core::Status;

use super::Port;
use super::operation::Memory;
use crate::abi::OVERLAPPED;
use crate::dispatcher::{Kind, Signal};
use crate::error::Error;
use crate::helpers;

/// `FILE_SKIP_COMPLETION_PORT_ON_SUCCESS`
const SKIP_PORT: u8 = 1;
/// `FILE_SKIP_SET_EVENT_ON_HANDLE`
const SKIP_SIGNAL: u8 = 2;

/// What all handles of a file object, and its operations, share.
pub(crate) struct Notification {
    /// Its operations may be overlapped.
    overlapped: bool,
    association: OnceLock<Association>,
    modes: AtomicU8,
    /// Somebody wants to be told at the end, and not when a packet is taken.
    backstage: AtomicBool,
    /// Made when somebody waits for it.
    signal: OnceLock<Signal>,
}

/// Where packets go.
pub(crate) enum Association {
    /// To this port, with this key.
    Port(Arc<Port>, usize),
    /// To a function of the program's, on a thread of the library's.
    Callback(Callback),
}

/// What is asked what to do with a packet: how the operation ended, how many bytes it moved, its name.
pub(crate) type Callback = Arc<dyn Fn(Status, usize, *mut OVERLAPPED) -> Option<Job> + Send + Sync>;

/// Something to be done by a thread of the library's.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

impl Notification {
    pub(crate) fn new(overlapped: bool) -> Arc<Self> {
        Arc::new(Notification {
            overlapped,
            association: OnceLock::new(),
            modes: AtomicU8::new(0),
            backstage: AtomicBool::new(false),
            signal: OnceLock::new(),
        })
    }

    pub(crate) fn is_overlapped(&self) -> bool {
        self.overlapped
    }

    /// Once and for all (PO-5, PO-6).
    pub(crate) fn associate(&self, association: Association) -> Result<(), Error> {
        if !self.overlapped || self.association.set(association).is_err() {
            return Err(Error::INVALID_PARAMETER);
        }
        // PO-13
        self.end();
        Ok(())
    }

    pub(crate) fn is_associated(&self) -> bool {
        self.association.get().is_some()
    }

    /// The port that it is associated with, and the key.
    #[inline]
    pub(crate) fn port(&self) -> Option<(&Arc<Port>, usize)> {
        match self.association.get()? {
            Association::Port(port, key) => Some((port, *key)),
            Association::Callback(_) => None,
        }
    }

    /// Adds modes (SK-3).
    pub(crate) fn add_modes(&self, modes: u8) -> Result<(), Error> {
        if !self.overlapped {
            return Err(Error::INVALID_PARAMETER);
        }
        self.modes.fetch_or(modes, AcqRel);
        Ok(())
    }

    #[inline]
    pub(crate) fn skips_port(&self) -> bool {
        self.modes.load(Acquire) & SKIP_PORT != 0
    }

    fn skips_signal(&self) -> bool {
        self.modes.load(Acquire) & SKIP_SIGNAL != 0
    }

    /// Where its operations are to be started: on its port, if their packets are all that anybody
    /// waits for.
    #[inline]
    pub(crate) fn is_backstage(&self) -> bool {
        self.backstage.load(Acquire) || self.port().is_none()
    }

    /// From now on somebody wants to be told at the end.
    pub(crate) fn go_backstage(&self) {
        self.backstage.store(true, Release);
    }

    /// The object's own signal; from now on it is kept.
    pub(crate) fn signal(&self, is_idle: impl Fn() -> bool) -> &Signal {
        let mut new = false;
        let signal = self.signal.get_or_init(|| {
            new = true;
            self.go_backstage();
            Signal::new(Kind::Until, 0)
        });
        // What has ended before it was there did not set it.
        if new && is_idle() {
            signal.set();
        }
        signal
    }

    /// An operation without an event begins.
    #[inline]
    pub(crate) fn begin(&self) {
        if let Some(signal) = self.signal.get() {
            signal.reset();
        }
    }

    /// An operation without an event has ended (PK-8).
    pub(crate) fn end(&self) {
        if let Some(signal) = self.signal.get()
            && !self.skips_signal()
        {
            signal.set();
        }
    }

    /// Brings the packet of an operation that has ended to where it belongs, if there is such a place.
    pub(crate) fn deliver(&self, mut memory: Box<Memory>) {
        match self.association.get() {
            Some(Association::Port(port, key)) => {
                memory.key = *key;
                port.pass_on(memory);
            }
            Some(Association::Callback(callback)) => {
                let job = callback(memory.status(), memory.bytes(), memory.overlapped);
                memory.give_back();
                if let Some(job) = job {
                    // Without threads there is nobody to do it.
                    let _ = helpers::submit(job);
                }
            }
            None => memory.give_back(),
        }
    }
}
