//! Compilers, and programs made with them: for Windows and run under Wine, and by the wrapper.

// Each test file uses a part of this.
#![allow(dead_code, reason = "every test file has its own copy of this module")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write, stderr};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// After this long something hangs.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// The same of a whole program, which may be one of many under Wine.
const PATIENCE: Duration = Duration::from_secs(300);

pub const HERE: &str = env!("CARGO_MANIFEST_DIR");
pub const WRAPPER: &str = env!("CARGO_BIN_EXE_overlapped-cc");

/// A directory of this test's own, empty.
pub fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// Whether there is a program of this name.
pub fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Says that something is not tested, past the test harness: what a test that succeeds has printed is
/// not shown.
pub fn skipped(what: &str) {
    let _ = writeln!(stderr(), "SKIPPED: {what}");
}

/// Whether the wrapper's compiler for this source is here and takes these options; else it is said
/// that it is not.
pub fn can_compile(source: &str, options: &[&str]) -> bool {
    let cxx = source.to_ascii_lowercase().ends_with(".cpp");
    let (own, usual, default, language) = match cxx {
        true => ("OVERLAPPED_CXX", "CXX", "g++", "c++"),
        false => ("OVERLAPPED_CC", "CC", "gcc", "c"),
    };
    let said = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let compiler = said(own).or_else(|| said(usual));
    let compiler = compiler.unwrap_or_else(|| default.to_string());
    let options = options.iter().map(|&option| match option {
        // Since GCC 12.
        "--lp32" => "-ftrivial-auto-var-init=zero",
        option => option,
    });
    let takes = Command::new(&compiler)
        .args(options)
        .args(["-fsyntax-only", "-x", language, "/dev/null"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !takes {
        skipped(&format!("no {compiler} that can compile {source}"));
    }
    takes
}

/// The compilers for Windows, if they and Wine are here; else it is said that they are not.
pub fn mingw() -> Option<Mingw> {
    let missing: Vec<_> = ["x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-g++", "wine"]
        .into_iter()
        .filter(|program| !has(program))
        .collect();
    if missing.is_empty() {
        return Some(Mingw);
    }
    skipped(&format!("under Wine: no {}", missing.join(", no ")));
    None
}

pub struct Mingw;

impl Mingw {
    /// Compiles a source to a program.
    pub fn compile(&self, source: &Path, program: &Path, options: &[&str]) {
        let cxx = source
            .extension()
            .is_some_and(|extension| extension == "cpp");
        let mut command = Command::new(match cxx {
            true => "x86_64-w64-mingw32-g++",
            false => "x86_64-w64-mingw32-gcc",
        });
        command.args(["-O1", "-w", "-static", "-D_WIN32_WINNT=0x0601"]);
        // Its headers have one spelling each.
        command
            .arg("-I")
            .arg(Path::new(HERE).join("include/spellings"));
        command.args(options).arg("-o").arg(program).arg(source);
        command.args(["-lws2_32", "-lmswsock", "-lwinmm", "-lntdll"]);
        succeed(&mut command);
    }

    /// The command that runs a program under Wine.
    pub fn run(&self, program: &Path) -> Command {
        let mut command = match env::var_os("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER") {
            Some(runner) => Command::new(runner),
            None => {
                let mut command = Command::new("wine");
                if env::var_os("WINEPREFIX").is_none() {
                    command.env("WINEPREFIX", concat!(env!("CARGO_TARGET_TMPDIR"), "/wine"));
                }
                command
            }
        };
        command.arg(program);
        command.env("WINEDEBUG", "-all").env_remove("DISPLAY");
        command
    }
}

/// Compiles a source with the wrapper.
pub fn compile(source: &Path, program: &Path, options: &[&str]) {
    let mut command = Command::new(WRAPPER);
    command.args(options).arg("-o").arg(program).arg(source);
    succeed(&mut command);
}

/// Runs a command, which has to succeed, and to end.
pub fn succeed(command: &mut Command) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("the program is there");
    let group = -(child.id() as i32);
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = spawn(move || {
        let hangs = end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            // SAFETY: a signal to the group that was made for it, which is not waited for yet.
            unsafe { libc::kill(group, libc::SIGKILL) };
        }
        hangs
    });
    let output = child.wait_with_output().expect("it is waited for once");
    drop(ended);
    let hung = watchdog.join().expect("it does not panic");
    assert!(
        output.status.success(),
        "{command:?}{}\n{}{}",
        if hung { " hung, and was ended" } else { "" },
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// What a program wrote, with one kind of line end.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

/// A program that listens.
pub struct Server {
    child: Child,
    pub port: u16,
    lines: mpsc::Receiver<String>,
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the server can be started");
        let (to, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = to.send(line.trim_end().to_string());
            }
        });
        let first = lines
            .recv_timeout(WATCHDOG)
            .expect("the server says something");
        let port = first
            .strip_prefix("listening on ")
            .and_then(|port| port.parse().ok());
        Server {
            child,
            port: port.unwrap_or_else(|| panic!("not where it listens: {first}")),
            lines,
        }
    }

    pub fn connect(&self) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        client.set_read_timeout(Some(WATCHDOG)).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// Waits until it ends by itself; what it wrote.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let until = Instant::now() + WATCHDOG;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "the server does not end");
            sleep(Duration::from_millis(5));
        };
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            lines.push(line);
        }
        (status, lines)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: a signal to the group that was made for it, which is not waited for yet. Wine
            // is a child of what was started.
            unsafe { libc::kill(-(self.child.id() as i32), libc::SIGKILL) };
        }
        let _ = self.child.wait();
    }
}
