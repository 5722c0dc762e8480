//! An echo server, accepting by completion too: one kind of loop for everything.
//!
//!     cargo run --release --example echo [ADDRESS:PORT]
//!
//! The operation that received is the operation that sends and then receives again, so a
//! connection allocates once.

use std::net::TcpListener;
use std::time::Duration;

use overlapped::{CompletionPort, Kind, Operation, Packet, Status};

type Port = CompletionPort<&'static str, ()>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4567".into());
    let port: Port = CompletionPort::new(0)?;

    let listener = TcpListener::bind(&address)?;
    println!("echoing on {}", listener.local_addr()?);
    let listener = port.associate(listener, "listener")?;
    for _ in 0..16 {
        listener.accept(Operation::new("", ()))?;
    }

    let workers = std::thread::available_parallelism()?.get() * 2;
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Ok(packet) = port.get() {
                    // An operation that cannot be started ends its connection; an accept that
                    // cannot be restarted would end the server's accepting.
                    if let Err(error) = step(&port, packet) {
                        eprintln!("{error}");
                    }
                }
            });
        }
    });
    Ok(())
}

fn step(port: &Port, mut packet: Packet<&'static str, ()>) -> std::io::Result<()> {
    let Some(socket) = packet.socket.take() else {
        return Ok(());
    };
    match (packet.kind, packet.result()) {
        (Kind::Accept, result) => {
            let accepted = packet.operation.take_accepted();
            if packet.status == Status::TOO_MANY_OPENED_FILES {
                // The next accept would fail as fast; meanwhile connections end.
                port.blocking(|| std::thread::sleep(Duration::from_millis(100)));
            }
            socket.accept(packet.operation)?;
            result?;
            if let Some(connection) = accepted {
                let client = port.associate(connection, "client")?;
                client.set_nodelay(true)?;
                client.recv(Operation::with_capacity(16 * 1024, ()))?;
            }
        }
        // Finished or broken: with its last handle the socket closes.
        (_, Ok(0) | Err(_)) => {}
        (Kind::Recv, Ok(_)) => drop(socket.send(packet.operation)?),
        (_, Ok(_)) => drop(socket.recv(packet.operation)?),
    }
    Ok(())
}
