//! What to do with a packet.
//!
//! [`Server::handle`] is the whole of the server's behaviour towards its clients, and is called by
//! any number of threads. See the crate's introduction for why each connection has one operation.
//!
//! ```text
//! accept --> a place? --no--> held until a connection closes
//!   ^          | yes
//!   '----------+--> receive <------------------------------.
//!                     |  print:   render, Output, written --|
//!                     |  echo:    send ---------------------|
//!                     |  discard: --------------------------'
//!                     '- 0 bytes or an error: print what waits, close
//! ```
//!
//! # Time
//!
//! The idle time-out is the time-out of each connection's operation, so the port keeps it. An
//! operation that is with the output is with no port, so who waits for our standard output is not
//! idle. For the end of the server each packet leaves its time with its connection, on a coarse
//! clock that [`Server::tick`] keeps: a load and a store.
//!
//! # The end
//!
//! [`Server::drain`] closes the listeners. Connections go on until they have been quiet for
//! [`QUIET`]: what a client had sent by then was received, and printed or echoed. A drain has to be
//! bounded from outside, with [`Server::cut_off`], since a client may never be quiet.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use overlapped::{Accepted, Endpoint, Kind, Operation, Status};

use crate::connection::{
    Connection, Ended, Key, Phase, ServerOperation, ServerPacket, ServerPort, ServerSocket,
    Serving, Work,
};
use crate::connections::{Connections, Parked, Place};
use crate::log::{Event, Log};
use crate::output::{Output, Piece, Text};
use crate::summary::{Summary, Totals};

/// How many accepts are outstanding on each listener: a storm of connections is taken in runs of
/// this length.
pub const ACCEPTS: usize = 16;

/// A connection's buffer at first, enough for a client that chats ...
pub const BUFFER: usize = 4 << 10;

/// ... and at most, for one that fills it: then it grows fourfold.
pub const LARGEST_BUFFER: usize = 64 << 10;

/// How often [`Server::tick`] is to be called.
pub const TICK: Duration = Duration::from_secs(1);

/// When the server ends, how long a connection has to be without traffic to be closed.
pub const QUIET: Duration = Duration::from_millis(200);

/// What the server does with what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Prints it.
    Print,
    /// Sends it back.
    Echo,
    /// Counts it.
    Discard,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Mode::Print => "print",
            Mode::Echo => "echo",
            Mode::Discard => "discard",
        })
    }
}

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to do with what arrives.
    pub mode: Mode,
    /// Print lines that begin with the peer's address.
    pub prefix: bool,
    /// Print for a terminal.
    pub escape: bool,
    /// How many connections there may be.
    pub max_connections: Option<usize>,
    /// After how long without traffic a connection is closed.
    pub idle_timeout: Option<Duration>,
    /// Tell of each connection.
    pub verbose: bool,
}

/// The server: everything but threads, clocks and files.
pub struct Server {
    settings: Settings,
    output: Arc<dyn Output>,
    log: Arc<dyn Log>,
    listeners: Mutex<Vec<ServerSocket>>,
    connections: Connections,
    totals: Totals,
    /// The coarse clock, in milliseconds since the server was made.
    now: AtomicU64,
    draining: AtomicBool,
    drain_began: AtomicU64,
}

impl Server {
    /// Makes a server that has no listener yet.
    pub fn new(settings: Settings, output: Arc<dyn Output>, log: Arc<dyn Log>) -> Self {
        Server {
            connections: Connections::new(settings.max_connections),
            settings,
            output,
            log,
            listeners: Mutex::default(),
            totals: Totals::default(),
            now: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            drain_began: AtomicU64::new(0),
        }
    }

    /// Accepts connections from a listening socket at this port. May be called for several sockets
    /// and several ports.
    ///
    /// # Errors
    ///
    /// When the port does not take the socket, or it does not listen.
    pub fn listen(&self, port: &ServerPort, listener: impl Into<Endpoint>) -> io::Result<()> {
        let listener = port.associate(listener, Key::Listener)?;
        let mut listeners = lock(&self.listeners);
        listeners.push(listener.clone());
        drop(listeners);
        for _ in 0..ACCEPTS {
            let work = Work::Accept {
                held: None,
                place: None,
            };
            listener.accept(Operation::new(Vec::new(), work))?;
        }
        Ok(())
    }

