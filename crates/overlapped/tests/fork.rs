//! A forked child's port says so. Alone in its file: a fork takes only the calling thread along.
#![cfg(target_os = "linux")]

use overlapped::{CompletionPort, GetError, Operation, Status};

#[test]
fn a_port_does_not_cross_a_fork() {
    let port: CompletionPort<(), ()> = CompletionPort::new(1).unwrap();
    port.post(Operation::new("", ()), 0).unwrap();
    let own_program = std::fs::File::open("/proc/self/exe").unwrap();
    let file = port.associate_file(own_program, ()).unwrap();
    // SAFETY: the child makes a few calls, none of which needs another thread, and exits without
    // running destructors.
    match unsafe { libc::fork() } {
        0 => {
            let refused = matches!(port.poll(), Err(GetError::Failed(error))
                if error.kind() == std::io::ErrorKind::Unsupported);
            // Nobody would perform what is started there.
            let refused = refused
                && file
                    .sync_data(Operation::new("", ()))
                    .is_err_and(|refused| refused.status == Status::NOT_SUPPORTED);
            // A new one works there.
            let own: CompletionPort<(), ()> = CompletionPort::new(1).unwrap();
            own.post(Operation::new("", ()), 7).unwrap();
            let works = own.poll().is_ok_and(|packet| packet.bytes == 7);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(if refused && works { 0 } else { 1 }) };
        }
        -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
        child => {
            let mut status = 0;
            // SAFETY: waits for our own child.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert!(
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
                "{status:#x}"
            );
        }
    }
    // The parent's has not noticed.
    assert!(port.poll().is_ok());
    file.sync_data(Operation::new("", ())).unwrap();
    assert!(port.get().is_ok());
}
