//! Which port a thread is bound to (CC-3).
//!
//! The binding sits in a thread-local, so that the thread's end is seen as a departure (CC-10). It
//! is taken out while it is in use: a destructor of the user's that runs inside, and calls the port
//! itself, then finds the thread unbound instead of borrowed.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use overlapped_queue::{Binding, Member, Queue, Signals};

use super::PortInner;
use super::slice::TimeSlice;
use crate::GetError;
use crate::engine::alarm::LazyAlarm;
use crate::operation::ItemList;
use crate::trace;

thread_local! {
    static CURRENT: Cell<Option<Box<Bound>>> = const { Cell::new(None) };
    /// Names the binding that the thread made last, also while it is taken out. It needs no
    /// destructor, so that a look at it costs a load.
    static MEMBER: Cell<Option<Member>> = const { Cell::new(None) };
}

/// A binding that the thread and the port's system know of.
struct Bound {
    binding: Binding<ItemList>,
    port: Weak<PortInner>,
    _slice: Option<TimeSlice>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        MEMBER.set(None);
        if let Some(port) = self.port.upgrade() {
            port.system().leave();
        }
    }
}

/// Who the calling thread is, for what it pushes.
#[inline]
pub(super) fn member() -> Option<Member> {
    MEMBER.get()
}

/// The port's signals, for a thread that may outlive it.
struct Reach {
    port: Weak<PortInner>,
    /// Not by way of the port: whoever lets go of that last drops what is left in it, and must not
    /// do so with the queue locked.
    alarm: Weak<LazyAlarm>,
}

impl Signals for Reach {
    fn interrupt(&self) {
        if let Some(port) = self.port.upgrade() {
            port.interrupt();
        }
    }

    fn set_alarm(&self, after: Option<Duration>) {
        if let Some(alarm) = self.alarm.upgrade()
            && let Some(Some(alarm)) = alarm.get()
        {
            alarm.set(after);
        }
    }
}

/// Takes the thread's binding and puts it back when dropped, unless another one came meanwhile.
struct Taken(Option<Box<Bound>>);

impl Taken {
    fn take() -> Self {
        // A thread whose locals are being destroyed is bound for one call at a time.
        Taken(CURRENT.try_with(Cell::take).ok().flatten())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.0.is_none() {
            return;
        }
        let _ = CURRENT.try_with(|current| {
            // What was put there meanwhile is newer; ours then ends here.
            if let Some(newer) = current.replace(self.0.take()) {
                self.0 = current.replace(Some(newer));
            }
        });
    }
}

/// Calls `f` with the thread's binding to this port; binds it first, and so releases it from
/// another port, if need be.
pub(super) fn bound<R>(
    port: &Arc<PortInner>,
    f: impl FnOnce(&mut Binding<ItemList>) -> Result<R, GetError>,
) -> Result<R, GetError> {
    let mut taken = Taken::take();
    if taken
        .0
        .as_ref()
        .is_none_or(|bound| !bound.binding.queue().same(&port.queue))
    {
        taken.0 = None;
        let presence = port.watch.this_thread();
        if presence.is_none() && port.watch.observes() {
            trace::unobserved(port.number());
        }
        let reach = Reach {
            port: Arc::downgrade(port),
            alarm: Arc::downgrade(&port.alarm),
        };
        let binding = port.queue.bind(Box::new(reach), presence).map_err(|_| {
            GetError::Failed(io::Error::new(
                io::ErrorKind::OutOfMemory,
                "no memory to bind this thread to the port",
            ))
        })?;
        port.system().arrive().map_err(GetError::Failed)?;
        MEMBER.set(Some(binding.member()));
        // A hint: without it the thread works all the same.
        let slice = port.time_slice.and_then(|slice| TimeSlice::ask(slice).ok());
        taken.0 = Some(Box::new(Bound {
            binding,
            port: Arc::downgrade(port),
            _slice: slice,
        }));
    }
    f(&mut taken.0.as_mut().expect("bound above").binding)
}

/// Calls `f` with the thread's binding, if it is bound to this queue.
pub(super) fn with_current<R>(
    queue: &Queue<ItemList>,
    f: impl FnOnce(Option<&Binding<ItemList>>) -> R,
) -> R {
    let taken = Taken::take();
    f(taken
        .0
        .as_deref()
        .map(|bound| &bound.binding)
        .filter(|binding| binding.queue().same(queue)))
}

/// Runs `f` with the thread's place given up, and takes it back afterwards, panics included.
pub(super) fn blocking<R>(port: &Arc<PortInner>, f: impl FnOnce() -> R) -> R {
    struct Back<'a>(&'a PortInner);

    impl Drop for Back<'_> {
        fn drop(&mut self) {
            with_current(&self.0.queue, |me| {
                if let Some(me) = me {
                    self.0.queue.unblock(me);
                }
            });
        }
    }

    let released = with_current(&port.queue, |me| {
        me.is_some_and(|me| port.queue.block(&**port, me))
    });
    let _back = released.then(|| Back(port));
    f()
}