    /// Handles a packet that came out of `port`.
    pub fn handle(&self, port: &ServerPort, packet: ServerPacket) {
        let (kind, status, bytes) = (packet.kind, packet.status, packet.bytes);
        // Nobody posts to the port itself.
        let Some(socket) = packet.socket else { return };
        let operation = packet.operation;
        if matches!(socket.key(), Key::Listener) {
            let parked = Parked {
                listener: socket,
                operation,
            };
            self.handle_listener(port, parked, status);
        } else {
            self.handle_connection(Piece { socket, operation }, kind, status, bytes);
        }
    }

    /// The output has written a piece that it had kept.
    pub fn written(&self, piece: Piece) {
        if let Some(connection) = piece.connection() {
            connection.touch(self.now());
        }
        self.print(piece);
    }

    // ---- accepting -----------------------------------------------------------------------------

    /// An accept has ended, or one that was parked has its turn.
    fn handle_listener(&self, port: &ServerPort, mut parked: Parked, status: Status) {
        let (waited, place) = match parked.operation.user_mut() {
            Work::Accept { held, place } => (held.take(), place.take()),
            Work::Serve(_) => (None, None),
        };
        if self.is_draining() {
            if place.is_some() {
                self.connections.give_up();
            }
            return;
        }
        if !status.is_success() {
            return self.accept_failed(parked, status);
        }
        let Some(accepted) = waited.or_else(|| parked.operation.take_accepted()) else {
            // It failed before, for want of descriptors, and is tried again.
            return self.accept(parked);
        };
        if let Some(id) = place {
            return self.begin(port, accepted, id, parked);
        }
        if let Work::Accept { held, .. } = parked.operation.user_mut() {
            *held = Some(accepted);
        }
        match self.connections.ask(parked) {
            Place::Granted { id, mut parked } => {
                if let Work::Accept { held, .. } = parked.operation.user_mut()
                    && let Some(accepted) = held.take()
                {
                    self.begin(port, accepted, id, parked);
                }
            }
            Place::Held { begins } => {
                if begins {
                    let most = self.settings.max_connections.unwrap_or_default();
                    self.log.log(&Event::Full { most });
                }
            }
            Place::Refused => {}
        }
    }

    /// Begins to serve a connection that has a place, and accepts another one.
    fn begin(&self, port: &ServerPort, accepted: Accepted, id: u64, parked: Parked) {
        match self.open(port, accepted, id) {
            Ok(()) => self.accept(parked),
            Err(error) => {
                if let Some(other) = self.connections.give_up() {
                    other.resume();
                }
                self.starve(parked, &error);
            }
        }
    }

    fn accept(&self, parked: Parked) {
        let Parked {
            listener,
            operation,
        } = parked;
        if let Err(refused) = listener.accept(operation) {
            // Closed meanwhile, or the port is.
            drop(refused);
        }
    }

    fn accept_failed(&self, parked: Parked, status: Status) {
        match status {
            Status::CANCELLED | Status::INVALID_HANDLE => {}
            // A client that was gone before it was served.
            Status::CONNECTION_RESET | Status::CONNECTION_ABORTED => self.accept(parked),
            // Out of descriptors or memory; also anything unknown, which must not become a loop
            // that fails as fast as it can.
            status => self.starve(parked, &status.to_error()),
        }
    }

    fn starve(&self, parked: Parked, error: &io::Error) {
        if self.connections.starve(parked) {
            let open = self.connections.count();
            self.log.log(&Event::Starved { error, open });
        }
    }

