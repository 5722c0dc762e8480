//! Calls that raise SIGPIPE and have no flag against it.

use std::mem::MaybeUninit;

/// While it lives, a SIGPIPE that this thread raises goes nowhere.
///
/// The signal is blocked; one that has come meanwhile is taken out again, unless one was pending
/// before, which is the program's.
pub(super) struct Held {
    before: libc::sigset_t,
    pending_before: bool,
}

fn only_sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set; both calls only write to it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

fn is_pending() -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigpending` initialises the set, and cannot fail with a valid pointer.
    unsafe {
        libc::sigpending(set.as_mut_ptr());
        libc::sigismember(set.as_ptr(), libc::SIGPIPE) == 1
    }
}

impl Held {
    pub(super) fn new() -> Self {
        let mut before = MaybeUninit::uninit();
        // SAFETY: `pthread_sigmask` initialises `before`, and cannot fail with these arguments.
        let before = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &only_sigpipe(), before.as_mut_ptr());
            before.assume_init()
        };
        Held {
            before,
            pending_before: is_pending(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.pending_before && is_pending() {
            let at_once = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: reads two valid values; nobody wants to know more about the signal.
            unsafe { libc::sigtimedwait(&only_sigpipe(), std::ptr::null_mut(), &at_once) };
        }
        // SAFETY: the set was filled by `new`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}
