//! What waits in a port's queue: packets, and sides of sockets that are ready. Linked as the
//! operations of a side are.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use overlapped_queue::Fifo;

use super::list::{Chain, Element, Link, drop_all};
use super::{Operation, OperationList};
use crate::engine::readiness::{Direction, SocketState};

/// What a port's queue holds.
pub(crate) enum Item {
    /// A completed operation: a packet.
    Packet(Operation),
    /// A direction of a socket where operations wait and the system says that it is ready. Whoever
    /// takes this performs the transfer.
    Ready(Arc<SocketState>, Direction),
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

/// The queue's packets.
pub(crate) struct ItemList {
    chain: Chain,
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
            self.chain
                .push(NonNull::new_unchecked(node.cast_mut()).cast());
        }
    }
}

impl From<OperationList> for ItemList {
    fn from(mut operations: OperationList) -> Self {
        ItemList {
            chain: std::mem::replace(&mut operations.chain, Chain::EMPTY),
            owns: PhantomData,
        }
    }
}

impl Default for ItemList {
    fn default() -> Self {
        ItemList {
            chain: Chain::EMPTY,
            owns: PhantomData,
        }
    }
}

impl Fifo for ItemList {
    type Packet = Item;

    fn push(&mut self, item: Item) {
        match item {
            // SAFETY: as in `OperationList::push`.
            Item::Packet(operation) => unsafe { self.chain.push(Link::of(operation)) },
            // SAFETY: an item that was taken out is put back by the thread that took it, before it
            // cleared the bit.
            Item::Ready(socket, direction) => unsafe { self.push_ready(socket, direction) },
        }
    }

    fn pop(&mut self) -> Option<Item> {
        let link = self.chain.pop()?;
        // SAFETY: links in the list are valid.
        match unsafe { (*link.as_ptr()).element } {
            // SAFETY: the link is an operation's, and the list owned it.
            Element::Operation => Some(Item::Packet(unsafe {
                Operation::from_raw(Link::header(link))
            })),
            Element::Ready(direction) => {
                let node: NonNull<ReadyNode> = link.cast();
                // SAFETY: a ready node's link is its first field; the list was its only user.
                let socket = unsafe { (*(*node.as_ptr()).socket.get()).take() }
                    .expect("a queued node holds its socket");
                Some(Item::Ready(socket, direction))
            }
        }
    }

    fn append(&mut self, other: &mut Self) {
        self.chain.append(&mut other.chain);
    }

    fn len(&self) -> usize {
        self.chain.len
    }
}

impl Drop for ItemList {
    fn drop(&mut self) {
        drop_all(self, |list| list.pop().is_some());
    }
}