    fn open(&self, port: &ServerPort, accepted: Accepted, id: u64) -> io::Result<()> {
        let peer = accepted.peer_addr();
        let connection = Connection::new(id, peer, self.now());
        let socket = port.associate(accepted, Key::Connection(connection))?;
        if self.settings.mode == Mode::Echo {
            // An echo is an answer: it should not wait for the client's acknowledgement of the
            // one before. Without it echoing works as well, only later.
            let _ = socket.set_nodelay(true);
        }
        self.connections.enter(id, socket.clone());
        if self.settings.verbose {
            self.log.log(&Event::Opened { id, peer });
        }
        let rendered =
            self.settings.mode == Mode::Print && (self.settings.prefix || self.settings.escape);
        let text = rendered.then(|| {
            let prefix = self.settings.prefix.then(|| match peer {
                Some(peer) => format!("{peer}: "),
                None => "unknown: ".to_owned(),
            });
            Box::new(Text::new(self.settings.escape, prefix))
        });
        let serving = Serving {
            text,
            ..Serving::default()
        };
        let mut operation = Operation::with_capacity(BUFFER, Work::Serve(serving));
        operation.set_timeout(self.settings.idle_timeout);
        self.receive(Piece { socket, operation });
        Ok(())
    }

    // ---- serving -------------------------------------------------------------------------------

    fn handle_connection(&self, mut piece: Piece, kind: Kind, status: Status, bytes: usize) {
        let Some(connection) = piece.connection() else {
            return;
        };
        connection.count_packet();
        connection.touch(self.now());
        if kind == Kind::Send {
            // A send that failed may have sent some.
            connection.count_sent(bytes);
        } else {
            connection.count_received(bytes);
        }
        if !status.is_success() {
            let why = self.why(connection, status);
            if kind == Kind::Send && why == Ended::Idle {
                discard_unsent(&piece.socket);
            }
            return self.finish(piece, why);
        }
        match (kind, self.settings.mode) {
            (Kind::Send, _) => self.receive(piece),
            (_, _) if bytes == 0 => self.finish(piece, Ended::Finished),
            (_, Mode::Discard) => self.receive(piece),
            (_, Mode::Echo) => self.send(piece),
            (_, Mode::Print) => {
                if let Some(serving) = piece.serving_mut() {
                    serving.consumed = 0;
                }
                self.print(piece);
            }
        }
    }

    fn receive(&self, mut piece: Piece) {
        let buffer = piece.operation.vec_mut();
        let capacity = buffer.capacity();
        if buffer.len() == capacity && capacity < LARGEST_BUFFER {
            *buffer = Vec::with_capacity(capacity * 4);
        }
        self.set_phase(&piece, Phase::Receiving);
        let Piece { socket, operation } = piece;
        if let Err(refused) = socket.recv(operation) {
            self.refused(socket, refused.operation, refused.status);
        }
    }

    fn send(&self, piece: Piece) {
        self.set_phase(&piece, Phase::Sending);
        let Piece { socket, operation } = piece;
        if let Err(refused) = socket.send(operation) {
            self.refused(socket, refused.operation, refused.status);
        }
    }

    /// An operation could not be started: the connection was reset, or is closed on this side.
    fn refused(&self, socket: ServerSocket, operation: ServerOperation, status: Status) {
        let piece = Piece { socket, operation };
        let why = piece
            .connection()
            .map_or(Ended::Failed(status), |connection| {
                self.why(connection, status)
            });
        self.finish(piece, why);
    }

    /// Why a connection ended, when an operation on it ended with this failure.
    fn why(&self, connection: &Connection, status: Status) -> Ended {
        if status == Status::IO_TIMEOUT && self.settings.idle_timeout.is_some() {
            return Ended::Idle;
        }
        connection.ended_by(status)
    }

    /// Prints what was received and is not printed yet, then goes on.
    fn print(&self, mut piece: Piece) {
        loop {
            if !piece.render() {
                break match piece.serving().and_then(|serving| serving.ended) {
                    Some(why) => self.end(piece, why),
                    None => self.receive(piece),
                };
            }
            self.set_phase(&piece, Phase::Printing);
            match self.output.print(piece) {
                Some(written) => piece = written,
                None => break,
            }
        }
    }

