use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

use overlapped_win32::abi::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::interlocked::*;
use overlapped_win32::calls::locks::*;
use overlapped_win32::calls::slist::*;
use overlapped_win32::calls::sync::*;

use crate::*;

const THREADS: usize = 4;
const TURNS: usize = 20_000;

/// Memory of a program's, which several threads use by the rules under test.
struct Shared<T>(UnsafeCell<T>);

// SAFETY: the locks under test see to it.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Shared(UnsafeCell::new(value))
    }

    fn get(&self) -> *mut T {
        self.0.get()
    }
}

fn section() -> Shared<CRITICAL_SECTION> {
    // SAFETY: pointers and numbers, and it is initialised here.
    unsafe {
        let section = Shared::new(std::mem::zeroed());
        InitializeCriticalSection(section.get());
        section
    }
}

fn srw() -> Shared<SRWLOCK> {
    Shared::new(SRWLOCK { Ptr: null_mut() })
}

fn condition() -> Shared<CONDITION_VARIABLE> {
    Shared::new(CONDITION_VARIABLE { Ptr: null_mut() })
}

fn on_threads(f: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let f = &f;
            scope.spawn(move || f(number));
        }
    });
}

#[test]
fn a_critical_section_is_entered_by_one_thread_as_often_as_it_likes() {
    let section = section();
    let sum = Shared::new(0);
    on_threads(|_| {
        for _ in 0..TURNS {
            // SAFETY: the sum is changed inside.
            unsafe {
                EnterCriticalSection(section.get());
                EnterCriticalSection(section.get());
                assert_eq!(TryEnterCriticalSection(section.get()), TRUE);
                *sum.get() += 1;
                for _ in 0..3 {
                    LeaveCriticalSection(section.get());
                }
            }
        }
    });
    // SAFETY: nobody else is here any more.
    unsafe {
        assert_eq!(*sum.get(), THREADS * TURNS);
        EnterCriticalSection(section.get());
        let it = &section;
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(TryEnterCriticalSection(it.get()), FALSE));
        });
        LeaveCriticalSection(section.get());
        // Nobody is inside: nothing happens.
        LeaveCriticalSection(section.get());
        assert_eq!(TryEnterCriticalSection(section.get()), TRUE);
        LeaveCriticalSection(section.get());
        DeleteCriticalSection(section.get());
    }
}

#[test]
fn an_srw_lock_is_had_alone_or_shared() {
    let lock = srw();
    let value = Shared::new([0_usize; 2]);
    on_threads(|number| {
        for _ in 0..TURNS {
            // SAFETY: it is changed alone, and read shared.
            unsafe {
                if number % 2 == 0 {
                    AcquireSRWLockExclusive(lock.get());
                    (*value.get())[0] += 1;
                    (*value.get())[1] += 1;
                    ReleaseSRWLockExclusive(lock.get());
                } else {
                    AcquireSRWLockShared(lock.get());
                    let [one, other] = *value.get();
                    assert_eq!(one, other);
                    ReleaseSRWLockShared(lock.get());
                }
            }
        }
    });
    // SAFETY: nobody else is here any more.
    unsafe {
        assert_eq!(*value.get(), [THREADS / 2 * TURNS; 2]);
        assert_eq!(TryAcquireSRWLockShared(lock.get()), 1);
        assert_eq!(TryAcquireSRWLockShared(lock.get()), 1);
        assert_eq!(TryAcquireSRWLockExclusive(lock.get()), 0);
        ReleaseSRWLockShared(lock.get());
        ReleaseSRWLockShared(lock.get());
        assert_eq!(TryAcquireSRWLockExclusive(lock.get()), 1);
        assert_eq!(TryAcquireSRWLockShared(lock.get()), 0);
        ReleaseSRWLockExclusive(lock.get());
    }
}

/// A queue of one place: each thread waits for its turn, with either lock.
#[test]
fn condition_variables_wake_who_waits_for_its_turn() {
    let (section, lock, condition) = (section(), srw(), condition());
    for with_section in [true, false] {
        let turn = Shared::new(0_usize);
        on_threads(|number| {
            for _ in 0..500 {
                // SAFETY: the turn is looked at and changed under the lock.
                unsafe {
                    if with_section {
                        EnterCriticalSection(section.get());
                        while *turn.get() % THREADS != number {
                            SleepConditionVariableCS(condition.get(), section.get(), INFINITE);
                        }
                        *turn.get() += 1;
                        LeaveCriticalSection(section.get());
                    } else {
                        AcquireSRWLockExclusive(lock.get());
                        while *turn.get() % THREADS != number {
                            SleepConditionVariableSRW(condition.get(), lock.get(), INFINITE, 0);
                        }
                        *turn.get() += 1;
                        ReleaseSRWLockExclusive(lock.get());
                    }
                    WakeAllConditionVariable(condition.get());
                }
            }
        });
        // SAFETY: nobody else is here any more.
        assert_eq!(unsafe { *turn.get() }, THREADS * 500);
    }
}

