//! The intrusive list of operations.
//!
//! Singly linked through a [`Link`] inside the element, so an element is in at most one list, and
//! inserting never allocates.

use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr::NonNull;

use super::{Header, Operation};
#[cfg(target_os = "linux")]
use crate::engine::readiness::Direction;

/// What an element holds for the list that it is in.
#[repr(C)]
pub(crate) struct Link {
    next: Option<NonNull<Link>>,
    pub(super) element: Element,
}

/// Which structure the link is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Operation,
    #[cfg(target_os = "linux")]
    Ready(Direction),
}

impl Link {
    pub(super) fn operation() -> Self {
        Link {
            next: None,
            element: Element::Operation,
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn ready(direction: Direction) -> Self {
        Link {
            next: None,
            element: Element::Ready(direction),
        }
    }

    /// The link of an operation that is given up to the list.
    pub(super) fn of(operation: Operation) -> NonNull<Link> {
        // SAFETY: the link is within the header.
        unsafe {
            operation
                .into_raw()
                .byte_add(offset_of!(Header, link))
                .cast()
        }
    }

    /// The header that a link is part of.
    ///
    /// # Safety
    ///
    /// The link is an operation's.
    pub(super) unsafe fn header(link: NonNull<Link>) -> NonNull<Header> {
        // SAFETY: by the caller's word it came from `of`, with the header's provenance.
        unsafe { link.byte_sub(offset_of!(Header, link)).cast() }
    }
}

/// The list itself: knows links, not what they belong to.
pub(super) struct Chain {
    ends: Option<(NonNull<Link>, NonNull<Link>)>,
}

impl Chain {
    pub(super) const EMPTY: Chain = Chain { ends: None };

    /// # Safety
    ///
    /// `link` is valid until it is popped, and in no list.
    pub(super) unsafe fn push(&mut self, link: NonNull<Link>) {
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
    }

    pub(super) fn pop(&mut self) -> Option<NonNull<Link>> {
        let (head, tail) = self.ends?;
        // SAFETY: what is in the list is valid.
        let next = unsafe { (*head.as_ptr()).next };
        self.ends = next.map(|next| (next, tail));
        Some(head)
    }

    /// What [`pop`](Chain::pop) would take.
    #[cfg(target_os = "linux")]
    pub(super) fn first(&self) -> Option<NonNull<Link>> {
        self.ends.map(|(head, _)| head)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    pub(super) fn append(&mut self, other: &mut Chain) {
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
    }
}

/// Operations, first in first out.
pub struct OperationList {
    pub(super) chain: Chain,
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

    /// The number of operations; counts them.
    pub fn len(&self) -> usize {
        let mut count = 0;
        let mut next = self.chain.ends.map(|(head, _)| head);
        while let Some(link) = next {
            count += 1;
            // SAFETY: what is in the list is valid, and the list is borrowed.
            next = unsafe { (*link.as_ptr()).next };
        }
        count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    /// Appends an operation.
    pub fn push(&mut self, operation: Operation) {
        // SAFETY: the list becomes the owner, and an operation that somebody owns is in no list.
        unsafe { self.chain.push(Link::of(operation)) }
    }

    /// Takes the oldest operation.
    pub fn pop(&mut self) -> Option<Operation> {
        let link = self.chain.pop()?;
        // SAFETY: `push` put an operation's link in, and the list owned it.
        Some(unsafe { Operation::from_raw(Link::header(link)) })
    }

    /// Moves everything from `other` to the end of this list.
    pub fn append(&mut self, other: &mut OperationList) {
        self.chain.append(&mut other.chain);
    }

    /// The operation, if there is exactly one.
    #[cfg(target_os = "linux")]
    pub(crate) fn only(&self) -> Option<&Header> {
        let (head, tail) = self.chain.ends?;
        // SAFETY: the links in the list are operations' and valid, and the list is borrowed.
        (head == tail).then(|| unsafe { Link::header(head).as_ref() })
    }

    /// The oldest operation.
    #[cfg(target_os = "linux")]
    pub(crate) fn first(&mut self) -> Option<&mut Header> {
        self.iter_mut().next()
    }

    /// All operations, the oldest first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Header> {
        let mut next = self.chain.ends.map(|(head, _)| head);
        std::iter::from_fn(move || {
            let link = next?;
            // SAFETY: the links in the list are operations' and valid, the list is borrowed
            // exclusively, and each is visited once.
            let header = unsafe { Link::header(link).as_mut() };
            next = header.link.next;
            Some(header)
        })
    }

    /// Whether `wanted` accepts any of them.
    #[cfg(target_os = "linux")]
    pub(crate) fn has(&mut self, wanted: impl Fn(&Operation) -> bool) -> bool {
        let mut any = false;
        for operation in std::mem::take(self) {
            any |= wanted(&operation);
            self.push(operation);
        }
        any
    }

    /// Takes out all operations that `wanted` accepts.
    #[cfg(target_os = "linux")]
    pub(crate) fn take_those(&mut self, wanted: impl Fn(&Operation) -> bool) -> OperationList {
        let mut taken = OperationList::new();
        for operation in std::mem::take(self) {
            match wanted(&operation) {
                true => taken.push(operation),
                false => self.push(operation),
            }
        }
        taken
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
    #[inline]
    fn drop(&mut self) {
        if !self.is_empty() {
            drop_all(self, |list| list.pop().is_some());
        }
    }
}

/// Drops a list's elements one by one, also those behind one whose destructor panics. Out of line:
/// nearly every list that goes is empty.
#[cold]
pub(super) fn drop_all<L>(list: &mut L, drop_next: fn(&mut L) -> bool) {
    struct Rest<'a, L>(&'a mut L, fn(&mut L) -> bool);

    impl<L> Drop for Rest<'_, L> {
        fn drop(&mut self) {
            while (self.1)(self.0) {}
        }
    }

    let rest = Rest(list, drop_next);
    while (rest.1)(rest.0) {}
}

impl Iterator for OperationList {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        self.pop()
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
