//! The command line.
//!
//! The comments on fields and values below are the text of `--help` and of the man page.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "in the help, [::] is an address"
)]

use std::ffi::OsString;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use overlapped::Engine;

use crate::listen;
use crate::log::Format;
use crate::server::Mode;

/// A TCP server on an I/O completion port: it accepts connections and prints, echoes or discards
/// what arrives
///
/// Without a subcommand it serves. What clients send goes to standard output, what the server has
/// to say about itself to standard error.
///
/// Standard output gets exactly the bytes that were received, those of each connection in order, if
/// it is a pipe or a file. On a terminal everything that could drive the terminal is shown as \xNN,
/// so that a client cannot do that.
///
/// No client can hold up another one, and none costs more than a bounded amount of memory: each has
/// one operation that goes round. A client that does not read what is echoed to it is not read
/// from; when standard output is slow, nothing is received from the clients whose bytes wait for
/// it.
#[derive(Debug, Parser)]
#[command(
    name = "overlapped",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    after_long_help = AFTER
)]
pub struct Cli {
    /// What to do; to serve, if nothing is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of serving.
    #[command(flatten)]
    pub serve: ServeArgs,
}

impl Cli {
    /// Reads a command line.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or the text that it asked for.
    pub fn read<W>(words: impl IntoIterator<Item = W>) -> Result<Self, clap::Error>
    where
        W: Into<OsString> + Clone,
    {
        let cli = Self::try_parse_from(words)?;
        let serve = match &cli.command {
            Some(Command::Serve(serve)) => serve,
            _ => &cli.serve,
        };
        if serve.prefix && serve.mode != ModeArg::Print {
            return Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                "--prefix is for lines that are printed: use it with --mode print",
            ));
        }
        Ok(cli)
    }
}

const AFTER: &str = "\
Ending:
  SIGINT or SIGTERM: no more connections are accepted; those that are open are closed as soon as \
they are quiet, after 5 seconds in any case; a line on standard error says what was done, and the \
exit code is 0. A second signal ends the server at once, with 130 or 143.

  When the reader of standard output goes away (overlapped | head -1), or it cannot be written, \
the server says so and ends with exit code 1, since what it received would be lost.

Exit codes:
  0  ended by a signal, all done
  1  it could not serve, or could not go on
  2  the command line is wrong

Examples:
  overlapped
      Prints what arrives on 127.0.0.1:4567.
  overlapped --listen 0.0.0.0:4567 --listen [::]:4567 --prefix
      On all interfaces; each line begins with the client's address.
  overlapped serve --mode echo --idle-timeout 5m --max-connections 10000
      Echoes, and closes connections without traffic.
  overlapped top
      Shows what the server that runs on this machine does.
  overlapped top --attach 1234 --interval 10s >> log
      Appends a few lines every ten seconds.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve; this is also what happens without a subcommand
    Serve(ServeArgs),
    /// Show what a running server does, live
    #[cfg(unix)]
    Top(TopArgs),
    /// Print the man page, in roff: overlapped man > overlapped.1
    Man,
}

