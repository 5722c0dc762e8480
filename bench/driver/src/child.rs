//! Child processes that speak in lines and never outlive a run.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// The children of one run. When it goes out of scope they are dead, whatever has happened; and if
/// this process is killed, they see the end of their stdin and stop by themselves.
pub struct Children {
    deadline: Instant,
    events: Receiver<(usize, Event)>,
    sender: Sender<(usize, Event)>,
    children: Vec<Running>,
}

struct Running {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// Whether it has ended as it should.
    over: bool,
}

enum Event {
    Line(String),
    /// Stdout was closed, which is what a process that dies does.
    Silent,
}

/// One of the children.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Id(usize);

impl Children {
    /// None yet; all that is waited for here must happen before `deadline`.
    pub fn new(deadline: Instant) -> Self {
        let (sender, events) = channel();
        Self {
            deadline,
            events,
            sender,
            children: Vec::new(),
        }
    }

    /// Starts `command`. A program without a slash is the one in `directory`.
    pub fn start<S: AsRef<str>>(&mut self, directory: &Path, command: &[S]) -> Result<Id> {
        let program = command[0].as_ref();
        let path = match program.contains('/') {
            true => program.into(),
            false => directory.join(program),
        };
        let mut child = Command::new(&path)
            .args(command[1..].iter().map(AsRef::as_ref))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                format!("cannot start {program}: {error} (`cargo build --release` builds all)")
            })?;
        let number = self.children.len();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        self.children.push(Running {
            name: program.to_owned(),
            child,
            stdin,
            over: false,
        });

        let sender = self.sender.clone();
        let mut lines = BufReader::new(stdout.ok_or("no stdout")?).lines();
        thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                if sender.send((number, Event::Line(line))).is_err() {
                    return;
                }
            }
            let _ = sender.send((number, Event::Silent));
        });
        Ok(Id(number))
    }

    pub fn pid(&self, id: Id) -> u32 {
        self.children[id.0].child.id()
    }

    /// The next line that `id` prints. No other child may print or die meanwhile.
    pub fn line(&mut self, id: Id) -> Result<String> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            return match self.events.recv_timeout(left) {
                Ok((number, Event::Line(line))) if number == id.0 => Ok(line),
                Ok((number, Event::Line(line))) => Err(format!(
                    "{} printed {line:?} unasked",
                    self.children[number].name
                )),
                Ok((number, Event::Silent)) if self.children[number].over => continue,
                Ok((number, Event::Silent)) => Err(self.obituary(number)),
                Err(RecvTimeoutError::Timeout) => Err(format!(
                    "{} took longer than --limit allows",
                    self.children[id.0].name
                )),
                Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender"),
            };
        }
    }

    /// Sends an empty line to the stdin of `id`.
    pub fn nudge(&mut self, id: Id) -> Result<()> {
        let child = &mut self.children[id.0];
        let mut stdin = child.stdin.as_ref().ok_or("stdin is closed")?;
        stdin
            .write_all(b"\n")
            .map_err(|error| format!("{}: {error}", child.name))
    }

    /// Closes the stdin of `id`, which is to end then, and returns what it has to say before.
    pub fn farewell(&mut self, id: Id) -> Result<Vec<String>> {
        self.children[id.0].stdin = None;
        let mut lines = Vec::new();
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok((number, Event::Line(line))) if number == id.0 => lines.push(line),
                Ok((number, Event::Silent)) if number == id.0 => return Ok(lines),
                Ok((number, Event::Silent)) if self.children[number].over => {}
                Ok((number, _)) => {
                    return Err(format!(
                        "{} spoke or died unasked",
                        self.children[number].name
                    ));
                }
                Err(_) => {
                    return Err(format!(
                        "{} does not end when its stdin is closed",
                        self.children[id.0].name
                    ));
                }
            }
        }
    }

    /// Closes the stdin of `id` and waits for its end, which must be a success.
    pub fn end(&mut self, id: Id) -> Result<()> {
        let deadline = self.deadline;
        let child = &mut self.children[id.0];
        child.stdin = None;
        match child.ended(deadline)? {
            Some(status) if status.success() => {
                child.over = true;
                Ok(())
            }
            Some(status) => Err(format!("{} failed at its end: {status}", child.name)),
            None => Err(format!(
                "{} does not end when its stdin is closed",
                child.name
            )),
        }
    }

    /// Says who died. If one child takes another with it, the later news may arrive first, so the
    /// children are asked in the order in which they were started: servers before their clients.
    fn obituary(&mut self, silent: usize) -> String {
        let soon = Instant::now() + Duration::from_millis(300);
        for child in &mut self.children[..=silent] {
            if let Ok(Some(status)) = child.ended(soon) {
                let hint = "anything it said about it is above";
                return format!("{} died: {status} ({hint})", child.name);
            }
        }
        format!("{} closed its stdout", self.children[silent].name)
    }
}

impl Running {
    fn ended(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(Some(status)),
                Ok(None) if Instant::now() >= deadline => return Ok(None),
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, seconds: u64) -> (Children, Id) {
        let mut children = Children::new(Instant::now() + Duration::from_secs(seconds));
        let id = children
            .start(Path::new("/"), &["/bin/sh", "-c", script])
            .unwrap();
        (children, id)
    }

    #[test]
    fn a_child_is_heard_nudged_and_ended() {
        let (mut children, id) = shell("echo one; read line; echo two; read line; exit 0", 20);
        assert_eq!(children.line(id).unwrap(), "one");
        children.nudge(id).unwrap();
        assert_eq!(children.line(id).unwrap(), "two");
        children.end(id).unwrap();
    }

    #[test]
    fn the_end_of_one_child_is_no_news_of_another() {
        let (mut children, first) = shell("read line; exit 0", 20);
        let script = ["/bin/sh", "-c", "read line || echo farewell; echo for ever"];
        let second = children.start(Path::new("/"), &script).unwrap();
        children.end(first).unwrap();
        // Its stdout is closed by now, or will be.
        let said = children.farewell(second).unwrap();
        assert_eq!(said, ["farewell", "for ever"]);
        children.end(second).unwrap();
    }

    #[test]
    fn a_death_is_reported_with_its_status() {
        let (mut children, id) = shell("exit 7", 20);
        let error = children.line(id).unwrap_err();
        assert!(error.contains("/bin/sh died: exit status: 7"), "{error}");
    }

    #[test]
    fn a_child_that_says_nothing_is_given_up_and_killed() {
        let (mut children, id) = shell("exec sleep 100", 1);
        let error = children.line(id).unwrap_err();
        assert!(error.contains("--limit"), "{error}");
        let process = format!("/proc/{}", children.pid(id));
        assert!(Path::new(&process).exists());
        drop(children);
        assert!(!Path::new(&process).exists());
    }
}
