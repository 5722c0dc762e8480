//! `overlapped top`: shows what a running server does.
//!
//! Each look is a connection of its own to the server's [control socket](crate::control), so a server
//! that goes is noticed at the next one. On a terminal the lines are drawn over the last ones, on the
//! other screen; elsewhere they follow each other, with an empty line between.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::TopArgs;
use crate::control::{self, PATIENCE, read_line};
use crate::signals;
use crate::snapshot::VERSION;

/// How often to look, on a terminal.
const INTERVAL: Duration = Duration::from_secs(1);

/// An answer that is longer is not a server's: each port is a few kilobytes.
const LONGEST: usize = 16 << 20;

/// Shows it until it is interrupted, or once.
pub fn top(args: &TopArgs) -> ExitCode {
    let terminal = io::stdout().is_terminal();
    let interval = args.interval.or(terminal.then_some(INTERVAL));
    match show(args.attach.as_deref(), interval, terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "overlapped: {message}");
            ExitCode::FAILURE
        }
    }
}

fn show(attach: Option<&str>, interval: Option<Duration>, terminal: bool) -> Result<(), String> {
    let path = find(attach)?;
    let mut now = look(&path)?;
    let Some(interval) = interval else {
        return write(&text(&now, None));
    };
    let (sender, stop) = channel();
    signals::watch(move |_| {
        let _ = sender.send(());
    })
    .map_err(|error| format!("cannot watch for signals: {error}"))?;
    let _screen = terminal.then(Screen::enter);
    let mut before = None;
    loop {
        let lines = text(&now, before.as_ref());
        match (terminal, &before) {
            (true, _) => write(&drawn(&lines))?,
            (false, None) => write(&lines)?,
            (false, Some(_)) => write(&format!("\n{lines}"))?,
        }
        match stop.recv_timeout(interval) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return Ok(()),
        }
        before = Some(std::mem::replace(&mut now, look(&path)?));
    }
}

fn write(text: &str) -> Result<(), String> {
    let mut to = io::stdout().lock();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("cannot write to standard output: {error}")),
    }
}

/// The terminal's other screen, without a cursor and without long lines going on in the next.
struct Screen;

impl Screen {
    fn enter() -> Self {
        let _ = write("\x1b[?1049h\x1b[?25l\x1b[?7l");
        Screen
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write("\x1b[?7h\x1b[?25h\x1b[?1049l");
    }
}

/// Over what was drawn before.
fn drawn(lines: &str) -> String {
    format!("\x1b[H{}\x1b[J", lines.replace('\n', "\x1b[K\r\n"))
}

// ---- the server --------------------------------------------------------------------------------

/// The socket of the server that is meant.
fn find(attach: Option<&str>) -> Result<PathBuf, String> {
    match attach {
        Some(name) => Ok(match name.parse() {
            Ok(process) => control::path_of(process),
            Err(_) => PathBuf::from(name),
        }),
        None => find_only(),
    }
}

fn find_only() -> Result<PathBuf, String> {
    let directory = control::directory();
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(none(&directory)),
        Err(error) => return Err(format!("cannot read {}: {error}", directory.display())),
    };
    let mut alive: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .filter(|path| UnixStream::connect(path).is_ok())
        .collect();
    alive.sort();
    match &alive[..] {
        [] => Err(none(&directory)),
        [one] => Ok(one.clone()),
        several => {
            let names = several.iter().filter_map(|path| path.file_stem());
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            Err(format!(
                "several servers run; choose one with --attach: {}",
                names.join(", ")
            ))
        }
    }
}

fn none(directory: &Path) -> String {
    format!(
        "no server of this user's runs (in {}); start one with overlapped serve, or say with \
         --attach where it is",
        directory.display()
    )
}

fn look(path: &Path) -> Result<Value, String> {
    let fail = |error: &io::Error| {
        let advice = match error.kind() {
            ErrorKind::NotFound => "there is no server",
            ErrorKind::ConnectionRefused => "the server is gone",
            ErrorKind::PermissionDenied => {
                "permission denied; only the server's user may look, and the superuser"
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                "the server does not talk to us: it is gone, busy with others, or another user's"
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "there is no answer",
            ErrorKind::InvalidData => "what answers is no server of ours",
            _ => &error.to_string(),
        };
        format!("cannot look at {}: {advice}", path.display())
    };
    let mut server = UnixStream::connect(path).map_err(|error| fail(&error))?;
    let question = json!({ "version": VERSION, "want": "snapshot" });
    let until = Instant::now() + 2 * PATIENCE;
    let answer = server
        .set_write_timeout(Some(PATIENCE))
        .and_then(|()| server.write_all(format!("{question}\n").as_bytes()))
        .and_then(|()| read_line(&server, LONGEST, until))
        .map_err(|error| fail(&error))?;
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|_| fail(&io::Error::from(ErrorKind::InvalidData)))?;
    match (answer["version"].as_u64(), answer["error"].as_str()) {
        (Some(VERSION), None) => Ok(answer),
        (Some(VERSION), Some(error)) => Err(format!(
            "cannot look at {}: {}",
            path.display(),
            plain(error)
        )),
        (Some(other), _) => Err(format!(
            "the server at {} speaks version {other} of the protocol, and this program version \
             {VERSION}; use the one that the server was started from",
            path.display()
        )),
        (None, _) => Err(fail(&io::Error::from(ErrorKind::InvalidData))),
    }
}

