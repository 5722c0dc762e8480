//! A server in a process of its own, and clients.

// Each test file uses a part of this.
#![allow(dead_code, reason = "every test file has its own copy of this module")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "as above")]
pub use system::{Signal, group, signal};

/// After this long something hangs.
pub const WATCHDOG: Duration = Duration::from_secs(120);

/// The engine that a port has by itself.
pub const ENGINE: &str = if cfg!(windows) { "iocp" } else { "epoll" };

/// What a server with few connections has in memory at most, in KiB. (A process has 33 MiB under Wine
/// before it does anything.)
pub const FEW: usize = if cfg!(windows) { 64 << 10 } else { 32 << 10 };

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_overlapped");

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    ended: bool,
}

type SharedLog = Arc<(Mutex<Log>, Condvar)>;

/// A running server.
pub struct Server {
    child: Child,
    log: SharedLog,
    pub address: SocketAddr,
    /// Standard output, if nobody has taken it.
    pub stdout: Option<ChildStdout>,
}

/// How a server ended.
pub struct Ended {
    pub code: Option<i32>,
    pub log: Vec<String>,
}

/// Starts a server on a port that the system chooses.
pub fn serve(args: &[&str]) -> Server {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]).args(args);
    command.stdout(Stdio::piped());
    start(command)
}

/// Starts a server whose standard output is not looked at.
pub fn serve_silently(args: &[&str]) -> Server {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]).args(args);
    command.stdout(Stdio::null());
    start(command)
}

/// Starts a server by this command.
pub fn start(mut command: Command) -> Server {
    system::group(&mut command);
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server can be started");
    let log = SharedLog::default();
    let (stderr, to) = (child.stderr.take().unwrap(), log.clone());
    spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("server: {line}");
            to.0.lock().unwrap().lines.push(line);
            to.1.notify_all();
        }
        to.0.lock().unwrap().ended = true;
        to.1.notify_all();
    });
    watch(child.id(), &log);
    let stdout = child.stdout.take();
    let mut server = Server {
        child,
        log,
        address: ([127, 0, 0, 1], 0).into(),
        stdout,
    };
    let line = server.wait_for_log("listening");
    let from = line.find("127.0.0.1:").expect("an address");
    let address: String = line[from..]
        .chars()
        .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':'))
        .collect();
    server.address = address.parse().expect("an address");
    server
}

/// Kills a server that hangs; then whoever waits for it fails.
fn watch(id: u32, log: &SharedLog) {
    let log = log.clone();
    spawn(move || {
        let (mutex, changed) = &*log;
        let began = Instant::now();
        let mut guard = mutex.lock().unwrap();
        while !guard.ended {
            let Some(left) = WATCHDOG.checked_sub(began.elapsed()) else {
                eprintln!("the watchdog kills a server");
                system::kill(id);
                return;
            };
            guard = changed.wait_timeout(guard, left).unwrap().0;
        }
    });
}

impl Server {
    /// Waits for a line with this text in it.
    pub fn wait_for_log(&self, text: &str) -> String {
        let (mutex, changed) = &*self.log;
        let mut log = mutex.lock().unwrap();
        loop {
            if let Some(line) = log.lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(!log.ended, "never told: {text}; but: {:?}", log.lines);
            log = changed.wait(log).unwrap();
        }
    }

    pub fn count_in_log(&self, text: &str) -> usize {
        let log = self.log.0.lock().unwrap();
        log.lines.iter().filter(|line| line.contains(text)).count()
    }

    pub fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("a connection");
        client.set_read_timeout(Some(WATCHDOG)).unwrap();
        client.set_write_timeout(Some(WATCHDOG)).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// Reads all of standard output, on a thread of its own.
    pub fn collect(&mut self) -> JoinHandle<Vec<u8>> {
        let mut stdout = self.stdout.take().expect("standard output is a pipe");
        spawn(move || {
            let mut all = Vec::new();
            stdout.read_to_end(&mut all).unwrap();
            all
        })
    }

    pub fn signal(&self, signal: Signal) {
        system::signal(self.child.id(), signal);
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ended {
        let status: ExitStatus = self.child.wait().unwrap();
        let (mutex, changed) = &*self.log;
        let mut log = mutex.lock().unwrap();
        while !log.ended {
            log = changed.wait(log).unwrap();
        }
        Ended {
            code: status.code(),
            log: log.lines.clone(),
        }
    }

    /// Ends it with SIGTERM.
    pub fn terminate(self) -> Ended {
        self.signal(Signal::Term);
        self.wait()
    }

    /// The memory that the server has in use, in KiB.
    pub fn resident(&self) -> usize {
        system::resident(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The only line with this text.
    pub fn line(&self, text: &str) -> &str {
        let lines: Vec<_> = self.log.iter().filter(|line| line.contains(text)).collect();
        assert_eq!(lines.len(), 1, "{text}: {:?}", self.log);
        lines[0]
    }

    /// Ended as it should, and nothing panicked.
    #[track_caller]
    pub fn assert_fine(&self) {
        assert_eq!(self.code, Some(0), "{:?}", self.log);
        assert!(!self.log.iter().any(|line| line.contains("panicked")));
    }
}

/// Numbers that look random and are the same in each run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 11) as u8).collect()
    }
}

/// Sends in pieces of odd sizes.
pub fn send_in_pieces(client: &mut TcpStream, mut bytes: &[u8], random: &mut Random) {
    while !bytes.is_empty() {
        let most = [3, 50, 1500, 10_000][random.below(4)];
        let (piece, rest) = bytes.split_at(bytes.len().min(1 + random.below(most)));
        client.write_all(piece).unwrap();
        bytes = rest;
    }
}

/// Says that nothing more is sent, and waits until the server has closed.
pub fn finish(client: &mut TcpStream) -> Vec<u8> {
    client.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    rest
}

/// Sends and checks that the same comes back.
pub fn check_echo(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    client.read_exact(&mut back).unwrap();
    assert!(back == bytes, "the echo differs");
}

/// Resets the connection.
pub fn reset(client: TcpStream) {
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Waits until the number that `progress` gives has stopped growing, and returns it.
pub fn until_stalled(progress: impl Fn() -> usize) -> usize {
    let mut last = progress();
    let mut since = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = progress();
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > Duration::from_secs(2) {
            return now;
        }
    }
}

/// What asks another process to end, and how much memory it has.
#[cfg(unix)]
mod system {
    use std::process::{Child, Command};

