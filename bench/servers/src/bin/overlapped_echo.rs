//! Echo server on our own library: one completion port, `--workers` threads at a concurrency value
//! of as many, but at most 2.
//!
//! A port cannot wait for standard input yet, so the main thread looks at it when no packet has
//! come for a while.

use std::io;
use std::time::Duration;

use overlapped::{CompletionPort, Kind, Operation};
use rustix::event::{PollFd, PollFlags, poll};
use servers::{BUFFER, Options, listen};

type Port = CompletionPort<bool, ()>;

fn main() -> io::Result<()> {
    let options = Options::from_command_line(64, false);
    let port: Port = CompletionPort::new(options.workers.min(2))?;
    let listener = port.associate(listen()?, true)?;
    for _ in 0..16 {
        listener.accept(Operation::new("", ()))?;
    }
    std::thread::scope(|scope| {
        for _ in 1..options.workers {
            scope.spawn(|| work(&port, None));
        }
        while !ended() {
            work(&port, Some(Duration::from_millis(50)));
        }
        port.close();
    });
    Ok(())
}

/// Whether standard input has come to its end.
fn ended() -> bool {
    let stdin = rustix::stdio::stdin();
    let mut look = [PollFd::new(&stdin, PollFlags::IN)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut look, Some(&now)).is_ok_and(|ready| ready > 0)
        && !matches!(rustix::io::read(stdin, &mut [0; 64]), Ok(1..))
}

/// Handles packets until none comes for so long, or the port is closed.
fn work(port: &Port, patience: Option<Duration>) {
    loop {
        let got = match patience {
            Some(patience) => port.get_timeout(patience),
            None => port.get(),
        };
        let Ok(mut packet) = got else { return };
        let Some(socket) = packet.socket else {
            continue;
        };
        match (packet.kind, packet.bytes) {
            (Kind::Accept, _) => {
                if let Some(connection) = packet.operation.take_accepted() {
                    let client = port
                        .associate(connection, false)
                        .expect("an accepted socket");
                    let _ = client.set_nodelay(true);
                    let _ = client.recv(Operation::with_capacity(BUFFER, ()));
                }
                let _ = socket.accept(packet.operation);
            }
            // Ended: with its last handle the socket closes.
            (_, 0) => {}
            (Kind::Recv, _) => drop(socket.send(packet.operation)),
            (_, _) => drop(socket.recv(packet.operation)),
        }
    }
}
