//! What every thread may change: which descriptor waits for what, and what has come.

use std::collections::TryReserveError;
use std::os::fd::RawFd;

use super::INBOX_MOST;
use super::buffers::{self, Buffers};
use super::inbox::{Found, Inbox};
use crate::Status;
use crate::engine::{Readiness, Refusal};
use crate::operation::Segment;

/// How many full buffers in a row make a connection bulk, and how many small receives end that.
const IN_A_ROW: u8 = 4;

/// Names a request: the generation of the descriptor, what for, and the descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name(u64);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Receives that go on.
    Bytes,
    /// A poll for what the receiving side waits for.
    PollRecv,
    /// The same for the sending side.
    PollSend,
    /// A poll for urgent data. By itself, because a receive does not take it away.
    PollUrgent,
}

impl Name {
    /// The eventfd that is watched.
    pub(super) const EVENT: u64 = u64::MAX;
    /// A cancel, whose own result is of no interest.
    pub(super) const CANCEL: u64 = u64::MAX - 1;

    fn new(generation: u32, purpose: Purpose, fd: RawFd) -> Self {
        Name(u64::from(generation) << 32 | (purpose as u64) << 30 | fd as u64)
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        (number < Self::CANCEL).then_some(Name(number))
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    pub(super) fn fd(self) -> RawFd {
        (self.0 & ((1 << 30) - 1)) as RawFd
    }

    pub(super) fn purpose(self) -> Purpose {
        match self.0 >> 30 & 3 {
            0 => Purpose::Bytes,
            1 => Purpose::PollRecv,
            2 => Purpose::PollSend,
            _ => Purpose::PollUrgent,
        }
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What the consumer is to hand to the system.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    Ask(Name),
    Cancel(Name),
}

/// A descriptor's part.
#[derive(Default)]
struct Watch {
    /// What its reports are for; `None` while the descriptor is nobody's here.
    token: Option<u64>,
    /// How often this number has been somebody's.
    generation: u32,
    /// Its bytes can come by themselves.
    comes: bool,
    /// They do: the request is in the ring, or noted. Until the ring says that it has ended.
    receiving: bool,
    /// It was told to end.
    stopping: bool,
    /// It ended because there was no buffer.
    starved: bool,
    polls_recv: bool,
    polls_send: bool,
    polls_urgent: bool,
    /// It is received from directly, because it fills whole buffers.
    bulk: bool,
    /// How many receives in a row speak for the opposite.
    in_a_row: u8,
    inbox: Inbox,
}

impl Watch {
    /// Counts receives that speak for a change; whether it is time for it.
    fn speaks_for_change(&mut self, yes: bool) -> bool {
        self.in_a_row = if yes { self.in_a_row + 1 } else { 0 };
        let change = self.in_a_row >= IN_A_ROW;
        if change {
            self.in_a_row = 0;
        }
        change
    }
}

pub(super) struct State {
    /// By descriptor.
    watches: Vec<Watch>,
    pub(super) notes: Vec<Note>,
    pub(super) reports: Vec<(u64, Readiness)>,
    pub(super) buffers: Buffers,
}

const RECV: Readiness = Readiness {
    recv: true,
    send: false,
    hangup: false,
};

impl State {
    pub(super) fn new() -> std::io::Result<State> {
        Ok(State {
            watches: Vec::new(),
            notes: Vec::new(),
            reports: Vec::new(),
            buffers: Buffers::new()?,
        })
    }

    // ---- descriptors come and go ---------------------------------------------------------------

    pub(super) fn register(
        &mut self,
        fd: RawFd,
        token: u64,
        comes: bool,
    ) -> Result<(), TryReserveError> {
        let index = fd as usize;
        if index >= self.watches.len() {
            self.watches.try_reserve(index + 1 - self.watches.len())?;
            self.watches.resize_with(index + 1, Watch::default);
        }
        let generation = self.watches[index].generation.wrapping_add(1);
        self.watches[index] = Watch {
            token: Some(token),
            generation,
            comes,
            ..Watch::default()
        };
        Ok(())
    }

    /// Whether anything was asked for that has to be cancelled now.
    pub(super) fn deregister(&mut self, fd: RawFd) -> bool {
        // What could not be registered goes this way too.
        let Some(watch) = self.watches.get_mut(fd as usize) else {
            return false;
        };
        let asked = [
            (watch.receiving, Purpose::Bytes),
            (watch.polls_recv, Purpose::PollRecv),
            (watch.polls_send, Purpose::PollSend),
            (watch.polls_urgent, Purpose::PollUrgent),
        ];
        let mut any = false;
        for (_, purpose) in asked.into_iter().filter(|(asked, _)| *asked) {
            let name = Name::new(watch.generation, purpose, fd);
            self.notes.push(Note::Cancel(name));
            any = true;
        }
        watch.inbox.clear(&mut self.buffers);
        watch.token = None;
        watch.generation = watch.generation.wrapping_add(1);
        any
    }

    /// Whether a note still is for the descriptor that it was made for.
    pub(super) fn is_valid(&self, name: Name) -> bool {
        self.watches[name.fd() as usize].generation == name.generation()
    }

    /// Everybody who waits is to ask again: there is a new ring.
    pub(super) fn report_all(&mut self) {
        self.buffers.begin_anew();
        for token in self.watches.iter().filter_map(|watch| watch.token) {
            let ready = Readiness { send: true, ..RECV };
            self.reports.push((token, ready));
        }
    }

    /// The ring has gone, and what was asked of it ended without a word. `lost`: what it brought
    /// last, too; so whoever was receiving counts as receiving for ever, and is not given back.
    pub(super) fn forget_requests(&mut self, lost: bool) {
        self.notes.clear();
        for watch in &mut self.watches {
            watch.receiving &= lost;
            watch.stopping = false;
            watch.polls_recv = false;
            watch.polls_send = false;
            watch.polls_urgent = false;
        }
    }

    // ---- asking --------------------------------------------------------------------------------

    fn note(&mut self, fd: RawFd, purpose: Purpose) {
        let name = Name::new(self.watches[fd as usize].generation, purpose, fd);
        self.notes.push(Note::Ask(name));
    }

    pub(super) fn poll_recv(&mut self, fd: RawFd) {
        let watch = &mut self.watches[fd as usize];
        if !std::mem::replace(&mut watch.polls_recv, true) {
            self.note(fd, Purpose::PollRecv);
        }
    }

    pub(super) fn poll_send(&mut self, fd: RawFd) {
        let watch = &mut self.watches[fd as usize];
        if !std::mem::replace(&mut watch.polls_send, true) {
            self.note(fd, Purpose::PollSend);
        }
    }

    pub(super) fn poll_urgent(&mut self, fd: RawFd) {
        let watch = &mut self.watches[fd as usize];
        if !std::mem::replace(&mut watch.polls_urgent, true) {
            self.note(fd, Purpose::PollUrgent);
        }
    }

    /// Asks for what a receive waits for.
    pub(super) fn ask_for_bytes(&mut self, fd: RawFd) {
        let watch = &mut self.watches[fd as usize];
        if !watch.comes || watch.bulk {
            return self.poll_recv(fd);
        }
        watch.starved = false;
        if !std::mem::replace(&mut watch.receiving, true) {
            self.note(fd, Purpose::Bytes);
        }
    }

    /// Tells the receive to end; whether it has not ended yet.
    pub(super) fn stop_receiving(&mut self, fd: RawFd) -> bool {
        let watch = &mut self.watches[fd as usize];
        if watch.receiving && !std::mem::replace(&mut watch.stopping, true) {
            let name = Name::new(watch.generation, Purpose::Bytes, fd);
            self.notes.push(Note::Cancel(name));
        }
        self.watches[fd as usize].receiving
    }

    // ---- receiving -----------------------------------------------------------------------------

    /// Copies what has come.
    pub(super) fn take(&mut self, fd: RawFd, into: &[Segment]) -> Found {
        let watch = &mut self.watches[fd as usize];
        if !watch.inbox.is_empty() {
            let bytes = watch.inbox.copy(into, &mut self.buffers);
            let more_must_be_asked_for =
                watch.inbox.is_empty() && !watch.receiving && watch.inbox.end().is_none();
            if more_must_be_asked_for {
                self.ask_for_bytes(fd);
            }
            return Found::Bytes(bytes);
        }
        if let Some(end) = watch.inbox.end() {
            return Found::End(end);
        }
        if watch.receiving {
            return Found::Nothing;
        }
        if !watch.comes || watch.bulk || watch.starved {
            return Found::LookDirectly;
        }
        self.ask_for_bytes(fd);
        Found::Nothing
    }

    /// Whether there is something, without taking it.
    pub(super) fn peek(&self, fd: RawFd) -> Found {
        let watch = &self.watches[fd as usize];
        if !watch.inbox.is_empty() {
            return Found::Bytes(0);
        }
        match watch.inbox.end() {
            Some(end) => Found::End(end),
            None if watch.receiving => Found::Nothing,
            None => Found::LookDirectly,
        }
    }

    /// Takes back what the receive was asked for, if nobody has handed it to the system yet.
    pub(super) fn withdraw_receive(&mut self, fd: RawFd) {
        let watch = &mut self.watches[fd as usize];
        let ask = Note::Ask(Name::new(watch.generation, Purpose::Bytes, fd));
        if let Some(place) = self.notes.iter().position(|note| *note == ask) {
            watch.receiving = false;
            self.notes.remove(place);
        }
    }

    /// So many bytes were received from the socket itself.
    pub(super) fn received_directly(&mut self, fd: RawFd, bytes: usize) {
        let watch = &mut self.watches[fd as usize];
        if watch.bulk && watch.speaks_for_change(bytes < buffers::SIZE / 2) {
            watch.bulk = false;
        }
        self.ask_for_bytes(fd);
    }

    /// Whether bytes are here that belong to the socket.
    pub(super) fn holds_bytes(&self, fd: RawFd) -> bool {
        let watch = &self.watches[fd as usize];
        watch.receiving || !watch.inbox.is_empty()
    }

    // ---- what the system says ------------------------------------------------------------------

    /// A request has a result.
    pub(super) fn complete(&mut self, name: Name, result: i32, buffer: Option<u16>, more: bool) {
        if let Some(buffer) = buffer {
            self.buffers.taken(buffer);
        }
        let watch = &mut self.watches[name.fd() as usize];
        let Some(token) = watch
            .token
            .filter(|_| watch.generation == name.generation())
        else {
            if let Some(buffer) = buffer {
                self.buffers.give(buffer);
            }
            return;
        };
        match name.purpose() {
            Purpose::Bytes => self.received(name.fd(), token, result, buffer, more),
            Purpose::PollRecv => {
                watch.polls_recv = false;
                let ends = libc::POLLHUP | libc::POLLERR | libc::POLLRDHUP;
                let hangup = result < 0 || result & i32::from(ends) != 0;
                self.reports.push((token, Readiness { hangup, ..RECV }));
            }
            Purpose::PollUrgent => {
                watch.polls_urgent = false;
                self.reports.push((token, RECV));
            }
            Purpose::PollSend => {
                watch.polls_send = false;
                let ready = Readiness {
                    send: true,
                    ..Readiness::default()
                };
                self.reports.push((token, ready));
            }
        }
    }

    fn received(&mut self, fd: RawFd, token: u64, result: i32, buffer: Option<u16>, more: bool) {
        let watch = &mut self.watches[fd as usize];
        if !more {
            watch.receiving = false;
            watch.stopping = false;
        }
        let mut ready = RECV;
        match (result, buffer) {
            (1.., Some(buffer)) => {
                let full = result as usize == buffers::SIZE;
                if !watch.inbox.push(buffer, result as u32) {
                    // Not in silence: bytes are lost.
                    self.buffers.give(buffer);
                    watch
                        .inbox
                        .set_end(Err(Refusal::Failed(Status::INSUFFICIENT_RESOURCES)));
                    ready.hangup = true;
                }
                watch.bulk |= watch.speaks_for_change(full);
                if watch.bulk || watch.inbox.len() >= INBOX_MOST {
                    self.stop_receiving(fd);
                }
            }
            (_, unused) => {
                if let Some(buffer) = unused {
                    self.buffers.give(buffer);
                }
                match -result {
                    0 => {
                        watch.inbox.set_end(Ok(0));
                        ready.hangup = true;
                    }
                    libc::ENOBUFS => {
                        watch.starved = true;
                        self.buffers.make_more();
                    }
                    // Told to, or for no reason: whoever waits asks again.
                    libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
                    errno => {
                        let status = Status::from_errno(errno);
                        watch.inbox.set_end(Err(Refusal::Failed(status)));
                        ready.hangup = true;
                        ready.send = true;
                    }
                }
            }
        }
        self.reports.push((token, ready));
    }
}