    use rustix::process::{Pid, kill_process};

    /// Asks for the end, in the system's ways.
    #[derive(Clone, Copy, Debug)]
    pub enum Signal {
        Term,
        Int,
    }

    impl Signal {
        pub const ALL: &[Signal] = &[Signal::Term, Signal::Int];

        /// The exit code of a process that it ends at once.
        pub fn code(self) -> i32 {
            match self {
                Signal::Term => 143,
                Signal::Int => 130,
            }
        }
    }

    pub fn group(_command: &mut Command) {}

    fn pid(id: u32) -> Pid {
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    pub fn signal(id: u32, signal: Signal) {
        let signal = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Int => rustix::process::Signal::INT,
        };
        kill_process(pid(id), signal).unwrap();
    }

    pub fn kill(id: u32) {
        let _ = kill_process(pid(id), rustix::process::Signal::KILL);
    }

    /// In KiB.
    pub fn resident(child: &Child) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let digits: String = line.unwrap().chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }
}

/// The same on Windows. A process that is to be asked to end needs a group of its own, and then
/// only Ctrl-Break reaches it alone.
#[cfg(windows)]
mod system {
    use std::os::windows::io::AsRawHandle;
    use std::os::windows::process::CommandExt;
    use std::process::{Child, Command};

    use windows_sys::Win32::Foundation::{CloseHandle, STATUS_CONTROL_C_EXIT};
    use windows_sys::Win32::System::Console::CTRL_BREAK_EVENT;
    use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
    use windows_sys::Win32::System::ProcessStatus::{
        K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS,
    };
    use windows_sys::Win32::System::Threading::{
        CREATE_NEW_PROCESS_GROUP, CreateRemoteThread, OpenProcess, PROCESS_ALL_ACCESS,
        PROCESS_TERMINATE, TerminateProcess,
    };

    #[derive(Clone, Copy, Debug)]
    pub enum Signal {
        Term,
    }

    impl Signal {
        pub const ALL: &[Signal] = &[Signal::Term];

        pub fn code(self) -> i32 {
            STATUS_CONTROL_C_EXIT
        }
    }

    pub fn group(command: &mut Command) {
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    }

    /// Does what a console does with Ctrl-Break: starts a thread at the process's `CtrlRoutine`. Not
    /// by the console, because there may be none.
    pub fn signal(id: u32, _signal: Signal) {
        type Routine = unsafe extern "system" fn(*mut core::ffi::c_void) -> u32;
        // SAFETY: the names are C strings; the routine is one that takes the event for its
        // parameter, and is at the same place in each process; the handles are used while they are
        // open.
        unsafe {
            let library = GetModuleHandleA(c"kernelbase.dll".as_ptr().cast());
            let routine = GetProcAddress(library, c"CtrlRoutine".as_ptr().cast());
            let routine = routine.expect("every Windows has it");
            let routine =
                std::mem::transmute::<unsafe extern "system" fn() -> isize, Routine>(routine);
            let event = CTRL_BREAK_EVENT as usize as *const core::ffi::c_void;
            let process = OpenProcess(PROCESS_ALL_ACCESS, 0, id);
            let thread = CreateRemoteThread(
                process,
                std::ptr::null(),
                0,
                Some(routine),
                event,
                0,
                std::ptr::null_mut(),
            );
            assert!(!thread.is_null(), "{}", std::io::Error::last_os_error());
            CloseHandle(thread);
            CloseHandle(process);
        }
    }

    pub fn kill(id: u32) {
        // SAFETY: the handle is used while it is open.
        unsafe {
            let process = OpenProcess(PROCESS_TERMINATE, 0, id);
            TerminateProcess(process, 9);
            CloseHandle(process);
        }
    }

    pub fn resident(child: &Child) -> usize {
        // SAFETY: all zeroes is a value of this plain structure.
        let mut counters: PROCESS_MEMORY_COUNTERS = unsafe { std::mem::zeroed() };
        let size = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
        // SAFETY: the child's handle is open, and the structure as long as it says.
        let known = unsafe { K32GetProcessMemoryInfo(child.as_raw_handle(), &mut counters, size) };
        assert!(known != 0);
        counters.WorkingSetSize / 1024
    }
}
