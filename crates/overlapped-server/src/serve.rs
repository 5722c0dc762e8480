//! The process around the server: threads, housekeeping, the end.
//!
//! ```text
//! main      ticks once a second; ends the server when told to
//! signals   tells main of the first signal, ends the process at the second
//! worker    has the server handle packets; a pool of them at each port
//! output    writes standard output (print mode only)
//! log       writes standard error
//! control   answers `overlapped top`, with what it asks main for
//! ```
//!
//! A worker hardly ever blocks, so a port's concurrency value and one in reserve would do for their
//! number; see `--workers`.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use overlapped::{CompletionPort, Engine, Workers};

use crate::args::ServeArgs;
use crate::connection::ServerPort;
#[cfg(unix)]
use crate::control::{self, Control};
use crate::log::{Event, Log};
use crate::logger::Logger;
use crate::output::writer::Writer;
use crate::server::{Mode, Server, Settings, TICK};
#[cfg(unix)]
use crate::snapshot;
use crate::{limits, listen, signals};

/// How long the end may take.
pub const DRAIN: Duration = Duration::from_secs(5);

/// How long the log's last lines are given, if standard error is not read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How often to look, meanwhile.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// What main waits for.
enum Message {
    /// A signal came.
    Signal(i32),
    /// Standard output cannot be written.
    Output(io::Error),
    /// The workers of this port have ended though nobody asked them to.
    Workers(usize),
    /// Somebody wants to know what the server does.
    #[cfg(unix)]
    Look(Sender<String>),
}

/// Serves until a signal comes or something fails.
pub fn serve(args: &ServeArgs) -> ExitCode {
    let logger = match Logger::new(args.log_format.into(), io::stderr()) {
        Ok(logger) => Arc::new(logger),
        Err(error) => {
            eprintln!("overlapped: cannot start a thread: {error}");
            return ExitCode::FAILURE;
        }
    };
    let log: Arc<dyn Log> = logger.clone();
    let code = run(args, &log).unwrap_or_else(|message| {
        log.log(&Event::Failed { message: &message });
        ExitCode::FAILURE
    });
    logger.finish(LAST_LINES);
    code
}

fn run(args: &ServeArgs, log: &Arc<dyn Log>) -> Result<ExitCode, String> {
    let descriptors = limits::raise_descriptors();
    let (sender, messages) = channel();
    // Before anything can be lost by a signal.
    let tell = sender.clone();
    signals::watch(move |signal| {
        let _ = tell.send(Message::Signal(signal));
    })
    .map_err(|error| format!("cannot watch for signals: {error}"))?;

    let listeners = listen::listen(&args.listen, args.ports)?;
    let engine = args.engine()?;
    let exclusive = matches!(engine, Engine::Uring | Engine::UringOrEpoll);
    let (concurrency, workers) = match exclusive {
        false => {
            let concurrency = concurrency(args);
            (concurrency, args.workers.unwrap_or(concurrency * 2))
        }
        true if args.workers.unwrap_or(1) == 1 => (1, 1),
        true => {
            return Err(
                "with --engine uring each port has one worker; leave --workers out, and use --ports \
                 for more processors"
                    .to_owned(),
            );
        }
    };
    let settings = Settings {
        mode: args.mode.into(),
        prefix: args.prefix,
        escape: io::IsTerminal::is_terminal(&io::stdout()),
        max_connections: args.max_connections,
        idle_timeout: args.idle_timeout,
        verbose: args.verbose,
    };
    let mode = settings.mode;
    let writer = Arc::new(Writer::default());
    let server = Arc::new(Server::new(settings, writer.clone(), log.clone()));

    let mut process = Process {
        server: server.clone(),
        writer: writer.clone(),
        log: log.clone(),
        began: Instant::now(),
        ports: Vec::new(),
        workers: BTreeMap::new(),
        output: None,
    };
    if mode == Mode::Print {
        process.start_output(&sender)?;
    }
    for sockets in listeners.by_port {
        process.make_port(engine, concurrency, sockets)?;
    }
    // Before the workers: so this is the first line, and what is accepted meanwhile is queued in
    // order and handled when there is somebody to handle it.
    log.log(&Event::Listening {
        addresses: &listeners.addresses,
        mode,
        engine: process.ports[0].stats().engine,
        why: &process.ports[0].stats().engine_reason,
        workers,
        concurrency,
        ports: args.ports,
        descriptors,
    });
    process.start_workers(concurrency, workers, &sender)?;
    #[cfg(unix)]
    let _control = start_control(args, log, &sender)?;
    Ok(process.keep_house(&messages))
}

