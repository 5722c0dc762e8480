//! Echo server on monoio, one thread, a task per connection.
//!
//! Only monoio's io_uring driver is compiled in, and the runtime names it: without io_uring the
//! server does not start. The ring is the one monoio makes by default; `--coop` makes one with
//! `COOP_TASKRUN`. `TASKRUN_FLAG` would change nothing, because monoio does not look at it.

use std::io;
use std::os::fd::AsFd;

use io_uring_06::IoUring;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream, UnixStream};
use monoio::{IoUringDriver, RuntimeBuilder, spawn};
use servers::{BUFFER, Can, Options, Stdin, listen};

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can {
        coop: true,
        ..Can::work(1)
    });
    let mut ring = IoUring::builder();
    if options.coop {
        ring.setup_coop_taskrun();
    }
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(ring)
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen()?)?;
        spawn(watch_stdin());
        accept(listener).await
    })
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(spawn(echo(socket))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

async fn echo(mut socket: TcpStream) -> io::Result<()> {
    // Fails if the client has gone already, which the first read will find out.
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut outcome;
    loop {
        (outcome, buffer) = socket.read(buffer).await;
        if outcome? == 0 {
            return Ok(());
        }
        (outcome, buffer) = socket.write_all(buffer).await;
        outcome?;
        buffer.clear();
    }
}

async fn watch_stdin() -> io::Result<()> {
    let stdin = Stdin::watched(Ok)?;
    // monoio polls only what it owns, and of that only sockets: the type is not looked at.
    let watched = UnixStream::from_std(stdin.as_fd().try_clone_to_owned()?.into())?;
    loop {
        watched.readable(false).await?;
        stdin.readable();
    }
}
