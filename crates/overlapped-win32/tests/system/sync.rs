use std::ffi::c_void;
use std::ptr::{null, null_mut};

use overlapped_win32::abi::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::sync::*;
use overlapped_win32::calls::waits::*;

use crate::*;

const ERROR_ALREADY_EXISTS: DWORD = 183;

fn wait(handles: &[HANDLE], all: bool, timeout: DWORD) -> DWORD {
    let count = handles.len() as DWORD;
    // SAFETY: so many handles.
    unsafe { WaitForMultipleObjects(count, handles.as_ptr(), all.into(), timeout) }
}

#[test]
fn events_are_set_reset_and_pulsed() {
    let (manual, auto) = (event(true, true), event(false, true));
    assert_eq!(wait(&[manual, auto], true, 0), 0);
    assert_eq!(wait(&[manual, auto], true, 0), WAIT_TIMEOUT);
    assert_eq!(wait(&[auto, manual], false, 0), 1);
    assert_eq!(ResetEvent(manual), TRUE);
    assert_eq!(wait(&[auto, manual], false, 0), WAIT_TIMEOUT);

    unsafe extern "C-unwind" fn waits(event: *mut c_void) -> DWORD {
        WaitForSingleObject(event, LONG)
    }
    for event in [manual, auto] {
        let thread = thread(waits, event);
        while WaitForSingleObject(thread, 1) == WAIT_TIMEOUT {
            PulseEvent(event);
        }
        assert_eq!(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
        join(thread);
        CloseHandle(event);
    }
    fails(SetEvent(manual), ERROR_INVALID_HANDLE);
}

#[test]
fn a_mutex_is_its_owners() {
    // SAFETY: without a name.
    let mutex = unsafe { CreateMutexA(null_mut(), TRUE, null()) };
    assert_eq!(WaitForSingleObject(mutex, 0), 0);
    let carried = Carried(mutex);
    std::thread::spawn(move || {
        assert_eq!(WaitForSingleObject(carried.get(), 0), WAIT_TIMEOUT);
        fails(ReleaseMutex(carried.get()), 288);
    })
    .join()
    .unwrap();
    assert_eq!((ReleaseMutex(mutex), ReleaseMutex(mutex)), (TRUE, TRUE));
    fails(ReleaseMutex(mutex), 288);
    fails(SetEvent(mutex), ERROR_INVALID_HANDLE);
    CloseHandle(mutex);
}

#[test]
fn a_semaphore_counts() {
    // SAFETY: without a name; the counts are there.
    unsafe {
        for (count, most) in [(-1, 1), (0, 0), (2, 1)] {
            let none = CreateSemaphoreA(null_mut(), count, most, null());
            assert_eq!(
                (none, GetLastError()),
                (null_mut(), ERROR_INVALID_PARAMETER)
            );
        }
        let semaphore = CreateSemaphoreA(null_mut(), 1, 3, null());
        let mut before = -1;
        fails(ReleaseSemaphore(semaphore, 3, &mut before), 298);
        fails(
            ReleaseSemaphore(semaphore, 0, &mut before),
            ERROR_INVALID_PARAMETER,
        );
        assert_eq!(before, -1);
        assert_eq!(ReleaseSemaphore(semaphore, 2, &mut before), TRUE);
        assert_eq!(before, 1);
        for _ in 0..3 {
            assert_eq!(WaitForSingleObject(semaphore, 0), 0);
        }
        assert_eq!(WaitForSingleObject(semaphore, 0), WAIT_TIMEOUT);
        CloseHandle(semaphore);
    }
}

#[test]
fn a_name_is_found_again_until_the_last_handle_is_closed() {
    let name = c"Local\\overlapped-test".as_ptr();
    let wide: Vec<u16> = "overlapped-test\0".encode_utf16().collect();
    // SAFETY: the names end with zeros.
    unsafe {
        assert!(OpenEventA(0, FALSE, name).is_null());
        assert_eq!(GetLastError(), 2);
        SetLastError(1);
        let one = CreateEventA(null_mut(), TRUE, FALSE, name);
        assert_eq!(GetLastError(), 0);
        let other = CreateEventW(null_mut(), TRUE, FALSE, wide.as_ptr());
        assert_eq!(GetLastError(), ERROR_ALREADY_EXISTS);
        assert_ne!(one, other);
        SetEvent(one);
        assert_eq!(WaitForSingleObject(other, 0), 0);
        // A name is of one kind.
        assert!(CreateMutexA(null_mut(), TRUE, name).is_null());
        assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
        CloseHandle(one);
        let third = OpenEventW(0, FALSE, wide.as_ptr());
        assert_eq!(WaitForSingleObject(third, 0), 0);
        CloseHandle(other);
        CloseHandle(third);
        assert!(OpenEventA(0, FALSE, name).is_null());
        let mutex = CreateMutexA(null_mut(), TRUE, name);
        assert_eq!(GetLastError(), 0);
        let same = CreateMutexW(null_mut(), TRUE, wide.as_ptr());
        assert_eq!(GetLastError(), ERROR_ALREADY_EXISTS);
        // The second one did not take it.
        assert_eq!(ReleaseMutex(same), TRUE);
        fails(ReleaseMutex(mutex), 288);
        CloseHandle(mutex);
        CloseHandle(same);
    }
}

#[test]
fn a_wait_is_for_64_objects_at_most_each_of_which_can_be_waited_for() {
    let events: Vec<HANDLE> = (0..65).map(|_| event(false, true)).collect();
    assert_eq!(wait(&events[..64], true, 0), 0);
    SetEvent(events[63]);
    assert_eq!(wait(&events[..64], false, 0), 63);
    assert_eq!(wait(&events, false, 0), WAIT_FAILED);
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_eq!(wait(&[], false, 0), WAIT_FAILED);
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    // SAFETY: null is refused.
    let none = unsafe { WaitForMultipleObjects(1, null(), FALSE, 0) };
    assert_eq!(none, WAIT_FAILED);
    assert_eq!(wait(&[events[0], events[0]], true, 0), WAIT_FAILED);
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_eq!(wait(&[events[0], null_mut()], false, 0), WAIT_FAILED);
    assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
    for event in events {
        CloseHandle(event);
    }
}

#[test]
fn signal_and_wait() {
    unsafe extern "C-unwind" fn answers(events: *mut c_void) -> DWORD {
        // SAFETY: they outlive the thread.
        let [asked, answered] = unsafe { *events.cast::<[HANDLE; 2]>() };
        SignalObjectAndWait(answered, asked, LONG, FALSE)
    }
    let mut events = [event(false, false), event(false, false)];
    let thread = thread(answers, events.as_mut_ptr().cast());
    assert_eq!(SignalObjectAndWait(events[0], events[1], LONG, FALSE), 0);
    join(thread);
    let none = SignalObjectAndWait(null_mut(), events[1], 0, FALSE);
    assert_eq!((none, GetLastError()), (WAIT_FAILED, ERROR_INVALID_HANDLE));
    for event in events {
        CloseHandle(event);
    }
}

/// Waits for both of two auto-reset events, against waits for one of them: each setting ends as
/// many as it should.
#[test]
fn waits_for_all_and_for_one_share_what_is_set() {
    const TURNS: u32 = 300;
    let (one, other, done) = (
        event(false, false),
        event(false, false),
        event(false, false),
    );
    let carried = Carried([one, other, done]);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let [one, other, done] = carried.get();
            for _ in 0..TURNS {
                assert_eq!(wait(&[one, other], true, LONG), 0);
                SetEvent(done);
            }
        });
        for turn in 0..TURNS {
            let (first, second) = if turn % 2 == 0 {
                (one, other)
            } else {
                (other, one)
            };
            SetEvent(first);
            SetEvent(second);
            assert_eq!(wait(&[done], false, LONG), 0);
        }
    });
    assert_eq!(wait(&[one, other], false, 0), WAIT_TIMEOUT);
    for event in [one, other, done] {
        CloseHandle(event);
    }
}
