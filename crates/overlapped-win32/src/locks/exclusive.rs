//! A lock that one has at a time.

use super::Word;

const FREE: u32 = 0;
const HELD: u32 = 1;
/// And somebody may be asleep.
const WANTED: u32 = 2;

#[inline]
pub(crate) fn try_lock(word: &impl Word) -> bool {
    word.compare_exchange(FREE, HELD).is_ok()
}

#[inline]
pub(crate) fn lock(word: &impl Word) {
    if !try_lock(word) {
        wait(word);
    }
}

#[cold]
fn wait(word: &impl Word) {
    if word.spin(|state| state == HELD) == FREE && try_lock(word) {
        return;
    }
    while word.swap(WANTED) != FREE {
        word.sleep(WANTED, None);
    }
}

#[inline]
pub(crate) fn unlock(word: &impl Word) {
    if word.swap(FREE) == WANTED {
        word.wake_one();
    }
}
