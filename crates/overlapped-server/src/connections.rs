//! Which connections there are, and whether there may be more.
//!
//! One mutex, taken when a connection comes or goes and once in a while by housekeeping, never for
//! an ordinary packet.
//!
//! # When there are enough
//!
//! An accept operation that cannot be started again now is *parked* here, in one of two places:
//!
//! * **held**: it has brought a connection, but as many are open as are allowed. It waits, with its
//!   connection unread, until one of the others closes. So at most as many as there are accept
//!   operations are held above the limit, all others wait in the system's backlog.
//! * **starved**: the system had no descriptors or memory for another connection. It is tried again
//!   when a connection closes, which frees a descriptor, and every second, since the descriptors
//!   may have been taken by somebody else.
//!
//! A parked operation comes back as a packet that is posted to its own listener's port. One that
//! was held comes with its place: the connection that closes hands its own over, so that nobody who
//! comes meanwhile is served before those who wait.
//!
//! Both conditions can flicker, so they are told once per episode, which ends when a second has
//! passed without them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::connection::{Connection, Key, ServerOperation, ServerSocket, Work};

/// An accept operation that waits for better times.
pub struct Parked {
    /// The listener.
    pub listener: ServerSocket,
    /// The operation.
    pub operation: ServerOperation,
}

impl Parked {
    /// Sends the operation back to its listener's port.
    pub fn resume(self) {
        // A closed port refuses; then there is nothing to accept any more.
        let _ = self.listener.post(self.operation, 0);
    }
}

/// Something that is told when it begins and when it is over, however often it happens between.
#[derive(Debug, Default)]
struct Episode {
    under_way: bool,
    seen_since_tick: bool,
}

impl Episode {
    /// It happens. `true` if it begins.
    fn happens(&mut self) -> bool {
        self.seen_since_tick = true;
        !std::mem::replace(&mut self.under_way, true)
    }

    /// Time has passed. `true` if it is over.
    fn is_over(&mut self) -> bool {
        let seen = std::mem::take(&mut self.seen_since_tick);
        if seen {
            return false;
        }
        std::mem::take(&mut self.under_way)
    }
}

/// All connections of the server.
pub struct Connections {
    most: usize,
    guarded: Mutex<Guarded>,
}

#[derive(Default)]
struct Guarded {
    /// In order of their numbers, so that whoever visits them all does so in a definite order.
    open: BTreeMap<u64, ServerSocket>,
    /// Places that are taken, including by connections that are just being associated.
    taken: usize,
    /// Of the connection that came last.
    last_id: u64,
    opened: u64,
    peak: usize,
    draining: bool,
    held: VecDeque<Parked>,
    starved: Vec<Parked>,
    full: Episode,
    shortage: Episode,
}

impl Guarded {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A place is free: the connection that has waited longest gets it; or else there may be a
    /// descriptor for one that the system could not accept.
    fn hand_over(&mut self) -> Option<Parked> {
        let Some(mut parked) = self.held.pop_front() else {
            self.taken -= 1;
            return self.starved.pop();
        };
        if let Work::Accept { place, .. } = parked.operation.user_mut() {
            *place = Some(self.next_id());
        }
        Some(parked)
    }
}

/// What became of the wish for a place.
pub enum Place {
    /// It is granted; the connection has this number.
    Granted {
        /// The connection's number.
        id: u64,
        /// The accept operation, to be started again.
        parked: Parked,
    },
    /// There is none; the operation waits.
    Held {
        /// The first time in a while: tell.
        begins: bool,
    },
    /// The server ends; the operation is gone.
    Refused,
}

/// What time has changed.
#[derive(Default)]
pub struct Passed {
    /// Accept operations to be tried again.
    pub retry: Vec<Parked>,
    /// There is room for connections again.
    pub room_again: bool,
    /// The system has descriptors again.
    pub shortage_over: bool,
}

impl Connections {
    /// Room for `most` connections.
    pub fn new(most: Option<usize>) -> Self {
        Connections {
            most: most.unwrap_or(usize::MAX),
            guarded: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        // Every change below is complete before anything can panic.
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a place for the connection that `parked` has accepted.
    pub fn ask(&self, parked: Parked) -> Place {
        let mut all = self.lock();
        if all.draining {
            return Place::Refused;
        }
        if all.taken >= self.most {
            all.held.push_back(parked);
            let begins = all.full.happens();
            return Place::Held { begins };
        }
        all.taken += 1;
        all.peak = all.peak.max(all.taken);
        Place::Granted {
            id: all.next_id(),
            parked,
        }
    }

    /// The place is filled.
    pub fn enter(&self, id: u64, socket: ServerSocket) {
        let mut all = self.lock();
        all.opened += 1;
        all.open.insert(id, socket);
    }

    /// The place is not needed after all. Who can use it is returned.
    pub fn give_up(&self) -> Option<Parked> {
        self.lock().hand_over()
    }

    /// The connection is closed and its place free; who can use it is returned.
    pub fn leave(&self, id: u64) -> Option<Parked> {
        let mut all = self.lock();
        let socket = all.open.remove(&id);
        let next = all.hand_over();
        drop(all);
        // Its destructor does work that needs no lock.
        drop(socket);
        next
    }

    /// The system has nothing left for another connection. `true`: the first time in a while.
    pub fn starve(&self, parked: Parked) -> bool {
        let mut all = self.lock();
        if !all.draining {
            all.starved.push(parked);
        }
        all.shortage.happens()
    }

    /// A while has passed.
    pub fn tick(&self) -> Passed {
        let mut all = self.lock();
        let still_full = !all.held.is_empty();
        if all.draining {
            // Nothing is accepted, so nothing is too much any more, and that is no news.
            return Passed {
                retry: std::mem::take(&mut all.starved),
                ..Passed::default()
            };
        }
        Passed {
            retry: std::mem::take(&mut all.starved),
            room_again: !still_full && all.full.is_over(),
            shortage_over: all.shortage.is_over(),
        }
    }

    /// No more connections; those that were held go.
    pub fn drain(&self) {
        let mut all = self.lock();
        all.draining = true;
        let parked = (
            std::mem::take(&mut all.held),
            std::mem::take(&mut all.starved),
        );
        drop(all);
        drop(parked);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().taken
    }

    /// How many there have been, and how many at once.
    pub fn opened_and_peak(&self) -> (u64, usize) {
        let all = self.lock();
        (all.opened, all.peak)
    }

    /// Visits each connection and returns the sockets of those for which `choose` says so.
    pub fn select(&self, mut choose: impl FnMut(&Connection) -> bool) -> Vec<ServerSocket> {
        self.lock()
            .open
            .values()
            .filter(|socket| match socket.key() {
                Key::Connection(connection) => choose(connection),
                Key::Listener => false,
            })
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_told_once_and_ends_after_a_quiet_tick() {
        let mut episode = Episode::default();
        assert!(!episode.is_over());
        assert!(episode.happens());
        assert!(!episode.happens());
        assert!(!episode.is_over(), "it was seen since the last tick");
        assert!(!episode.happens());
        assert!(!episode.is_over());
        assert!(episode.is_over());
        assert!(!episode.is_over());
        assert!(episode.happens());
    }
}
