//! Our own: one completion port.
//!
//!     overlapped_echo --workers W [--concurrency N] [--windows] [--work MICROSECONDS]
//!
//! `--work`: each request computes for so long.

use std::time::{Duration, Instant};

use overlapped::{CompletionPort, Kind, Operation, WakePolicy};
use servers::{BUFFER, flag, listen, number};

fn main() {
    let workers = number("--workers", 1);
    let policy = if flag("--windows") {
        WakePolicy::Windows
    } else {
        WakePolicy::Economy
    };
    let port: CompletionPort<bool, ()> = CompletionPort::builder()
        .concurrency(number("--concurrency", workers.min(2)))
        .wake_policy(policy)
        .build()
        .unwrap();
    let work = Duration::from_micros(number("--work", 0) as u64);
    let listener = port.associate(listen(), true).unwrap();
    for _ in 0..16 {
        listener.accept(Operation::new("", ())).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Ok(mut packet) = port.get() {
                    let Some(socket) = packet.socket else {
                        continue;
                    };
                    match (packet.kind, packet.bytes) {
                        (Kind::Accept, _) => {
                            if let Some(connection) = packet.operation.take_accepted() {
                                let client = port.associate(connection, false).unwrap();
                                client.set_nodelay(true).unwrap();
                                let _ = client.recv(Operation::with_capacity(BUFFER, ()));
                            }
                            let _ = socket.accept(packet.operation);
                        }
                        (_, 0) => {}
                        (Kind::Recv, _) => {
                            if !work.is_zero() {
                                let began = Instant::now();
                                while began.elapsed() < work {}
                            }
                            drop(socket.send(packet.operation));
                        }
                        (_, _) => drop(socket.recv(packet.operation)),
                    }
                }
            });
        }
    });
}
