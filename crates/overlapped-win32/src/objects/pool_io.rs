//! The thread pool's I/O: a function that is called with the packets of a file object.
//!
//! The program says before each operation that a packet will come, and takes that back if none does; so
//! the object knows how many calls are to be waited for (TP-2).

use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use overlapped_core::Status;

use super::notification::Job;
use crate::abi::OVERLAPPED;

/// What is called: how the operation ended and how many bytes it moved, for which context and object.
pub(crate) type PoolIoCallback = unsafe extern "C" fn(
    instance: *mut c_void,
    context: *mut c_void,
    overlapped: *mut OVERLAPPED,
    result: u32,
    bytes: usize,
    io: *mut c_void,
);

pub(crate) struct PoolIo {
    callback: PoolIoCallback,
    context: usize,
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    /// Packets that are to come.
    started: usize,
    /// Packets that are to be dropped.
    skipped: usize,
    /// Calls that have not begun; those of an earlier generation will not.
    queued: usize,
    generation: u64,
    running: usize,
}

impl PoolIo {
    pub(crate) fn new(callback: PoolIoCallback, context: *mut c_void) -> Arc<Self> {
        Arc::new(PoolIo {
            callback,
            context: context as usize,
            state: Mutex::default(),
            idle: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet will come.
    pub(crate) fn start(&self) {
        self.lock().started += 1;
    }

    /// One less. If none was to come, the next one is dropped.
    pub(crate) fn cancel(&self) {
        let mut state = self.lock();
        match state.started {
            0 => state.skipped += 1,
            _ => state.started -= 1,
        }
        drop(state);
        self.idle.notify_all();
    }

    /// Waits for the calls that are to come. `cancels`: those that have not begun will not.
    pub(crate) fn wait(&self, cancels: bool) {
        let mut state = self.lock();
        if cancels {
            state.skipped += std::mem::take(&mut state.started);
            state.queued = 0;
            state.generation += 1;
        }
        while state.started + state.queued + state.running > 0 {
            state = self
                .idle
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A packet has come: the call that is to be made.
    pub(crate) fn packet(
        self: &Arc<Self>,
        status: Status,
        bytes: usize,
        overlapped: *mut OVERLAPPED,
    ) -> Option<Job> {
        let mut state = self.lock();
        if state.skipped > 0 {
            state.skipped -= 1;
            return None;
        }
        state.started = state.started.saturating_sub(1);
        state.queued += 1;
        let generation = state.generation;
        drop(state);
        let (me, overlapped) = (self.clone(), overlapped as usize);
        Some(Box::new(move || {
            me.call(generation, status, bytes, overlapped as *mut OVERLAPPED);
        }))
    }

    fn call(
        self: Arc<Self>,
        generation: u64,
        status: Status,
        bytes: usize,
        overlapped: *mut OVERLAPPED,
    ) {
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        state.queued -= 1;
        state.running += 1;
        drop(state);
        let (result, io) = (status.win32(), Arc::as_ptr(&self).cast_mut().cast());
        // There are no instances: nothing can be asked of one here.
        let instance = std::ptr::null_mut();
        // SAFETY: the program gave the function and the context for this.
        unsafe {
            (self.callback)(
                instance,
                self.context as *mut c_void,
                overlapped,
                result,
                bytes,
                io,
            );
        }
        self.lock().running -= 1;
        self.idle.notify_all();
    }
}
