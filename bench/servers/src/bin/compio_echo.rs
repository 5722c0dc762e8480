//! Echo server on compio, one thread, a task per connection.
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
use servers::{BUFFER, Can, Options, Stdin, listen};

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can {
        coop: true,
        ..Can::work(1)
    });
    let mut ring = ProactorBuilder::new();
    ring.driver_type(DriverType::IoUring)
        .coop_taskrun(options.coop)
        .taskrun_flag(options.coop);
    let runtime = Runtime::builder().with_proactor(ring).build()?;
    if !runtime.driver_type().is_iouring() {
        return Err(io::Error::other("compio does not run on io_uring here"));
    }
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen()?)?;
        spawn(watch_stdin()).detach();
        accept(listener).await
    })
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => spawn(echo(socket)).detach(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

async fn echo(mut socket: TcpStream) -> io::Result<()> {
    // Fails if the client has gone already, which the first read will find out.
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let BufResult(count, filled) = socket.read(buffer).await;
        if count? == 0 {
            return Ok(());
        }
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
