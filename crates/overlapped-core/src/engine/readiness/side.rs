//! One direction of a socket: its operations, its bits, and the loop that serves them.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Registered, SocketState};
use super::{
    accept, connect, datagram, disconnect, passing, pipe, ready, recv, recv_pooled, send, send_file,
};
use crate::Status;
use crate::endpoint::Endpoint;
use crate::engine::{Nature, Refusal, System};
use crate::operation::{ItemList, Kind, OperationList, ReadyNode};
use crate::pool::Size;

/// Which side of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Receives and accepts.
    Recv,
    /// Sends, connects and disconnects.
    Send,
}

const READY: u8 = 1;
const WANTED: u8 = 2;
const SCHEDULED: u8 = 4;
const HANGUP: u8 = 8;
const DOUBT: u8 = 16;

/// How many calls one turn makes before the side goes back to the end of the port's queue.
const CALLS_PER_TURN: u32 = 16;

pub(crate) struct Side {
    direction: Direction,
    bits: AtomicU8,
    /// The size of pooled buffers that the traffic needs; changed under the lock.
    size: AtomicU8,
    pub(super) node: ReadyNode,
    lane: Mutex<Lane>,
}

/// What the side's lock guards.
pub(super) struct Lane {
    pub(super) operations: OperationList,
    /// `None` once the side is closed. The socket itself closes when both sides have let go.
    pub(super) registered: Option<Arc<Registered>>,
    /// Keeps a closed socket for as long as it has something to send.
    pub(super) closing: Option<Arc<SocketState>>,
    pub(super) next_id: u64,
}

/// What serving a side brought.
#[must_use = "completed operations must be queued"]
#[derive(Default)]
pub(super) struct Served {
    pub(super) done: OperationList,
    /// The turn's bound was reached: the side must be queued again.
    pub(super) again: bool,
    /// Sides that waited for a buffer.
    pub(super) unparked: ItemList,
}

/// What one attempt at the first operations of a side achieved.
pub(super) enum Attempt {
    /// Operations completed or advanced, and another call may achieve more at once.
    Again,
    /// Nothing more can be had until the system reports.
    Drained,
    /// There was no buffer, and the side will be queued when there is one.
    Parked,
}

/// All that an attempt works with.
pub(super) struct Turn<'a> {
    pub(super) socket: &'a Arc<SocketState>,
    pub(super) system: &'a dyn System,
    pub(super) endpoint: &'a Endpoint,
    pub(super) operations: &'a mut OperationList,
    pub(super) done: &'a mut OperationList,
    /// See [`Readiness::hangup`](crate::engine::Readiness): a short transfer proves nothing.
    pub(super) hangup: bool,
    /// The side itself, for its place in a queue and its size of buffers.
    pub(super) side: &'a Side,
    /// What may go on because a buffer came back.
    pub(super) unparked: &'a mut ItemList,
}

impl Turn<'_> {
    /// Ends the first operation.
    pub(super) fn finish_first(&mut self, status: Status) {
        let mut operation = self
            .operations
            .pop()
            .expect("an attempt has a first operation");
        let bytes = operation.bytes();
        operation.finish(status, bytes);
        self.done.push(operation);
    }

    /// What a transfer's refusal means on a connection: the first operation fails, and perhaps the
    /// connection with it.
    pub(super) fn refused(&mut self, refusal: Refusal) -> Attempt {
        match refusal {
            Refusal::NotReady => Attempt::Drained,
            Refusal::Failed(status) => {
                let status = self.socket.note_failure(status);
                self.finish_first(status);
                Attempt::Again
            }
        }
    }
}

impl Side {
    /// How far into a side its node is.
    pub(super) const NODE: usize = offset_of!(Side, node);

