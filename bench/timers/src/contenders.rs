//! Who is compared, and how each does the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use overlapped::{CompletionPort, Operation};
use tokio::runtime::Runtime;
use tokio::time::Sleep;

/// Keeps timers.
pub trait Contender {
    /// Starts one for each deadline, and keeps them.
    fn start_all(&mut self, deadlines: &[Instant]);

    /// Waits for as many as were started.
    fn expire_all(&mut self);

    /// Starts one for each deadline and cancels it before the next.
    fn start_and_cancel(&mut self, deadlines: &[Instant]);
}

/// A completion port with one thread. What was cancelled comes back as a packet too, which is part
/// of the price.
pub struct Overlapped {
    port: CompletionPort,
    /// The operations that are not under way.
    free: Vec<Operation<()>>,
    under_way: usize,
}

impl Overlapped {
    pub fn new() -> Self {
        Overlapped {
            port: CompletionPort::new(1).expect("descriptors"),
            free: Vec::new(),
            under_way: 0,
        }
    }

    fn operation(&mut self) -> Operation<()> {
        self.free.pop().unwrap_or_else(|| Operation::new("", ()))
    }
}

impl Contender for Overlapped {
    fn start_all(&mut self, deadlines: &[Instant]) {
        for deadline in deadlines {
            let operation = self.operation();
            self.port.timer_at(operation, *deadline).expect("memory");
        }
        self.under_way += deadlines.len();
    }

    fn expire_all(&mut self) {
        for _ in 0..std::mem::take(&mut self.under_way) {
            self.free.push(self.port.get().expect("a packet").operation);
        }
    }

    fn start_and_cancel(&mut self, deadlines: &[Instant]) {
        for deadline in deadlines {
            let operation = self.operation();
            let timer = self.port.timer_at(operation, *deadline).expect("memory");
            assert!(self.port.cancel(timer));
            self.free.push(self.port.get().expect("a packet").operation);
        }
    }
}

/// tokio's wheel, on its runtime of one thread. A sleep that is over is set again, so that nothing
/// is allocated anew.
pub struct Tokio {
    runtime: Runtime,
    free: Vec<Pin<Box<Sleep>>>,
    under_way: Vec<Pin<Box<Sleep>>>,
}

impl Tokio {
    pub fn new() -> Self {
        Tokio {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("descriptors"),
            free: Vec::new(),
            under_way: Vec::new(),
        }
    }
}

/// Polls a sleep that is not over, and so starts it.
fn begin(sleep: Pin<&mut Sleep>) {
    let poll = sleep.poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll, Poll::Pending);
}

impl Contender for Tokio {
    fn start_all(&mut self, deadlines: &[Instant]) {
        let _context = self.runtime.enter();
        for deadline in deadlines {
            let sleep = match self.free.pop() {
                Some(mut sleep) => {
                    sleep.as_mut().reset((*deadline).into());
                    sleep
                }
                None => {
                    let mut sleep = Box::pin(tokio::time::sleep_until((*deadline).into()));
                    begin(sleep.as_mut());
                    sleep
                }
            };
            self.under_way.push(sleep);
        }
    }

    fn expire_all(&mut self) {
        let (under_way, free) = (&mut self.under_way, &mut self.free);
        self.runtime.block_on(async {
            for mut sleep in under_way.drain(..) {
                sleep.as_mut().await;
                free.push(sleep);
            }
        });
    }

    fn start_and_cancel(&mut self, deadlines: &[Instant]) {
        let _context = self.runtime.enter();
        for deadline in deadlines {
            begin(pin!(tokio::time::sleep_until((*deadline).into())));
        }
    }
}

/// What one would write by hand: a heap of deadlines, and a mark on those that were cancelled,
/// which are thrown out when they are the majority. Nothing is handed to anybody.
#[derive(Default)]
pub struct Heap {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    cancelled: Vec<bool>,
    free: Vec<usize>,
    marked: usize,
}

impl Heap {
    fn start(&mut self, deadline: Instant) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            self.cancelled.push(false);
            self.cancelled.len() - 1
        });
        self.heap.push(Reverse((deadline, number)));
        number
    }

    fn cancel(&mut self, number: usize) {
        self.cancelled[number] = true;
        self.marked += 1;
        if self.marked * 2 > self.heap.len() {
            let Heap {
                heap,
                cancelled,
                free,
                ..
            } = self;
            heap.retain(|Reverse((_, number))| {
                let gone = std::mem::take(&mut cancelled[*number]);
                if gone {
                    free.push(*number);
                }
                !gone
            });
            self.marked = 0;
        }
    }
}

impl Contender for Heap {
    fn start_all(&mut self, deadlines: &[Instant]) {
        for deadline in deadlines {
            self.start(*deadline);
        }
    }

    fn expire_all(&mut self) {
        while let Some(Reverse((deadline, number))) = self.heap.pop() {
            let cancelled = std::mem::take(&mut self.cancelled[number]);
            self.marked -= usize::from(cancelled);
            self.free.push(number);
            let left = deadline.saturating_duration_since(Instant::now());
            if !cancelled && left > Duration::ZERO {
                std::thread::sleep(left);
            }
        }
    }

    fn start_and_cancel(&mut self, deadlines: &[Instant]) {
        for deadline in deadlines {
            let number = self.start(*deadline);
            self.cancel(number);
        }
    }
}
