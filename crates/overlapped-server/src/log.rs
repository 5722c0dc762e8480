//! What the server tells about itself, on standard error.
//!
//! Each thing that can be told is an [`Event`], with a name, a level and fields for programs and a
//! sentence for people. The text format has the sentence, the JSON format has all of it, one object
//! per line. Times are UTC. How the lines get out is the [logger](crate::logger)'s business.

use std::fmt::{self, Write as _};
use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use overlapped::Away;

use crate::connection::{Connection, Ended};
use crate::server::Mode;
use crate::summary::{Counted, Summary};

/// Where events go.
pub trait Log: Send + Sync {
    /// Tells.
    fn log(&self, event: &Event<'_>);
}

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of text for each event.
    Text,
    /// A JSON object for each event.
    Json,
}

/// Something worth telling.
#[derive(Debug)]
pub enum Event<'a> {
    /// The server is ready.
    Listening {
        /// Where.
        addresses: &'a [SocketAddr],
        /// What it does.
        mode: Mode,
        /// The engine of its ports.
        engine: &'a str,
        /// Why that one.
        why: &'a str,
        /// Threads that wait at each port.
        workers: usize,
        /// The concurrency value of each port.
        concurrency: usize,
        /// How many ports.
        ports: usize,
        /// How many descriptors the process may have.
        descriptors: Option<u64>,
    },
    /// `overlapped top` cannot attach.
    NoControl {
        /// Why.
        why: &'a str,
    },
    /// There are as many connections as are allowed.
    Full {
        /// How many.
        most: usize,
    },
    /// There is room again.
    RoomAgain,
    /// The system has nothing left for more connections.
    Starved {
        /// What it said.
        error: &'a io::Error,
        /// How many connections are open.
        open: usize,
    },
    /// It has again.
    ShortageOver,
    /// A worker has not come back for long.
    Away(&'a Away),
    /// A connection was accepted.
    Opened {
        /// Its number.
        id: u64,
        /// Where it comes from.
        peer: Option<SocketAddr>,
    },
    /// A connection has ended.
    Closed {
        /// Which.
        connection: &'a Connection,
        /// Why.
        why: Ended,
    },
    /// The server begins to end.
    Draining {
        /// The signal's name.
        signal: &'a str,
        /// How many connections are open.
        open: usize,
    },
    /// The server ends before all is done.
    CutOff {
        /// How many connections were open.
        open: usize,
        /// How many receives are not printed.
        unprinted: usize,
    },
    /// Lines of this log that nobody read.
    Unread {
        /// How many.
        lines: u64,
    },
    /// What was done.
    Summary(&'a Summary),
    /// The server ends because something failed.
    Failed {
        /// What, and what to do about it.
        message: &'a str,
    },
}

/// The value of a field.
enum Value<'a> {
    Text(&'a dyn fmt::Display),
    Count(u64),
    Seconds(f64),
    Texts(&'a [SocketAddr]),
}

impl Event<'_> {
    fn name_and_level(&self) -> (&'static str, &'static str) {
        match self {
            Event::Listening { .. } => ("listening", "info"),
            Event::NoControl { .. } => ("no-control", "warning"),
            Event::Full { .. } => ("full", "warning"),
            Event::RoomAgain => ("room-again", "info"),
            Event::Starved { .. } => ("starved", "warning"),
            Event::ShortageOver => ("shortage-over", "info"),
            Event::Away(_) => ("away", "warning"),
            Event::Opened { .. } => ("opened", "info"),
            Event::Closed { .. } => ("closed", "info"),
            Event::Draining { .. } => ("draining", "info"),
            Event::CutOff { .. } => ("cut-off", "warning"),
            Event::Unread { .. } => ("unread", "warning"),
            Event::Summary(_) => ("summary", "info"),
            Event::Failed { .. } => ("failed", "error"),
        }
    }

    fn fields(&self, mut field: impl FnMut(&str, Value<'_>)) {
        use Value::{Count, Seconds, Text, Texts};
        match self {
            Event::Listening {
                addresses,
                mode,
                engine,
                why,
                workers,
                concurrency,
                ports,
                descriptors,
            } => {
                field("addresses", Texts(addresses));
                field("mode", Text(mode));
                field("engine", Text(engine));
                field("engine_because", Text(why));
                field("workers", Count(*workers as u64));
                field("concurrency", Count(*concurrency as u64));
                field("ports", Count(*ports as u64));
                if let Some(descriptors) = descriptors {
                    field("descriptors", Count(*descriptors));
                }
            }
            Event::Full { most } => field("connections", Count(*most as u64)),
            Event::Unread { lines } => field("lines", Count(*lines)),
            Event::RoomAgain | Event::ShortageOver | Event::NoControl { .. } => {}
            Event::Starved { error, open } => {
                field("error", Text(error));
                field("connections", Count(*open as u64));
            }
            Event::Away(away) => {
                field("worker", Text(&away.name));
                field("thread", Count(away.thread.try_into().unwrap_or_default()));
                field("seconds", Seconds(away.at_least.as_secs_f64()));
                field("doing", Text(&away.doing));
            }
            Event::Opened { id, peer } => {
                field("connection", Count(*id));
                field("peer", Text(&Peer(*peer)));
            }
            Event::Closed { connection, why } => {
                field("connection", Count(connection.id()));
                field("peer", Text(&Peer(connection.peer())));
                field("received", Count(connection.received()));
                field("sent", Count(connection.sent()));
                field("why", Text(why));
            }
            Event::Draining { signal, open } => {
                field("signal", Text(signal));
                field("connections", Count(*open as u64));
            }
            Event::CutOff { open, unprinted } => {
                field("connections", Count(*open as u64));
                field("unprinted", Count(*unprinted as u64));
            }
            Event::Summary(summary) => {
                field("connections", Count(summary.connections));
                field("peak", Count(summary.peak as u64));
                field("received", Count(summary.received));
                field("sent", Count(summary.sent));
                field("packets", Count(summary.packets));
                field("seconds", Seconds(summary.duration.as_secs_f64()));
            }
            Event::Failed { .. } => {}
        }
    }
}

struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => peer.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// The sentence.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Listening {
                addresses,
                mode,
                engine,
                why,
                workers,
                concurrency,
                ports,
                descriptors,
            } => {
                f.write_str("listening on ")?;
                for (index, address) in addresses.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{address}")?;
                }
                write!(
                    f,
                    "; mode {mode}; engine {engine} ({why}); ports {ports}, each with \
                     workers {workers}, concurrency {concurrency}"
                )?;
                if let Some(descriptors) = descriptors {
                    write!(f, "; descriptors {descriptors}")?;
                }
                Ok(())
            }
            Event::NoControl { why } => {
                write!(f, "{why}; so `overlapped top` cannot attach")
            }
            Event::Full { most } => write!(
                f,
                "{} open, which is the limit (--max-connections); further ones wait until others \
                 close",
                Counted(*most as u64, "connection")
            ),
            Event::RoomAgain => f.write_str("there is room for connections again"),
            Event::Starved { error, open } => write!(
                f,
                "cannot accept, with {} open: {error}; accepting pauses and is tried again every \
                 second and whenever a connection closes",
                Counted(*open as u64, "connection")
            ),
            Event::ShortageOver => f.write_str("accepting works again"),
            Event::Away(away) => away.fmt(f),
            Event::Opened { id, peer } => write!(f, "connection {id} from {}", Peer(*peer)),
            Event::Closed { connection, why } => write!(
                f,
                "connection {} from {} closed, {why}; received {}, sent {}",
                connection.id(),
                Peer(connection.peer()),
                Counted(connection.received(), "byte"),
                Counted(connection.sent(), "byte")
            ),
            Event::Draining { signal, open } => write!(
                f,
                "got {signal}: accepting no more, finishing {} (again to end at once)",
                Counted(*open as u64, "connection")
            ),
            Event::CutOff { open, unprinted } => write!(
                f,
                "not finished in time: cut off {}, {} not printed",
                Counted(*open as u64, "connection"),
                Counted(*unprinted as u64, "receive")
            ),
            Event::Unread { lines } => write!(
                f,
                "{} of this log left out, because standard error was not read",
                Counted(*lines, "line")
            ),
            Event::Summary(summary) => summary.fmt(f),
            Event::Failed { message } => f.write_str(message),
        }
    }
}

