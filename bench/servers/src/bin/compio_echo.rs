//! Echo server on compio, a task per connection. Each of `--workers` threads has a runtime and a
//! listener of its own, among which the kernel deals out the connections.
//!
//! Only compio's io_uring driver is compiled in, and the server says so and ends if another one
//! should run. The ring is the one compio makes by default; `--coop` makes one with
//! `COOP_TASKRUN` and `TASKRUN_FLAG`, which compio asks to set together.

use std::io;

use compio::driver::ProactorBuilder;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::fd::PollFd;
use compio::runtime::{Runtime, spawn};
use compio::{BufResult, driver::DriverType};
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
    let mut ring = ProactorBuilder::new();
    ring.driver_type(DriverType::IoUring)
        .coop_taskrun(coop)
        .taskrun_flag(coop);
    let runtime = Runtime::builder().with_proactor(ring).build()?;
    if !runtime.driver_type().is_iouring() {
        return Err(io::Error::other("compio does not run on io_uring here"));
    }
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        if in_charge {
            spawn(watch_stdin()).detach();
        }
        accept(listener, handler).await
    })
}

async fn accept(listener: TcpListener, handler: Handler) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => spawn(echo(socket, handler)).detach(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

async fn echo(mut socket: TcpStream, handler: Handler) -> io::Result<()> {
    // Fails if the client has gone already, which the first read will find out.
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let BufResult(count, filled) = socket.read(buffer).await;
        if count? == 0 {
            return Ok(());
        }
        handler.handle(&filled);
        let BufResult(outcome, sent) = socket.write_all(filled).await;
        outcome?;
        buffer = sent;
        buffer.clear();
    }
}

async fn watch_stdin() -> io::Result<()> {
    let stdin = PollFd::new(Stdin::watched(Ok)?)?;
    loop {
        stdin.read_ready().await?;
        stdin.readable();
    }
}
