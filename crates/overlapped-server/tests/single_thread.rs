//! The server's logic without its process: one thread, a clock that the test moves, and an output
//! that the test controls. So can it be run on a simulated network, too.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overlapped::CompletionPort;
use overlapped_server::connection::ServerPort;
use overlapped_server::log::{Event, Log};
use overlapped_server::output::{Output, Piece};
use overlapped_server::server::{Mode, Server, Settings};

/// Long enough for whatever the loopback interface does.
const SOON: Duration = Duration::from_secs(60);

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl std::alloc::GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system allocator's demands.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: as above; the pointer came from there.
        unsafe { std::alloc::System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// An output in memory, which may be slow.
#[derive(Default)]
struct Memory {
    printed: Mutex<Vec<u8>>,
    kept: Mutex<VecDeque<Piece>>,
    slow: bool,
}

impl Output for Memory {
    fn print(&self, piece: Piece) -> Option<Piece> {
        if self.slow {
            self.kept.lock().unwrap().push_back(piece);
            return None;
        }
        self.printed
            .lock()
            .unwrap()
            .extend_from_slice(piece.bytes());
        Some(piece)
    }
}

impl Memory {
    /// Writes the oldest piece that is kept.
    fn write_one(&self, server: &Server) -> bool {
        let Some(piece) = self.kept.lock().unwrap().pop_front() else {
            return false;
        };
        self.printed
            .lock()
            .unwrap()
            .extend_from_slice(piece.bytes());
        server.written(piece);
        true
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Log for Told {
    fn log(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(event.to_string());
    }
}

struct World {
    port: ServerPort,
    server: Server,
    output: Arc<Memory>,
    told: Arc<Told>,
    address: SocketAddr,
}

fn settings(mode: Mode) -> Settings {
    Settings {
        mode,
        prefix: false,
        escape: false,
        max_connections: None,
        idle_timeout: None,
        verbose: false,
    }
}

impl World {
    fn new(settings: Settings, slow: bool) -> World {
        let port = CompletionPort::new(1).unwrap();
        let output = Arc::new(Memory {
            slow,
            ..Memory::default()
        });
        let told = Arc::new(Told::default());
        let server = Server::new(settings, output.clone(), told.clone());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        server.listen(&port, listener).unwrap();
        World {
            port,
            server,
            output,
            told,
            address,
        }
    }

    /// Handles one packet, which must come.
    fn step(&self) {
        let packet = self.port.get_timeout(SOON).expect("a packet");
        self.server.handle(&self.port, packet);
    }

    fn step_until(&self, done: impl Fn() -> bool) {
        while !done() {
            self.step();
        }
    }

    /// Handles packets until there are none.
    fn settle(&self) {
        while let Ok(packet) = self.port.get_timeout(Duration::from_millis(50)) {
            self.server.handle(&self.port, packet);
        }
    }

    fn connect(&self) -> TcpStream {
        let before = self.server.connections();
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client.set_nodelay(true).unwrap();
        self.step_until(|| self.server.connections() > before);
        client
    }

    fn printed(&self) -> Vec<u8> {
        self.output.printed.lock().unwrap().clone()
    }

    fn received(&self) -> u64 {
        self.server.summary(Duration::ZERO).received
    }
}

#[test]
fn a_packet_costs_no_allocation() {
    let prefix = Settings {
        prefix: true,
        escape: true,
        ..settings(Mode::Print)
    };
    for settings in [settings(Mode::Echo), settings(Mode::Print), prefix] {
        let mode = settings.mode;
        let world = World::new(settings, false);
        world.output.printed.lock().unwrap().reserve(1 << 20);
        let mut client = world.connect();
        let mut echo = [0; 64];
        let mut round = || {
            client.write_all(&[b'\n'; 64]).unwrap();
            world.step();
            if mode == Mode::Echo {
                // The send's packet.
                world.step();
                client.read_exact(&mut echo).unwrap();
            }
        };
        for _ in 0..10 {
            round();
        }
        let before = ALLOCATIONS.get();
        for _ in 0..200 {
            round();
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{mode}");
        assert_eq!(world.received(), 210 * 64);
    }
}

#[test]
fn while_a_piece_waits_for_the_output_nothing_is_received() {
    let world = World::new(settings(Mode::Print), true);
    let mut client = world.connect();
    client.write_all(b"first").unwrap();
    world.settle();
    client.write_all(b" second").unwrap();
    world.settle();
    assert_eq!(world.received(), 5);
    assert!(world.output.write_one(&world.server));
    world.settle();
    assert_eq!(world.received(), 12);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(world.output.write_one(&world.server));
    world.step_until(|| world.server.connections() == 0);
    assert_eq!(world.printed(), b"first second");
}

#[test]
fn an_incomplete_line_is_printed_when_the_connection_ends_however_it_ends() {
    for slow in [false, true] {
        let settings = Settings {
            prefix: true,
            ..settings(Mode::Print)
        };
        let world = World::new(settings, slow);
        let mut client = world.connect();
        let prefix = client.local_addr().unwrap();
        client.write_all(b"incomplete").unwrap();
        world.settle();
        assert_eq!(world.printed(), b"");
        socket2::SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(client);
        world.settle();
        while world.output.write_one(&world.server) {
            world.settle();
        }
        assert_eq!(world.server.connections(), 0);
        assert_eq!(
            world.printed(),
            format!("{prefix}: incomplete\n").as_bytes()
        );
    }
}

#[test]
fn a_connection_that_waits_for_the_output_is_not_quiet() {
    let world = World::new(settings(Mode::Print), true);
    let mut client = world.connect();
    client.write_all(b"x").unwrap();
    world.settle();
    world.server.drain(Duration::from_secs(1000));
    world.server.tick(Duration::from_secs(1001));
    world.settle();
    assert_eq!(world.server.connections(), 1);
    assert!(world.output.write_one(&world.server));
    world.server.tick(Duration::from_secs(1002));
    world.settle();
    assert_eq!(world.server.connections(), 0);
    assert_eq!(world.printed(), b"x");
}

#[test]
fn at_the_limit_a_connection_is_held_and_then_served() {
    let settings = Settings {
        max_connections: Some(1),
        ..settings(Mode::Print)
    };
    let world = World::new(settings, false);
    let first = world.connect();
    let mut held = TcpStream::connect(world.address).unwrap();
    held.write_all(b"held").unwrap();
    world.settle();
    assert_eq!((world.server.connections(), world.received()), (1, 0));
    drop(first);
    world.settle();
    assert_eq!((world.server.connections(), world.received()), (1, 4));
    world.server.tick(Duration::from_secs(1));
    world.server.tick(Duration::from_secs(2));
    let told = world.told.0.lock().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("which is the limit"), "{told:?}");
    assert!(told[1].contains("there is room"), "{told:?}");
}

#[test]
fn who_waits_for_a_place_is_served_before_who_comes_later() {
    let settings = Settings {
        max_connections: Some(1),
        verbose: true,
        ..settings(Mode::Echo)
    };
    let world = World::new(settings, false);
    let mut previous = world.connect();
    let early = TcpStream::connect(world.address).unwrap();
    world.settle();
    // The end of the first and a new client are found in one go, in this order, so the new client's
    // packet is queued when the place becomes free.
    drop(std::mem::replace(&mut previous, early));
    let late = TcpStream::connect(world.address).unwrap();
    world.settle();
    let first = previous.local_addr().unwrap().to_string();
    drop(std::mem::replace(&mut previous, late));
    world.settle();
    let second = previous.local_addr().unwrap().to_string();
    // More than there are accept operations, so that some wait in the system's backlog.
    let waiting: Vec<_> = (0..40)
        .map(|_| TcpStream::connect(world.address).unwrap())
        .collect();
    let order: Vec<_> = waiting
        .iter()
        .map(|client| client.local_addr().unwrap().to_string())
        .collect();
    world.settle();
    for client in waiting {
        drop(std::mem::replace(&mut previous, client));
        world.settle();
    }
    let told = world.told.0.lock().unwrap();
    let served: Vec<_> = told
        .iter()
        .filter_map(|line| line.strip_prefix("connection ")?.split_once(" from "))
        .filter(|(_, rest)| !rest.contains(' '))
        .map(|(_, peer)| peer.to_owned())
        .collect();
    assert_eq!(served[1..3], [first, second]);
    assert_eq!(served[3..], order);
}

#[test]
fn a_connection_that_is_held_when_the_server_ends_is_closed() {
    let settings = Settings {
        max_connections: Some(1),
        ..settings(Mode::Echo)
    };
    let world = World::new(settings, false);
    let _first = world.connect();
    let mut held = TcpStream::connect(world.address).unwrap();
    world.settle();
    world.server.drain(Duration::ZERO);
    world.settle();
    held.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(held.read(&mut [0]).unwrap_or(0), 0);
    assert!(TcpStream::connect(world.address).is_err());
    assert_eq!(world.server.cut_off(), 1);
    world.settle();
    assert_eq!(world.server.connections(), 0);
}

#[test]
fn a_buffer_grows_for_who_fills_it() {
    let world = World::new(settings(Mode::Discard), false);
    let mut client = world.connect();
    for _ in 0..3 {
        client.write_all(&[b'x'; 200_000]).unwrap();
        world.settle();
    }
    let summary = world.server.summary(Duration::ZERO);
    assert_eq!(summary.received, 600_000);
    assert!(summary.packets < 600_000 / 16_384, "{}", summary.packets);
}
