//! Values with deadlines: the earliest first, any of them taken out by its key.
//!
//! A heap whose nodes have four children, over an array of slots. A node has the deadline and the
//! number of its slot, so that sifting compares what is in the heap's own cache lines; the slot has
//! the value and the node's place, so that a value in the middle can be taken out. Inserting is
//! cheap (a new deadline is seldom among the earliest), the rest takes the logarithm of the length.
//! Memory grows, by doubling, and is kept: a heap that has been as long before allocates nothing.

use std::num::NonZeroU64;

const CHILDREN: usize = 4;

/// Names a value in a heap. Never names another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    slot: u32,
    serial: NonZeroU64,
}

impl Key {
    /// Two numbers from which [`from_parts`](Key::from_parts) makes the key again.
    pub(crate) fn parts(self) -> (u32, u64) {
        (self.slot, self.serial.get())
    }

    pub(crate) fn from_parts(slot: u32, serial: u64) -> Option<Key> {
        NonZeroU64::new(serial).map(|serial| Key { slot, serial })
    }
}

/// In the order of deadlines; equal ones in the order of their insertion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    at: u64,
    serial: NonZeroU64,
    slot: u32,
}

enum Slot<T> {
    Taken {
        serial: NonZeroU64,
        place: u32,
        value: T,
    },
    Free {
        next: Option<u32>,
    },
}

pub(super) struct Heap<T> {
    nodes: Vec<Node>,
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    next_serial: NonZeroU64,
}

