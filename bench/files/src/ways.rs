//! The ways to read.

use std::cell::Cell;
use std::io::SeekFrom;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use futures_util::stream::{FuturesUnordered, TryStreamExt};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use overlapped::{AlignedBuffer, CompletionPort, FileEngine, Operation};

use crate::block::{BLOCK, Block, check};
use crate::{Load, Result};

/// A way, under the name that the table shows.
pub struct Way {
    pub name: &'static str,
    pub run: fn(&Load<'_>) -> Result<()>,
}

/// All ways; the first is what the others are compared to.
pub fn all(direct: bool) -> Vec<Way> {
    let mut ways = vec![
        Way {
            name: "io_uring by hand",
            run: by_hand,
        },
        Way {
            name: "thread pool, 4 threads",
            run: pool,
        },
        Way {
            name: "tokio::task::spawn_blocking",
            run: tokio_blocking,
        },
    ];
    if !direct {
        // Its own buffer lies anywhere, so it cannot read uncached.
        ways.push(Way {
            name: "tokio::fs",
            run: tokio_fs,
        });
    }
    ways.push(Way {
        name: "**overlapped**, io_uring",
        run: |load| port(load, FileEngine::Auto),
    });
    ways.push(Way {
        name: "**overlapped**, threads",
        run: |load| port(load, FileEngine::Threads),
    });
    ways
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// One thread that submits and reaps.
fn by_hand(load: &Load<'_>) -> Result<()> {
    let file = load.open()?;
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(load.depth.next_power_of_two() as u32)
        .map_err(text)?;
    let mut blocks: Vec<_> = (0..load.depth).map(|_| Block::new()).collect();
    let mut reading = vec![0; load.depth];
    let mut free: Vec<usize> = (0..load.depth).collect();
    let (mut started, mut done) = (0, 0);
    let mut ended = Vec::with_capacity(load.depth);
    while done < load.reads {
        while started < load.reads
            && let Some(slot) = free.pop()
        {
            let number = load.block(started);
            reading[slot] = number;
            started += 1;
            let into = blocks[slot].as_mut_ptr();
            let read = opcode::Read::new(Fd(file.as_raw_fd()), into, BLOCK as u32)
                .offset(number * BLOCK as u64)
                .build()
                .user_data(slot as u64);
            // SAFETY: the block stays where it is and is not looked at until its completion; on an
            // error the process ends.
            unsafe { ring.submission().push(&read) }.map_err(text)?;
        }
        ring.submit_and_wait(1).map_err(text)?;
        ended.extend(ring.completion().map(|one| (one.user_data(), one.result())));
        for (slot, result) in ended.drain(..) {
            if result != BLOCK as i32 {
                return Err(format!("a read gave {result}"));
            }
            check(&blocks[slot as usize][..], reading[slot as usize])?;
            free.push(slot as usize);
            done += 1;
        }
    }
    Ok(())
}

/// Keeps the reads outstanding: `start` begins one with a block, `next` waits for one that is done.
fn keep_going(
    load: &Load<'_>,
    mut start: impl FnMut(u64, Box<Block>) -> Result<()>,
    mut next: impl FnMut() -> Result<(u64, Box<Block>)>,
) -> Result<()> {
    let mut started = 0;
    while started < load.depth as u64 {
        start(load.block(started), Block::new())?;
        started += 1;
    }
    for _ in 0..load.reads {
        let (number, block) = next()?;
        check(&block[..], number)?;
        if started < load.reads {
            start(load.block(started), block)?;
            started += 1;
        }
    }
    Ok(())
}

/// Threads that take reads from a channel and give them back through another.
fn pool(load: &Load<'_>) -> Result<()> {
    let file = load.open()?;
    let (requests, queue) = mpsc::channel::<(u64, Box<Block>)>();
    let (results, done) = mpsc::channel();
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..4.min(load.depth) {
            let (file, queue, results) = (&file, &queue, results.clone());
            scope.spawn(move || {
                loop {
                    let request = queue.lock().unwrap().recv();
                    let Ok((number, mut block)) = request else {
                        return;
                    };
                    let read = file.read_exact_at(&mut block[..], number * BLOCK as u64);
                    if results.send(read.map(|()| (number, block))).is_err() {
                        return;
                    }
                }
            });
        }
        let result = keep_going(
            load,
            |number, block| requests.send((number, block)).map_err(text),
            || done.recv().map_err(text)?.map_err(text),
        );
        drop(requests);
        result
    })
}

/// What tokio's files do inside: a closure on its pool of blocking threads for each read.
fn tokio_blocking(load: &Load<'_>) -> Result<()> {
    let file = Arc::new(load.open()?);
    tokio_tasks(load, async |numbers: &Numbers<'_>| {
        let mut block = Block::new();
        while let Some(number) = numbers.next() {
            let file = file.clone();
            let read = tokio::task::spawn_blocking(move || {
                let read = file.read_exact_at(&mut block[..], number * BLOCK as u64);
                read.map(|()| block)
            });
            block = read.await.map_err(text)?.map_err(text)?;
            check(&block[..], number)?;
        }
        Ok(())
    })
}

/// tokio's files as they are meant to be used: seek, then read.
fn tokio_fs(load: &Load<'_>) -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncSeekExt};
    tokio_tasks(load, async |numbers: &Numbers<'_>| {
        let mut file = tokio::fs::File::from_std(load.open()?);
        let mut block = Block::new();
        while let Some(number) = numbers.next() {
            let place = SeekFrom::Start(number * BLOCK as u64);
            file.seek(place).await.map_err(text)?;
            file.read_exact(&mut block[..]).await.map_err(text)?;
            check(&block[..], number)?;
        }
        Ok(())
    })
}

/// Which blocks are left to be read.
struct Numbers<'a> {
    load: &'a Load<'a>,
    started: Cell<u64>,
}

impl Numbers<'_> {
    fn next(&self) -> Option<u64> {
        let number = self.started.replace(self.started.get() + 1);
        (number < self.load.reads).then(|| self.load.block(number))
    }
}

/// One thread with as many tasks as there are to be reads outstanding.
fn tokio_tasks(load: &Load<'_>, task: impl AsyncFn(&Numbers<'_>) -> Result<()>) -> Result<()> {
    let numbers = Numbers {
        load,
        started: Cell::new(0),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(text)?;
    let tasks: FuturesUnordered<_> = (0..load.depth).map(|_| task(&numbers)).collect();
    runtime.block_on(tasks.try_for_each(async |()| Ok(())))
}

/// A port and one thread that gets its packets.
fn port(load: &Load<'_>, engine: FileEngine) -> Result<()> {
    let port: CompletionPort<(), u64> = CompletionPort::builder()
        .concurrency(1)
        .files(engine)
        .build()
        .map_err(text)?;
    let file = port.associate_file(load.open()?, ()).map_err(text)?;
    let mut started = 0;
    while started < load.depth as u64 {
        let number = load.block(started);
        let operation = Operation::new(AlignedBuffer::new(BLOCK, BLOCK), number);
        file.read_at(operation, number * BLOCK as u64)
            .map_err(text)?;
        started += 1;
    }
    for _ in 0..load.reads {
        let packet = port.get().map_err(text)?;
        packet.result().map_err(text)?;
        let mut operation = packet.operation;
        check(operation.bytes(), *operation.user())?;
        if started < load.reads {
            let number = load.block(started);
            *operation.user_mut() = number;
            file.read_at(operation, number * BLOCK as u64)
                .map_err(text)?;
            started += 1;
        }
    }
    Ok(())
}
