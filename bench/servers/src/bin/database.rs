//! Not a server to be measured, but the database that their handlers ask: it answers each
//! question with the same bytes, 10 ms after it came. One thread.
//!
//! A process of its own, so that what it uses is not taken for the server's.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, sockopt};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use servers::handler::BLOCKED;
use servers::{Can, Options, Stdin, listen};
use slab::Slab;

const LISTENER: u64 = u64::MAX;
const STDIN: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;

const QUESTION: usize = size_of::<u64>();

struct Answer {
    due: Instant,
    client: usize,
    bytes: [u8; QUESTION],
}

fn main() -> io::Result<()> {
    Options::from_command_line(Can::work(1));
    let listener = listen()?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let watch = |descriptor: &dyn std::os::fd::AsFd, number| {
        epoll::add(
            &epoll,
            descriptor.as_fd(),
            EventData::new_u64(number),
            EventFlags::IN,
        )
    };
    watch(&listener, LISTENER)?;
    let stdin = Stdin::watched(|stdin| {
        watch(&stdin, STDIN)?;
        Ok(stdin)
    })?;
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
    watch(&timer, TIMER)?;

    let mut clients: Slab<OwnedFd> = Slab::new();
    // All take equally long, so they are due in the order in which they came.
    let mut answers: VecDeque<Answer> = VecDeque::new();
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => {
                    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                    if let Ok(socket) = rustix::net::accept_with(&listener, flags) {
                        let _ = sockopt::set_tcp_nodelay(&socket, true);
                        let entry = clients.vacant_entry();
                        watch(&socket, entry.key() as u64)?;
                        entry.insert(socket);
                    }
                }
                STDIN => stdin.readable(),
                TIMER => {}
                client => {
                    let client = client as usize;
                    match question(&clients[client])? {
                        Some(bytes) => answers.push_back(Answer {
                            due: Instant::now() + BLOCKED,
                            client,
                            bytes,
                        }),
                        // It asks nothing before it has its answer, so none is under way.
                        None => drop(clients.remove(client)),
                    }
                }
            }
        }
        while let Some(answer) = answers.front()
            && answer.due <= Instant::now()
        {
            rustix::net::send(&clients[answer.client], &answer.bytes, SendFlags::NOSIGNAL)?;
            answers.pop_front();
        }
        // None disarms it, and so takes back that it has expired.
        let left = answers.front().map(|answer| {
            let left = answer.due.saturating_duration_since(Instant::now());
            left.max(std::time::Duration::from_nanos(1))
        });
        let spec = Itimerspec {
            it_interval: Timespec::default(),
            it_value: left.unwrap_or_default().try_into().expect("short"),
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
    }
}

/// The question that has come, or `None` if the client has gone.
fn question(client: &OwnedFd) -> io::Result<Option<[u8; QUESTION]>> {
    let mut bytes = [0; QUESTION];
    match rustix::net::recv(client, &mut bytes[..], RecvFlags::empty()) {
        Ok((QUESTION, _)) => Ok(Some(bytes)),
        Ok((0, _)) | Err(Errno::CONNRESET) => Ok(None),
        Ok(_) => Err(io::Error::other("a question came in pieces")),
        Err(error) => Err(error.into()),
    }
}
