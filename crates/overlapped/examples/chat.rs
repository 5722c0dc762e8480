//! A chat server: what one says, all others hear. Many sends are outstanding at once, and all of
//! them share one copy of the line.
//!
//!     cargo run --release --example chat [ADDRESS:PORT]
//!     nc 127.0.0.1 4567      (several times)
//!
//! Sends to one client leave in the order in which they were started, so the lines of a
//! conversation arrive in order everywhere without a queue of our own. A client that does not read
//! is dropped when too much waits for it.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use overlapped::{CompletionPort, Kind, Operation, Packet, Socket};

/// More lines than this waiting for one client mean that it does not read.
const PATIENCE: usize = 1000;

enum Key {
    Listener,
    Client(Client),
}

struct Client {
    number: usize,
    waiting: AtomicUsize,
    /// The beginning of a line.
    partial: Mutex<Vec<u8>>,
}

type Sock = Socket<Key, ()>;

struct Chat {
    port: CompletionPort<Key, ()>,
    room: Mutex<HashMap<usize, Sock>>,
    next: AtomicUsize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4567".into());
    let listener = TcpListener::bind(&address)?;
    println!("chatting on {}", listener.local_addr()?);
    let chat = Chat {
        port: CompletionPort::new(0)?,
        room: Mutex::default(),
        next: AtomicUsize::new(1),
    };
    chat.port
        .associate(listener, Key::Listener)?
        .accept(Operation::new("", ()))?;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Ok(packet) = chat.port.get() {
                    chat.handle(packet);
                }
            });
        }
    });
    Ok(())
}

impl Chat {
    fn handle(&self, mut packet: Packet<Key, ()>) {
        let Some(socket) = packet.socket.take() else {
            return;
        };
        match (socket.key(), packet.kind, packet.result()) {
            (Key::Listener, ..) => {
                if let Some(connection) = packet.operation.take_accepted() {
                    let number = self.next.fetch_add(1, Relaxed);
                    let client = Client {
                        number,
                        waiting: AtomicUsize::new(0),
                        partial: Mutex::default(),
                    };
                    if let Ok(socket) = self.port.associate(connection, Key::Client(client)) {
                        self.room.lock().unwrap().insert(number, socket.clone());
                        self.say(number, format!("* {number} has come\n").into_bytes());
                        self.listen_to(&socket, number, Operation::with_capacity(4096, ()));
                    }
                }
                if let Err(refused) = socket.accept(packet.operation) {
                    eprintln!("no longer accepting: {refused}");
                }
            }
            (Key::Client(client), Kind::Recv, Ok(1..)) => {
                let mut partial = client.partial.lock().unwrap();
                partial.extend_from_slice(packet.operation.bytes());
                let whole = partial
                    .iter()
                    .rposition(|&byte| byte == b'\n')
                    .map_or(0, |at| at + 1);
                let lines: Vec<u8> = partial.drain(..whole).collect();
                let too_long = partial.len() > 64 * 1024;
                drop(partial);
                for line in lines.split_inclusive(|&byte| byte == b'\n') {
                    let line = [format!("{}: ", client.number).as_bytes(), line].concat();
                    self.say(client.number, line);
                }
                if too_long {
                    return self.leave(client.number);
                }
                self.listen_to(&socket, client.number, packet.operation);
            }
            (Key::Client(client), Kind::Send, Ok(_)) => {
                client.waiting.fetch_sub(1, Relaxed);
            }
            (Key::Client(client), ..) => self.leave(client.number),
        }
    }

    fn listen_to(&self, socket: &Sock, number: usize, operation: Operation<()>) {
        if socket.recv(operation).is_err() {
            self.leave(number);
        }
    }

    /// Sends a line to everybody but the one who said it.
    fn say(&self, from: usize, line: Vec<u8>) {
        let line: Arc<[u8]> = line.into();
        let mut deaf = Vec::new();
        for (&number, socket) in self.room.lock().unwrap().iter() {
            let Key::Client(client) = socket.key() else {
                continue;
            };
            if number == from {
                continue;
            }
            let waiting = client.waiting.fetch_add(1, Relaxed);
            if waiting > PATIENCE || socket.send(Operation::new(line.clone(), ())).is_err() {
                deaf.push(number);
            }
        }
        deaf.into_iter().for_each(|number| self.leave(number));
    }

    fn leave(&self, number: usize) {
        let Some(socket) = self.room.lock().unwrap().remove(&number) else {
            return;
        };
        socket.close();
        self.say(number, format!("* {number} has gone\n").into_bytes());
    }
}
