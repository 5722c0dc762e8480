//! Echo server on tokio, a task per connection: one worker is the current-thread runtime, more are
//! the multi-thread one.
//!
//! With `--handler marked` handlers block inside `block_in_place`, which only the latter has; with
//! `offloaded` inside `spawn_blocking`. Only the call that may block is there, so other requests do
//! not pay for it.

use std::io;

use servers::handler::{Handler, Way};
use servers::{BUFFER, Can, Options, Stdin, listen};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can {
        handler: &[Way::Plain, Way::Marked, Way::Offloaded],
        ..Can::work(64)
    });
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
        Err(tokio::spawn(accept(listener, options.handler)).await?)
    })
}

async fn accept(listener: TcpListener, handler: Handler) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::spawn(echo(socket, handler))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return error,
        }
    }
}

async fn echo(mut socket: TcpStream, handler: Handler) -> io::Result<()> {
    // Fails if the client has gone already, which the first read will find out.
    let _ = socket.set_nodelay(true);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = socket.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        handle(handler, &buffer[..count]).await?;
        socket.write_all(&buffer[..count]).await?;
    }
}

#[inline]
async fn handle(handler: Handler, request: &[u8]) -> io::Result<()> {
    if let Some(task) = handler.task(request) {
        match handler.way {
            Some(Way::Marked) => tokio::task::block_in_place(|| task.perform()),
            Some(Way::Offloaded) => tokio::task::spawn_blocking(move || task.perform()).await?,
            _ => task.perform(),
        }
    }
    Ok(())
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
