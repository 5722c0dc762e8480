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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const FD: RawFd = 3;
    const TOKEN: u64 = 77;

    fn state() -> State {
        let mut state = State::new().unwrap();
        state.register(FD, TOKEN, true).unwrap();
        state
    }

    fn receive(state: &mut State, into: &mut [u8]) -> Found {
        // SAFETY: the slice outlives the call, and is ours.
        let segment = unsafe { Segment::new(into.as_mut_ptr().cast(), into.len()) };
        state.take(FD, &[segment])
    }

    /// The request that was noted last.
    fn noted(state: &mut State) -> Name {
        match state.notes.pop() {
            Some(Note::Ask(name)) => name,
            _ => panic!("nothing was asked for"),
        }
    }

    #[test]
    fn a_name_keeps_its_parts() {
        for purpose in [
            Purpose::Bytes,
            Purpose::PollRecv,
            Purpose::PollSend,
            Purpose::PollUrgent,
        ] {
            let name = Name::new(u32::MAX, purpose, 12_345);
            let again = Name::from_number(name.number()).expect("it is a request's");
            assert!(again == name && again.purpose() == purpose);
            assert_eq!((again.generation(), again.fd()), (u32::MAX, 12_345));
        }
        assert!(Name::from_number(Name::EVENT).is_none());
        assert!(Name::from_number(Name::CANCEL).is_none());
    }

    /// A failure is kept, whether or not a buffer came with it, and the buffer is given back.
    #[test]
    fn a_failure_is_not_mistaken_for_nothing() {
        for buffer in [None, Some(0)] {
            let mut state = state();
            assert!(matches!(receive(&mut state, &mut [0]), Found::Nothing));
            let name = noted(&mut state);
            state.complete(name, -libc::ECONNRESET, buffer, false);
            let reset = Refusal::Failed(Status::CONNECTION_RESET);
            assert!(matches!(
                receive(&mut state, &mut [0]),
                Found::End(Err(refusal)) if refusal == reset
            ));
            assert!(
                state
                    .reports
                    .iter()
                    .any(|(token, ready)| *token == TOKEN && ready.hangup)
            );
            assert_eq!(state.buffers.outside(), 0);
        }
    }

    #[test]
    fn what_comes_for_an_earlier_owner_of_the_number_is_nobodys() {
        let mut state = state();
        assert!(matches!(receive(&mut state, &mut [0]), Found::Nothing));
        let old = noted(&mut state);
        assert!(state.deregister(FD), "the request has to be cancelled");
        state.register(FD, TOKEN + 1, true).unwrap();
        state.complete(old, 5, Some(1), false);
        assert!(state.reports.is_empty());
        assert_eq!(state.buffers.outside(), 0);
        assert!(matches!(receive(&mut state, &mut [0]), Found::Nothing));
        let new = noted(&mut state);
        assert!(state.is_valid(new) && !state.is_valid(old));
    }

    #[test]
    fn what_nobody_has_handed_over_can_be_withdrawn() {
        let mut state = state();
        assert!(matches!(receive(&mut state, &mut [0]), Found::Nothing));
        assert!(state.holds_bytes(FD));
        state.withdraw_receive(FD);
        assert!(!state.holds_bytes(FD) && state.notes.is_empty());
    }

    /// Against a model: a queue of bytes. Whatever the system does, bytes come out as they came in,
    /// a receive that finds nothing has a request or is told to look itself, and no buffer is lost.
    #[test]
    fn a_stream_of_random_events_loses_nothing() {
        for seed in 1..200u64 {
            let mut random = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
            let mut below = |bound: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % bound
            };
            let mut state = state();
            let mut model = VecDeque::new();
            // The receive that is in the ring, and if it is to be cancelled.
            let mut request: Option<(Name, bool)> = None;
            let (mut next, mut free) = (0u8, Vec::new());
            for _ in 0..300 {
                for note in std::mem::take(&mut state.notes) {
                    match note {
                        Note::Ask(name) if name.purpose() == Purpose::Bytes => {
                            assert!(request.is_none(), "asked for twice");
                            request = Some((name, false));
                        }
                        Note::Ask(name) => state.complete(name, 1, None, false),
                        Note::Cancel(name) => {
                            if let Some((asked, cancelled)) = &mut request {
                                *cancelled |= *asked == name;
                            }
                        }
                    }
                }
                match (below(4), request) {
                    (0, Some((name, cancelled))) => {
                        free.clear();
                        free.extend(state.buffers.in_ring());
                        let Some(buffer) = free.first().copied() else {
                            state.complete(name, -libc::ENOBUFS, None, false);
                            request = None;
                            continue;
                        };
                        let count = [1, 10, buffers::SIZE][below(3) as usize];
                        for place in 0..count {
                            state.buffers.put(buffer, place, next);
                            model.push_back(next);
                            next = next.wrapping_add(1);
                        }
                        let more = below(5) > 0;
                        state.complete(name, count as i32, Some(buffer), more);
                        request = more.then_some((name, cancelled));
                    }
                    (1, Some((name, true))) => {
                        state.complete(name, -libc::ECANCELED, None, false);
                        request = None;
                    }
                    _ => {
                        let mut room = vec![0; [1, 7, 20_000, 50_000][below(4) as usize]];
                        match receive(&mut state, &mut room) {
                            Found::Bytes(count) => {
                                assert_eq!(count, room.len().min(model.len()));
                                let due: Vec<u8> = model.drain(..count).collect();
                                assert!(due == room[..count]);
                            }
                            Found::Nothing => {
                                assert!(model.is_empty());
                                assert!(request.is_some() || !state.notes.is_empty());
                            }
                            Found::LookDirectly => {
                                assert!(model.is_empty() && request.is_none());
                                state.received_directly(FD, below(20_000) as usize + 1);
                            }
                            Found::End(_) => panic!("nothing has ended"),
                        }
                    }
                }
            }
            let pieces = state.watches[FD as usize].inbox.len();
            assert_eq!(state.buffers.outside(), pieces, "a buffer was lost");
        }
    }
}
