//! A forked child's port says so. Alone in its file: a fork takes only the calling thread along.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use overlapped::{CompletionPort, Engine, GetError, Operation, Status};

#[test]
fn a_port_does_not_cross_a_fork() {
    for engine in [Engine::Epoll, Engine::UringOrEpoll] {
        on(engine);
    }
}

fn on(engine: Engine) {
    let builder = CompletionPort::builder().concurrency(1).engine(engine);
    let port: CompletionPort<(), ()> = builder.build().unwrap();
    println!("on {}", port.stats().engine);
    port.post(Operation::new("", ()), 0).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = port.associate(listener.accept().unwrap().0, ()).unwrap();
    // The forking thread is bound to the port, and something is under way.
    socket.recv(Operation::with_capacity(8, ())).unwrap();
    assert!(port.poll().is_ok());
    assert!(matches!(port.poll(), Err(GetError::TimedOut)));
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
            let receive = socket.recv(Operation::with_capacity(8, ()));
            let starts_nothing = receive.is_err() && port.post(Operation::new("", ()), 0).is_err();
            drop((socket, port));
            // SAFETY: ends the child at once.
            unsafe {
                libc::_exit(if refused && works && starts_nothing {
                    0
                } else {
                    1
                })
            };
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
    client.write_all(b"hello").unwrap();
    let packet = port.get_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(packet.bytes, 5);
    file.sync_data(Operation::new("", ())).unwrap();
    assert!(port.get().is_ok());
}
