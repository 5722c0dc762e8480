//! Where operations end whose end concerns more than a port.
//!
//! On the core's ports a transfer is made by the thread that takes the packet. That is right for
//! programs that take packets, and useless for one that waits for an event, for the file object, for a
//! completion routine, or that has no port at all: nobody would make the transfer. So such operations
//! are started on a port of the library's own. One thread takes its packets and does what the
//! operation's end demands: writes the status block, then sets the event, or queues the completion routine
//! to the thread that started it, and passes the packet on to the program's port, or its function, if there
//! is one (PK-7, PK-8, AP-1, TP-1).
//!
//! The thread is started by the first such operation, and lives as long as the process. It never
//! blocks: all that it does is short, whatever the program does.

use std::sync::OnceLock;

use overlapped_core::{Operation, Options, Port};

use super::operation::Memory;
use crate::helpers;
use crate::thread::ThreadId;

static BACKSTAGE: OnceLock<Option<Port>> = OnceLock::new();

/// The port; `None` if the system would not have it.
pub(crate) fn port() -> Option<&'static Port> {
    BACKSTAGE.get_or_init(begin).as_ref()
}

thread_local! {
    static LEAVING: Leaving = const { Leaving };
}

/// Cancels at a thread's end what ends with it (CX-8).
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        let me = ThreadId::current();
        if let Some(Some(port)) = BACKSTAGE.get() {
            port.cancel_those(|operation| {
                let memory = Memory::look(operation);
                memory.thread == me && memory.ends_with_its_thread()
            });
        }
    }
}

/// The calling thread starts something here.
pub(crate) fn note_thread() {
    let _ = LEAVING.try_with(|_| ());
}

fn begin() -> Option<Port> {
    let options = Options {
        concurrency: 1,
        ..Options::default()
    };
    let port = Port::new(&options).ok()?;
    let taken = port.clone();
    let work = move || {
        while let Ok(operation) = taken.get(None) {
            finish(operation);
        }
    };
    helpers::spawn("overlapped-io", work).ok()?;
    Some(port)
}

/// Does what an operation's end demands.
pub(crate) fn finish(operation: Operation) {
    if let Some(memory) = Memory::from_core(operation).settle() {
        memory.tell();
    }
}