impl<T> Heap<T> {
    /// The first value has this serial number, each further one the next.
    pub(super) fn new(first_serial: NonZeroU64) -> Self {
        Heap {
            nodes: Vec::new(),
            slots: Vec::new(),
            free: None,
            next_serial: first_serial,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// All values, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken { value, .. } => Some(value),
            Slot::Free { .. } => None,
        })
    }

    /// The earliest deadline.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.nodes.first().map(|node| node.at)
    }

    /// Adds a value; without memory for it, it comes back.
    pub(super) fn insert(&mut self, at: u64, value: T) -> Result<Key, T> {
        if self.nodes.try_reserve(1).is_err() || self.slots.try_reserve(1).is_err() {
            return Err(value);
        }
        let slot = match self.free {
            Some(slot) => slot,
            None => match u32::try_from(self.slots.len()) {
                Ok(slot) => slot,
                Err(_) => return Err(value),
            },
        };
        let serial = self.next_serial;
        self.next_serial = serial
            .checked_add(1)
            .expect("64 bits are never counted through");
        // Its place is written when the node is settled.
        let taken = Slot::Taken {
            serial,
            place: 0,
            value,
        };
        if slot as usize == self.slots.len() {
            self.slots.push(taken);
        } else if let Slot::Free { next } = std::mem::replace(&mut self.slots[slot as usize], taken)
        {
            self.free = next;
        }
        let node = Node { at, serial, slot };
        self.nodes.push(node);
        self.sift_up(self.nodes.len() - 1, node);
        Ok(Key { slot, serial })
    }

    /// Takes a value out, if it is still there.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        match self.slots.get(key.slot as usize) {
            Some(&Slot::Taken { serial, place, .. }) if serial == key.serial => {
                Some(self.take(place as usize).1)
            }
            _ => None,
        }
    }

    /// Takes the earliest value out, with its deadline, if that is not later than `now`.
    pub(super) fn pop(&mut self, now: u64) -> Option<(u64, T)> {
        self.earliest()
            .filter(|&at| at <= now)
            .map(|_| self.take(0))
    }

    fn take(&mut self, place: usize) -> (u64, T) {
        let node = self.nodes.swap_remove(place);
        // The last node has come into its place, and belongs above or below.
        if let Some(&moved) = self.nodes.get(place) {
            if place > 0 && moved < self.nodes[(place - 1) / CHILDREN] {
                self.sift_up(place, moved);
            } else {
                self.sift_down(place, moved);
            }
        }
        let free = Slot::Free { next: self.free };
        self.free = Some(node.slot);
        match std::mem::replace(&mut self.slots[node.slot as usize], free) {
            Slot::Taken { value, .. } => (node.at, value),
            Slot::Free { .. } => unreachable!("a node's slot has its value"),
        }
    }

    /// Brings a node to its place; `hole` may be overwritten.
    fn sift_up(&mut self, mut hole: usize, node: Node) {
        while hole > 0 {
            let parent = (hole - 1) / CHILDREN;
            if self.nodes[parent] < node {
                break;
            }
            self.settle(hole, self.nodes[parent]);
            hole = parent;
        }
        self.settle(hole, node);
    }

    /// Brings a node to its place; `hole` may be overwritten.
    fn sift_down(&mut self, mut hole: usize, node: Node) {
        loop {
            let first = hole * CHILDREN + 1;
            let last = (first + CHILDREN).min(self.nodes.len());
            let Some(child) = (first..last).min_by_key(|&child| self.nodes[child]) else {
                break;
            };
            if node < self.nodes[child] {
                break;
            }
            self.settle(hole, self.nodes[child]);
            hole = child;
        }
        self.settle(hole, node);
    }

    fn settle(&mut self, at: usize, node: Node) {
        self.nodes[at] = node;
        if let Slot::Taken { place, .. } = &mut self.slots[node.slot as usize] {
            *place = at as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in a few obvious lines: a list, sorted by deadline and then by age.
    #[derive(Default)]
    struct Reference(Vec<(u64, u32)>);

    impl Reference {
        fn insert(&mut self, at: u64, value: u32) {
            self.0.push((at, value));
            self.0.sort_by_key(|(at, _)| *at);
        }

        fn remove(&mut self, value: u32) -> Option<u32> {
            let place = self.0.iter().position(|(_, other)| *other == value)?;
            Some(self.0.remove(place).1)
        }

        fn pop(&mut self, now: u64) -> Option<(u64, u32)> {
            self.0.first().filter(|(at, _)| *at <= now)?;
            Some(self.0.remove(0))
        }
    }

    fn xorshift(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// Every node is behind its parent, and every slot knows its node.
    fn check(heap: &Heap<u32>) {
        for (place, node) in heap.nodes.iter().enumerate().skip(1) {
            assert!(heap.nodes[(place - 1) / CHILDREN] < *node);
        }
        let mut taken = 0;
        for (index, slot) in heap.slots.iter().enumerate() {
            if let Slot::Taken { serial, place, .. } = slot {
                let node = heap.nodes[*place as usize];
                assert_eq!((node.slot as usize, node.serial), (index, *serial));
                taken += 1;
            }
        }
        assert_eq!(taken, heap.len());
    }

    fn schedule(seed: u64) {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut heap = Heap::new(NonZeroU64::MIN);
        let mut reference = Reference::default();
        let mut keys = Vec::new();
        let (mut now, mut next) = (0, 0);
        // Few different deadlines in some runs, so that there are ties.
        let horizon = 1 + xorshift(&mut random) % [4, 100, 1_000_000][seed as usize % 3];
        for _ in 0..400 {
            match xorshift(&mut random) % 8 {
                0..4 => {
                    let at = now + xorshift(&mut random) % horizon;
                    keys.push((heap.insert(at, next).unwrap(), next));
                    reference.insert(at, next);
                    next += 1;
                }
                // Also of what has gone already.
                4..6 if !keys.is_empty() => {
                    let (key, value) = keys[xorshift(&mut random) as usize % keys.len()];
                    assert_eq!(heap.remove(key), reference.remove(value));
                }
                _ => {
                    now += xorshift(&mut random) % horizon;
                    loop {
                        let popped = heap.pop(now);
                        assert_eq!(popped, reference.pop(now));
                        if popped.is_none() {
                            break;
                        }
                    }
                }
            }
            assert_eq!(heap.earliest(), reference.0.first().map(|(at, _)| *at));
            assert_eq!(heap.len(), reference.0.len());
            check(&heap);
        }
        let most = heap.slots.len();
        assert!(most <= next as usize, "slots are used again");
    }

    #[test]
    fn it_agrees_with_a_sorted_list() {
        for seed in 0..300 {
            let run = std::panic::catch_unwind(|| schedule(seed));
            assert!(run.is_ok(), "seed {seed}");
        }
    }

    #[test]
    fn ties_leave_in_the_order_of_their_coming() {
        let mut heap = Heap::new(NonZeroU64::MIN);
        for value in 0..1000 {
            heap.insert(7, value).unwrap();
        }
        assert!(heap.pop(6).is_none());
        for value in 0..1000 {
            assert_eq!(heap.pop(7), Some((7, value)));
        }
    }

    #[test]
    fn a_key_never_names_another_value() {
        let mut heap = Heap::new(NonZeroU64::MIN);
        let key = heap.insert(1, 'a').unwrap();
        assert_eq!(heap.remove(key), Some('a'));
        let other = heap.insert(1, 'b').unwrap();
        assert_eq!(other.slot, key.slot, "the slot is used again");
        assert_eq!(heap.remove(key), None);
        assert_eq!(heap.remove(other), Some('b'));
    }

    #[test]
    fn what_was_as_long_before_allocates_nothing() {
        let mut heap = Heap::new(NonZeroU64::MIN);
        let fill = |heap: &mut Heap<u32>| {
            for value in 0..100 {
                heap.insert(u64::from(value ^ 21), value).unwrap();
            }
            while heap.pop(u64::MAX).is_some() {}
        };
        fill(&mut heap);
        let before = (heap.nodes.capacity(), heap.slots.capacity());
        fill(&mut heap);
        assert_eq!((heap.nodes.capacity(), heap.slots.capacity()), before);
        assert_eq!(heap.slots.len(), 100);
    }
}