// ---- the text ----------------------------------------------------------------------------------

/// What is told of a server, some lines.
fn text(now: &Value, before: Option<&Value>) -> String {
    let mut text = String::new();
    let look = Look { now, before };
    look.write(&mut text).expect("a string takes all");
    text
}

struct Look<'a> {
    now: &'a Value,
    before: Option<&'a Value>,
}

impl Look<'_> {
    fn write(&self, to: &mut String) -> std::fmt::Result {
        let now = self.now;
        writeln!(
            to,
            "overlapped {}, mode {}, engine {}, up {:.1} s",
            now["pid"],
            plain(now["mode"].as_str().unwrap_or("?")),
            plain(now["ports"][0]["engine"].as_str().unwrap_or("?")),
            now["seconds"].as_f64().unwrap_or_default()
        )?;
        writeln!(
            to,
            "connections  {}, of {} so far",
            now["connections"], now["opened"]
        )?;
        writeln!(
            to,
            "packets      {}/s, {} in all; {} queued; {}/s handed over",
            self.rate("taken"),
            sum(now, "taken"),
            sum(now, "queued"),
            self.rate("handed_over")
        )?;
        writeln!(
            to,
            "workers      {} active of at most {}, {} beyond; {} blocked, {} waiting, {} bound",
            sum(now, "active"),
            sum(now, "concurrency"),
            sum(now, "overshoot"),
            sum(now, "blocked"),
            sum(now, "waiting"),
            sum(now, "bound")
        )?;
        writeln!(
            to,
            "blocks       {}/s noticed, by {}; {} presumed so far",
            self.rate("noticed_blocked"),
            plain(now["ports"][0]["notice"].as_str().unwrap_or("?")),
            sum(now, "presumed_blocked")
        )?;
        writeln!(
            to,
            "wakes        {}/s, {}/s in vain",
            self.rate("woken"),
            self.rate("woken_in_vain")
        )?;
        self.write_waits(to)?;
        let mut under_way = under_way(now);
        under_way.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let under_way: Vec<_> = under_way
            .iter()
            .map(|(kind, count)| format!("{} {count}", plain(kind)))
            .collect();
        let under_way = match under_way.is_empty() {
            true => "none".to_owned(),
            false => under_way.join(", "),
        };
        writeln!(to, "operations   {under_way}")?;
        for away in ports(now)
            .flat_map(|port| port["away"].as_array())
            .flatten()
        {
            writeln!(
                to,
                "away         {} (thread {}): {} for {:.1} s",
                plain(away["worker"].as_str().unwrap_or("?")),
                away["thread"],
                plain(away["doing"].as_str().unwrap_or("?")),
                away["seconds"].as_f64().unwrap_or_default()
            )?;
        }
        Ok(())
    }

    /// Per second since the last look, or the server's beginning.
    fn rate(&self, name: &str) -> u64 {
        let seconds = |value: &Value| value["seconds"].as_f64().unwrap_or_default();
        let (count, since) = match self.before {
            Some(before) => (sum(before, name), seconds(before)),
            None => (0, 0.0),
        };
        let time = seconds(self.now) - since;
        if time <= 0.0 {
            return 0;
        }
        (sum(self.now, name).saturating_sub(count) as f64 / time).round() as u64
    }

    fn write_waits(&self, to: &mut String) -> std::fmt::Result {
        let mut now = waits(self.now);
        for (below, count) in self.before.map(waits).unwrap_or_default() {
            if let Some((_, all)) = now.iter_mut().find(|(known, _)| *known == below) {
                *all = all.saturating_sub(count);
            }
        }
        let total: u64 = now.iter().map(|(_, count)| count).sum();
        if total == 0 {
            return writeln!(to, "waits        no packet was measured");
        }
        let quantile = |part: f64| {
            let wanted = ((total as f64 * part).ceil() as u64).max(1);
            let mut seen = 0;
            let found = now.iter().find(|(_, count)| {
                seen += count;
                seen >= wanted
            });
            time(found.map_or(0, |&(below, _)| below))
        };
        writeln!(
            to,
            "waits        50 % below {}, 90 % {}, 99 % {}, all {} ({total} packets measured)",
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            quantile(1.0)
        )?;
        let decades: Vec<_> = decades(&now)
            .map(|(below, count)| format!("{count} below {}", whole(below)))
            .collect();
        writeln!(to, "             {}", decades.join(", "))
    }
}