/// The line for an event that happens now.
pub fn line(event: &Event<'_>, format: Format) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let time = Time {
        seconds: now.as_secs(),
        millis: now.subsec_millis(),
    };
    let mut line = match format {
        Format::Text => text(event, time),
        Format::Json => json(event, time),
    };
    line.push('\n');
    line
}

fn text(event: &Event<'_>, time: Time) -> String {
    let (_, level) = event.name_and_level();
    // What is told may quote an argument; it must stay one line.
    let sentence = event.to_string().replace(char::is_control, "?");
    format!("{time} {level}: {sentence}")
}

fn json(event: &Event<'_>, time: Time) -> String {
    let (name, level) = event.name_and_level();
    let mut line = String::from("{");
    member(&mut line, "time", &time);
    line.push(',');
    member(&mut line, "level", &level);
    line.push(',');
    member(&mut line, "event", &name);
    event.fields(|name, value| {
        line.push(',');
        // Writing to a string cannot fail.
        let _ = match value {
            Value::Text(text) => {
                member(&mut line, name, text);
                Ok(())
            }
            Value::Count(count) => write!(line, "\"{name}\":{count}"),
            Value::Seconds(seconds) => write!(line, "\"{name}\":{seconds:.6}"),
            Value::Texts(texts) => {
                let _ = write!(line, "\"{name}\":[");
                for (index, text) in texts.iter().enumerate() {
                    line.push_str(if index == 0 { "" } else { "," });
                    quote(&mut line, &text.to_string());
                }
                line.write_str("]")
            }
        };
    });
    line.push(',');
    member(&mut line, "message", event);
    line.push('}');
    line
}

