//! The control socket: how `overlapped top` asks a running server what it does.
//!
//! # The protocol
//!
//! A client connects, sends one line, and gets one; each is a JSON object. Then the server closes.
//!
//! ```text
//! {"version":1,"want":"snapshot"}   -->
//!                                   <--   {"version":1, ...}           see `snapshot`
//!                                   <--   {"version":1,"error":"..."}  if it cannot be answered
//! ```
//!
//! # Who may ask
//!
//! The socket belongs to one user, in a directory of that user's, and the server looks at who has
//! connected besides. Even so a client is not trusted: it has a bounded time and a bounded line, a
//! bounded number of them is served at once, and none of it is done by a thread that serves others.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::snapshot::VERSION;

/// How long a client may take to ask, and to read the answer; and how long one waits for the server.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How long a question may be.
const LONGEST: usize = 4096;

/// How many clients are served at once; others are turned away.
const MOST: usize = 16;

/// After an accept failed, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket, for as long as it is to be there.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    /// Which file it is: another server may have replaced it.
    file: (u64, u64),
}

impl Drop for Control {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Control {
    /// Answers at this path. `look` returns a snapshot, or nothing if there is none in time.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn start(
        path: &Path,
        look: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let listener = bind(path)?;
        let explain = |error| cannot(path, &error);
        let file = identity(path).map_err(explain)?;
        let control = Control {
            path: path.to_owned(),
            file,
        };
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(explain)?;
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || answer_all(&listener, &Arc::new(look)))
            .map_err(explain)?;
        Ok(control)
    }
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!("cannot make the control socket {}: {error}", path.display())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Binds; a socket that nobody listens on is replaced.
fn bind(path: &Path) -> Result<UnixListener, String> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {}
        bound => return bound.map_err(|error| cannot(path, &error)),
    }
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        let text = "there is another file, which is not replaced";
        return Err(cannot(path, &io::Error::other(text)));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(cannot(path, &error)),
        Ok(_) => {
            let text = "another server answers there; choose another path with --control";
            return Err(cannot(path, &io::Error::other(text)));
        }
    }
    fs::remove_file(path)
        .and_then(|()| UnixListener::bind(path))
        .map_err(|error| cannot(path, &error))
}

/// Where servers of this user have their sockets, by process.
pub fn directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !directory.is_empty() => Path::new(&directory).join("overlapped"),
        _ => {
            let user = rustix::process::getuid().as_raw();
            PathBuf::from(format!("/tmp/overlapped-{user}"))
        }
    }
}

/// Where a process's socket is.
pub fn path_of(process: u32) -> PathBuf {
    directory().join(format!("{process}.sock"))
}

/// Where this process's socket is to be; makes the directory, and sees to it that it is this user's
/// alone.
///
/// # Errors
///
/// A sentence that says what is wrong.
pub fn usual_path() -> Result<PathBuf, String> {
    let directory = directory();
    let made = DirBuilder::new().mode(0o700).create(&directory);
    if let Err(error) = made
        && error.kind() != ErrorKind::AlreadyExists
    {
        return Err(format!("cannot make {}: {error}", directory.display()));
    }
    check_directory(&directory)?;
    Ok(path_of(std::process::id()))
}

/// In /tmp anybody may have made it.
fn check_directory(directory: &Path) -> Result<(), String> {
    let user = rustix::process::geteuid().as_raw();
    let safe = fs::symlink_metadata(directory)
        .is_ok_and(|file| file.is_dir() && file.uid() == user && file.mode() & 0o077 == 0);
    if safe {
        return Ok(());
    }
    Err(format!(
        "{} is not a directory of this user's alone",
        directory.display()
    ))
}

fn answer_all<L>(listener: &UnixListener, look: &Arc<L>)
where
    L: Fn() -> Option<String> + Send + Sync + 'static,
{
    let served = Arc::new(());
    loop {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(PAUSE);
            continue;
        };
        if Arc::strong_count(&served) > MOST || !is_allowed(&client) {
            continue;
        }
        let (look, served) = (look.clone(), served.clone());
        // Without a thread for it the client is turned away.
        let _ = thread::Builder::new()
            .name("control client".to_owned())
            .spawn(move || {
                let _served = served;
                let _ = answer(&client, &*look);
            });
    }
}

/// Only the server's user and the superuser.
fn is_allowed(client: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    peer(client).is_ok_and(|user| user == own.as_raw() || user == 0)
}

#[cfg(target_os = "linux")]
fn peer(client: &UnixStream) -> io::Result<u32> {
    let credentials = rustix::net::sockopt::socket_peercred(client)?;
    Ok(credentials.uid.as_raw())
}

/// Elsewhere the directory has to do.
#[cfg(not(target_os = "linux"))]
fn peer(_client: &UnixStream) -> io::Result<u32> {
    Ok(0)
}

fn answer(client: &UnixStream, look: &dyn Fn() -> Option<String>) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let question = read_line(client, LONGEST, until)?;
    let refuse = |why: String| json!({ "version": VERSION, "error": why }).to_string();
    let question: Value = serde_json::from_slice(&question).unwrap_or_default();
    let mut line = match (question["version"].as_u64(), question["want"].as_str()) {
        (Some(VERSION), Some("snapshot")) => {
            look().unwrap_or_else(|| refuse("the server did not answer in time".to_owned()))
        }
        (Some(VERSION), _) => refuse("there is only the snapshot to want".to_owned()),
        (Some(other), _) => refuse(format!(
            "this server speaks version {VERSION} of the protocol, and not {other}"
        )),
        (None, _) => refuse("that was no question".to_owned()),
    };
    line.push('\n');
    write_all(client, line.as_bytes(), until)
}

/// Reads a line of bounded length in bounded time, whatever pieces it comes in.
///
/// # Errors
///
/// When it does not end in time, or is too long.
pub fn read_line(mut from: &UnixStream, most: usize, until: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut piece = [0; 4096];
    loop {
        from.set_read_timeout(Some(left(until)?))?;
        let count = match from.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = &piece[..count];
        let end = piece.iter().position(|&byte| byte == b'\n');
        line.extend_from_slice(&piece[..end.unwrap_or(count)]);
        if line.len() > most {
            return Err(ErrorKind::InvalidData.into());
        }
        if end.is_some() {
            return Ok(line);
        }
    }
}

fn write_all(mut to: &UnixStream, mut bytes: &[u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        to.set_write_timeout(Some(left(until)?))?;
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(until: Instant) -> io::Result<Duration> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}