/// The same counts, by powers of ten.
fn decades(waits: &[(u64, u64)]) -> impl Iterator<Item = (u64, u64)> {
    let mut all = std::collections::BTreeMap::<u64, u64>::new();
    for &(below, count) in waits {
        let power = below.saturating_sub(1).checked_ilog10();
        let decade = power.map_or(1, |power| 10_u64.saturating_pow(power + 1));
        *all.entry(decade).or_default() += count;
    }
    all.into_iter().filter(|&(_, count)| count > 0)
}

fn ports(value: &Value) -> impl Iterator<Item = &Value> {
    value["ports"].as_array().into_iter().flatten()
}

/// Of all ports.
fn sum(value: &Value, name: &str) -> u64 {
    let counts = ports(value).filter_map(|port| port[name].as_u64());
    counts.fold(0, u64::saturating_add)
}

fn under_way(value: &Value) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = Vec::new();
    let kinds = ports(value).filter_map(|port| port["under_way"].as_object());
    for (kind, count) in kinds.flatten() {
        let count = count.as_u64().unwrap_or_default();
        match all.iter_mut().find(|(known, _)| known == kind) {
            Some((_, known)) => *known = known.saturating_add(count),
            None => all.push((kind.clone(), count)),
        }
    }
    all
}

/// Bounds, in order, and counts.
fn waits(value: &Value) -> Vec<(u64, u64)> {
    let mut all = std::collections::BTreeMap::<u64, u64>::new();
    for bucket in ports(value)
        .flat_map(|port| port["waits"].as_array())
        .flatten()
    {
        if let (Some(below), Some(count)) = (bucket[0].as_u64(), bucket[1].as_u64()) {
            let known = all.entry(below).or_default();
            *known = known.saturating_add(count);
        }
    }
    all.into_iter().collect()
}

fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} us", nanoseconds as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanoseconds as f64 / 1e6),
        _ => format!("{:.1} s", nanoseconds as f64 / 1e9),
    }
}

/// A power of ten.
fn whole(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{} us", nanoseconds / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanoseconds / 1_000_000),
        _ => format!("{} s", nanoseconds / 1_000_000_000),
    }
}

/// What another process says cannot drive the terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(seconds: f64, taken: u64, waits: &Value) -> Value {
        json!({
            "version": 1, "pid": 7, "seconds": seconds, "mode": "echo",
            "connections": 3, "opened": 4,
            "ports": [
                { "engine": "epoll", "concurrency": 2, "bound": 3, "active": 1, "waiting": 2,
                  "queued": 5, "taken": taken, "handed_over": 10, "woken": 20, "woken_in_vain": 1,
                  "blocked": 1, "overshoot": 4, "notice": "perf events", "noticed_blocked": 30,
                  "presumed_blocked": 6, "waits": waits, "under_way": { "Recv": 3, "Accept": 16 },
                  "away": [{ "worker": "worker\u{1b}[2J 1", "thread": 9, "seconds": 2.25,
                             "doing": "blocked in read" }] },
                { "taken": 1, "under_way": { "Recv": 1 } },
            ],
        })
    }

    #[test]
    fn the_first_look_shows_all_since_the_beginning() {
        let now = snapshot(10.0, 999, &json!([[1024, 98], [2_000_000, 2]]));
        assert_eq!(
            text(&now, None),
            "overlapped 7, mode echo, engine epoll, up 10.0 s\n\
             connections  3, of 4 so far\n\
             packets      100/s, 1000 in all; 5 queued; 1/s handed over\n\
             workers      1 active of at most 2, 4 beyond; 1 blocked, 2 waiting, 3 bound\n\
             blocks       3/s noticed, by perf events; 6 presumed so far\n\
             wakes        2/s, 0/s in vain\n\
             waits        50 % below 1.0 us, 90 % 1.0 us, 99 % 2.0 ms, all 2.0 ms (100 packets \
             measured)\n\
             \x20            98 below 10 us, 2 below 10 ms\n\
             operations   Accept 16, Recv 4\n\
             away         worker?[2J 1 (thread 9): blocked in read for 2.2 s\n"
        );
    }

    #[test]
    fn the_next_shows_what_is_new() {
        let before = snapshot(10.0, 999, &json!([[1024, 98], [2_000_000, 2]]));
        let now = snapshot(12.0, 1999, &json!([[1024, 98], [2048, 1], [2_000_000, 2]]));
        let text = text(&now, Some(&before));
        assert!(text.contains("packets      500/s, 2000 in all"), "{text}");
        assert!(text.contains("50 % below 2.0 us, 90 % 2.0 us"), "{text}");
        assert!(text.contains("(1 packets measured)"), "{text}");
    }

    #[test]
    fn nonsense_is_shown_without_a_panic() {
        for nonsense in [
            json!({}),
            json!({ "ports": 3 }),
            json!({ "ports": [[], "x", null] }),
        ] {
            assert!(text(&nonsense, Some(&nonsense)).contains("no packet was measured"));
        }
    }
}