/// What to show.
///
/// On a terminal it shows the server until it is interrupted, and otherwise once, unless an interval is
/// given. Rates are those since the last look; at the first, since the server began.
#[cfg(unix)]
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// The server: its process, or the path of its control socket [default: the only one that runs]
    #[arg(long, value_name = "PATH|PID")]
    pub attach: Option<String>,

    /// How often to look [default: 1s on a terminal, once otherwise]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub interval: Option<Duration>,
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Where to listen; may be given several times
    ///
    /// HOST:PORT, with the address or name of a host. 0.0.0.0:4567 listens on all IPv4 interfaces,
    /// [::]:4567 on all IPv6 interfaces. With port 0 the system chooses one; the first line of the
    /// log tells which.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4567", value_parser = address)]
    pub listen: Vec<String>,

    /// What to do with what arrives
    #[arg(long, value_enum, default_value_t = ModeArg::Print)]
    pub mode: ModeArg,

    /// Print whole lines, each beginning with its client's address
    ///
    /// So lines of several connections are never mixed within a line. A line is printed when it is
    /// complete or its connection ends; one that is longer than 64 KiB is printed in parts, each a
    /// line with the prefix. Only in print mode.
    #[arg(long)]
    pub prefix: bool,

    /// How many connections there may be at once [default: no limit]
    ///
    /// When there are as many, the server stops accepting until one closes; further clients wait
    /// in the system's backlog.
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub max_connections: Option<usize>,

    /// Close connections without traffic for this long [default: never]
    ///
    /// In seconds, or with a unit: 500ms, 30s, 5m, 1h30m, 2d. A connection that waits only for our
    /// standard output is not idle.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub idle_timeout: Option<Duration>,

    /// How many threads may be active at once, at each port; 0 for as many as the machine runs
    ///
    /// The completion port's concurrency value. 0 is the number of processors that this process
    /// may use, divided by the number of ports, and at least 1.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = some_or_zero,
        allow_negative_numbers = true
    )]
    pub concurrency: usize,

    /// How many threads there may be, at each port [default: twice the concurrency]
    ///
    /// Those beyond the concurrency value replace threads that block. One of them waits in reserve,
    /// and sleeps; the others are started when it is used, and end when they are not. This server's
    /// hardly ever block, so one for each active one is plenty.
    #[arg(long, value_name = "N", value_parser = some, allow_negative_numbers = true)]
    pub workers: Option<usize>,

    /// How many completion ports to use
    ///
    /// Each has listeners and workers of its own, and the system spreads the connections over them
    /// (SO_REUSEPORT). One port feeds a handful of processors; more than one are for machines with
    /// many.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = some, allow_negative_numbers = true)]
    pub ports: usize,

    /// How operations are performed [default: epoll, or what OVERLAPPED_ENGINE names]
    #[arg(long, value_enum)]
    pub engine: Option<EngineArg>,

    /// Where `overlapped top` can attach: a path, or none
    ///
    /// A Unix socket that only this user can use. By default it is PID.sock in the directory
    /// overlapped of $XDG_RUNTIME_DIR, or else in /tmp/overlapped-UID. One that a server left behind
    /// is replaced.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH|none")]
    pub control: Option<PathBuf>,

    /// What the log on standard error looks like
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    pub log_format: FormatArg,

    /// Also log each connection, when it opens and when it closes
    #[arg(long, short)]
    pub verbose: bool,
}

/// The choices of `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Print it on standard output
    Print,
    /// Send it back; when a client has finished sending, it gets the rest and is disconnected
    Echo,
    /// Receive and count it
    Discard,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Print => Mode::Print,
            ModeArg::Echo => Mode::Echo,
            ModeArg::Discard => Mode::Discard,
        }
    }
}

/// The choices of `--engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// One edge-triggered epoll for each port, and calls that never wait
    Epoll,
    /// io_uring, with one worker for each port; refused where the system has none (Linux 6.1)
    Uring,
    /// The same, or epoll where the system has none
    UringOrEpoll,
}

impl From<EngineArg> for Engine {
    fn from(engine: EngineArg) -> Self {
        match engine {
            EngineArg::Epoll => Engine::Auto,
            EngineArg::Uring => Engine::Uring,
            EngineArg::UringOrEpoll => Engine::UringOrEpoll,
        }
    }
}

impl ServeArgs {
    /// The engine that was asked for, by option or environment.
    ///
    /// # Errors
    ///
    /// One line, for an engine that does not exist.
    pub fn engine(&self) -> Result<Engine, String> {
        match (self.engine, std::env::var("OVERLAPPED_ENGINE")) {
            (Some(engine), _) => Ok(engine.into()),
            (None, Err(_)) => Ok(Engine::Auto),
            (None, Ok(name)) => EngineArg::from_str(&name, false)
                .map(Engine::from)
                .map_err(|_| {
                    format!(
                        "OVERLAPPED_ENGINE is {name:?}; set it to epoll, uring or uring-or-epoll, \
                         or use --engine"
                    )
                }),
        }
    }
}

/// The choices of `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// A sentence for each event
    Text,
    /// A JSON object for each event
    Json,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Text => Format::Text,
            FormatArg::Json => Format::Json,
        }
    }
}

