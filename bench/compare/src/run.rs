//! One server under one load, once.

use std::error::Error;
use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::counters::Counters;

/// A server and its arguments.
pub struct Variant {
    pub name: String,
    command: Vec<String>,
}

impl Variant {
    pub fn new(name: &str, command: &str) -> Self {
        Variant {
            name: name.to_string(),
            command: command.split_whitespace().map(str::to_string).collect(),
        }
    }
}

/// What the clients do.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
}

/// What one run showed.
#[derive(Clone, Copy)]
pub struct Sample {
    pub requests_per_second: f64,
    pub cpu_us_per_request: f64,
    pub switches_per_request: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
}

impl Sample {
    pub fn json(&self, variant: &Variant, load: Load) -> serde_json::Value {
        serde_json::json!({
            "variant": variant.name,
            "connections": load.connections,
            "size": load.size,
            "depth": load.depth,
            "req_per_s": self.requests_per_second,
            "cpu_us_per_req": self.cpu_us_per_request,
            "switches_per_req": self.switches_per_request,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "p999_us": self.p999_us,
        })
    }
}

/// A child that does not outlive us.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(program: &str, arguments: &[String]) -> Result<Running, Box<dyn Error>> {
        let path: PathBuf = std::env::current_exe()?.with_file_name(program);
        let mut child = Command::new(&path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                format!(
                    "{}: {error}; build all: cargo build --release",
                    path.display()
                )
            })?;
        let stdout = child.stdout.take().ok_or("a child has a standard output")?;
        Ok(Running {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    fn line(&mut self, what: &str) -> Result<String, Box<dyn Error>> {
        match self.lines.next() {
            Some(Ok(line)) => Ok(line),
            _ => Err(format!("{what}: it ended: {:?}", self.child.wait()).into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn run(
    variant: &Variant,
    load: Load,
    warm_up: f64,
    seconds: f64,
) -> Result<Sample, Box<dyn Error>> {
    let mut server = Running::start(&variant.command[0], &variant.command[1..])?;
    let listening = server.line(&variant.name)?;
    let address = listening
        .strip_prefix("listening ")
        .ok_or("the server does not listen")?;
    let mut arguments = vec![address.to_string()];
    for (name, value) in [
        ("--connections", load.connections.to_string()),
        ("--size", load.size.to_string()),
        ("--depth", load.depth.to_string()),
        ("--warm-up", warm_up.to_string()),
        ("--seconds", seconds.to_string()),
    ] {
        arguments.extend([name.to_string(), value]);
    }
    let mut clients = Running::start("load", &arguments)?;
    let what = format!("load on {}", variant.name);
    while clients.line(&what)? != "measuring" {}
    let before = Counters::of(server.child.id())?;
    while clients.line(&what)? != "measured" {}
    let spent = Counters::of(server.child.id())? - before;
    let report: serde_json::Value = serde_json::from_str(&clients.line(&what)?)?;
    let field = |name: &str| report[name].as_f64().ok_or_else(|| format!("no {name}"));
    let requests = field("requests")?;
    Ok(Sample {
        requests_per_second: field("req_per_s")?,
        cpu_us_per_request: spent.cpu_ns as f64 / 1000.0 / requests,
        switches_per_request: spent.switches as f64 / requests,
        p50_us: field("p50_us")?,
        p99_us: field("p99_us")?,
        p999_us: field("p999_us")?,
    })
}
