//! A server of the usual kind under load: workers, `AcceptEx` slots, echoes, clients that reset, and now
//! and then an operation with an event, which has its socket change its seat.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use overlapped_win32::abi::{HANDLE, OVERLAPPED, SOCKET};

use crate::world::*;

const WORKERS: usize = 4;
const SLOTS: usize = 8;
const CLIENTS: usize = 8;
const CONNECTIONS: usize = 30;
const MESSAGES: usize = 10;

/// One place for a connection. Its operation is at the front, as programs have it.
#[repr(C)]
struct Slot {
    overlapped: OVERLAPPED,
    socket: SOCKET,
    state: State,
    event: HANDLE,
    buffer: [u8; 512],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Accepting,
    Receiving,
    Sending,
}

struct Server {
    port: usize,
    listener: SOCKET,
    started: AtomicU64,
    ended: AtomicU64,
    open: AtomicUsize,
    closing: std::sync::atomic::AtomicBool,
}

impl Server {
    /// Starts what comes next in a slot; `false` if that was refused.
    ///
    /// # Safety
    ///
    /// Nothing is under way in the slot, and nobody else uses it.
    unsafe fn next(&self, slot: *mut Slot, state: State, bytes: usize) -> bool {
        let count = self.started.fetch_add(1, SeqCst);
        // SAFETY: by the caller's word; what is under way has the slot from the start on.
        let result = unsafe {
            (*slot).state = state;
            (*slot).overlapped.hEvent = match count % 7 {
                3 => (*slot).event,
                _ => null_mut(),
            };
            let overlapped = &raw mut (*slot).overlapped;
            let buffer = (&raw mut (*slot).buffer).cast::<u8>();
            let socket = (*slot).socket;
            match state {
                State::Accepting => {
                    let ok = AcceptEx(
                        self.listener,
                        socket,
                        buffer.cast(),
                        // With first data or without.
                        if count.is_multiple_of(2) { 256 } else { 0 },
                        32,
                        32,
                        null_mut(),
                        overlapped,
                    );
                    if ok != 0 { Ok(0) } else { Err(GetLastError()) }
                }
                State::Receiving => {
                    let room = std::slice::from_raw_parts_mut(buffer, 256);
                    recv(socket, room, &mut *overlapped)
                }
                State::Sending => {
                    let content = std::slice::from_raw_parts(buffer, bytes);
                    send(socket, content, &mut *overlapped)
                }
            }
        };
        let started = result == PENDING;
        if !started {
            self.started.fetch_sub(1, SeqCst);
        }
        started
    }

    /// # Safety
    ///
    /// As [`next`](Server::next).
    unsafe fn accept(&self, slot: *mut Slot) {
        // SAFETY: by the caller's word.
        unsafe {
            (*slot).socket = tcp();
            if !self.next(slot, State::Accepting, 0) {
                close((*slot).socket);
                self.open.fetch_sub(1, SeqCst);
            }
        }
    }

    fn work(&self) {
        loop {
            let got = get(self.port as HANDLE);
            let slot = got.overlapped.cast::<Slot>();
            if slot.is_null() {
                return;
            }
            self.ended.fetch_add(1, SeqCst);
            // SAFETY: the packet gives the slot back.
            unsafe {
                let (state, bytes) = ((*slot).state, got.bytes as usize);
                let goes_on = got.ok
                    && match state {
                        State::Accepting => {
                            associate((*slot).socket, self.port as HANDLE, 2);
                            // What came with it, if it was asked for, is at the front.
                            match bytes {
                                0 => self.next(slot, State::Receiving, 0),
                                bytes => self.next(slot, State::Sending, bytes),
                            }
                        }
                        State::Receiving => bytes > 0 && self.next(slot, State::Sending, bytes),
                        State::Sending => self.next(slot, State::Receiving, 0),
                    };
                if !goes_on {
                    closesocket((*slot).socket);
                    match self.closing.load(SeqCst) {
                        true => {
                            self.open.fetch_sub(1, SeqCst);
                        }
                        false => self.accept(slot),
                    }
                }
            }
        }
    }
}

fn client(address: SocketAddr, seed: usize) {
    for connection in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(WATCHDOG.into())))
            .unwrap();
        for message in 0..MESSAGES {
            let length = 1 + (seed * 31 + connection * 17 + message * 7) % 200;
            let content = vec![(seed + message) as u8; length];
            stream.write_all(&content).unwrap();
            let mut back = vec![0; length];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, content);
        }
        if connection % 3 == 0 {
            reset(stream);
        }
    }
}

#[test]
fn pk_6_every_operation_has_its_packet_whatever_happens() {
    let port = port();
    let (listener, address) = listening();
    associate(listener, port, 1);
    let server = Arc::new(Server {
        port: port as usize,
        listener,
        started: AtomicU64::new(0),
        ended: AtomicU64::new(0),
        open: AtomicUsize::new(SLOTS),
        closing: false.into(),
    });
    let slots: Vec<*mut Slot> = (0..SLOTS)
        .map(|_| {
            Box::into_raw(Box::new(Slot {
                overlapped: *overlapped(),
                socket: 0,
                state: State::Accepting,
                event: event(true, false),
                buffer: [0; 512],
            }))
        })
        .collect();
    for &slot in &slots {
        // SAFETY: it is new.
        unsafe { server.accept(slot) };
    }
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let server = server.clone();
            std::thread::spawn(move || server.work())
        })
        .collect();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|seed| std::thread::spawn(move || client(address, seed)))
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    server.closing.store(true, SeqCst);
    close(listener);
    until(|| server.open.load(SeqCst) == 0);
    let (started, ended) = (server.started.load(Relaxed), server.ended.load(Relaxed));
    assert_eq!(started, ended);
    assert!(ended as usize >= 2 * CLIENTS * CONNECTIONS * MESSAGES);
    nothing_but_quits(port);
    for worker in workers {
        worker.join().unwrap();
    }
    for slot in slots {
        // SAFETY: nothing is under way in it any more.
        unsafe {
            close_handle((*slot).event);
            drop(Box::from_raw(slot));
        }
    }
    close_handle(port);
}

fn nothing_but_quits(port: HANDLE) {
    for _ in 0..WORKERS {
        assert_eq!(PostQueuedCompletionStatus(port, 0, 0, null_mut()), 1);
    }
}
