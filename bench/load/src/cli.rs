//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::prelude::*;

pub const HELP: &str = "\
Closed-loop echo load generator for loopback TCP. Checks every byte that comes back.

usage: load ADDRESS:PORT [options]

  --connections N   connections open at the same time [1]
  --size S          bytes per message [64]
  --depth D         messages in flight per connection [1]
  --seconds T       length of the measured window [1]
  --warmup T        time under load before it [0.3]
  --churn           each request is a connection: connect, one echo, orderly close
  --awake           looks for answers all the time instead of sleeping until some come, so that
                    no server pays for waking its client
  --stall T         give up when nothing arrives for this long [5]
  --seed N          seed of the byte pattern [1]
  --handshake       after `measuring` and after `measured` wait for a line on stdin, so that
                    somebody else can read the server's counters while it is idle

Prints `measuring`, `measured` and one line of JSON. A wrong, missing or surplus byte is an error.
";

pub struct Options {
    pub address: SocketAddr,
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
    pub seconds: Duration,
    pub warmup: Duration,
    pub churn: bool,
    pub awake: bool,
    pub stall: Duration,
    pub seed: u64,
    pub handshake: bool,
}

/// `None` when only help was asked for.
pub fn parse() -> Result<Option<Options>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut address: Option<SocketAddr> = None;
    let mut options = Options {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        connections: 1,
        size: 64,
        depth: 1,
        seconds: Duration::from_secs(1),
        warmup: Duration::from_millis(300),
        churn: false,
        awake: false,
        stall: Duration::from_secs(5),
        seed: 1,
        handshake: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("connections") => options.connections = parser.value()?.parse()?,
            Long("size") => options.size = parser.value()?.parse()?,
            Long("depth") => options.depth = parser.value()?.parse()?,
            Long("seconds") => options.seconds = seconds(&mut parser)?,
            Long("warmup") => options.warmup = seconds(&mut parser)?,
            Long("churn") => options.churn = true,
            Long("awake") => options.awake = true,
            Long("stall") => options.stall = seconds(&mut parser)?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("handshake") => options.handshake = true,
            Long("help") | Short('h') => return Ok(None),
            Value(value) if address.is_none() => address = Some(value.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    options.address = address.ok_or("the address of the server is missing (see --help)")?;
    if !options.address.ip().is_loopback() {
        let refusal = "is not a loopback address: this tool puts a machine under full load and \
                       only ever talks to its own";
        return Err(format!("{} {refusal}", options.address).into());
    }
    if options.connections == 0 || options.size == 0 || options.depth == 0 {
        return Err("--connections, --size and --depth must be at least 1".into());
    }
    if options.churn && options.depth != 1 {
        return Err("--churn sends one message per connection: --depth must be 1".into());
    }
    if options.seconds.is_zero() || options.stall.is_zero() {
        return Err("--seconds and --stall must be more than 0".into());
    }
    Ok(Some(options))
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    let value: f64 = parser.value()?.parse()?;
    Duration::try_from_secs_f64(value).map_err(|error| format!("{value} seconds: {error}").into())
}
