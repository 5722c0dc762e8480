use std::collections::VecDeque;

/// A first-in, first-out list of packets.
///
/// The real port's is intrusive, so that a packet can be queued when there is no memory left;
/// a `VecDeque` serves in tests.
pub trait Fifo: Default {
    /// What is queued.
    type Packet;

    /// Appends one packet.
    fn push(&mut self, packet: Self::Packet);

    /// Takes the oldest packet.
    fn pop(&mut self) -> Option<Self::Packet>;

    /// Moves everything from `other` to the end of this list, in order.
    fn append(&mut self, other: &mut Self);

    /// The number of packets.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<P> Fifo for VecDeque<P> {
    type Packet = P;

    fn push(&mut self, packet: P) {
        self.push_back(packet);
    }

    fn pop(&mut self) -> Option<P> {
        self.pop_front()
    }

    fn append(&mut self, other: &mut Self) {
        VecDeque::append(self, other);
    }

    fn len(&self) -> usize {
        VecDeque::len(self)
    }
}
