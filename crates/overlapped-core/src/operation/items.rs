//! What waits in a port's queue: packets, and sides of sockets that are ready. Linked as the
//! operations of a side are.
//!
//! Packets leave in the order in which they came. A side is no packet yet: what it has to transfer
//! finishes when a worker takes it, and only then has a place in that order, the last. So packets
//! go first, as far as [`STREAK`] allows. A worker that has received and sent then finds the packet of its
//! send next, while all that belongs to the connection is still in its processor's cache, and not
//! behind every other connection that is ready; with a thousand of them that is a tenth of what a
//! request costs.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use overlapped_queue::Fifo;

use super::list::{Chain, Element, Link, drop_all};
use super::{Operation, OperationList};
use crate::ahead;
use crate::engine::readiness::{Direction, SocketState};

/// What a port's queue holds.
pub(crate) enum Item {
    /// A completed operation: a packet.
    Packet(Operation),
    /// A direction of a socket where operations wait and the system says that it is ready. Whoever
    /// takes this performs the transfer.
    Ready(Arc<SocketState>, Direction, Place),
}

/// Where what a transfer completes belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No packet waits: the first one is the taker's.
    First,
    /// Behind the packets that wait.
    Last,
}

/// A direction's place in the port's queue.
///
/// Exclusive by a bit that the direction keeps: only who sets it may queue the node, and it is
/// cleared after the node was taken out.
#[repr(C)]
pub(crate) struct ReadyNode {
    link: UnsafeCell<Link>,
    /// The socket that this node is part of, while it is queued: keeps the memory.
    socket: UnsafeCell<Option<Arc<SocketState>>>,
}

// SAFETY: only the holder of the direction's scheduled bit and, after it, the list that the node
// is in touch the cells.
unsafe impl Send for ReadyNode {}
// SAFETY: as above.
unsafe impl Sync for ReadyNode {}

impl ReadyNode {
    pub(crate) fn new(direction: Direction) -> Self {
        ReadyNode {
            link: UnsafeCell::new(Link::ready(direction)),
            socket: UnsafeCell::new(None),
        }
    }
}

/// How many packets may leave in a row while sides wait, so that work that makes packets without
/// end cannot starve transfers.
const STREAK: u32 = 16;

/// The queue's packets.
pub(crate) struct ItemList {
    packets: Chain,
    ready: Chain,
    /// Of both together.
    len: usize,
    /// Packets that have left since a side did.
    streak: u32,
    owns: PhantomData<Item>,
}

// SAFETY: it owns its items, which are `Send`.
unsafe impl Send for ItemList {}

impl ItemList {
    /// Queues a direction.
    ///
    /// # Safety
    ///
    /// The caller has just set the direction's scheduled bit, which was clear.
    pub(crate) unsafe fn push_ready(&mut self, socket: Arc<SocketState>, direction: Direction) {
        let node: *const ReadyNode = socket.ready_node(direction);
        // SAFETY: the bit makes us the only one who uses the node; the Arc that it holds from now
        // on keeps it in place until it is popped.
        unsafe {
            *(*node).socket.get() = Some(socket);
            // From the whole node, not from its field: `pop` goes back to the node.
            self.ready
                .push(NonNull::new_unchecked(node.cast_mut()).cast());
        }
        self.len += 1;
    }

    /// Asks for the socket whose turn is the next.
    #[inline]
    fn fetch_next(&self) {
        if let Some(node) = self.ready.first() {
            // Nearly always of a receive side; of a send side other memory is asked for.
            let socket = node.as_ptr().wrapping_byte_sub(SocketState::RECV_NODE);
            ahead::fetch(socket.cast::<SocketState>());
        }
    }
}

impl From<OperationList> for ItemList {
    #[inline]
    fn from(mut operations: OperationList) -> Self {
        let mut items = ItemList::default();
        if !operations.is_empty() {
            items.len = operations.len();
            items.packets = std::mem::replace(&mut operations.chain, Chain::EMPTY);
        }
        items
    }
}

impl Default for ItemList {
    fn default() -> Self {
        ItemList {
            packets: Chain::EMPTY,
            ready: Chain::EMPTY,
            len: 0,
            streak: 0,
            owns: PhantomData,
        }
    }
}

impl Fifo for ItemList {
    type Packet = Item;

    fn push(&mut self, item: Item) {
        match item {
            // SAFETY: as in `OperationList::push`.
            Item::Packet(operation) => unsafe {
                self.packets.push(Link::of(operation));
                self.len += 1;
            },
            // SAFETY: an item that was taken out is put back by the thread that took it, before it
            // cleared the bit.
            Item::Ready(socket, direction, _) => unsafe { self.push_ready(socket, direction) },
        }
    }

    fn pop(&mut self) -> Option<Item> {
        let link = match self.streak {
            STREAK.. if !self.ready.is_empty() => None,
            _ => self.packets.pop(),
        };
        self.streak = link.map_or(0, |_| self.streak.saturating_add(1));
        let link = link.or_else(|| self.ready.pop())?;
        self.len -= 1;
        // SAFETY: links in the list are valid.
        match unsafe { (*link.as_ptr()).element } {
            // SAFETY: the link is an operation's, and the list owned it.
            Element::Operation => Some(Item::Packet(unsafe {
                Operation::from_raw(Link::header(link))
            })),
            Element::Ready(direction) => {
                let node: NonNull<ReadyNode> = link.cast();
                self.fetch_next();
                // SAFETY: a ready node's link is its first field; the list was its only user.
                let socket = unsafe { (*(*node.as_ptr()).socket.get()).take() }
                    .expect("a queued node holds its socket");
                let place = match self.packets.is_empty() {
                    true => Place::First,
                    false => Place::Last,
                };
                Some(Item::Ready(socket, direction, place))
            }
        }
    }

    fn append(&mut self, other: &mut Self) {
        self.packets.append(&mut other.packets);
        self.ready.append(&mut other.ready);
        self.len += std::mem::take(&mut other.len);
    }

    fn len(&self) -> usize {
        self.len
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for ItemList {
    #[inline]
    fn drop(&mut self) {
        if self.len > 0 {
            drop_all(self, |list| list.pop().is_some());
        }
    }
}
