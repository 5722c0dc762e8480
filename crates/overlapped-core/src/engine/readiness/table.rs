//! From a report's token to its socket.

use std::collections::TryReserveError;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use smallvec::SmallVec;

use super::SocketState;
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
    /// Reserves a token.
    pub(crate) fn reserve(&self) -> Result<u64, TryReserveError> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
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
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.slots[token as u32 as usize].socket = Arc::downgrade(socket);
    }

    /// Gives a token back.
    pub(crate) fn remove(&self, token: u64) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let index = token as u32;
        let slot = &mut slots.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.socket = Weak::new();
        slots.free.push(index);
    }

    /// Brings reports to their sockets, as far as those still live, and empties `reports`.
    pub(crate) fn deliver(&self, reports: &mut Vec<(u64, Readiness)>, into: &mut ItemList) {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        // Whoever drops a socket's last reference removes it from here, which takes the lock.
        let mut kept = SmallVec::<[Arc<SocketState>; 32]>::new();
        for (token, readiness) in reports.drain(..) {
            let Some(slot) = slots.slots.get(token as u32 as usize) else {
                continue;
            };
            if u64::from(slot.generation) != token >> 32 {
                continue;
            }
            let Some(socket) = slot.socket.upgrade() else {
                continue;
            };
            kept.extend(socket.report(readiness, into));
        }
        drop(slots);
        drop(kept);
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
