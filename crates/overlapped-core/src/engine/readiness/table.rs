//! From a report's token to its socket.

use std::collections::TryReserveError;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, Weak};

use overlapped_queue::held_up;
use smallvec::SmallVec;

use super::SocketState;
use crate::ahead;
use crate::engine::Readiness;
use crate::operation::ItemList;

/// A table of sockets with tokens that are never used twice, so that a report that arrives late
/// cannot reach a socket that has taken the place of another.
#[derive(Default)]
pub(crate) struct Table {
    slots: RwLock<Slots>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    /// Weak: a socket lives as long as its handles and operations, not as long as the port.
    socket: Weak<SocketState>,
}

impl Table {
    fn write(&self) -> RwLockWriteGuard<'_, Slots> {
        match self.slots.try_write() {
            Ok(slots) => slots,
            Err(TryLockError::Poisoned(slots)) => slots.into_inner(),
            Err(TryLockError::WouldBlock) => {
                held_up(|| self.slots.write().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    /// Reserves a token.
    pub(crate) fn reserve(&self) -> Result<u64, TryReserveError> {
        let mut slots = self.write();
        let index = match slots.free.pop() {
            Some(index) => index,
            None => {
                slots.slots.try_reserve(1)?;
                let capacity = slots.slots.len() + 1 - slots.free.len();
                // So that giving a token back cannot fail.
                slots.free.try_reserve(capacity)?;
                slots.slots.push(Slot {
                    generation: 0,
                    socket: Weak::new(),
                });
                u32::try_from(slots.slots.len() - 1).expect("more sockets than descriptors")
            }
        };
        Ok(u64::from(slots.slots[index as usize].generation) << 32 | u64::from(index))
    }

    /// Lets reports reach the socket.
    pub(crate) fn insert(&self, token: u64, socket: &Arc<SocketState>) {
        let mut slots = self.write();
        slots.slots[token as u32 as usize].socket = Arc::downgrade(socket);
    }

    /// Gives a token back.
    pub(crate) fn remove(&self, token: u64) {
        let mut slots = self.write();
        let index = token as u32;
        let slot = &mut slots.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.socket = Weak::new();
        slots.free.push(index);
    }

    /// Brings reports to their sockets.
    pub(crate) fn delivery<'a>(&'a self, into: &'a mut ItemList) -> Delivery<'a> {
        Delivery {
            table: self,
            into,
            slots: None,
            next: None,
            kept: SmallVec::new(),
        }
    }

    /// All sockets that live now.
    pub(crate) fn all(&self) -> Vec<Arc<SocketState>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots
            .slots
            .iter()
            .filter_map(|slot| slot.socket.upgrade())
            .collect()
    }
}

/// One harvest of reports on its way to the sockets that still live.
pub(crate) struct Delivery<'a> {
    table: &'a Table,
    into: &'a mut ItemList,
    /// From the first report on, and not while the system still waits for it: sockets come and go then.
    slots: Option<RwLockReadGuard<'a, Slots>>,
    /// The last report that came: it is brought when the next has come, and its socket's memory is near.
    next: Option<(u64, Readiness)>,
    /// Whoever drops a socket's last reference removes it from the table, which takes the lock.
    kept: SmallVec<[Arc<SocketState>; 32]>,
}

impl Delivery<'_> {
    pub(crate) fn bring(&mut self, token: u64, readiness: Readiness) {
        let table = self.table;
        let slots = self
            .slots
            .get_or_insert_with(|| table.slots.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(slot) = slots.slots.get(token as u32 as usize) {
            ahead::fetch(slot.socket.as_ptr());
        }
        if let Some((token, readiness)) = self.next.replace((token, readiness)) {
            self.deliver(token, readiness);
        }
    }

    fn deliver(&mut self, token: u64, readiness: Readiness) {
        if let Some(slots) = &self.slots
            && let Some(slot) = slots.slots.get(token as u32 as usize)
            && u64::from(slot.generation) == token >> 32
            && let Some(socket) = slot.socket.upgrade()
            && let Some(unneeded) = socket.report(readiness, self.into)
        {
            self.kept.push(unneeded);
        }
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        if let Some((token, readiness)) = self.next.take() {
            self.deliver(token, readiness);
        }
    }
}
