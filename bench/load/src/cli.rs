//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::prelude::*;
use load::job::{Job, MESSAGE, Mix, Share};

pub const HELP: &str = "\
Echo load generator for loopback TCP. Checks every byte that comes back.

usage: load ADDRESS:PORT [options]

  --connections N   connections open at the same time [1]
  --size S          bytes per message [64]
  --depth D         messages in flight per connection [1]
  --seconds T       length of the measured window [1]
  --warmup T        time under load before it [0.3]
  --churn           each request is a connection: connect, one echo, orderly close
  --rate R          an open loop: so many requests per second over all connections, at random
                    times that do not depend on the answers. A request takes an idle connection
                    or waits for one; how long it takes is counted from when it was due
  --job JOB         what marked requests ask of their server's handler in an open loop: sleep,
                    database, disk or compute [sleep]. The latencies are those of the others
  --percent P       how many are marked [0]
  --awake           looks for answers all the time instead of sleeping until some come, so that
                    no server pays for waking its client
  --urgent          goes before everything else on the processor (SCHED_FIFO, if the system lets
                    it), so that an open loop is not late because its server is busy
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
    /// The load of an open loop.
    pub mix: Option<Mix>,
    pub awake: bool,
    pub urgent: bool,
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
        mix: None,
        awake: false,
        urgent: false,
        stall: Duration::from_secs(5),
        seed: 1,
        handshake: false,
    };
    let (mut rate, mut job, mut share) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("connections") => options.connections = parser.value()?.parse()?,
            Long("size") => options.size = parser.value()?.parse()?,
            Long("depth") => options.depth = parser.value()?.parse()?,
            Long("seconds") => options.seconds = seconds(&mut parser)?,
            Long("warmup") => options.warmup = seconds(&mut parser)?,
            Long("churn") => options.churn = true,
            Long("rate") => rate = Some(parser.value()?.parse()?),
            Long("job") => {
                let name = parser.value()?.string()?;
                job = Some(Job::named(&name).ok_or_else(|| format!("there is no job {name}"))?);
            }
            Long("percent") => {
                let text = parser.value()?.string()?;
                let found = Share::percent(&text);
                share = Some(found.ok_or_else(|| format!("--percent {text}: from 0 to 100"))?);
            }
            Long("awake") => options.awake = true,
            Long("urgent") => options.urgent = true,
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
    options.mix = match rate {
        Some(0) => return Err("--rate must be at least 1".into()),
        Some(_) if options.churn || options.depth != 1 || options.size != MESSAGE => {
            let refusal = "an open loop has messages of 64 bytes, one in flight per connection: \
                           --size, --depth and --churn have no place in it";
            return Err(refusal.into());
        }
        Some(rate) => Some(Mix {
            rate,
            job: job.unwrap_or(Job::Sleep),
            share: share.unwrap_or(Share::NONE),
        }),
        None if job.is_some() || share.is_some() => {
            return Err("--job and --percent belong to an open loop: give --rate".into());
        }
        None => None,
    };
    if options.urgent && (options.awake || options.mix.is_none()) {
        return Err("--urgent is for an open loop that sleeps: give --rate and not --awake".into());
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
