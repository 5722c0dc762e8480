//! A file server: a client sends the name of a file in the directory and a line feed, and gets the
//! file, and then the end.
//!
//! Opening, reading and sending are operations like any others, so a slow disk holds up no worker.
//!
//!     cargo run --release --example files [DIRECTORY]
//!     echo README.md | nc 127.0.0.1 4568

use std::net::{SocketAddr, TcpListener};
use std::path::{Component, Path, PathBuf};

use overlapped::{CompletionPort, Kind, OpenOptions, Operation, Packet, Socket};

/// A name may be this long.
const LONGEST_NAME: usize = 1024;

/// What a packet is about: a client, or the file that a client waits for.
enum Key {
    Client(SocketAddr),
    Wanted(Socket<Key, ()>),
}

type Port = CompletionPort<Key, ()>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".into()));
    let port = Port::new(0)?;
    for _ in 0..4 {
        let (port, root) = (port.clone(), root.clone());
        std::thread::spawn(move || {
            while let Ok(packet) = port.get() {
                if let Err(error) = handle(&port, &root, packet) {
                    eprintln!("{error}");
                }
            }
        });
    }
    let listener = TcpListener::bind("127.0.0.1:4568")?;
    println!("{} on {}", root.display(), listener.local_addr()?);
    loop {
        let (connection, peer) = listener.accept()?;
        let client = port.associate(connection, Key::Client(peer))?;
        client.recv(Operation::with_capacity(LONGEST_NAME, ()))?;
    }
}

/// An error, or a client that is done with, lets go of the connection, which closes it.
fn handle(port: &Port, root: &Path, packet: Packet<Key, ()>) -> std::io::Result<()> {
    let bytes = packet.result()?;
    match (packet.kind, packet.socket, packet.file) {
        (Kind::Recv, Some(client), _) => {
            let Some(name) = packet.operation.bytes().strip_suffix(b"\n") else {
                return Err(std::io::Error::other("not a name and a line feed"));
            };
            let path = root.join(inside(name)?);
            let options = OpenOptions::new().read(true);
            port.open(packet.operation, &options, path, Key::Wanted(client))?;
        }
        (Kind::Open, _, Some(file)) => {
            if let Key::Wanted(client) = file.key() {
                client.send_file(Operation::new("", ()), &file, 0, 0, "")?;
            }
        }
        (Kind::SendFile, Some(client), _) => {
            if let Key::Client(peer) = client.key() {
                println!("{peer}: {bytes} bytes");
            }
        }
        _ => {}
    }
    Ok(())
}

/// The name as a path that stays inside the directory.
fn inside(name: &[u8]) -> std::io::Result<PathBuf> {
    let name = str::from_utf8(name).map_err(std::io::Error::other)?;
    let path = PathBuf::from(name.trim_end());
    match path
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        true => Ok(path),
        false => Err(std::io::Error::other("not a name inside the directory")),
    }
}
