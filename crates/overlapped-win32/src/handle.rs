//! The handle table.
//!
//! A handle is a number that names an entry, and an entry names an object. Handles are given out as
//! Windows does: multiples of four, so that the two lowest bits are free for the program (PK-7), and
//! below 2^31, since programs keep them in ints. Between is a generation, so that a handle that was
//! closed does not name what came after it, for as long as 512 others have not had the entry. Entries
//! rest before they are used again, so that this takes half a million others:
//!
//! ```text
//! 31 30        22 21               2 1 0
//!  0 |generation |  index           |tag|
//! ```
//!
//! Several handles may name one object (`DuplicateHandle`). The object learns when the last one is
//! closed, which is what ends a port's waits and a socket's operations (CX-6, CX-7, CX-9); whoever is
//! using it at that moment keeps its memory.

use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicU32, AtomicUsize, Ordering::Acquire, Ordering::Release, Ordering::SeqCst,
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::abi::HANDLE;
use crate::error::Error;
use crate::objects::Object;

const TAG_BITS: u32 = 2;
const INDEX_BITS: u32 = 20;
const GENERATIONS: u32 = 1 << 9;
/// How many handles there may be at once.
const MOST: usize = 1 << INDEX_BITS;
const CHUNK: usize = 1024;
/// How many closed entries rest.
const RESTING: usize = 1024;

/// Entries never move, so that finding one takes no lock but its own.
static CHUNKS: [OnceLock<Box<[Slot]>>; MOST / CHUNK] = [const { OnceLock::new() }; MOST / CHUNK];

static FREE: Mutex<Free> = Mutex::new(Free {
    closed: VecDeque::new(),
    // 0 is no handle.
    unused: 1,
});

struct Free {
    closed: VecDeque<u32>,
    /// From here on entries were never used.
    unused: u32,
}

/// A place of the table.
#[derive(Default)]
struct Slot {
    /// The handle that is open here, or 0: for those who know what it names and ask whether it is still
    /// open.
    open: AtomicU32,
    entry: Mutex<Entry>,
}

#[derive(Default)]
struct Entry {
    generation: u32,
    named: Option<Arc<Named>>,
}

/// An object, and how many handles name it.
pub(crate) struct Named {
    handles: AtomicUsize,
    object: Object,
}

impl Named {
    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// Whether it is still named by a handle.
    pub(crate) fn is_open(&self) -> bool {
        self.handles.load(SeqCst) > 0
    }
}

/// Gives an object its first handle.
pub(crate) fn open(object: impl Into<Object>) -> Result<HANDLE, Error> {
    insert(Arc::new(Named {
        handles: AtomicUsize::new(0),
        object: object.into(),
    }))
}

/// The same, with what a name keeps of the object.
pub(crate) fn open_kept(object: Object) -> Result<(HANDLE, Weak<Named>), Error> {
    let named = Arc::new(Named {
        handles: AtomicUsize::new(0),
        object,
    });
    let kept = Arc::downgrade(&named);
    Ok((insert(named)?, kept))
}

/// Another handle for an object that still has one.
pub(crate) fn reopen(named: &Arc<Named>) -> Result<HANDLE, Error> {
    let more = |handles: usize| (handles > 0).then_some(handles + 1);
    let result = match named.handles.fetch_update(SeqCst, SeqCst, more) {
        Ok(_) => insert(named.clone()),
        Err(_) => return Err(Error::INVALID_HANDLE),
    };
    gone(named.clone());
    result
}

/// Another handle for what `handle` names; of a pseudo handle, one that every thread can use.
pub(crate) fn duplicate(handle: HANDLE) -> Result<HANDLE, Error> {
    if let Some(object) = Object::pseudo(handle) {
        return open(object);
    }
    let entry = entry(handle)?;
    let named = entry.named.clone().expect("an entry that is found is used");
    // Within the entry's lock, so that the last handle is not closed meanwhile.
    named.handles.fetch_add(1, SeqCst);
    drop(entry);
    let result = insert(named.clone());
    gone(named);
    result
}

/// Closes a handle, and with an object's last one the object.
///
/// Closing a pseudo handle does nothing, and succeeds.
pub(crate) fn close(handle: HANDLE) -> Result<(), Error> {
    if Object::pseudo(handle).is_some() {
        return Ok(());
    }
    let mut entry = entry(handle)?;
    let named = entry.named.take().expect("an entry that is found is used");
    entry.generation = (entry.generation + 1) % GENERATIONS;
    let index = index_of(handle).expect("it was found");
    at(index).open.store(0, Release);
    drop(entry);
    lock(&FREE).closed.push_back(index);
    gone(named);
    Ok(())
}

/// What a handle names.
pub(crate) fn find(handle: HANDLE) -> Result<Object, Error> {
    if let Some(object) = Object::pseudo(handle) {
        return Ok(object);
    }
    let entry = entry(handle)?;
    let named = entry
        .named
        .as_ref()
        .expect("an entry that is found is used");
    Ok(named.object.clone())
}

