//! Signals that are to end this program.
//!
//! They end the compiler, and this program after it, when what it made for the compiler is removed. Of
//! Ctrl-C the terminal tells the compiler too; who ends a build by `kill` names only this program.

#[cfg(unix)]
pub use by_signals::{follow, pass_on_to, wait_for_the_compiler};

#[cfg(unix)]
mod by_signals {
    use std::process::Child;
    use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

    const ENDING: [libc::c_int; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

    /// The compiler, once it runs.
    static COMPILER: AtomicI32 = AtomicI32::new(0);
    /// The signal that came, or 0.
    static CAUGHT: AtomicI32 = AtomicI32::new(0);

    extern "C" fn caught(signal: libc::c_int) {
        CAUGHT.store(signal, SeqCst);
        end_compiler();
    }

    fn end_compiler() {
        let (compiler, signal) = (COMPILER.load(SeqCst), CAUGHT.load(SeqCst));
        if compiler != 0 && signal != 0 {
            // SAFETY: plain numbers; a handler may call it.
            unsafe { libc::kill(compiler, signal) };
        }
    }

    /// From now on such a signal does not end this program at once.
    pub fn wait_for_the_compiler() {
        for signal in ENDING {
            let handler = caught as extern "C" fn(libc::c_int);
            // SAFETY: the handler only stores and kills. The compiler begins without it.
            unsafe {
                // Who ignores it goes on ignoring it.
                if libc::signal(signal, handler as libc::sighandler_t) == libc::SIG_IGN {
                    libc::signal(signal, libc::SIG_IGN);
                }
            }
        }
    }

    /// This is the compiler, also for a signal that came before.
    pub fn pass_on_to(compiler: &Child) {
        COMPILER.store(compiler.id() as i32, SeqCst);
        end_compiler();
    }

    /// The compiler has ended: ends this program by the signal, if one came, so that who started it
    /// sees why.
    pub fn follow() {
        COMPILER.store(0, SeqCst);
        let signal = CAUGHT.load(SeqCst);
        if signal != 0 {
            // SAFETY: plain numbers.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    pub fn wait_for_the_compiler() {}
    pub fn pass_on_to(_: &std::process::Child) {}
    pub fn follow() {}
}
#[cfg(not(unix))]
pub use elsewhere::{follow, pass_on_to, wait_for_the_compiler};
