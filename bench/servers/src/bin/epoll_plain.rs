//! The yardstick: a loop over epoll, written by hand for this one purpose.
//!
//!     epoll_plain [--workers W] [--shared]
//!
//! By default each thread has an epoll of its own and every W-th connection; `--shared`: all wait
//! at one, edge-triggered and one-shot.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use servers::{BUFFER, flag, listen, number};

const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    /// Read and not yet written.
    pending: Vec<u8>,
}

impl Connection {
    /// Reads and writes as far as it goes. `false`: it has ended.
    fn advance(&mut self, buffer: &mut [u8]) -> bool {
        if !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
            if !self.pending.is_empty() {
                return true;
            }
        }
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            };
            let written = match self.stream.write(&buffer[..count]) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return false,
            };
            if written < count {
                self.pending.extend_from_slice(&buffer[written..count]);
                return true;
            }
            // A short read has emptied the socket.
            if count < buffer.len() {
                return true;
            }
        }
    }
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    Some(stream)
}

fn wait(epoll: &OwnedFd, events: &mut Vec<epoll::Event>) {
    events.clear();
    let _ = epoll::wait(epoll, rustix::buffer::spare_capacity(events), None);
}

fn main() {
    let workers = number("--workers", 1);
    let listener = listen();
    listener.set_nonblocking(true).unwrap();
    if flag("--shared") {
        shared(listener, workers);
    } else {
        separate(listener, workers);
    }
}

fn separate(listener: TcpListener, workers: usize) {
    let epolls: Arc<Vec<OwnedFd>> = Arc::new(
        (0..workers)
            .map(|_| epoll::create(epoll::CreateFlags::CLOEXEC).unwrap())
            .collect(),
    );
    let arrived: Arc<Vec<Mutex<Vec<Connection>>>> =
        Arc::new((0..workers).map(|_| Mutex::default()).collect());
    epoll::add(
        &epolls[0],
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )
    .unwrap();
    let threads: Vec<_> = (0..workers)
        .map(|own| {
            let (epolls, arrived) = (epolls.clone(), arrived.clone());
            let listener = (own == 0).then(|| listener.try_clone().unwrap());
            std::thread::spawn(move || {
                let mut connections: HashMap<u64, Connection> = HashMap::new();
                let mut buffer = vec![0; BUFFER];
                let mut events = Vec::with_capacity(256);
                let mut next = 0;
                loop {
                    wait(&epolls[own], &mut events);
                    for connection in arrived[own].lock().unwrap().drain(..) {
                        connections.insert(connection.stream.as_raw_fd() as u64, connection);
                    }
                    for event in &events {
                        let token = event.data.u64();
                        if token == LISTENER {
                            while let Some(stream) = listener.as_ref().and_then(accept) {
                                let to = next % epolls.len();
                                next += 1;
                                let token = EventData::new_u64(stream.as_raw_fd() as u64);
                                let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                                // Locked until it is in both, so that its thread finds it.
                                let mut arrived = arrived[to].lock().unwrap();
                                epoll::add(&epolls[to], &stream, token, flags).unwrap();
                                arrived.push(Connection {
                                    stream,
                                    pending: Vec::new(),
                                });
                            }
                            for connection in arrived[own].lock().unwrap().drain(..) {
                                connections
                                    .insert(connection.stream.as_raw_fd() as u64, connection);
                            }
                            continue;
                        }
                        let ended = connections
                            .get_mut(&token)
                            .is_some_and(|connection| !connection.advance(&mut buffer));
                        if ended {
                            connections.remove(&token);
                        }
                    }
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

fn shared(listener: TcpListener, workers: usize) {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN | EventFlags::ET,
    )
    .unwrap();
    let connections: Mutex<HashMap<u64, Arc<Mutex<Connection>>>> = Mutex::default();
    let once = EventFlags::IN | EventFlags::ET | EventFlags::ONESHOT;
    thread_local!(static BUFFERS: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut events = Vec::with_capacity(64);
                loop {
                    wait(&epoll, &mut events);
                    for event in &events {
                        let token = event.data.u64();
                        if token == LISTENER {
                            while let Some(stream) = accept(&listener) {
                                let token = stream.as_raw_fd() as u64;
                                let connection = Connection {
                                    stream,
                                    pending: Vec::new(),
                                };
                                let connection = Arc::new(Mutex::new(connection));
                                let mut map = connections.lock().unwrap();
                                map.insert(token, connection.clone());
                                drop(map);
                                let data = EventData::new_u64(token);
                                let connection = connection.lock().unwrap();
                                epoll::add(&epoll, &connection.stream, data, once).unwrap();
                            }
                            continue;
                        }
                        let found = connections.lock().unwrap().get(&token).cloned();
                        let Some(connection) = found else { continue };
                        let mut connection = connection.lock().unwrap();
                        let alive = BUFFERS.with_borrow_mut(|buffer| connection.advance(buffer));
                        if alive {
                            let flags = if connection.pending.is_empty() {
                                once
                            } else {
                                EventFlags::OUT | EventFlags::ET | EventFlags::ONESHOT
                            };
                            let data = EventData::new_u64(token);
                            epoll::modify(&epoll, &connection.stream, data, flags).unwrap();
                        } else {
                            connections.lock().unwrap().remove(&token);
                        }
                    }
                }
            });
        }
    });
}
