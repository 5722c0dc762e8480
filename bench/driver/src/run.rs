//! One run of one server under one load.

use std::path::Path;
use std::time::{Duration, Instant};

use load::job::{Job, Mix, Share};
use load::report::{MEASURED, MEASURING, Open, Report};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::child::{Children, Id};
use crate::cli::Options;
use crate::counters::{Counters, Peak, Spent, machine_busy_s};
use crate::plan::{Point, Variant};

/// A run and its place in the comparison.
#[derive(Serialize, Deserialize)]
pub struct Row {
    pub seed: u64,
    pub round: usize,
    /// Place in the shuffled order of its round and load point.
    pub turn: usize,
    pub variant: String,
    pub command: String,
    /// How many runs before this one were thrown away, since their load was late.
    #[serde(default)]
    pub thrown_away: u32,
    #[serde(flatten)]
    pub measured: Measured,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Measured {
    pub load: Report,
    pub server: Spent,
    /// CPU seconds of everything on the machine but the server and the load generator.
    pub others_cpu_s: f64,
    /// Of a server whose handlers have jobs.
    #[serde(default)]
    pub handlers: Option<Handlers>,
    /// How often a worker of the server was woken, per request, if the server counts that.
    #[serde(default)]
    pub wakes: Option<f64>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Handlers {
    /// The most threads the server was seen to have.
    pub threads: usize,
    /// How often a wait for the database was interrupted.
    pub interrupted: u64,
}

impl Measured {
    /// CPU time of the server per request in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.server.cpu_ns as f64 / 1e3 / self.load.requests as f64
    }

    /// Context switches of the server per request.
    pub fn switches(&self) -> f64 {
        (self.server.voluntary + self.server.involuntary) as f64 / self.load.requests as f64
    }

    /// What the open loop had to add; only for points that are one.
    pub fn open(&self) -> &Open {
        self.load.open.as_ref().expect("the load of an open loop")
    }

    pub fn is_at(&self, point: Point) -> bool {
        let Report {
            connections,
            size,
            depth,
            churn,
            ..
        } = self.load;
        let mix = self.load.open.as_ref().map(|open| open.mix);
        Point {
            connections,
            size,
            depth,
            churn,
            mix,
        } == point
    }
}

const MOST_THROWN_AWAY: u32 = 10;

/// Whether the server starts, listens and ends as it should.
pub fn runs(directory: &Path, variant: &Variant) -> bool {
    let trial = || {
        let mut children = Children::new(Instant::now() + Duration::from_secs(5));
        let server = children.start(directory, &variant.command)?;
        children.line(server)?;
        children.end(server)
    };
    let outcome = trial();
    if let Err(error) = &outcome {
        eprintln!("compare: {} is left out: {error}", variant.name);
    }
    outcome.is_ok()
}

/// [`run`], again and again while the load is later than is wanted, but not for ever; how often that
/// was so. On a machine that others use too, a generator that cannot keep its own time says so of
/// everybody's.
pub fn run_on_time(
    options: &Options,
    directory: &Path,
    variant: &Variant,
    point: Point,
    seed: u64,
) -> Result<(Measured, u32)> {
    let mut thrown_away = 0;
    loop {
        let measured = run(options, directory, variant, point, seed)?;
        let late = options
            .on_time
            .is_some_and(|most| measured.open().late_p99_us > most);
        if !late || thrown_away == MOST_THROWN_AWAY {
            return Ok((measured, thrown_away));
        }
        thrown_away += 1;
    }
}

/// Starts the server and the load generator, and reads the server's counters at both ends of the
/// measured window, where no request is in flight. The load is a function of `seed`.
fn run(
    options: &Options,
    directory: &Path,
    variant: &Variant,
    point: Point,
    seed: u64,
) -> Result<Measured> {
    let deadline = Instant::now() + Duration::from_secs_f64(options.limit);
    let mut children = Children::new(deadline);
    let mut command = variant.command.clone();
    let database = match point.mix {
        Some(Mix { job, share, .. }) if job == Job::Database && share != Share::NONE => {
            let (database, address) = listening(&mut children, directory, &["database"])?;
            command.extend(["--database".to_owned(), address]);
            Some(database)
        }
        _ => None,
    };
    let (server, address) = listening(&mut children, directory, &command)?;

    let mut command = vec!["load".to_owned(), address, "--handshake".to_owned()];
    for (option, value) in [
        ("--connections", point.connections.to_string()),
        ("--size", point.size.to_string()),
        ("--depth", point.depth.to_string()),
        ("--seconds", options.seconds.to_string()),
        ("--warmup", options.warmup.to_string()),
        ("--seed", seed.to_string()),
    ] {
        command.extend([option.to_owned(), value]);
    }
    if let Some(Mix { rate, job, share }) = point.mix {
        for (option, value) in [
            ("--rate", rate.to_string()),
            ("--job", job.to_string()),
            ("--percent", share.to_string()),
        ] {
            command.extend([option.to_owned(), value]);
        }
    }
    if point.churn {
        command.push("--churn".to_owned());
    }
    if options.awake {
        command.push("--awake".to_owned());
    }
    if options.urgent {
        command.push("--urgent".to_owned());
    }
    let load = children.start(directory, &command)?;

    let pid = children.pid(server);
    let counters = || Counters::read_at_rest(pid).map_err(|error| format!("counters: {error}"));
    let busy = || machine_busy_s().map_err(|error| format!("/proc/stat: {error}"));

    expect(&mut children, load, MEASURING)?;
    let before = counters()?;
    let busy_before = busy()?;
    let peak = point.mix.map(|_| Peak::watch(pid));
    children.nudge(load)?;

    expect(&mut children, load, MEASURED)?;
    let threads = peak.map(Peak::most);
    let busy_after = busy()?;
    let after = counters()?;
    children.nudge(load)?;

    let report = children.line(load)?;
    let report: Report =
        serde_json::from_str(&report).map_err(|error| format!("load: {report:?}: {error}"))?;
    children.end(load)?;
    let said = children.farewell(server)?;
    let handlers = match (&report.open, threads) {
        (Some(open), Some(threads)) => Some(Handlers {
            threads,
            interrupted: handled(&said, open.jobs)?,
        }),
        _ => None,
    };
    children.end(server)?;
    if let Some(database) = database {
        children.end(database)?;
    }
    if report.requests == 0 {
        return Err("not one request was answered".to_owned());
    }
    let spent = after.since(&before);
    let accounted = spent.cpu_ns as f64 / 1e9 + report.cpu_s;
    let others_cpu_s = (busy_after - busy_before - accounted).max(0.0);
    Ok(Measured {
        load: report,
        server: spent,
        others_cpu_s,
        handlers,
        wakes: wakes(&said),
    })
}

/// Starts a server and says where it is.
fn listening<S: AsRef<str>>(
    children: &mut Children,
    directory: &Path,
    command: &[S],
) -> Result<(Id, String)> {
    let server = children.start(directory, command)?;
    let announcement = children.line(server)?;
    let address = announcement
        .strip_prefix("listening ")
        .ok_or_else(|| format!("expected `listening ADDRESS:PORT`, got {announcement:?}"))?;
    Ok((server, address.to_owned()))
}

/// Whether the server says that it has done as many jobs as it was asked for; how often a wait was
/// interrupted.
fn handled(said: &[String], jobs: u64) -> Result<u64> {
    let numbers = said.iter().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["performed", performed, "interrupted", interrupted] => {
                performed.parse::<u64>().ok().zip(interrupted.parse().ok())
            }
            _ => None,
        }
    });
    match numbers {
        Some((performed, interrupted)) if performed == jobs => Ok(interrupted),
        Some((performed, _)) => Err(format!("{jobs} jobs were asked for, {performed} were done")),
        None => Err(format!(
            "an open loop needs a server with --handler, which says what was performed; this one \
             said {said:?}"
        )),
    }
}

/// How often a worker was woken, per request, since the server began.
fn wakes(said: &[String]) -> Option<f64> {
    said.iter().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["wakes", wakes, "requests", requests] => {
                Some(wakes.parse::<f64>().ok()? / requests.parse::<f64>().ok()?.max(1.0))
            }
            _ => None,
        }
    })
}

fn expect(children: &mut Children, load: Id, word: &str) -> Result<()> {
    let line = children.line(load)?;
    match line == word {
        true => Ok(()),
        false => Err(format!("load: expected `{word}`, got {line:?}")),
    }
}