/// Makes the control socket; it is removed when the result is dropped.
#[cfg(unix)]
fn start_control(
    args: &ServeArgs,
    log: &Arc<dyn Log>,
    sender: &Sender<Message>,
) -> Result<Option<Control>, String> {
    let sender = sender.clone();
    let look = move || {
        let (answer, snapshot) = channel();
        sender.send(Message::Look(answer)).ok()?;
        snapshot.recv_timeout(control::PATIENCE).ok()
    };
    match &args.control {
        Some(path) if path.as_os_str() == "none" => Ok(None),
        Some(path) => Control::start(path, look).map(Some),
        None => {
            // It serves without, too, where nothing can be written.
            let started = control::usual_path().and_then(|path| Control::start(&path, look));
            if let Err(why) = &started {
                log.log(&Event::NoControl { why });
            }
            Ok(started.ok())
        }
    }
}

/// The concurrency value of each port.
fn concurrency(args: &ServeArgs) -> usize {
    match args.concurrency {
        0 => {
            let all = std::thread::available_parallelism().map_or(1, usize::from);
            (all / args.ports).max(1)
        }
        given => given,
    }
}

struct Process {
    server: Arc<Server>,
    writer: Arc<Writer>,
    log: Arc<dyn Log>,
    began: Instant,
    ports: Vec<ServerPort>,
    /// By port.
    workers: BTreeMap<usize, Workers>,
    output: Option<JoinHandle<()>>,
}

impl Process {
    fn start_output(&mut self, sender: &Sender<Message>) -> Result<(), String> {
        let (writer, server, sender) = (self.writer.clone(), self.server.clone(), sender.clone());
        self.output = Some(thread("output", move || {
            if let Err(error) = writer.run(io::stdout(), &server) {
                let _ = sender.send(Message::Output(error));
            }
        })?);
        Ok(())
    }

    fn make_port(
        &mut self,
        engine: Engine,
        concurrency: usize,
        listeners: Vec<TcpListener>,
    ) -> Result<(), String> {
        let port: ServerPort = CompletionPort::builder()
            .engine(engine)
            .concurrency(concurrency)
            .build()
            .map_err(|error| format!("cannot make a completion port: {error}"))?;
        for listener in listeners {
            self.server
                .listen(&port, listener)
                .map_err(|error| format!("cannot accept connections: {error}"))?;
        }
        self.ports.push(port);
        Ok(())
    }

    fn start_workers(
        &mut self,
        concurrency: usize,
        most: usize,
        sender: &Sender<Message>,
    ) -> Result<(), String> {
        for (index, port) in self.ports.iter().enumerate() {
            let (server, sender) = (self.server.clone(), sender.clone());
            let log = self.log.clone();
            // Linux shows 15 bytes.
            let name = match self.ports.len() {
                1 => "worker".to_owned(),
                _ => format!("p{index} worker"),
            };
            let workers = port
                .workers(move |packet, port| server.handle(port, packet))
                .min(most.min(concurrency + 1))
                .max(most)
                .name(name)
                .on_away(move |away| log.log(&Event::Away(away)))
                .on_end(move || {
                    let _ = sender.send(Message::Workers(index));
                })
                .start()
                .map_err(|error| {
                    format!(
                        "cannot start the worker threads: {error}; use fewer --workers or --ports"
                    )
                })?;
            self.workers.insert(index, workers);
        }
        Ok(())
    }

