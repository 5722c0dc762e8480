//! What handlers do in the blocking comparison: the job that a request is marked with, before the
//! answer.
//!
//! The calls are plain, as those of a program that knows nothing of what serves it. What differs
//! between servers is from where they are made ([`Way`]).

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use load::job::{Job, MESSAGE};
use load::prng;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// How long a handler that blocks does so.
pub const BLOCKED: Duration = Duration::from_millis(10);

/// Processor time of a handler that computes.
const COMPUTED: Duration = Duration::from_millis(2);

/// From where a handler makes its call, where a server offers several.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Just so.
    Plain,
    /// Inside what the library has to say that a call may block.
    Marked,
    /// On a thread that the library has for calls that block.
    Offloaded,
}

impl Way {
    /// From the command line.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::Plain),
            "marked" => Some(Self::Marked),
            "offloaded" => Some(Self::Offloaded),
            _ => None,
        }
    }
}

/// What a server does about the marks of its requests.
#[derive(Clone, Copy)]
pub struct Handler {
    /// `None` only echoes, whatever the bytes.
    pub way: Option<Way>,
    /// Where the database is.
    pub database: Option<SocketAddr>,
}

/// What is to be done before an answer.
#[derive(Clone, Copy)]
pub struct Task {
    job: Job,
    database: Option<SocketAddr>,
}

impl Handler {
    /// The task of a request that has just been read, if it has one.
    #[inline]
    pub fn task(self, request: &[u8]) -> Option<Task> {
        self.way?;
        if request.len() != MESSAGE {
            die(format!("a read of {} bytes is no request", request.len()));
        }
        match Job::of(request[0]) {
            Some(Job::Nothing) => None,
            Some(job) => Some(Task {
                job,
                database: self.database,
            }),
            None => die(format!("{} marks no job", request[0])),
        }
    }

    /// Does what the request asks for, here and now.
    #[inline]
    pub fn handle(self, request: &[u8]) {
        if let Some(task) = self.task(request) {
            task.perform();
        }
    }
}

impl Task {
    /// Blocks or computes.
    pub fn perform(self) {
        match self.job {
            Job::Nothing => {}
            Job::Sleep => thread::sleep(BLOCKED),
            Job::Database => match self.database {
                Some(address) => ask(address),
                None => die("there is no --database"),
            },
            Job::Disk => wait_uninterruptibly(),
            Job::Compute => compute(),
        }
        PERFORMED.fetch_add(1, Relaxed);
    }
}

static ANNOUNCES: AtomicBool = AtomicBool::new(false);
static PERFORMED: AtomicU64 = AtomicU64::new(0);
static INTERRUPTED: AtomicU64 = AtomicU64::new(0);

/// From now on [`announce`] has something to say.
pub(crate) fn begin() {
    ANNOUNCES.store(true, Relaxed);
}

/// Says how many tasks were performed, and how often the wait for the database was interrupted:
/// whoever runs the server can so find out that it did what was measured.
pub(crate) fn announce() {
    if ANNOUNCES.load(Relaxed) {
        let (performed, interrupted) = (PERFORMED.load(Relaxed), INTERRUPTED.load(Relaxed));
        println!("performed {performed} interrupted {interrupted}");
    }
}

/// A server that has not done what it was asked for must not look as if it had.
fn die(error: impl std::fmt::Display) -> ! {
    eprintln!("handler: {error}");
    exit(1)
}

fn ask(address: SocketAddr) {
    thread_local! {
        /// Each thread has its own, from its first question on.
        static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
    }
    let answer = CLIENT.with_borrow_mut(|client| {
        if client.is_none() {
            *client = Some(Client::connect(address)?);
        }
        client.as_mut().expect("connected").ask()
    });
    if let Err(error) = answer {
        die(format!("database: {error}"));
    }
}

/// A client such as many are: it writes to its socket, and waits for the answer with an epoll of
/// its own and a time-out.
struct Client {
    socket: TcpStream,
    epoll: std::os::fd::OwnedFd,
    questions: u64,
}