    /// `doubt`: short transfers never prove anything here. `ready`: it begins as reported.
    pub(super) fn new(
        direction: Direction,
        registered: Arc<Registered>,
        doubt: bool,
        ready: bool,
    ) -> Self {
        let doubt = if doubt { DOUBT } else { 0 };
        let ready = if ready { READY } else { 0 };
        Side {
            direction,
            bits: AtomicU8::new(doubt | ready),
            size: AtomicU8::new(Size::FIRST.index()),
            node: ReadyNode::new(direction),
            lane: Mutex::new(Lane {
                operations: OperationList::new(),
                registered: Some(registered),
                closing: None,
                next_id: 0,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Lane> {
        overlapped_queue::lock(&self.lane)
    }

    /// The system reports. `true`: the caller must queue the side now.
    pub(super) fn report(&self, hangup: bool) -> bool {
        let bits = if hangup { READY | HANGUP } else { READY };
        let after = |before: u8| match before | bits {
            wanted if wanted & WANTED != 0 => wanted & !WANTED | SCHEDULED,
            // If this changes nothing there is nothing new, and nobody waits: whoever clears the
            // bit later calls after that, and the call sees what is reported here.
            unwanted => unwanted,
        };
        let changed = |before| (after(before) != before).then_some(after(before));
        self.bits
            .fetch_update(AcqRel, Acquire, changed)
            .is_ok_and(|before| before & (WANTED | SCHEDULED) == WANTED)
    }

    /// Claims the side's place in the port's queue. `false`: it is queued already.
    pub(super) fn schedule(&self) -> bool {
        self.bits.fetch_or(SCHEDULED, AcqRel) & SCHEDULED == 0
    }

    /// The side was taken out of the port's queue. The caller holds the lane, and calls [`serve`]
    /// next: the first call is for what was reported so far.
    ///
    /// [`serve`]: Side::serve
    pub(super) fn taken(&self, lane: &Lane) {
        let ended = if lane.operations.is_empty() {
            SCHEDULED
        } else {
            SCHEDULED | READY
        };
        self.bits.fetch_and(!ended, AcqRel);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.bits.load(Acquire) & READY != 0
    }

    pub(super) fn set_ready(&self) {
        self.bits.fetch_or(READY, AcqRel);
    }

    /// Clears the ready bit, and says whether it was set.
    fn take_ready(&self) -> bool {
        self.is_ready() && self.bits.fetch_and(!READY, AcqRel) & READY != 0
    }

    /// A socket that is not connected reports a hangup, which would cost each receive of the
    /// connection to come a second call.
    pub(super) fn forget_hangup(&self) {
        self.bits.fetch_and(!HANGUP, AcqRel);
    }

    pub(super) fn size(&self) -> Size {
        Size::from_index(self.size.load(Relaxed))
    }

    pub(super) fn set_size(&self, size: Size) {
        self.size.store(size.index(), Relaxed);
    }

    pub(super) fn hangup(&self) -> bool {
        self.bits.load(Acquire) & (HANGUP | DOUBT) != 0
    }

    /// Makes sure that the next report schedules the side. `false`: a report has come already, and
    /// the caller has to serve.
    pub(super) fn arm(&self) -> bool {
        if self.bits.fetch_or(WANTED, AcqRel) & READY == 0 {
            return true;
        }
        // Ready meanwhile: whoever clears the bit serves.
        self.bits.fetch_and(!WANTED, AcqRel) & WANTED == 0
    }

    /// Performs what can be performed now. The caller holds the lane and sees to it that what this
    /// returns is queued after the lane is unlocked.
    pub(super) fn serve(&self, socket: &Arc<SocketState>, lane: &mut Lane) -> Served {
        let mut served = Served::default();
        let mut calls = 0;
        while let Some(kind) = lane.operations.first().map(|first| first.kind()) {
            let Some(registered) = &lane.registered else {
                break;
            };
            if let Some(status) = socket.broken() {
                end_all(&mut lane.operations, status, &mut served.done);
                break;
            }
            if calls == CALLS_PER_TURN {
                served.again = true;
                return served;
            }
            calls += 1;
            if self.direction == Direction::Recv {
                self.take_ready();
            }
            let mut turn = Turn {
                socket,
                system: socket.port().system(),
                endpoint: registered.endpoint(),
                operations: &mut lane.operations,
                done: &mut served.done,
                hangup: self.hangup(),
                side: self,
                unparked: &mut served.unparked,
            };
            let attempt = match kind {
                Kind::Readable | Kind::Writable => ready::attempt(&mut turn, kind),
                Kind::RecvWithDescriptors => passing::receive(&mut turn),
                Kind::SendWithDescriptors => passing::send(&mut turn),
                _ if socket.nature() == Nature::Datagram => datagram::attempt(&mut turn, kind),
                _ if socket.nature() != Nature::Stream => pipe::attempt(&mut turn, kind),
                Kind::Recv => recv::attempt(&mut turn),
                Kind::RecvAll => recv::attempt_all(&mut turn),
                Kind::RecvZero => recv::attempt_zero(&mut turn),
                Kind::RecvPooled => recv_pooled::attempt(&mut turn),
                Kind::Accept => accept::attempt(&mut turn),
                // On a listener it accepts; on the accepted connection it awaits the first data.
                Kind::AcceptRecv if socket.is_listener() => accept::attempt(&mut turn),
                Kind::AcceptRecv => accept::attempt_first_data(&mut turn),
                Kind::Send => send::attempt(&mut turn),
                Kind::SendFile => send_file::attempt(&mut turn),
                Kind::Connect => connect::attempt(&mut turn),
                Kind::Disconnect => disconnect::attempt(&mut turn),
                _ => unreachable!("posts, timers and files have places of their own"),
            };
            match attempt {
                Attempt::Again => {
                    // For the receive that is started next. A send is tried in any case.
                    if self.direction == Direction::Recv {
                        self.set_ready();
                    }
                }
                Attempt::Parked => break,
                Attempt::Drained if lane.operations.is_empty() => break,
                // A send side usually has room, so its bit is cleared only when there was none,
                // and then it is tried once more; that saves two changes of the bit for each send.
                Attempt::Drained if self.direction == Direction::Send && self.take_ready() => {}
                Attempt::Drained if self.arm() => break,
                Attempt::Drained => {}
            }
        }
        if lane.operations.is_empty() {
            socket.lane_drained(self.direction, lane, &mut served.done);
        }
        served
    }
}

/// The connection has failed, and so do the operations that still wait.
#[cold]
fn end_all(operations: &mut OperationList, status: Status, done: &mut OperationList) {
    while let Some(mut operation) = operations.pop() {
        let bytes = operation.bytes();
        operation.finish(status, bytes);
        done.push(operation);
    }
}