#[test]
fn a_condition_variables_time_is_up() {
    const ERROR_TIMEOUT: DWORD = 1460;
    let (section, lock, condition) = (section(), srw(), condition());
    // SAFETY: they are this test's own.
    unsafe {
        EnterCriticalSection(section.get());
        fails(
            SleepConditionVariableCS(condition.get(), section.get(), 5),
            ERROR_TIMEOUT,
        );
        LeaveCriticalSection(section.get());
        AcquireSRWLockShared(lock.get());
        fails(
            SleepConditionVariableSRW(condition.get(), lock.get(), 5, 1),
            ERROR_TIMEOUT,
        );
        // It has its share again.
        assert_eq!(TryAcquireSRWLockExclusive(lock.get()), 0);
        ReleaseSRWLockShared(lock.get());
    }
}

#[test]
fn once_is_once_for_all_and_a_failure_is_tried_again() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C-unwind" fn third_time(
        _once: *mut INIT_ONCE,
        parameter: *mut c_void,
        context: *mut *mut c_void,
    ) -> BOOL {
        if CALLS.fetch_add(1, SeqCst) < 2 {
            return FALSE;
        }
        // SAFETY: where the context is wanted.
        unsafe { *context = parameter };
        TRUE
    }
    let once = Shared::new(INIT_ONCE { Ptr: null_mut() });
    on_threads(|_| {
        let mut context = null_mut();
        // SAFETY: the guard is this test's.
        unsafe {
            while InitOnceExecuteOnce(
                once.get(),
                Some(third_time),
                64 as *mut c_void,
                &mut context,
            ) == FALSE
            {}
        }
        assert_eq!(context as usize, 64);
    });
    assert_eq!(CALLS.load(SeqCst), 3);
}

#[test]
fn initialisation_in_two_steps() {
    const CHECK_ONLY: DWORD = 1;
    const ASYNC: DWORD = 2;
    for flags in [0, ASYNC] {
        let once = Shared::new(INIT_ONCE { Ptr: null_mut() });
        let (mut pending, mut context) = (FALSE, null_mut());
        // SAFETY: the guard and the rest are this test's.
        unsafe {
            let begin = |flags, pending: &mut BOOL, context: &mut *mut c_void| {
                InitOnceBeginInitialize(once.get(), flags, pending, context)
            };
            assert_eq!(begin(CHECK_ONLY, &mut pending, &mut context), FALSE);
            assert_eq!(begin(flags, &mut pending, &mut context), TRUE);
            assert_eq!(pending, TRUE);
            fails(
                InitOnceComplete(once.get(), flags, 9 as *mut c_void),
                ERROR_INVALID_PARAMETER,
            );
            assert_eq!(InitOnceComplete(once.get(), flags, 8 as *mut c_void), TRUE);
            assert_eq!(InitOnceComplete(once.get(), flags, 8 as *mut c_void), FALSE);
            assert_eq!(begin(CHECK_ONLY, &mut pending, &mut context), TRUE);
            assert_eq!((pending, context as usize), (FALSE, 8));
        }
    }
}

#[test]
fn a_wait_on_an_address_ends_when_it_changed() {
    let value = Shared::new(0_i32);
    let old = 0_i32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: the value outlives the thread.
            unsafe {
                while InterlockedCompareExchange(value.get(), 1, 1) == 0 {
                    WaitOnAddress(value.get().cast(), (&raw const old).cast(), 4, INFINITE);
                }
            }
        });
        // SAFETY: as above.
        unsafe {
            InterlockedIncrement(value.get());
            WakeByAddressAll(value.get().cast());
        }
    });
    // SAFETY: nobody else is here any more.
    unsafe {
        let same = 1_i32;
        let wait = |size| WaitOnAddress(value.get().cast(), (&raw const same).cast(), size, 5);
        fails(wait(4), 1460);
        fails(wait(3), ERROR_INVALID_PARAMETER);
    }
}

