//! The command line.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use lexopt::prelude::*;
use load::job::{Job, Share};

use crate::plan::{Matrix, Point, Preset, Variant, servers_named};
use crate::run::runs;

pub const HELP: &str = "\
Compares echo servers in interleaved rounds and prints a Markdown table of paired ratios.

usage: compare --preset NAME [options]
       compare --variant NAME='PROGRAM ARGUMENTS' --variant ... [options]

  --preset NAME       echo64, pipeline, bulk or churn: the usual servers and a set of loads;
                      exclusive: servers with one thread, and a bit of all loads;
                      blocking: an open loop, and handlers that block or compute;
                      fairness: many connections, those servers
  --servers NAME      usual, exclusive, blocking or fairness: these servers instead of the
                      preset's
  --variant NAME=CMD  one more server; a program without a slash is looked for beside `compare`
  --only NAME,...     of all these, only the named ones [those that run]
  --baseline NAME     what the others are compared with [the first one]
  --connections N,... [100, or the preset's]
  --sizes S,...       bytes per message [64, or the preset's]
  --depths D,...      messages in flight per connection [1, or the preset's]; always 1 where
                      each message has a connection
  --rate R            requests per second of an open loop [20000]
  --jobs J,...        of the preset's open loops, only those with these jobs: sleep, database,
                      disk, compute
  --percents P,...    how many requests of an open loop have a job [0, 0.1, 1 and 5]
  --churn             a connection per message
  --awake             the load generator never sleeps, so no server pays for waking it
  --urgent            the load generator of an open loop goes before the servers on the processor
  --on-time MS        a run whose load generator was itself later than this (p99) is made again, up
                      to ten times: somebody else had the machine
  --rounds R          [15]
  --seconds T         measured time of a run [1]
  --warmup T          time under load before it [0.3]
  --limit T           longest time a run may take altogether [30]
  --seed N            of the order of the runs and of the bootstrap [from the clock]
  --out FILE          raw rows, one JSON object per line [compare-rows.jsonl beside `compare`]
";

pub struct Options {
    pub variants: Vec<Variant>,
    /// Index into `variants`.
    pub baseline: usize,
    pub points: Vec<Point>,
    pub awake: bool,
    pub urgent: bool,
    /// Microseconds.
    pub on_time: Option<f64>,
    pub rounds: usize,
    pub seconds: f64,
    pub warmup: f64,
    pub limit: f64,
    pub seed: u64,
    pub out: Option<PathBuf>,
}

/// `None` when only help was asked for. The programs are in `directory`.
pub fn parse(directory: &Path) -> Result<Option<Options>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut preset: Option<Preset> = None;
    let mut servers = None;
    let mut added = Vec::new();
    let mut only: Option<Vec<String>> = None;
    let mut baseline = None;
    let (mut connections, mut sizes, mut depths) = (None, None, None);
    let (mut rate, mut jobs, mut shares) = (None, None, None);
    let (mut churn, mut awake, mut urgent) = (false, false, false);
    let mut on_time: Option<f64> = None;
    let (mut rounds, mut seed, mut out) = (15, None, None);
    let (mut seconds, mut warmup, mut limit) = (1.0, 0.3, 30.0);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("preset") => {
                let name = parser.value()?.string()?;
                let found = Preset::named(&name);
                preset = Some(found.ok_or_else(|| format!("there is no preset {name}"))?);
            }
            Long("servers") => {
                let name = parser.value()?.string()?;
                let found = servers_named(&name);
                servers = Some(found.ok_or_else(|| format!("there are no servers {name}"))?);
            }
            Long("variant") => added.push(Variant::parse(&parser.value()?.string()?)?),
            Long("only") => {
                let names = parser.value()?.string()?;
                only = Some(names.split(',').map(str::to_owned).collect());
            }
            Long("baseline") => baseline = Some(parser.value()?.string()?),
            Long("connections") => connections = Some(counts(&mut parser)?),
            Long("sizes") => sizes = Some(counts(&mut parser)?),
            Long("depths") => depths = Some(counts(&mut parser)?),
            Long("rate") => rate = Some(parser.value()?.parse()?),
            Long("jobs") => jobs = Some(list(&mut parser, "a job", Job::named)?),
            Long("percents") => {
                shares = Some(list(&mut parser, "between 0 and 100", Share::percent)?);
            }
            Long("churn") => churn = true,
            Long("awake") => awake = true,
            Long("urgent") => urgent = true,
            Long("on-time") => on_time = Some(parser.value()?.parse()?),
            Long("rounds") => rounds = parser.value()?.parse()?,
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("warmup") => warmup = parser.value()?.parse()?,
            Long("limit") => limit = parser.value()?.parse()?,
            Long("seed") => seed = Some(parser.value()?.parse()?),
            Long("out") => out = Some(parser.value()?.into()),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }

    let (loads, usual) = match preset {
        Some(preset) => (preset.loads, preset.servers),
        None => (vec![Matrix::default()], Vec::new()),
    };
    let mut all = servers.unwrap_or(usual);
    all.append(&mut added);
    for (number, variant) in all.iter().enumerate() {
        if all[..number]
            .iter()
            .any(|earlier| earlier.name == variant.name)
        {
            return Err(format!("two variants are called {}", variant.name).into());
        }
    }
    if let Some(only) = only {
        if let Some(unknown) = only.iter().find(|name| position(&all, name).is_none()) {
            return Err(no_such_variant(unknown, &all).into());
        }
        all.retain(|variant| only.contains(&variant.name));
    } else {
        all.retain(|variant| !variant.is_own() || runs(directory, variant));
    }
    if all.is_empty() {
        return Err("nothing to compare: give --preset or --variant (see --help)".into());
    }
    let baseline = match baseline {
        None => 0,
        Some(name) => position(&all, &name).ok_or_else(|| no_such_variant(&name, &all))?,
    };

    let opens = loads.iter().any(|load| load.open.is_some());
    if opens && (churn || sizes.is_some() || depths.is_some()) {
        return Err("an open loop has neither --churn nor --sizes nor --depths".into());
    }
    if !opens && (rate.is_some() || jobs.is_some() || shares.is_some()) {
        return Err("--rate, --jobs and --percents belong to an open loop".into());
    }
    if urgent && (awake || !opens) {
        return Err("--urgent is for an open loop that sleeps, so not with --awake".into());
    }
    if on_time.is_some() && !opens {
        return Err("--on-time belongs to an open loop, which has a schedule".into());
    }
    if on_time.is_some_and(|most| most.is_nan() || most <= 0.0) {
        return Err("--on-time must be more than 0 ms".into());
    }
    if rate == Some(0) {
        return Err("--rate must be at least 1".into());
    }
    let one_each = churn || loads.iter().all(|load| load.churn);
    if one_each && depths.as_ref().is_some_and(|depths| depths != &[1]) {
        return Err("a churn run sends one message per connection: --depths must be 1".into());
    }
    let mut points: Vec<Point> = Vec::new();
    for mut load in loads {
        load.churn |= churn;
        load.connections = connections.clone().unwrap_or(load.connections);
        load.sizes = sizes.clone().unwrap_or(load.sizes);
        load.depths = match load.churn {
            true => vec![1],
            false => depths.clone().unwrap_or(load.depths),
        };
        if let Some(open) = &mut load.open {
            open.rate = rate.unwrap_or(open.rate);
            open.shares = shares.clone().unwrap_or(std::mem::take(&mut open.shares));
            if let Some(jobs) = &jobs {
                open.jobs.retain(|job| jobs.contains(job));
            }
        }
        for point in load.points() {
            if !points.contains(&point) {
                points.push(point);
            }
        }
    }
    if points.is_empty() {
        return Err("no load of the preset has one of these --jobs".into());
    }
    if rounds == 0 {
        return Err("--rounds must be at least 1".into());
    }
    for (name, value, least) in [
        ("seconds", seconds, 0.01),
        ("warmup", warmup, 0.0),
        ("limit", limit, seconds + warmup),
    ] {
        if !(least..=86400.0).contains(&value) {
            return Err(format!("--{name} must be at least {least}").into());
        }
    }
    let seed = seed.unwrap_or_else(|| {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        now.as_secs()
    });
    let variants = all;
    Ok(Some(Options {
        variants,
        baseline,
        points,
        awake,
        urgent,
        on_time: on_time.map(|most| most * 1e3),
        rounds,
        seconds,
        warmup,
        limit,
        seed,
        out,
    }))
}

fn position(variants: &[Variant], name: &str) -> Option<usize> {
    variants.iter().position(|variant| variant.name == name)
}

fn no_such_variant(name: &str, variants: &[Variant]) -> String {
    let known: Vec<&str> = variants
        .iter()
        .map(|variant| variant.name.as_str())
        .collect();
    format!("there is no variant {name}, only {}", known.join(", "))
}

fn counts(parser: &mut lexopt::Parser) -> Result<Vec<usize>, lexopt::Error> {
    let count = |text: &str| text.parse().ok().filter(|&number| number > 0);
    list(parser, "a number from 1 on", count)
}

fn list<T>(
    parser: &mut lexopt::Parser,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, lexopt::Error> {
    let text = parser.value()?.string()?;
    text.split(',')
        .map(|item| read(item).ok_or_else(|| format!("{item:?} is not {what}").into()))
        .collect()
}
