//! Echo server on monoio, a task per connection. Each of `--workers` threads has a runtime and a
//! listener of its own, among which the kernel deals out the connections.
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
use servers::handler::{Handler, Way};
use servers::{BUFFER, Can, Options, Stdin, die, listeners};

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can {
        coop: true,
        handler: &[Way::Plain],
        ..Can::work(64)
    });
    let mut listeners = listeners(options.workers)?;
    let own = listeners.remove(0);
    for listener in listeners {
        let Options { coop, handler, .. } = options;
        std::thread::Builder::new().spawn(move || match serve(listener, coop, handler, false) {
            Ok(()) => unreachable!("it serves until the process ends"),
            Err(error) => die(error),
        })?;
    }
    serve(own, options.coop, options.handler, true)
}

/// Runs a runtime on this thread. One of them is in charge of the process.
fn serve(
    listener: std::net::TcpListener,
    coop: bool,
    handler: Handler,
    in_charge: bool,
) -> io::Result<()> {
    let mut ring = IoUring::builder();
    if coop {
        ring.setup_coop_taskrun();
    }
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(ring)
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        if in_charge {
            spawn(watch_stdin());
        }
        accept(listener, handler).await
    })
}

async fn accept(listener: TcpListener, handler: Handler) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(spawn(echo(socket, handler))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

async fn echo(mut socket: TcpStream, handler: Handler) -> io::Result<()> {
    // Fails if the client has gone already, which the first read will find out.
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut outcome;
    loop {
        (outcome, buffer) = socket.read(buffer).await;
        if outcome? == 0 {
            return Ok(());
        }
        handler.handle(&buffer);
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