#[test]
fn interlocked_functions_give_what_windows_gives() {
    let (mut long, mut wide) = (5, 1_i64 << 40);
    let mut pointer = null_mut();
    // SAFETY: variables of this test's.
    unsafe {
        assert_eq!(InterlockedIncrement(&mut long), 6);
        assert_eq!(InterlockedDecrement(&mut long), 5);
        assert_eq!(InterlockedExchangeAdd(&mut long, 3), 5);
        assert_eq!(InterlockedExchange(&mut long, 12), 8);
        assert_eq!(InterlockedCompareExchange(&mut long, 1, 11), 12);
        assert_eq!(InterlockedCompareExchange(&mut long, 7, 12), 12);
        assert_eq!(InterlockedAnd(&mut long, 6), 7);
        assert_eq!(InterlockedOr(&mut long, 1), 6);
        assert_eq!(InterlockedXor(&mut long, 2), 7);
        assert_eq!(long, 5);
        assert_eq!(InterlockedIncrement64(&mut wide), (1 << 40) + 1);
        assert_eq!(InterlockedExchangeAdd64(&mut wide, 1), (1 << 40) + 1);
        let value = &raw mut long;
        assert!(InterlockedExchangePointer(&mut pointer, value.cast()).is_null());
        let before = InterlockedCompareExchangePointer(&mut pointer, null_mut(), value.cast());
        assert_eq!((before, pointer), (value.cast(), null_mut()));
        long = i32::MAX;
        assert_eq!(InterlockedIncrement(&mut long), i32::MIN);
    }
}

#[test]
fn a_list_is_last_in_first_out_and_no_entry_is_taken_twice() {
    #[repr(C, align(16))]
    struct Entry {
        link: SLIST_ENTRY,
        owner: AtomicUsize,
    }
    let header = Shared::new(SLIST_HEADER {
        Alignment: 0,
        Region: 0,
    });
    let entries: Vec<_> = (0..8)
        .map(|_| {
            Shared::new(Entry {
                link: SLIST_ENTRY { Next: null_mut() },
                owner: AtomicUsize::new(0),
            })
        })
        .collect();
    let link = |entry: &Shared<Entry>| entry.get().cast::<SLIST_ENTRY>();
    // SAFETY: the list and its entries outlive the threads; an entry is its owner's.
    unsafe {
        InitializeSListHead(header.get());
        for entry in &entries {
            InterlockedPushEntrySList(header.get(), link(entry));
        }
        assert_eq!(QueryDepthSList(header.get()), 8);
        assert_eq!(InterlockedPopEntrySList(header.get()), link(&entries[7]));
        assert_eq!(
            InterlockedPushEntrySList(header.get(), link(&entries[7])),
            link(&entries[6])
        );
        on_threads(|number| {
            for _ in 0..TURNS {
                let taken = InterlockedPopEntrySList(header.get()).cast::<Entry>();
                if !taken.is_null() {
                    assert_eq!((*taken).owner.swap(number + 1, SeqCst), 0);
                    assert_eq!((*taken).owner.swap(0, SeqCst), number + 1);
                    InterlockedPushEntrySList(header.get(), taken.cast());
                }
            }
        });
        assert_eq!(QueryDepthSList(header.get()), 8);
        let mut entry = InterlockedFlushSList(header.get());
        let mut count = 0;
        while !entry.is_null() {
            entry = (*entry).Next;
            count += 1;
        }
        assert_eq!((count, QueryDepthSList(header.get())), (8, 0));
        assert!(InterlockedPopEntrySList(header.get()).is_null());
    }
}

/// What a thread owns that waits for a critical section is nobody's business: events go on.
#[test]
fn a_thread_that_waits_for_a_section_is_let_in_by_the_next_leave() {
    let section = section();
    let entered = event(true, false);
    let carried = Carried(entered);
    let order = AtomicPtr::new(null_mut::<c_void>());
    // SAFETY: the section outlives the thread.
    unsafe {
        EnterCriticalSection(section.get());
        let (it, order) = (&section, &order);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                EnterCriticalSection(it.get());
                assert!(!order.load(SeqCst).is_null());
                SetEvent(carried.get());
                LeaveCriticalSection(it.get());
            });
            order.store(it.get().cast(), SeqCst);
            LeaveCriticalSection(it.get());
            assert_eq!(WaitForSingleObject(entered, LONG), 0);
        });
    }
    CloseHandle(entered);
}
