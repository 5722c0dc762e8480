//! Waiting for something that a lock protects.

use std::time::Instant;

use super::Word;

/// Gives back a lock, sleeps until it is woken, and takes the lock again. `false` if the time is
/// up; may come back for no reason.
pub(crate) fn sleep(
    word: &impl Word,
    until: Option<Instant>,
    unlock: impl FnOnce(),
    lock: impl FnOnce(),
) -> bool {
    let number = word.load();
    unlock();
    // What woke between is seen in the number.
    let woken = word.sleep(number, until) || word.load() != number;
    lock();
    woken
}

pub(crate) fn wake_one(word: &impl Word) {
    word.fetch_add(1);
    word.wake_one();
}

pub(crate) fn wake_all(word: &impl Word) {
    word.fetch_add(1);
    word.wake_all();
}
