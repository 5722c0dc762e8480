//! A UDP echo: datagrams go back to where they came from.
//!
//!     cargo run --release --example udp_echo [ADDRESS:PORT]
//!
//! The operation that received a datagram has its sender's address, and sends the answer.

use overlapped::{CompletionPort, Kind, Operation, Status};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4567".into());
    let port: CompletionPort = CompletionPort::new(0)?;
    let own = std::net::UdpSocket::bind(&address)?;
    println!("echoing datagrams on {}", own.local_addr()?);
    let socket = port.associate(own, ())?;
    // A client that has gone before its answer came is no news.
    socket.set_reports_unreachable(false)?;
    for _ in 0..64 {
        socket.recv_from(Operation::with_capacity(65_536, ()))?;
    }

    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism()?.get() * 2 {
            scope.spawn(|| {
                while let Ok(packet) = port.get() {
                    let from = packet.operation.peer_addr();
                    let started = match (packet.kind, packet.status, from) {
                        (Kind::RecvFrom, Status::SUCCESS, Some(from)) => {
                            socket.send_to(packet.operation, from)
                        }
                        _ => socket.recv_from(packet.operation),
                    };
                    if let Err(refused) = started {
                        eprintln!("{refused}");
                    }
                }
            });
        }
        Ok(())
    })
}
