//! How many there are of each kind of operation.

use std::cmp::Reverse;

use crate::Kind;

#[derive(Default)]
pub(crate) struct Tally(Vec<(Kind, usize)>);

impl Tally {
    pub(crate) fn count(&mut self, kind: Kind, more: usize) {
        match self.0.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += more,
            None if more > 0 => self.0.push((kind, more)),
            None => {}
        }
    }

    /// The most frequent first.
    pub(crate) fn sorted(mut self) -> Vec<(Kind, usize)> {
        self.0.sort_by_key(|&(_, count)| Reverse(count));
        self.0
    }
}
