//! What the echo servers share: the command line, the listener, the end.

use std::io::{Read, Write};
use std::net::TcpListener;

/// The buffer of each connection.
pub const BUFFER: usize = 16 * 1024;

/// The value of an option of the command line.
pub fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

/// A number given as an option.
pub fn number(name: &str, default: usize) -> usize {
    option(name).map_or(default, |text| text.parse().expect("a number"))
}

pub fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}

/// Listens on a free port and says which.
pub fn listen() -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(4096).unwrap();
    let listener = TcpListener::from(socket);
    println!("listening {}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    end_with_stdin();
    listener
}

/// The server ends when whoever started it closes its standard input, or dies.
fn end_with_stdin() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}
