//! What handles name.

pub(crate) mod backstage;
mod callbacks;
mod console;
mod event;
mod file;
mod mutex;
pub(crate) mod notification;
pub(crate) mod operation;
mod pool_io;
pub(crate) mod port;
mod process;
mod queue_timer;
mod registration;
mod semaphore;
pub(crate) mod socket;
mod thread;
mod timer;

use std::sync::Arc;

use crate::abi::HANDLE;
use crate::dispatcher::Signal;
use crate::error::Error;

pub(crate) use callbacks::{Callbacks, Then};
pub(crate) use console::{Console, flush_stdout_last};
pub(crate) use event::Event;
pub(crate) use file::File;
pub(crate) use mutex::Mutex;
pub(crate) use notification::Notification;
pub(crate) use pool_io::{PoolIo, PoolIoCallback};
pub(crate) use port::Port;
pub(crate) use process::Process;
pub(crate) use queue_timer::{QueueTimer, TimerQueue};
pub(crate) use registration::{Call, Registration};
pub(crate) use semaphore::Semaphore;
pub(crate) use socket::Socket;
pub(crate) use thread::{Thread, exit as exit_thread, run_for_program};
pub(crate) use timer::{Routine as TimerRoutine, Timer};

/// An object, of one kind or another. Cloning gives another reference to it.
#[derive(Clone)]
pub(crate) enum Object {
    Console(Arc<Console>),
    Event(Arc<Event>),
    File(Arc<File>),
    Mutex(Arc<Mutex>),
    Port(Arc<Port>),
    Process(Arc<Process>),
    QueueTimer(Arc<QueueTimer>),
    Registration(Arc<Registration>),
    Semaphore(Arc<Semaphore>),
    Socket(Arc<Socket>),
    Thread(Arc<Thread>),
    Timer(Arc<Timer>),
    TimerQueue(Arc<TimerQueue>),
}

impl Object {
    /// What a pseudo handle means to the calling thread.
    pub(crate) fn pseudo(handle: HANDLE) -> Option<Object> {
        match handle as isize {
            -1 => Some(Object::Process(Process::current())),
            -2 => Some(Object::Thread(Thread::current())),
            _ => None,
        }
    }

    /// Its last handle was closed. Whoever uses it now keeps its memory.
    pub(crate) fn last_handle_closed(&self) {
        match self {
            Object::File(file) => file.close(),
            Object::Port(port) => port.close(),
            Object::Socket(socket) => socket.close(),
            Object::QueueTimer(timer) => timer.end(),
            Object::Registration(registration) => registration.end(),
            Object::Timer(timer) => timer.cancel(),
            Object::Console(_)
            | Object::Event(_)
            | Object::Mutex(_)
            | Object::Process(_)
            | Object::Semaphore(_)
            | Object::Thread(_)
            | Object::TimerQueue(_) => {}
        }
    }

    /// What a wait for it waits for.
    pub(crate) fn signal(&self) -> Result<&Signal, Error> {
        match self {
            Object::Console(_)
            | Object::Port(_)
            | Object::QueueTimer(_)
            | Object::Registration(_)
            | Object::TimerQueue(_) => Err(Error::INVALID_HANDLE),
            Object::Event(event) => Ok(event.signal()),
            Object::File(file) => Ok(file.signal()),
            Object::Socket(socket) => Ok(socket.signal()),
            Object::Mutex(mutex) => Ok(mutex.signal()),
            Object::Process(process) => Ok(process.signal()),
            Object::Semaphore(semaphore) => Ok(semaphore.signal()),
            Object::Thread(thread) => Ok(thread.signal()),
            Object::Timer(timer) => Ok(timer.signal()),
        }
    }

    /// The event, if it is one.
    pub(crate) fn event(&self) -> Result<&Arc<Event>, Error> {
        match self {
            Object::Event(event) => Ok(event),
            _ => Err(Error::INVALID_HANDLE),
        }
    }

    /// The port, if it is one.
    #[inline]
    pub(crate) fn port(&self) -> Result<&Arc<Port>, Error> {
        match self {
            Object::Port(port) => Ok(port),
            _ => Err(Error::INVALID_HANDLE),
        }
    }

    /// The socket, if it is one.
    #[inline]
    pub(crate) fn socket(&self) -> Result<&Arc<Socket>, Error> {
        match self {
            Object::Socket(socket) => Ok(socket),
            _ => Err(Error::WSAENOTSOCK),
        }
    }

    /// Cancels the operations that are under way and `wanted`; how many that was.
    pub(crate) fn cancel_those(
        &self,
        wanted: impl Fn(&operation::Memory) -> bool,
    ) -> Result<usize, Error> {
        match self {
            Object::File(file) => Ok(file.cancel_those(wanted)),
            Object::Socket(socket) => Ok(socket.cancel_those(wanted)),
            _ => Err(Error::INVALID_HANDLE),
        }
    }

    /// Who is told of the ends of its operations, if it has any.
    pub(crate) fn notification(&self) -> Result<&Arc<Notification>, Error> {
        match self {
            Object::File(file) => Ok(file.notification()),
            Object::Socket(socket) => Ok(socket.notification()),
            _ => Err(Error::INVALID_HANDLE),
        }
    }

    /// The thread, if it is one.
    pub(crate) fn thread(&self) -> Result<&Arc<Thread>, Error> {
        match self {
            Object::Thread(thread) => Ok(thread),
            _ => Err(Error::INVALID_HANDLE),
        }
    }
}
