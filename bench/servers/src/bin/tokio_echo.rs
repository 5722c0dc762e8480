//! Echo server on tokio, a task per connection: one worker is the current-thread runtime, more are
//! the multi-thread one.

use std::io;

use servers::{BUFFER, Can, Options, Stdin, listen};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can::work(64));
    let mut builder = match options.workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    // Ignored by the current-thread runtime.
    builder.worker_threads(options.workers);
    builder.enable_io().build()?.block_on(async {
        let listener = TcpListener::from_std(listen()?)?;
        tokio::spawn(watch_stdin());
        // As a task, because the main thread is not one of the workers and would have to be woken
        // for each new connection.
        Err(tokio::spawn(accept(listener)).await?)
    })
}

async fn accept(listener: TcpListener) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::spawn(echo(socket))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return error,
        }
    }
}

async fn echo(mut socket: TcpStream) -> io::Result<()> {
    // Fails if the client has gone already, which the first read will find out.
    let _ = socket.set_nodelay(true);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = socket.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        socket.write_all(&buffer[..count]).await?;
    }
}

async fn watch_stdin() -> io::Result<()> {
    let stdin = Stdin::watched(|stdin| {
        // SAFETY: it is always descriptor 0, which nobody here closes.
        Ok(unsafe { AsyncFd::register_with_interest(stdin, Interest::READABLE) }?)
    })?;
    loop {
        let mut ready = stdin.readable().await?;
        stdin.get_ref().readable();
        ready.clear_ready();
    }
}