    /// Nothing more will be received: the rest is printed, then the connection ends.
    fn finish(&self, mut piece: Piece, why: Ended) {
        piece.operation.vec_mut().clear();
        if let Some(serving) = piece.serving_mut() {
            serving.consumed = 0;
            serving.ended = Some(why);
        }
        self.print(piece);
    }

    fn end(&self, piece: Piece, why: Ended) {
        // First the descriptor, then the place, so that who gets the place finds a descriptor.
        piece.socket.close();
        let Some(connection) = piece.connection() else {
            return;
        };
        self.totals.add(connection);
        if self.settings.verbose {
            self.log.log(&Event::Closed { connection, why });
        }
        if let Some(parked) = self.connections.leave(connection.id()) {
            parked.resume();
        }
    }

    fn set_phase(&self, piece: &Piece, phase: Phase) {
        if let Some(connection) = piece.connection() {
            connection.set_phase(phase);
        }
    }

    // ---- housekeeping --------------------------------------------------------------------------

    /// Time has passed: `since_start` since the server was made. To be called every
    /// [`TICK`], more often during a drain, by one thread at a time.
    pub fn tick(&self, since_start: Duration) {
        let now = millis(since_start);
        self.now.store(now, Relaxed);
        let passed = self.connections.tick();
        if passed.room_again {
            self.log.log(&Event::RoomAgain);
        }
        if passed.shortage_over {
            self.log.log(&Event::ShortageOver);
        }
        for parked in passed.retry {
            parked.resume();
        }
        if self.is_draining() {
            self.close_quiet(now);
        }
    }

    fn close_quiet(&self, now: u64) {
        let quiet = millis(QUIET);
        let began = self.drain_began.load(Relaxed);
        let done = self.connections.select(|connection| {
            let since = connection.active_at().max(began);
            let is_quiet =
                since.saturating_add(quiet) <= now && connection.phase() == Phase::Receiving;
            if is_quiet {
                connection.ask_close();
            }
            is_quiet
        });
        for socket in done {
            socket.close();
        }
    }

    // ---- the end -------------------------------------------------------------------------------

    /// Begins to end: no more connections are accepted, and those that are open are closed when
    /// they are quiet. `since_start` as for [`tick`](Server::tick), which goes on being called.
    pub fn drain(&self, since_start: Duration) {
        let now = millis(since_start);
        self.now.store(now, Relaxed);
        self.drain_began.store(now, Relaxed);
        self.draining.store(true, SeqCst);
        self.connections.drain();
        let listeners = std::mem::take(&mut *lock(&self.listeners));
        for listener in listeners {
            listener.close();
        }
    }

    /// Closes all connections that are left, without waiting for anything; how many.
    pub fn cut_off(&self) -> usize {
        let all = self.connections.select(|connection| {
            connection.ask_close();
            true
        });
        for socket in &all {
            abort(socket);
        }
        all.len()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.count()
    }

    /// What it does.
    pub fn mode(&self) -> Mode {
        self.settings.mode
    }

    /// What has been done so far.
    pub fn summary(&self, duration: Duration) -> Summary {
        let totals = Totals::default();
        totals.add_totals(&self.totals);
        self.connections.select(|connection| {
            totals.add(connection);
            false
        });
        let (connections, peak) = self.connections.opened_and_peak();
        totals.summary(connections, peak, duration)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }
}

/// Closes a connection whose client does not take what it was sent, or not in time: what is left
/// of it is thrown away, since the system would keep it for as long as the client likes.
fn abort(socket: &ServerSocket) {
    let stuck = match socket.key() {
        Key::Connection(connection) => connection.phase() == Phase::Sending,
        Key::Listener => false,
    };
    if stuck {
        discard_unsent(socket);
        socket.cancel_all();
    }
    socket.close();
}

/// When it closes, the system throws away what the client did not take, and resets.
fn discard_unsent(socket: &ServerSocket) {
    let _ = socket.set_linger(Some(Duration::ZERO));
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