/// Makes one line of clap's several: what is wrong and what to do.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut line = String::new();
    for part in text.lines().map(str::trim) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            break;
        }
        if part.is_empty() {
            continue;
        }
        let part = part.strip_prefix("error: ").unwrap_or(part);
        let part = part.strip_prefix("tip: ").unwrap_or(part);
        let separator = match () {
            () if line.is_empty() => "",
            () if line.ends_with(':') => " ",
            () => "; ",
        };
        line.push_str(separator);
        line.push_str(part);
    }
    line.push_str("; see overlapped --help");
    line
}

fn address(text: &str) -> Result<String, String> {
    listen::check(text).map(|()| text.to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    match count_or_zero(text)? {
        0 => Err("it must be at least 1".to_owned()),
        count => Ok(count),
    }
}

/// More threads, or ports with threads, than that are a slip of the keyboard on any machine.
const SOME: usize = 4096;

fn some(text: &str) -> Result<usize, String> {
    count(text).and_then(at_most_some)
}

fn some_or_zero(text: &str) -> Result<usize, String> {
    count_or_zero(text).and_then(at_most_some)
}

fn at_most_some(count: usize) -> Result<usize, String> {
    match count {
        0..=SOME => Ok(count),
        _ => Err(format!("it must be at most {SOME}")),
    }
}

fn count_or_zero(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "it must be a whole number, and not a negative one".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "write seconds, or a number with a unit: 500ms, 30s, 5m, 1h30m, 2d";
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(FORM.to_owned());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let number: u32 = number.parse().map_err(|_| FORM.to_owned())?;
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            // Only alone: "5m30" would leave open what 30 are.
            "" if digits == text.trim().len() => Duration::from_secs(1),
            "m" | "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(86_400),
            _ => return Err(FORM.to_owned()),
        };
        total = unit
            .checked_mul(number)
            .and_then(|part| total.checked_add(part))
            .ok_or("that is too long")?;
        rest = next;
    }
    if total.is_zero() {
        return Err("it must be more than nothing; leave the option out for no time-out".into());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, String> {
        Cli::read([&["overlapped"], words].concat()).map_err(|error| one_line(&error))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_mean_the_same_with_and_without_the_subcommand() {
        for words in [
            &["--mode", "echo", "--verbose"][..],
            &["serve", "--mode", "echo", "--verbose"],
        ] {
            let cli = parse(words).unwrap();
            let serve = match cli.command {
                Some(Command::Serve(serve)) => serve,
                _ => cli.serve,
            };
            assert_eq!(serve.mode, ModeArg::Echo);
            assert!(serve.verbose);
            assert_eq!(serve.listen, ["127.0.0.1:4567"]);
        }
    }

    #[test]
    fn times_may_have_units() {
        for (text, seconds) in [("30", 30.0), ("30s", 30.0), ("5m", 300.0), ("500ms", 0.5)] {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)));
        }
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for bad in [
            "",
            "0",
            "0s",
            "s",
            "5x",
            "-1",
            "1.5",
            "5m30",
            "99999999999",
            "1d x",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        let longest = Duration::from_secs(u64::from(u32::MAX) * 86_400);
        assert_eq!(duration("4294967295d"), Ok(longest));
    }

    #[test]
    fn errors_are_one_line_that_says_what_to_do() {
        for (words, says) in [
            (&["--listn", "x"][..], "--listen"),
            (&["--mode", "ecco"], "a similar value exists: 'echo'"),
            (&["--engine", "iocp"], "possible values: epoll, uring"),
            (&["--listen", "127.0.0.1"], "it has no port"),
            (&["--workers", "0"], "at least 1"),
            (&["--ports", "many"], "whole number"),
            (&["--idle-timeout", "soon"], "500ms"),
            (&["sreve"], "serve"),
            (&["--concurrency", "-1"], "--concurrency"),
            (&["--concurrency", "9223372036854775808"], "at most 4096"),
            (&["--workers", "1000000"], "at most 4096"),
            (&["--ports", "5000"], "at most 4096"),
            (&["--mode", "echo", "--prefix"], "--mode print"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(says), "{words:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
