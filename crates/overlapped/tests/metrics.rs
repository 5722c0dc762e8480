//! The feature `metrics`: what a recorder gets.
#![cfg(feature = "metrics")]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use overlapped::{CompletionPort, Operation, PortMetrics};

const WATCHDOG: Duration = Duration::from_secs(60);

/// What was recorded, by name and labels.
#[derive(Default)]
struct Recorded {
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<String, Arc<Values>>>,
    described: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

fn name(key: &Key) -> String {
    let labels = key.labels();
    let labels: Vec<_> = labels
        .map(|label| format!("{}={}", label.key(), label.value()))
        .collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

fn entry<V: Default>(all: &Mutex<BTreeMap<String, Arc<V>>>, key: &Key) -> Arc<V> {
    all.lock().unwrap().entry(name(key)).or_default().clone()
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().into());
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().into());
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().into());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(entry(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(entry(&self.gauges, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(entry(&self.histograms, key))
    }
}

impl Recorded {
    fn has(&self, gauge: &str) -> bool {
        self.gauges.lock().unwrap().contains_key(gauge)
    }

    fn gauge(&self, name: &str) -> f64 {
        let gauges = self.gauges.lock().unwrap();
        f64::from_bits(gauges[name].load(std::sync::atomic::Ordering::SeqCst))
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.counters.lock().unwrap();
        counters[name].load(std::sync::atomic::Ordering::SeqCst)
    }

    fn waits(&self) -> Vec<f64> {
        let histograms = self.histograms.lock().unwrap();
        histograms["overlapped_wait_seconds{port=web}"]
            .0
            .lock()
            .unwrap()
            .clone()
    }
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < WATCHDOG, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_the_port_counts_is_what_the_recorder_gets() {
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || {
        let port: CompletionPort<(), ()> = CompletionPort::new(2).unwrap();
        let mut metrics = PortMetrics::new(&port, "web");
        let timer = port
            .timer(Operation::new("", ()), Duration::from_secs(3600))
            .unwrap();
        for _ in 0..1000 {
            port.post(Operation::new("", ()), 0).unwrap();
            port.get().unwrap();
        }
        for _ in 0..3 {
            port.post(Operation::new("", ()), 0).unwrap();
        }
        metrics.publish(None);
        assert_eq!(recorded.gauge("overlapped_concurrency{port=web}"), 2.0);
        assert_eq!(recorded.gauge("overlapped_queued{port=web}"), 3.0);
        assert_eq!(recorded.gauge("overlapped_timers{port=web}"), 1.0);
        let timers = "overlapped_under_way{port=web,kind=Timer}";
        assert_eq!(recorded.gauge(timers), 1.0);
        match port.stats().queue {
            Some(queue) => {
                assert_eq!(recorded.gauge("overlapped_active{port=web}"), 1.0);
                let packets = recorded.counter("overlapped_packets_total{port=web}");
                assert_eq!(packets, 1000);
                assert_eq!(recorded.waits().len() as u64, queue.waits.count());
                assert!(queue.waits.count() > 0);
            }
            // What the kernel keeps to itself is not called 0.
            None => assert!(!recorded.has("overlapped_active{port=web}")),
        }
        // What there are no more of is 0, and what was recorded is not recorded again.
        assert!(port.cancel(timer));
        for _ in 0..4 {
            port.get().unwrap();
        }
        metrics.publish(None);
        assert_eq!(recorded.gauge(timers), 0.0);
        assert_eq!(recorded.gauge("overlapped_timers{port=web}"), 0.0);
        if let Some(queue) = port.stats().queue {
            let all = queue.waits.buckets();
            let all: f64 = all
                .map(|(below, count)| below.as_secs_f64() * count as f64)
                .sum();
            let sum: f64 = recorded.waits().iter().sum();
            assert!((sum - all).abs() < 1e-9, "{sum}, {all}");
        }

        // It does not keep the port open.
        drop(port);
        metrics.publish(None);
        let described = recorded.described.lock().unwrap();
        let is_described = |name: &String| {
            let name = name.split('{').next().unwrap();
            described.iter().any(|known| known == name)
        };
        assert!(recorded.gauges.lock().unwrap().keys().all(is_described));
        assert!(recorded.counters.lock().unwrap().keys().all(is_described));
    });
}

#[test]
fn a_pool_is_counted_and_its_blocked_workers() {
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || {
        let port: CompletionPort<(), ()> = CompletionPort::new(1).unwrap();
        let (let_go, waits) = std::sync::mpsc::channel::<()>();
        let waits = Mutex::new(waits);
        let workers = port
            .workers(move |_, _| {
                let _ = waits.lock().unwrap().recv();
            })
            .start()
            .unwrap();
        let mut metrics = PortMetrics::new(&port, "web");
        port.post(Operation::new("", ()), 0).unwrap();
        port.post(Operation::new("", ()), 0).unwrap();
        // Both, since the first one is noticed, or presumed blocked.
        until("both are out", || port.stats().queued == 0);
        until("another is in reserve", || workers.stats().threads == 3);
        metrics.publish(Some(&workers));
        assert_eq!(recorded.gauge("overlapped_workers{port=web}"), 3.0);
        let started = "overlapped_workers_started_total{port=web}";
        assert_eq!(recorded.counter(started), 3);
        if port.stats().queue.is_some() {
            let blocks = ["noticed", "presumed"].map(|how| {
                recorded.counter(&format!("overlapped_{how}_blocked_total{{port=web}}"))
            });
            assert!(blocks.iter().sum::<u64>() > 0, "{blocks:?}");
        }
        drop(let_go);
        port.close();
        workers.join().unwrap();
        metrics.publish(None);
    });
}