impl Client {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &socket, EventData::new_u64(0), EventFlags::IN)?;
        Ok(Self {
            socket,
            epoll,
            questions: 0,
        })
    }

    fn ask(&mut self) -> io::Result<()> {
        const LONGEST: Timespec = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let question = self.questions.to_le_bytes();
        self.questions += 1;
        self.socket.write_all(&question)?;
        let mut events = Vec::with_capacity(1);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&LONGEST)) {
                Ok(0) => return Err(io::Error::other("no answer within a second")),
                Ok(_) => break,
                Err(Errno::INTR) => INTERRUPTED.fetch_add(1, Relaxed),
                Err(error) => return Err(error.into()),
            };
        }
        let mut answer = [0; size_of::<u64>()];
        self.socket.read_exact(&mut answer)?;
        match answer == question {
            true => Ok(()),
            false => Err(io::Error::other("the answer is not that to the question")),
        }
    }
}

/// Sleeps as a thread that waits for a disk does: not to be interrupted by signals, and in the
/// state `D`. No disk takes the same time twice; but the parent of a `vfork` waits in that way
/// until its child ends.
fn wait_uninterruptibly() {
    const STACK: usize = 64 * 1024;
    thread_local! {
        static STACK_OF_CHILD: RefCell<Vec<u128>> =
            RefCell::new(vec![0; STACK / size_of::<u128>()]);
    }

    extern "C" fn child(_: *mut libc::c_void) -> libc::c_int {
        let time = libc::timespec {
            tv_sec: 0,
            tv_nsec: i64::from(BLOCKED.subsec_nanos()),
        };
        let rest: *mut libc::timespec = std::ptr::null_mut();
        // SAFETY: both are bare system calls, and the second one does not return.
        unsafe {
            libc::syscall(libc::SYS_nanosleep, &raw const time, rest);
            libc::_exit(0)
        }
    }

    STACK_OF_CHILD.with_borrow_mut(|stack| {
        let top = stack.as_mut_ptr_range().end;
        // Its end sends no signal, since a server of ours may be one that signals disturb.
        let flags = libc::CLONE_VM | libc::CLONE_VFORK;
        // SAFETY: the child shares our memory and runs on a stack that is its own and as aligned as
        // a stack must be. This thread does not go on before the child has ended, so they use
        // nothing at once, and the child only makes two system calls.
        let pid = unsafe { libc::clone(child, top.cast(), flags, std::ptr::null_mut()) };
        if pid < 0 {
            die(format!("clone: {}", io::Error::last_os_error()));
        }
        // SAFETY: takes no memory of ours. The child has ended, so this does not wait.
        while unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                die(format!("waitpid: {error}"));
            }
        }
    });
}

/// Uses processor time, and makes hardly a system call meanwhile.
fn compute() {
    const BETWEEN_LOOKS: u64 = 8192;
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let begin = used();
    let mut value = 0;
    while used() - begin < COMPUTED {
        for _ in 0..BETWEEN_LOOKS {
            value = black_box(prng::mix(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    fn handler(way: Option<Way>) -> Handler {
        Handler {
            way,
            database: None,
        }
    }

    #[test]
    fn an_echo_server_does_not_look_at_the_bytes() {
        assert!(handler(None).task(b"anything").is_none());
    }

    #[test]
    fn a_mark_is_a_task() {
        let plain = handler(Some(Way::Plain));
        let mut request = [0xff; MESSAGE];
        request[0] = Job::Disk.mark();
        assert_eq!(plain.task(&request).unwrap().job, Job::Disk);
        request[0] = Job::Nothing.mark();
        assert!(plain.task(&request).is_none());
    }

    #[test]
    fn a_wait_as_for_a_disk_leaves_no_child_behind() {
        for _ in 0..3 {
            wait_uninterruptibly();
        }
        // Of this thread only: other tests have children too.
        let flags = libc::__WALL | libc::WNOHANG | libc::__WNOTHREAD;
        // SAFETY: takes no memory of ours.
        let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), flags) };
        assert!(pid < 0, "child {pid} is left");
    }

    #[test]
    fn a_wait_as_for_a_disk_is_seen_in_state_d() {
        let (sender, receiver) = channel();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: takes and changes nothing.
                sender.send(unsafe { libc::gettid() }).unwrap();
                while !stop.load(Relaxed) {
                    wait_uninterruptibly();
                }
            });
            let thread = receiver.recv().unwrap();
            let watchdog = Instant::now() + Duration::from_secs(20);
            let seen = || {
                let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
                stat.unwrap().contains(") D ")
            };
            while !seen() && Instant::now() < watchdog {
                thread::yield_now();
            }
            stop.store(true, Relaxed);
            assert!(Instant::now() < watchdog, "never seen waiting");
        });
    }
}
