//! The tutorial's server in the model's own words: accepts connections on 127.0.0.1:4567 and
//! prints what arrives.
//!
//!     cargo run --release --example tutorial
//!     echo hello | nc 127.0.0.1 4567
//!
//! Five steps: create a port, associate a socket, start an operation, get a packet, handle it and
//! start the next. (`overlapped serve` is this program made real.)

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use overlapped::{CompletionPort, Operation, Packet};

/// The completion key: what the server knows of each client.
type PerHandle = SocketAddr;
/// Each operation's own value; here all operations are receives, and there is nothing to add.
type PerIo = ();

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 1. Create a completion port, and workers that wait at it.
    let port: CompletionPort<PerHandle, PerIo> = CompletionPort::new(0)?;
    for _ in 0..4 {
        let port = port.clone();
        std::thread::spawn(move || {
            // 4. Wait for a completion packet.
            while let Ok(packet) = port.get() {
                handle(packet);
            }
        });
    }

    let listener = TcpListener::bind("127.0.0.1:4567")?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (connection, peer) = listener.accept()?;
        // 2. Associate the connection with the port.
        let socket = port.associate(connection, peer)?;
        // 3. Start the first operation. If the client has gone already, so has the socket.
        if let Err(refused) = socket.recv(Operation::with_capacity(1024, ())) {
            eprintln!("{peer}: {refused}");
        }
    }
}

/// 5. Handle the result and start the next operation.
fn handle(packet: Packet<PerHandle, PerIo>) {
    let Some(socket) = packet.socket.clone() else {
        return;
    };
    match packet.result() {
        // The peer has finished: with the last handle the socket closes.
        Ok(0) => {}
        Ok(_) => {
            // Bytes, and not a format: whatever a client sends is printed as it is.
            let _ = std::io::stdout().write_all(packet.operation.bytes());
            let _ = std::io::stdout().flush();
            if let Err(refused) = socket.recv(packet.operation) {
                eprintln!("{}: {refused}", socket.key());
            }
        }
        Err(error) => eprintln!("{}: {error}", socket.key()),
    }
}
