//! Echo server on our own library: one completion port, `--workers` threads at a concurrency value
//! of as many, but at most 2, or of `--concurrency`. The port watches standard input too.
//!
//! With `--direct` a send that ends at once is followed by the next receive at once, instead of when
//! its packet comes. With `--exclusive` the port is on io_uring and has one worker. With `--slice` the
//! workers ask for time slices of so many microseconds. With `--handler marked` handlers block inside
//! `blocking`; with `plain` the port must find out. The environment variable `NOTICE` says how
//! (`perf-events`, `thread-states`, `nothing`).

use std::io;
use std::os::fd::AsFd;

use overlapped::{
    CompletionPort, Engine, Interest, Kind, Notice, Operation, Packet, Socket, Start,
};
use servers::handler::{Handler, Way};
use servers::{BUFFER, Can, Options, end, listen};

type Port = CompletionPort<(), ()>;

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can {
        direct: true,
        exclusive: true,
        limit: true,
        handler: &[Way::Plain, Way::Marked],
        ..Can::work(64)
    });
    let engine = match options.exclusive {
        true => Engine::Uring,
        false => Engine::Auto,
    };
    let notice = match std::env::var("NOTICE") {
        Ok(name) => name.parse()?,
        Err(_) => Notice::Auto,
    };
    let port: Port = CompletionPort::builder()
        .concurrency(options.concurrency.unwrap_or(options.workers.min(2)))
        .time_slice(options.slice)
        .engine(engine)
        .notice_blocked(notice)
        .build()?;
    let listener = port.associate(listen()?, ())?;
    for _ in 0..16 {
        listener.accept(Operation::new("", ()))?;
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stdin = port.associate(stdin, ())?;
    stdin.ready(Operation::new("", ()), Interest::Readable)?;
    drop((listener, stdin));
    let served = port.clone();
    std::thread::scope(|scope| {
        for _ in 1..options.workers {
            scope.spawn(|| work(&port, &options));
        }
        work(&port, &options);
    });
    if let Some(queue) = served.stats().queue {
        // A request is a receive and a send.
        println!("wakes {} requests {}", queue.wakes, queue.taken / 2);
    }
    end()
}

/// Handles packets until the port is closed.
fn work(port: &Port, options: &Options) {
    while let Ok(mut packet) = port.get() {
        let Some(socket) = packet.socket else {
            continue;
        };
        match (packet.kind, packet.bytes) {
            (Kind::Accept, _) => {
                if let Some(connection) = packet.operation.take_accepted() {
                    let client = port.associate(connection, ()).expect("an accepted socket");
                    let _ = client.set_nodelay(true);
                    let _ = client.recv(Operation::with_capacity(BUFFER, ()));
                }
                let _ = socket.accept(packet.operation);
            }
            (Kind::Readable, _) => match rustix::io::read(rustix::stdio::stdin(), &mut [0; 64]) {
                Ok(1..) => drop(socket.ready(packet.operation, Interest::Readable)),
                _ => port.close(),
            },
            // Ended: with its last handle the socket closes.
            (_, 0) => {}
            (Kind::Recv, _) => {
                handle(port, options.handler, packet.operation.bytes());
                match options.direct {
                    true => send_directly(&socket, packet.operation),
                    false => drop(socket.send(packet.operation)),
                }
            }
            (_, _) => drop(socket.recv(packet.operation)),
        }
    }
}

#[inline]
fn handle(port: &Port, handler: Handler, request: &[u8]) {
    if let Some(task) = handler.task(request) {
        match handler.way {
            Some(Way::Marked) => port.blocking(|| task.perform()),
            _ => task.perform(),
        }
    }
}

/// If all could be sent at once the next receive is started, and waits its turn.
fn send_directly(socket: &Socket<(), ()>, operation: Operation<()>) {
    if let Ok(Start::Done(Packet {
        operation,
        bytes: 1..,
        ..
    })) = socket.direct().send(operation)
    {
        drop(socket.recv(operation));
    }
}
