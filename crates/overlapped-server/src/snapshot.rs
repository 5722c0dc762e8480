//! What a running server tells of itself: the answer on the control socket.
//!
//! One JSON object on one line. Counts whose names are in the past tense are totals since the server
//! began, all others are what is now. A field is never given another meaning under the same
//! [`VERSION`]; there may be more fields than a reader knows, and a count that the system keeps to
//! itself is missing.

use std::time::Duration;

use overlapped::{QueueStats, Workers};
use serde_json::{Map, Value, json};

use crate::connection::ServerPort;
use crate::server::Server;

/// The version of what is asked and answered.
pub const VERSION: u64 = 1;

/// After how long in its handler a worker is told of.
pub const LONG: Duration = Duration::from_secs(1);

/// Takes one.
pub fn take<'a>(
    server: &Server,
    since_start: Duration,
    ports: impl Iterator<Item = (&'a ServerPort, Option<&'a Workers>)>,
) -> Value {
    let summary = server.summary(since_start);
    json!({
        "version": VERSION,
        "pid": std::process::id(),
        "seconds": since_start.as_secs_f64(),
        "mode": server.mode().to_string(),
        "connections": server.connections(),
        "opened": summary.connections,
        "received": summary.received,
        "sent": summary.sent,
        "ports": ports.map(|(port, workers)| of_port(port, workers)).collect::<Vec<_>>(),
    })
}

fn of_port(port: &ServerPort, workers: Option<&Workers>) -> Value {
    let stats = port.stats();
    let under_way = port.under_way().into_iter();
    let under_way: Map<_, _> = under_way
        .map(|(kind, count)| (format!("{kind:?}"), count.into()))
        .collect();
    let away = workers.map_or_else(Vec::new, |workers| workers.away(LONG));
    let away: Vec<_> = away
        .into_iter()
        .map(|away| {
            json!({
                "worker": away.name,
                "thread": away.thread,
                "seconds": away.at_least.as_secs_f64(),
                "doing": away.doing.to_string(),
            })
        })
        .collect();
    let pool = workers.map(Workers::stats).unwrap_or_default();
    let mut told = json!({
        "engine": stats.engine,
        "concurrency": stats.concurrency,
        "waiting": stats.waiting,
        "queued": stats.queued,
        "sockets": stats.sockets,
        "timers": stats.timers,
        "notice": stats.notice,
        "under_way": under_way,
        "threads": pool.threads,
        "threads_started": pool.started,
        "panicked": pool.panics,
        "away": away,
    });
    if let Some(queue) = &stats.queue
        && let Some(told) = told.as_object_mut()
    {
        add_queue(queue, told);
    }
    told
}

/// What only the library's own queue counts.
fn add_queue(queue: &QueueStats, to: &mut Map<String, Value>) {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let waits = queue.waits.buckets();
    let waits: Vec<_> = waits
        .map(|(below, count)| json!([nanoseconds(below), count]))
        .collect();
    let counts = [
        ("bound", queue.bound as u64),
        ("active", queue.active as u64),
        ("blocked", queue.blocked as u64),
        ("overshoot", queue.overshoot as u64),
        ("arrived", queue.arrived),
        ("taken", queue.taken),
        ("handed_over", queue.handed_over),
        ("woken", queue.wakes),
        ("woken_in_vain", queue.futile_wakes),
        ("harvested", queue.harvests),
        ("noticed_blocked", queue.noticed),
        ("presumed_blocked", queue.rescues),
    ];
    to.extend(counts.map(|(name, count)| (name.to_owned(), count.into())));
    to.insert("waits".to_owned(), waits.into());
}
