//! The intrusive lists: operations of one direction of a socket, and what waits in a port's queue.
//!
//! Both are singly linked through a [`Link`] inside the element, so an element is in at most one
//! list, and inserting never allocates.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use overlapped_queue::Fifo;

use super::{Header, Operation};
use crate::engine::readiness::{Direction, SocketState};

/// What an element holds for the list that it is in.
#[repr(C)]
pub(crate) struct Link {
    next: Option<NonNull<Link>>,
    element: Element,
}

/// Which structure the link is the first field of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Operation,
    Ready,
}

impl Link {
    pub(super) fn operation() -> Self {
        Link {
            next: None,
            element: Element::Operation,
        }
    }
}

/// The list itself: knows links, not what they belong to.
struct Chain {
    ends: Option<(NonNull<Link>, NonNull<Link>)>,
    len: usize,
}

impl Chain {
    const EMPTY: Chain = Chain { ends: None, len: 0 };

    /// # Safety
    ///
    /// `link` is valid until it is popped, and in no list.
    unsafe fn push(&mut self, link: NonNull<Link>) {
        // SAFETY: the caller gives us the link; the tail is in this list and so valid.
        unsafe {
            (*link.as_ptr()).next = None;
            self.ends = Some(match self.ends {
                None => (link, link),
                Some((head, tail)) => {
                    (*tail.as_ptr()).next = Some(link);
                    (head, link)
                }
            });
        }
        self.len += 1;
    }

    fn pop(&mut self) -> Option<NonNull<Link>> {
        let (head, tail) = self.ends?;
        // SAFETY: what is in the list is valid.
        let next = unsafe { (*head.as_ptr()).next };
        self.ends = next.map(|next| (next, tail));
        self.len -= 1;
        Some(head)
    }

    fn append(&mut self, other: &mut Chain) {
        let other = std::mem::replace(other, Chain::EMPTY);
        let Some((other_head, other_tail)) = other.ends else {
            return;
        };
        self.ends = Some(match self.ends {
            None => (other_head, other_tail),
            Some((head, tail)) => {
                // SAFETY: what is in the list is valid.
                unsafe { (*tail.as_ptr()).next = Some(other_head) };
                (head, other_tail)
            }
        });
        self.len += other.len;
    }
}

/// Operations, first in first out.
pub struct OperationList {
    chain: Chain,
    owns: PhantomData<Operation>,
}

// SAFETY: it owns its operations, which are `Send`.
unsafe impl Send for OperationList {}

impl OperationList {
    /// An empty list.
    pub const fn new() -> Self {
        OperationList {
            chain: Chain::EMPTY,
            owns: PhantomData,
        }
    }

    /// The number of operations.
    pub fn len(&self) -> usize {
        self.chain.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chain.ends.is_none()
    }

    /// Appends an operation.
    pub fn push(&mut self, operation: Operation) {
        // SAFETY: the list becomes the owner; the link is the header's first field, and an
        // operation that somebody owns is in no list.
        unsafe { self.chain.push(operation.into_raw().cast()) }
    }

    /// Takes the oldest operation.
    pub fn pop(&mut self) -> Option<Operation> {
        let link = self.chain.pop()?;
        // SAFETY: `push` put an operation's link in, and the list owned it.
        Some(unsafe { Operation::from_raw(link.cast()) })
    }

    /// Moves everything from `other` to the end of this list.
    pub fn append(&mut self, other: &mut OperationList) {
        self.chain.append(&mut other.chain);
    }

    /// The oldest operation.
    pub(crate) fn first(&mut self) -> Option<&mut Header> {
        self.iter_mut().next()
    }

    /// All operations, the oldest first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Header> {
        let mut next = self.chain.ends.map(|(head, _)| head);
        std::iter::from_fn(move || {
            let link = next?;
            // SAFETY: the links in the list are valid, they are headers' first fields, the list is
            // borrowed exclusively, and each is visited once.
            let header = unsafe { &mut *link.cast::<Header>().as_ptr() };
            next = header.link.next;
            Some(header)
        })
    }

    /// Takes out the first operation that `wanted` accepts.
    pub(crate) fn remove(&mut self, wanted: impl Fn(&Header) -> bool) -> Option<Operation> {
        let mut kept = OperationList::new();
        let mut found = None;
        while let Some(operation) = self.pop() {
            if found.is_none() && wanted(&operation) {
                found = Some(operation);
            } else {
                kept.push(operation);
            }
        }
        *self = kept;
        found
    }
}

impl Default for OperationList {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OperationList {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

impl Iterator for OperationList {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        self.pop()
    }
}

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
    socket: UnsafeCell<Option<(Arc<SocketState>, Direction)>>,
}

// SAFETY: only the holder of the direction's scheduled bit and, after it, the list that the node
// is in touch the cells.
unsafe impl Send for ReadyNode {}
// SAFETY: as above.
unsafe impl Sync for ReadyNode {}

impl ReadyNode {
    pub(crate) fn new() -> Self {
        ReadyNode {
            link: UnsafeCell::new(Link {
                next: None,
                element: Element::Ready,
            }),
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
            *(*node).socket.get() = Some((socket, direction));
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
            Item::Packet(operation) => unsafe { self.chain.push(operation.into_raw().cast()) },
            // SAFETY: an item that was taken out is put back by the thread that took it, before it
            // cleared the bit.
            Item::Ready(socket, direction) => unsafe { self.push_ready(socket, direction) },
        }
    }

    fn pop(&mut self) -> Option<Item> {
        let link = self.chain.pop()?;
        // SAFETY: links in the list are valid.
        match unsafe { (*link.as_ptr()).element } {
            // SAFETY: an operation's link is its header's first field, and the list owned it.
            Element::Operation => Some(Item::Packet(unsafe { Operation::from_raw(link.cast()) })),
            Element::Ready => {
                let node: NonNull<ReadyNode> = link.cast();
                // SAFETY: a ready node's link is its first field; the list was its only user.
                let (socket, direction) = unsafe { (*(*node.as_ptr()).socket.get()).take() }
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
        while Fifo::pop(self).is_some() {}
    }
}

impl FromIterator<Operation> for OperationList {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut list = OperationList::new();
        for operation in operations {
            list.push(operation);
        }
        list
    }
}
