//! A closed-loop echo load on one thread: keeps so many requests outstanding on so many
//! connections, and checks every byte that comes back.
//!
//!     load 127.0.0.1:PORT --connections 100 --size 64 --depth 1 --seconds 1 --warm-up 0.3
//!
//! Prints `measuring` and `measured` at the ends of the measured time, so that whoever watches the
//! server knows when to read its counters, and then one line of JSON.

mod connection;
mod pattern;

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use connection::{Connection, Shape};
use hdrhistogram::Histogram;
use rustix::event::epoll;

struct Options {
    address: SocketAddr,
    connections: usize,
    shape: Shape,
    seconds: f64,
    warm_up: f64,
}

fn main() {
    if let Err(error) = options().and_then(|options| run(&options)) {
        eprintln!("load: {error}");
        std::process::exit(1);
    }
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments
        .next()
        .ok_or("give the server's address, as in 127.0.0.1:4567")?
        .parse()
        .map_err(|_| "the address is ADDRESS:PORT")?;
    if !address.ip().is_loopback() {
        return Err("load is only put on loopback addresses".into());
    }
    let shape = Shape { size: 64, depth: 1 };
    let mut options = Options {
        address,
        connections: 100,
        shape,
        seconds: 1.0,
        warm_up: 0.3,
    };
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        let wrong = |_| format!("{name}: '{value}' is no number");
        match name.as_str() {
            "--connections" => options.connections = value.parse().map_err(wrong)?,
            "--size" => options.shape.size = value.parse().map_err(wrong)?,
            "--depth" => options.shape.depth = value.parse().map_err(wrong)?,
            "--seconds" => options.seconds = value.parse().map_err(|_| "--seconds: a number")?,
            "--warm-up" => options.warm_up = value.parse().map_err(|_| "--warm-up: a number")?,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    if options.shape.size == 0 || options.shape.size > pattern::LONGEST {
        return Err(format!("--size is 1 to {}", pattern::LONGEST).into());
    }
    if options.connections == 0 || options.shape.depth == 0 {
        return Err("at least one connection and one request".into());
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = Vec::new();
    for number in 0..options.connections {
        let connection = Connection::open(options.address, number, options.shape)?;
        epoll::add(
            &epoll,
            connection.stream(),
            epoll::EventData::new_u64(number as u64),
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET,
        )?;
        connections.push(connection);
    }
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
    let began = Instant::now();
    for connection in &mut connections {
        connection.begin(began)?;
    }
    let warm = began + Duration::from_secs_f64(options.warm_up);
    drive(&epoll, &mut connections, warm, &mut latencies)?;
    latencies.reset();
    announce("measuring");
    let measured = Instant::now();
    let end = measured + Duration::from_secs_f64(options.seconds);
    drive(&epoll, &mut connections, end, &mut latencies)?;
    let seconds = measured.elapsed().as_secs_f64();
    announce("measured");
    if latencies.is_empty() {
        return Err("no answer came within the measured time".into());
    }
    let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
    let report = serde_json::json!({
        "requests": latencies.len(),
        "seconds": seconds,
        "req_per_s": latencies.len() as f64 / seconds,
        "p50_us": micros(0.5),
        "p90_us": micros(0.9),
        "p99_us": micros(0.99),
        "p999_us": micros(0.999),
        "max_us": latencies.max() as f64 / 1000.0,
    });
    println!("{report}");
    Ok(())
}

fn announce(what: &str) {
    println!("{what}");
    let _ = std::io::stdout().flush();
}

fn drive(
    epoll: &rustix::fd::OwnedFd,
    connections: &mut [Connection],
    until: Instant,
    latencies: &mut Histogram<u64>,
) -> Result<(), Box<dyn Error>> {
    let mut events = Vec::with_capacity(1024);
    loop {
        let now = Instant::now();
        if now >= until {
            return Ok(());
        }
        let left = until - now;
        let timeout = rustix::time::Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        events.clear();
        match epoll::wait(
            epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let number = event.data.u64() as usize;
            connections[number].advance(latencies)?;
        }
    }
}