/// Looks at what a handle names, without a reference to it: `f` must be short, and lock nothing that
/// is held while handles are looked up.
// Here as elsewhere `always` is where the compiler would not, and each echo passes several times.
#[inline(always)]
pub(crate) fn look<R>(handle: HANDLE, f: impl FnOnce(&Object) -> R) -> Result<R, Error> {
    let entry = entry(handle)?;
    let named = entry
        .named
        .as_ref()
        .expect("an entry that is found is used");
    Ok(f(&named.object))
}

fn insert(named: Arc<Named>) -> Result<HANDLE, Error> {
    let index = {
        let mut free = lock(&FREE);
        let rested = free.closed.len() > RESTING || free.unused as usize == MOST;
        let closed = if rested {
            free.closed.pop_front()
        } else {
            None
        };
        match closed {
            Some(index) => index,
            None if (free.unused as usize) < MOST => {
                free.unused += 1;
                free.unused - 1
            }
            None => return Err(Error::NOT_ENOUGH_MEMORY),
        }
    };
    named.handles.fetch_add(1, SeqCst);
    let slot = at(index);
    let mut entry = lock(&slot.entry);
    entry.named = Some(named);
    let value = (entry.generation << INDEX_BITS | index) << TAG_BITS;
    slot.open.store(value, Release);
    Ok(value as usize as HANDLE)
}

/// One handle less.
fn gone(named: Arc<Named>) {
    if named.handles.fetch_sub(1, SeqCst) == 1 {
        named.object.last_handle_closed();
    }
}

/// The entry that a handle names, locked, if it does.
#[inline(always)]
fn entry(handle: HANDLE) -> Result<MutexGuard<'static, Entry>, Error> {
    let entry = lock(&slot(handle).ok_or(Error::INVALID_HANDLE)?.entry);
    let generation = handle as usize as u32 >> (INDEX_BITS + TAG_BITS);
    if entry.named.is_none() || entry.generation != generation {
        return Err(Error::INVALID_HANDLE);
    }
    Ok(entry)
}

/// Whether this handle, without a tag, is open.
#[inline]
pub(crate) fn is_open(handle: HANDLE) -> bool {
    slot(handle).is_some_and(|slot| slot.open.load(Acquire) as usize == handle as usize)
}

/// Where a handle could be.
fn slot(handle: HANDLE) -> Option<&'static Slot> {
    let index = index_of(handle)? as usize;
    let chunk = CHUNKS[index / CHUNK].get()?;
    Some(&chunk[index % CHUNK])
}

fn index_of(handle: HANDLE) -> Option<u32> {
    let value = u32::try_from(handle as usize).ok()?;
    (value >> 31 == 0).then_some((value >> TAG_BITS) & (MOST as u32 - 1))
}

fn at(index: u32) -> &'static Slot {
    let chunk = CHUNKS[index as usize / CHUNK]
        .get_or_init(|| (0..CHUNK).map(|_| Slot::default()).collect());
    &chunk[index as usize % CHUNK]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Event;

    fn event() -> HANDLE {
        open(Event::new(true, false)).unwrap()
    }

    #[test]
    fn a_closed_handle_names_nothing_also_when_its_entry_is_used_again() {
        let one = event();
        assert!(find(one).is_ok() && is_open(one));
        close(one).unwrap();
        assert!(!is_open(one));
        assert_eq!(find(one).err(), Some(Error::INVALID_HANDLE));
        assert_eq!(close(one), Err(Error::INVALID_HANDLE));
        // More than rest.
        for _ in 0..3 * RESTING {
            close(event()).unwrap();
        }
        let others: Vec<_> = (0..100).map(|_| event()).collect();
        assert!(!others.contains(&one));
        assert!(find(one).is_err());
        for other in others {
            close(other).unwrap();
        }
    }

    #[test]
    fn handles_are_multiples_of_four_in_an_int_and_their_tag_is_ignored() {
        let handle = event();
        assert_eq!(handle as usize % 4, 0);
        assert!(i32::try_from(handle as usize).is_ok_and(|value| value > 0));
        assert!(find((handle as usize | 1) as HANDLE).is_ok());
        close(handle).unwrap();
    }

    #[test]
    fn foreign_numbers_are_refused() {
        for wrong in [
            0,
            1,
            4 * (MOST - 1),
            1 << 31,
            usize::MAX - 2,
            0xdead_beef_0000,
        ] {
            assert!(find(wrong as HANDLE).is_err(), "{wrong:x}");
        }
    }

    #[test]
    fn a_duplicate_keeps_the_object() {
        let one = event();
        let other = duplicate(one).unwrap();
        assert_ne!(one, other);
        close(one).unwrap();
        assert!(find(other).is_ok());
        close(other).unwrap();
        assert!(duplicate(other).is_err());
    }
}