fn member(line: &mut String, name: &str, value: &dyn fmt::Display) {
    quote(line, name);
    line.push(':');
    quote(line, &value.to_string());
}

fn quote(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            control if control.is_control() => {
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

/// A time of the common calendar, UTC.
#[derive(Clone, Copy)]
struct Time {
    /// Since 1970.
    seconds: u64,
    millis: u32,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds / 86_400, self.seconds % 86_400);
        // Years that begin in March have their leap day at the end; 1970-01-01 is day 719468 of
        // such a calendar, whose eras of 400 years have 146097 days each.
        let day = days + 719_468;
        let (era, day_of_era) = (day / 146_097, day % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        write!(
            f,
            "{year:04}-{month:02}-{day_of_month:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.millis
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64) -> String {
        Time { seconds, millis: 7 }.to_string()
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(time(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(time(951_868_799), "2000-02-29T23:59:59.007Z");
        assert_eq!(time(951_868_800), "2000-03-01T00:00:00.007Z");
        assert_eq!(time(1_709_164_800), "2024-02-29T00:00:00.007Z");
        assert_eq!(time(1_735_689_599), "2024-12-31T23:59:59.007Z");
        assert_eq!(time(4_107_542_400), "2100-03-01T00:00:00.007Z");
    }

    #[test]
    fn json_survives_any_text() {
        let message = "quote \" backslash \\ newline \n nul \0 é \u{9b}";
        let line = json(
            &Event::Failed { message },
            Time {
                seconds: 0,
                millis: 0,
            },
        );
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], message);
        assert_eq!(value["level"], "error");
        assert!(!line.contains('\n'));
    }

    #[test]
    fn text_is_one_line() {
        let message = "two\nlines\x1b[2J";
        let line = text(
            &Event::Failed { message },
            Time {
                seconds: 0,
                millis: 0,
            },
        );
        assert_eq!(line, "1970-01-01T00:00:00.000Z error: two?lines?[2J");
    }
}
