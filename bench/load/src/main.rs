//! Echo load generator over loopback TCP: one thread, one epoll loop, every byte checked. A closed
//! loop, in which each connection waits for its answer, or an open one, with a schedule.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use load::report::{MEASURED, MEASURING};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::churn::Churn;
use crate::echo::Echo;
use crate::net::Result;
use crate::open::Open;
use crate::window::{Load, Window};

mod churn;
mod cli;
mod echo;
mod net;
mod open;
mod schedule;
mod window;

/// Room for the descriptors that are not connections.
const OTHER_FILES: u64 = 16;

fn main() -> ExitCode {
    let options = match cli::parse() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", cli::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("load: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &cli::Options) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if let Some(most) = limit.maximum
        && most < options.connections as u64 + OTHER_FILES
    {
        let count = options.connections;
        return Err(format!(
            "{count} connections, but a process may have only {most} files here"
        ));
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .map_err(net::failed("setrlimit"))?;

    if options.urgent {
        go_first()?;
    }
    let mut load: Box<dyn Load> = match options.mix {
        Some(mix) => Box::new(Open::connect(options, mix)?),
        None if options.churn => Box::new(Churn::new(options)?),
        None => Box::new(Echo::connect(options)?),
    };
    if !options.warmup.is_zero() {
        load.run(&mut Window::open(options.warmup))?;
    }

    announce(MEASURING, options.handshake)?;
    let mut window = Window::open(options.seconds);
    load.run(&mut window)?;
    let report = window.report(options, load.open());
    announce(MEASURED, options.handshake)?;

    load.finish()?;
    let report = serde_json::to_string(&report).map_err(|error| error.to_string())?;
    say(&report)
}

/// Runs whenever there is something to do, before all threads of ordinary priority.
fn go_first() -> Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: reads one `sched_param`, which outlives the call.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &lowest) } {
        0 => Ok(()),
        _ => Err(format!("--urgent: {}", io::Error::last_os_error())),
    }
}

fn announce(word: &str, handshake: bool) -> Result<()> {
    say(word)?;
    if handshake {
        let mut line = String::new();
        let count = io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("stdin was closed in the middle of the handshake".to_owned());
        }
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())
}