    fn keep_house(mut self, messages: &Receiver<Message>) -> ExitCode {
        let reason = loop {
            match messages.recv_timeout(TICK) {
                #[cfg(unix)]
                Ok(Message::Look(answer)) => self.answer(&answer),
                Ok(message) => break message,
                Err(RecvTimeoutError::Timeout) => self.server.tick(self.began.elapsed()),
                Err(RecvTimeoutError::Disconnected) => {
                    break Message::Workers(0);
                }
            }
        };
        let failure = match reason {
            Message::Signal(signal) => {
                self.log.log(&Event::Draining {
                    signal: signals::name(signal),
                    open: self.server.connections(),
                });
                self.drain(messages).err()
            }
            failure => Some(self.explain(failure)),
        };
        if let Some(message) = &failure {
            self.log.log(&Event::Failed { message });
        }
        self.close();
        let summary = self.server.summary(self.began.elapsed());
        self.log.log(&Event::Summary(&summary));
        match failure {
            None => ExitCode::SUCCESS,
            Some(_) => ExitCode::FAILURE,
        }
    }

    /// Lets the connections finish, for as long as that may take.
    fn drain(&mut self, messages: &Receiver<Message>) -> Result<(), String> {
        let deadline = Instant::now() + DRAIN;
        self.server.drain(self.began.elapsed());
        while self.server.connections() > 0 {
            if Instant::now() >= deadline {
                return self.cut_off();
            }
            match messages.recv_timeout(DRAIN_TICK) {
                #[cfg(unix)]
                Ok(Message::Look(answer)) => self.answer(&answer),
                Ok(message) => return Err(self.explain(message)),
                Err(_) => self.server.tick(self.began.elapsed()),
            }
        }
        Ok(())
    }

    fn cut_off(&self) -> Result<(), String> {
        let open = self.server.connections();
        let unprinted = self.writer.unwritten();
        self.server.cut_off();
        self.log.log(&Event::CutOff { open, unprinted });
        if unprinted == 0 {
            return Ok(());
        }
        Err("the reader of standard output did not take all that was received".to_owned())
    }

    fn explain(&mut self, message: Message) -> String {
        match message {
            Message::Signal(signal) => format!("ended by {}", signals::name(signal)),
            Message::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                "standard output was closed by its reader, so what arrives cannot be printed; \
                 to receive without printing use --mode discard"
                    .to_owned()
            }
            Message::Output(error) => format!("cannot write to standard output: {error}"),
            #[cfg(unix)]
            Message::Look(_) => unreachable!("it is answered"),
            Message::Workers(index) => match self.workers.remove(&index).map(Workers::join) {
                Some(Err(error)) => format!("the workers ended: {error}"),
                _ => "the workers ended".to_owned(),
            },
        }
    }

    #[cfg(unix)]
    fn answer(&self, answer: &Sender<String>) {
        let ports = self.ports.iter().enumerate();
        let ports = ports.map(|(index, port)| (port, self.workers.get(&index)));
        let snapshot = snapshot::take(&self.server, self.began.elapsed(), ports);
        // Who asked may have given up.
        let _ = answer.send(snapshot.to_string());
    }

    /// Ends the threads. The one that writes standard output is left to the end of the process if
    /// nobody reads what it has to write.
    fn close(&mut self) {
        for port in &self.ports {
            port.close();
        }
        for (_, workers) in std::mem::take(&mut self.workers) {
            // A panic has been reported.
            let _ = workers.join();
        }
        self.writer.finish();
        if self.writer.unwritten() == 0
            && let Some(output) = self.output.take()
        {
            let _ = output.join();
        }
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| {
            format!("cannot start the thread '{name}': {error}; use fewer --workers or --ports")
        })
}
