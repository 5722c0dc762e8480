//! Echo server with a thread per connection, which reads and writes and does nothing else. The
//! main thread accepts.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use servers::handler::{Handler, Way};
use servers::{BUFFER, Can, Options, Stdin, listen};

/// Thousands of threads are to have room.
const STACK: usize = 128 * 1024;

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can {
        handler: &[Way::Plain],
        ..Can::work(1)
    });
    let listener = listen()?;
    let stdin = Stdin::watched(Ok)?;
    loop {
        let mut ready = [
            PollFd::new(&listener, PollFlags::IN),
            PollFd::new(&stdin, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [incoming, input] = ready.map(|one| !one.revents().is_empty());
        if input {
            stdin.readable();
        }
        if incoming {
            match listener.accept() {
                Ok((socket, _)) => serve(socket, options.handler)?,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

fn serve(mut socket: TcpStream, handler: Handler) -> io::Result<()> {
    // Fails if the client has gone already, which the first read will find out.
    let _ = socket.set_nodelay(true);
    let connection = move || -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    handler.handle(&buffer[..count]);
                    socket.write_all(&buffer[..count])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    thread::Builder::new().stack_size(STACK).spawn(connection)?;
    Ok(())
}
